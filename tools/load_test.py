"""Concurrent clients with mixed requests against `zoo serve`, on this machine.

    python tools/load_test.py nice_mnist maf_magic
    python tools/load_test.py --path export --requests 500 --clients 4 --rows 16

Starts the server with these models (all of --path without names) on free ports of the loopback,
sends every signature once, and then `--requests` requests from `--clients` threads: model,
signature, number of rows (1 to --rows) and protocol (REST in rows, REST in columns, gRPC) are drawn
anew for each, the same ones in every run. Inputs are random, in the ranges that the export's
manifest states. An answer is right if it has every output with as many rows as were sent.

Prints requests, errors, p50 and p99 in milliseconds for each signature and protocol, and the
throughput. Clients and server share the processor: the figures are a development machine's. Exits
with 1 if a request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from zoo.media.console import columns

PROTOCOLS = ("REST rows", "REST columns", "gRPC")
SECONDS = 120.0  # for one answer
FREE_SIZE = 16  # of axes that may have any size
SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Addresses:
    """`rest` is a URL, `grpc` a host:port."""

    rest: str
    grpc: str


@dataclass(frozen=True)
class Target:
    """A signature of a model: name -> what the server says of the tensor."""

    model: str
    signature: str
    inputs: dict[str, Any]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """One request; `error` is "" for a right answer."""

    target: Target
    protocol: str
    rows: int
    seconds: float
    error: str


@contextlib.contextmanager
def server(names: Sequence[str], path: str, *, max_rows: int) -> Iterator[Addresses]:
    """`zoo serve` in a process of its own."""
    options = ["--path", path, "--port", "0", "--grpc-port", "0", "--max-rows", str(max_rows)]
    with subprocess.Popen(
        [sys.executable, "-m", "zoo.cli", "serve", *names, *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(2)]
            if not all(lines):
                sys.exit("The server did not start.")
            yield Addresses(*(line.partition(": ")[2] for line in lines))
        finally:
            process.terminate()


def find_targets(addresses: Addresses) -> list[Target]:
    """Every signature of every model that the server has."""
    targets = []
    for model in requests.get(addresses.rest + "/ui/models", timeout=SECONDS).json():
        told = (model["manifest"] or {}).get("signatures", {})
        for name, signature in model["signatures"].items():
            described = told.get(name, {}).get("inputs", {})
            inputs = {
                key: {**described.get(key, {}), **field}
                for key, field in signature["inputs"].items()
            }
            targets.append(Target(model["name"], name, inputs, tuple(signature["outputs"])))
    return targets


def draw(field: dict[str, Any], rows: int, rng: np.random.Generator) -> np.ndarray:
    """Random values of the field's dtype, shape and range."""
    shape = [rows, *(FREE_SIZE if size is None else size for size in field["shape"][1:])]
    dtype = np.dtype(field["dtype"])
    low, high = field.get("minimum"), field.get("maximum")
    if dtype.kind in "iu":
        low = 0 if low is None else int(low)
        high = (255 if dtype == np.uint8 else 0) if high is None else int(high)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    low, high = (-3.0 if low is None else low), (3.0 if high is None else high)
    return rng.uniform(low, max(low, high), shape).astype(dtype)


