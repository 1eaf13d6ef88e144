"""What every test relies on: two logical CPU devices, a clean environment, a fixed generator."""

from __future__ import annotations

import collections
import gc
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import scheduling
import tensorflow as tf

LOGICAL_CPUS = 2
GARBAGE_BYTES = 2**28  # by which a process grows before it collects
_resident_bytes = 0

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests send it; under nohup all would ignore it

# Before TensorFlow starts, or it is too late: the replicas of the tests of tf.distribute.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * LOGICAL_CPUS,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="the tests for daily work: `make test-fast`"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`--fast` leaves tests out; on a worker of xdist, long tests begin."""
    if config.option.fast:
        kept = [item for item in items if scheduling.is_fast(item.nodeid)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
    if hasattr(config, "workerinput"):
        items[:] = [items[i] for i in scheduling.longest_first([item.nodeid for item in items])]


def pytest_collection_finish() -> None:
    """Python's collector leaves alone what the imports have made, and looks at the rest less often.

    TensorFlow's graphs in Python are many small objects: this is a tenth of a test's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collects after a file that has left much behind: graphs are cycles of Python's objects."""
    global _resident_bytes
    if nextitem is not None and nextitem.path == item.path:
        return
    if _resident() > _resident_bytes + GARBAGE_BYTES:
        gc.collect()
        _resident_bytes = _resident()


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def pytest_sessionfinish() -> None:
    """One collection of what is left, in place of pytest's five of seconds each."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but for the laws over models."""
    return scheduling.UnitScheduling(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """No test sees the user's checkpoints or cache, or writes to them."""
    for name in ("ZOO_CHECKPOINTS", "ZOO_BASE_URL", "ZOO_OFFLINE", "ZOO_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def _updates_as_graphs() -> None:
    """XLA takes a second to compile a run's update; it does in processes of their own."""
    from zoo.training.step import TrainingStep

    TrainingStep.compiles_update = False


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The folder of the tiny checkpoints, published, and their pins; tests work on copies."""
    import tiny_checkpoints

    root = tmp_path_factory.mktemp("master")
    return root, tiny_checkpoints.publish(root)


@pytest.fixture
def rng() -> np.random.Generator:
    """The tests' source of numbers: the same ones in every run, whatever runs before."""
    return np.random.default_rng(20240)


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.MirroredStrategy:
    """One for all tests: TensorFlow keeps the keys of collective operations for the process."""
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(LOGICAL_CPUS)])


@pytest.fixture
def require_dataset():
    """`require_dataset(recipe.dataset)` skips the test where the prepared dataset is absent."""
    from zoo.data import sources

    def require(dataset) -> None:
        if not sources.available(dataset):
            pytest.skip(f"{dataset.name}:{dataset.version} is not prepared in TFDS_DATA_DIR")

    return require


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often each file has been hashed, by its name; downloads are hashed as they come."""
    counts: collections.Counter[str] = collections.Counter()
    digest = hashlib.file_digest

    def counting(stream, name):
        counts[Path(stream.name).name] += 1
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    return counts


@pytest.fixture
def require_checkpoint():
    """`require_checkpoint(name)` skips the test where the published files are absent."""
    from zoo import loading

    def require(name: str) -> Path:
        folder = loading.local_folder(name)
        if folder is None:
            pytest.skip(f"the checkpoint of {name} is not on this machine")
        return folder

    return require
