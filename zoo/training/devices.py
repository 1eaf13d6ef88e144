"""Where a training runs: one device, the devices of a machine, several machines, or a TPU.

A strategy changes where a step is computed and nothing else: the recipe's `batch_size` is the
global batch, the learning rate is the recipe's, and the number of steps is the same. Each replica
gets its n-th part of every batch.

    one           this process and its first device, without tf.distribute
    mirrored      every GPU of this machine, or `replicas` of its devices
    multiworker   a process on each machine of the cluster in the variable TF_CONFIG
    tpu           a TPU, found by TensorFlow's cluster resolver
    auto          multiworker where TF_CONFIG lists several tasks, tpu where TPU_NAME is set,
                  mirrored where there are several GPUs, else one
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo.errors import ConfigError, TrainingError

__all__ = [
    "STRATEGIES",
    "WORKER_TIMEOUT",
    "create",
    "is_multi_worker",
    "local_replicas",
    "local_value",
    "shards",
]

STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")

# Seconds that a worker waits in a collective for the others: longer than the chief needs to write
# its state, or a worker to compile.
WORKER_TIMEOUT = 300.0

_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def create(
    kind: str = "auto",
    *,
    replicas: int = 0,
    tpu: str = "",
    zone: str = "",
    worker_timeout: float = WORKER_TIMEOUT,
) -> Any:
    """The `tf.distribute.Strategy` of that kind; None for one device.

    Before anything else is computed: TensorFlow fixes its devices at the first op.

    kind: Out of `STRATEGIES`.
    replicas: Devices of this machine that `mirrored` uses: 0 for all GPUs. On a machine without
        GPUs its CPU is divided into that many logical devices, to rehearse.
    tpu: Name or address of the TPU, "local" on a TPU VM; without, the variable TPU_NAME.
    zone: Zone of the TPU, where the resolver cannot know it.
    worker_timeout: Seconds that a worker waits in a collective for the others before it gives up.

    Raises ConfigError for a kind, a number of replicas or a TF_CONFIG that cannot be, and
    TrainingError for a TPU or a cluster that cannot be reached.
    """
    if kind not in STRATEGIES:
        raise ConfigError(f"Expected a strategy out of {', '.join(STRATEGIES)}; got {kind!r}.")
    if replicas < 0 or worker_timeout <= 0:
        raise ConfigError(
            "Expected replicas >= 0 and a worker timeout above 0 seconds; got "
            f"{replicas} and {worker_timeout}."
        )
    tpu = tpu or os.environ.get("TPU_NAME", "")
    gpus = len(tf.config.list_physical_devices("GPU"))
    if kind == "auto":
        kind = _best(tasks=_tasks(), tpu=tpu, devices=replicas or gpus)
    if replicas and kind != "mirrored":
        raise ConfigError(f"replicas goes with the strategy mirrored; got {replicas} with {kind}.")
    if kind == "mirrored":
        return _mirrored(replicas, gpus)
    if kind == "multiworker":
        return _multi_worker(worker_timeout)
    if kind == "tpu":
        return _tpu(tpu, zone)
    return None


def _best(*, tasks: int, tpu: str, devices: int) -> str:
    if tasks > 1:
        return "multiworker"
    if tpu:
        return "tpu"
    return "mirrored" if devices > 1 else "one"


def _mirrored(replicas: int, gpus: int) -> Any:
    count = replicas or gpus or 1
    if gpus and count > gpus:
        raise ConfigError(f"Expected at most {gpus} replicas, one a GPU here; got {replicas}.")
    if not gpus:
        _divide_cpu(count)
    device = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{device}:{index}" for index in range(count)])


def _divide_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:  # TensorFlow has started
        there = len(tf.config.list_logical_devices("CPU"))
        if there < count:
            raise ConfigError(
                f"The CPU cannot be divided into {count} devices any more, TensorFlow has started "
                f"with {there}: create the strategy first."
            ) from error


# --- several machines


def _tasks() -> int:
    """How many processes TF_CONFIG lists that would train together; 0 where it is not set."""
    if not os.environ.get("TF_CONFIG", "").strip():
        return 0
    cluster = _cluster_config()["cluster"]
    return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))


def _cluster_config() -> Mapping[str, Any]:
    """TF_CONFIG, checked: {"cluster": {job: [address]}, "task": {"type", "index"}}."""
    text = os.environ.get("TF_CONFIG", "")
    problem = ""
    try:
        values = json.loads(text) if text.strip() else {}
    except ValueError as error:
        values, problem = {}, f"it is not JSON ({error})"
    if not problem:
        problem = _problem_of(values)
    if problem:
        raise ConfigError(
            f"The variable TF_CONFIG does not describe a cluster: {problem}. Expected on each "
            f"machine the same cluster and its own task, such as {_EXAMPLE}."
        )
    checked: Mapping[str, Any] = {"task": {"type": "worker", "index": 0}, **values}
    return checked


def _problem_of(values: Any) -> str:
    if not values:
        return "it is empty or not set"
    cluster = values.get("cluster") if isinstance(values, dict) else None
    if not isinstance(cluster, dict):
        return "it has no object 'cluster'"
    for job, addresses in cluster.items():
        listed = isinstance(addresses, list) and all(
            isinstance(address, str) and ":" in address for address in addresses
        )
        if not listed:
            return f"cluster.{job} is no list of HOST:PORT"
    task = values.get("task", {"type": "worker", "index": 0})
    job = task.get("type") if isinstance(task, dict) else None
    index = task.get("index") if isinstance(task, dict) else None
    if job not in cluster or not isinstance(index, int) or not 0 <= index < len(cluster[job]):
        return f"its task {task!r} is none of the cluster's"
    return ""


def _multi_worker(timeout: float) -> Any:
    _cluster_config()
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise TrainingError(
            f"The cluster in TF_CONFIG cannot be joined: {_one_line(error)} Is this task's port "
            "free, and does every machine reach the others' ports?"
        ) from error


def _tpu(tpu: str, zone: str) -> Any:
    if not tpu:
        raise ConfigError(
            "The strategy tpu needs the TPU's name: --tpu NAME or the variable TPU_NAME; 'local' "
            "on a TPU VM."
        )
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu, zone=zone or None)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # the resolver's client libraries raise errors of their own
        where = f" in {zone}" if zone else ""
        raise TrainingError(
            f"The TPU {tpu!r}{where} cannot be reached: {_one_line(error)} Check its name and "
            "zone, and that this machine has the permission to use it."
        ) from error


def _one_line(error: Exception, limit: int = 300) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if len(text) <= limit else text[:limit] + " …"
    return text if text.endswith(".") else text + "."


# --- values on replicas


def is_multi_worker(strategy: Any) -> bool:
    """Whether other processes take part."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return local_replicas(strategy) < int(strategy.num_replicas_in_sync)


def local_replicas(strategy: Any) -> int:
    """The replicas of this process."""
    return len(strategy.extended.worker_devices)


def shards(strategy: Any, rows: Any) -> Any:
    """The n-th part of `rows` on the n-th of this process' n replicas; None stays None.

    rows: an array [rows, ...] of this process, the number of rows a multiple of n.
    """
    if rows is None:
        return None
    count = local_replicas(strategy)
    size = len(rows) // count

    def part(context: Any) -> Any:
        start = context.replica_id_in_sync_group % count * size
        return tf.constant(rows[start : start + size])

    return strategy.experimental_distribute_values_from_function(part)


def local_value(strategy: Any, value: Any) -> Any:
    """What the first replica of this process has of a value that is the same on all."""
    return strategy.experimental_local_results(value)[0]