class Client:
    """One connection of each protocol."""

    def __init__(self, addresses: Addresses) -> None:
        self._url = addresses.rest
        self._session = requests.Session()
        self._channel = grpc.insecure_channel(addresses.grpc)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()
        self._channel.close()

    def send(self, target: Target, protocol: str, rows: int, seed: int) -> Outcome:
        """A request with inputs drawn from the seed."""
        rng = np.random.default_rng(seed)
        inputs = {key: draw(field, rows, rng) for key, field in target.inputs.items()}
        start = time.perf_counter()
        try:
            sizes = self._ask(target, protocol, inputs)
        except (requests.RequestException, grpc.RpcError, ValueError, KeyError) as error:
            return Outcome(target, protocol, rows, time.perf_counter() - start, repr(error))
        seconds = time.perf_counter() - start
        expected = dict.fromkeys(target.outputs, rows)
        error = "" if sizes == expected else f"expected rows {expected}; got {sizes}"
        return Outcome(target, protocol, rows, seconds, error)

    def _ask(self, target: Target, protocol: str, inputs: dict[str, np.ndarray]) -> dict[str, int]:
        """Output -> number of rows in the answer."""
        if protocol == "gRPC":
            request = predict_pb2.PredictRequest()
            request.model_spec.name = target.model
            request.model_spec.signature_name = target.signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            answer = self._stub.Predict(request, timeout=SECONDS)
            return {key: value.tensor_shape.dim[0].size for key, value in answer.outputs.items()}
        lists = {key: value.tolist() for key, value in inputs.items()}
        body: dict[str, Any] = {"signature_name": target.signature}
        if protocol == "REST columns":
            outputs = self._post(target, {**body, "inputs": lists})["outputs"]
            named = outputs if len(target.outputs) > 1 else {target.outputs[0]: outputs}
            return {key: len(value) for key, value in named.items()}
        instances = [
            dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
        ]
        predictions = self._post(target, {**body, "instances": instances})["predictions"]
        keys = target.outputs if len(target.outputs) == 1 else predictions[0].keys()
        return dict.fromkeys(keys, len(predictions))

    def _post(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        url = f"{self._url}/v1/models/{target.model}:predict"
        response = self._session.post(url, json=body, timeout=SECONDS)
        answer: dict[str, Any] = response.json()
        if response.status_code != 200:
            raise ValueError(answer.get("error", response.text))
        return answer


def run(
    addresses: Addresses, targets: Sequence[Target], *, total: int, clients: int, max_rows: int
) -> tuple[list[Outcome], float]:
    """The outcome of every request, and the seconds that all of them took together."""
    connected: queue.SimpleQueue[Client] = queue.SimpleQueue()
    for _ in range(clients):
        connected.put(Client(addresses))

    def work(number: int) -> Outcome:
        rng = np.random.default_rng([number])
        target = targets[rng.integers(len(targets))]
        protocol = PROTOCOLS[rng.integers(len(PROTOCOLS))]
        rows = int(rng.integers(1, max_rows, endpoint=True))
        client = connected.get()
        try:
            return client.send(target, protocol, rows, number)
        finally:
            connected.put(client)

    with ThreadPoolExecutor(clients) as pool:
        start = time.perf_counter()
        outcomes = list(pool.map(work, range(total)))
        seconds = time.perf_counter() - start
    for _ in range(clients):
        connected.get().close()
    return outcomes, seconds


def warm_up(addresses: Addresses, targets: Sequence[Target]) -> None:
    """The first call of a signature prepares it, and is no client's everyday."""
    with contextlib.closing(Client(addresses)) as client:
        for target in targets:
            outcome = client.send(target, "gRPC", 1, 0)
            if outcome.error:
                sys.exit(f"{target.model} {target.signature}: {outcome.error}")


def report(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The table and the totals."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        key = (outcome.target.model, outcome.target.signature, outcome.protocol)
        groups.setdefault(key, []).append(outcome)
    lines = [("model", "signature", "protocol", "requests", "errors", "p50 ms", "p99 ms")]
    lines += [(*key, *_figures(group)) for key, group in sorted(groups.items())]
    lines.append(("all", "", "", *_figures(outcomes)))
    rows = sum(outcome.rows for outcome in outcomes if not outcome.error)
    return (
        f"{columns(lines, right={3, 4, 5, 6})}\n"
        f"{len(outcomes):,} requests in {seconds:.1f} s: {len(outcomes) / seconds:.1f} requests/s, "
        f"{rows / seconds:.1f} rows/s"
    )


def _figures(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    milliseconds = [1e3 * outcome.seconds for outcome in outcomes]
    errors = sum(bool(outcome.error) for outcome in outcomes)
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return f"{len(outcomes):,}", str(errors), f"{p50:.1f}", f"{p99:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="models; all of --path without")
    parser.add_argument("--path", default="export", help="base folder of exports")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8, help="the most rows in a request")
    options = parser.parse_args(arguments)
    with server(options.names, options.path, max_rows=options.rows) as addresses:
        targets = find_targets(addresses)
        warm_up(addresses, targets)
        outcomes, seconds = run(
            addresses,
            targets,
            total=options.requests,
            clients=options.clients,
            max_rows=options.rows,
        )
    print(report(outcomes, seconds))
    wrong = [outcome for outcome in outcomes if outcome.error]
    for outcome in wrong[:SHOWN_ERRORS]:
        print(f"{outcome.target} {outcome.protocol}: {outcome.error}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
