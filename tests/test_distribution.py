"""Which strategy is made, and every refusal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ConfigError, TrainingError
from zoo.training import devices as distribution

CLUSTER = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be made, in place of making it."""
    calls: list[tuple[Any, ...]] = []
    for name in ("_mirrored", "_multi_worker", "_tpu"):
        monkeypatch.setattr(distribution, name, lambda *a, name=name: calls.append((name, *a)))
    return calls


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["gpu"] * (count if kind == "GPU" else 1)
    )


def test_auto_on_one_device_is_no_strategy(made: list[Any], monkeypatch) -> None:
    for gpus in (0, 1):
        with_gpus(monkeypatch, gpus)
        assert distribution.create() is None
        assert distribution.create("one") is None
    assert made == []


def test_auto_takes_all_gpus_then_a_tpu_then_a_cluster(made: list[Any], monkeypatch) -> None:
    with_gpus(monkeypatch, 4)
    distribution.create()
    monkeypatch.setenv("TPU_NAME", "node-1")
    distribution.create(zone="us-central1-a")
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    distribution.create(worker_timeout=7.0)
    assert made == [
        ("_mirrored", 0, 4),
        ("_tpu", "node-1", "us-central1-a"),
        ("_multi_worker", 7.0),
    ]


def test_a_cluster_of_one_task_is_one_device(made: list[Any], monkeypatch) -> None:
    with_gpus(monkeypatch, 0)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"chief": ["a:1"]}, "task": {
        "type": "chief", "index": 0}}))  # fmt: skip
    assert distribution.create() is None
    assert made == []


def test_replicas_without_gpus_divide_the_cpu(two_replicas: Any) -> None:
    devices = two_replicas.extended.worker_devices
    assert [device[-6:] for device in devices] == [":CPU:0", ":CPU:1"]
    assert not distribution.is_multi_worker(two_replicas)


def test_shards_are_the_parts_of_a_batch_in_order(two_replicas: Any) -> None:
    rows = np.arange(12).reshape(6, 2)
    parts = two_replicas.experimental_local_results(distribution.shards(two_replicas, rows))
    np.testing.assert_array_equal(parts[0], rows[:3])
    np.testing.assert_array_equal(parts[1], rows[3:])
    assert distribution.shards(two_replicas, None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "horovod"}, r"out of auto, one, mirrored, multiworker, tpu; got 'horovod'"),
        (
            {"kind": "one", "replicas": 2},
            "goes with the strategy mirrored; got 2 with one",
        ),
        ({"replicas": -1}, "replicas >= 0 and a worker timeout above 0 seconds; got -1"),
        ({"worker_timeout": 0.0}, "worker timeout above 0 seconds; got 0 and 0.0"),
        ({"kind": "mirrored", "replicas": 64}, "cannot be divided into 64 devices any more"),
        ({"kind": "tpu"}, "--tpu NAME or the variable TPU_NAME"),
        ({"kind": "multiworker"}, "TF_CONFIG does not describe a cluster: it is empty or not set"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str, two_replicas) -> None:
    with pytest.raises(ConfigError, match=message):
        distribution.create(**options)


def test_more_replicas_than_gpus_are_refused(monkeypatch) -> None:
    with_gpus(monkeypatch, 2)
    with pytest.raises(ConfigError, match="at most 2 replicas, one a GPU here; got 3"):
        distribution.create("mirrored", replicas=3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not JSON"),
        ("[1]", "it has no object 'cluster'"),
        ('{"task": {"type": "worker", "index": 0}}', "it has no object 'cluster'"),
        ('{"cluster": {"worker": "a:1"}}', r"cluster\.worker is no list of HOST:PORT"),
        ('{"cluster": {"worker": ["a"]}}', r"cluster\.worker is no list of HOST:PORT"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "its task .* is none of the cluster's",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
            "its task .* is none of the cluster's",
        ),
    ],
)
def test_a_malformed_cluster_is_refused(text: str, problem: str, monkeypatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    for kind in ("auto", "multiworker"):
        with pytest.raises(ConfigError, match=f"{problem}.*such as"):
            distribution.create(kind)


def test_a_tpu_that_is_not_there_is_named(monkeypatch) -> None:
    class Resolver:
        def __init__(self, tpu: str, zone: str | None) -> None:
            raise ValueError(f"Could not look up {tpu} in {zone}")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    with pytest.raises(TrainingError, match=r"The TPU 'v5' in eu-1 cannot be reached: Could not"):
        distribution.create("tpu", tpu="v5", zone="eu-1")


def test_a_cluster_that_cannot_be_joined_is_named(monkeypatch) -> None:
    def refuse(**_: Any) -> None:
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", refuse)
    with pytest.raises(TrainingError, match=r"cannot be joined: Could not start gRPC server\. Is"):
        distribution.create("multiworker")
