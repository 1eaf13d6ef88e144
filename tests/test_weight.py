"""What the repository and a wheel weigh."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import registry

ROOT = Path(zoo.__file__).parent.parent
CHECKPOINTS = ROOT / "checkpoints"
MB = 1_000_000
TREE_BYTES = 260 * MB
FILE_BYTES = 20 * MB
LARGE = {  # published before files had a limit, with their sizes
    "maf_cifar/model.weights.h5": 25_486_716,
    "maf_mog_mnist/model.weights.h5": 43_636_618,
    "nice_mnist/model.weights.h5": 35_861_353,
    "realnvp_vec_mnist/model.weights.h5": 20_895_869,
}


@pytest.fixture
def checkpoints() -> dict[str, int]:
    """Bytes of every file of the checkout's checkpoints."""
    if not CHECKPOINTS.is_dir():
        pytest.skip("an installed package without the checkout's checkpoints/")
    files = [path for path in CHECKPOINTS.rglob("*") if path.is_file()]
    return {path.relative_to(CHECKPOINTS).as_posix(): path.stat().st_size for path in files}


def test_checkpoints_are_light_enough_to_clone(checkpoints: dict[str, int]) -> None:
    assert sum(checkpoints.values()) < TREE_BYTES


def test_no_new_file_is_large(checkpoints: dict[str, int]) -> None:
    large = {file: size for file, size in checkpoints.items() if size > FILE_BYTES}
    assert large == {file: size for file, size in LARGE.items() if file in checkpoints}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch):
    """`hook(root)` maps what a wheel of the project at `root` carries; hatchling is not needed."""
    parts = ["hatchling", "builders", "hooks", "plugin", "interface"]
    for length in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:length]), types.ModuleType(parts[-1]))
    interface = sys.modules[".".join(parts)]
    interface.BuildHookInterface = object  # type: ignore[attr-defined]
    path = ROOT / "tools" / "hatch_build.py"
    specification = importlib.util.spec_from_file_location("hatch_build", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def carried(root: Path, version: str = "standard") -> dict[str, str]:
        data: dict[str, Any] = {"force_include": {}}
        built = module.CheckoutHook()
        built.root = str(root)
        built.initialize(version, data)
        return {target: source for source, target in data["force_include"].items()}

    return carried


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


class TestWheel:
    def test_carries_small_checkpoints_and_the_files_of_export(self, hook, tmp_path: Path) -> None:
        write(tmp_path / "checkpoints" / "small" / "a", MB // 2)
        write(tmp_path / "checkpoints" / "small" / "b", MB // 2)
        write(tmp_path / "checkpoints" / "large" / "a", MB + 1)
        write(tmp_path / "export" / "README.md", 10)
        write(tmp_path / "export" / "small" / "1" / "saved_model.pb", 10)
        assert hook(tmp_path) == {
            "zoo/_checkpoints/small": str(tmp_path / "checkpoints" / "small"),
            "zoo/_export/README.md": str(tmp_path / "export" / "README.md"),
        }
        assert hook(tmp_path, "editable") == {}

    def test_too_heavy_a_wheel_is_not_built(self, hook, tmp_path: Path) -> None:
        for index in range(40):
            write(tmp_path / "checkpoints" / f"model_{index}" / "weights", MB)
        assert len(hook(tmp_path)) == 40
        write(tmp_path / "zoo" / "module.py", 1)
        with pytest.raises(ValueError, match=r"would hold 40\.0 MB; 40 MB are allowed"):
            hook(tmp_path)

    def test_of_this_checkout(self, hook, checkpoints: dict[str, int]) -> None:
        names = {Path(target).name for target in hook(ROOT) if "_checkpoints" in target}
        assert "maf_magic" in names
        assert "nice_mnist" not in names
        assert names <= set(registry.ENTRIES)
