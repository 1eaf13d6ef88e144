"""A tiny recipe of every family, exported once each, and the runner as a module."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import tiny_runs
import tiny_steps

from zoo.data import sources
from zoo.training import portable

jax = pytest.importorskip("jax", reason="the extra 'portable' is not installed")


@pytest.fixture(scope="package", autouse=True)
def _quick_jax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs compiled with few optimisations, and once for all runs of a step."""
    settings = {
        "jax_disable_most_optimizations": True,
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("jax")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: jax.config.values[name] for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module", autouse=True)
def _tiny_rows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
        yield


@pytest.fixture(scope="package")
def runner() -> ModuleType:
    """`tools/run_step.py`."""
    if not tiny_steps.RUNNER.is_file():
        pytest.skip("tools/ is not part of an installation")
    specification = importlib.util.spec_from_file_location("run_step", tiny_steps.RUNNER)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="package")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`exported(family)`: the folder of its tiny recipe, with the losses of the first steps."""
    root, folders = tmp_path_factory.mktemp("exported"), {}

    def folder(family: str) -> Path:
        if family not in folders:
            folders[family] = portable.export_step(
                tiny_steps.TINY[family],
                root / family,
                name=family,
                run_folder=root / "runs" / family,
                platforms=["cpu"],
                reference_steps=tiny_steps.REFERENCE_STEPS,
            )
        return folders[family]

    return folder
