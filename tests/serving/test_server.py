"""Ports, addresses and the end of a server; and `zoo serve`, in a process of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
import tiny_checkpoints
import tiny_exports
from live_server import Running, serve
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from typer.testing import CliRunner, Result

from zoo import cli, exporting
from zoo.errors import ServingError
from zoo.serving import repository
from zoo.serving.pool import Pool
from zoo.serving.ports import bind
from zoo.serving.rpc import create_server
from zoo.serving.servable import Servable
from zoo.serving.server import Limits, Server

TIMEOUT = 30

# `zoo serve` as the console script runs it, and then what it had imported.
COMMAND = """
import atexit, sys
from zoo.cli import app
forbidden = ("zoo.exporting", "zoo.bijectors", "tensorflow_probability", "tf_keras")
atexit.register(lambda: print("imported:", *(n for n in forbidden if n in sys.modules)))
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def adder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    tiny_exports.save_adder(path / "adder" / "1", 1)
    return path


def repository_of(path: Path) -> repository.Repository:
    return repository.Repository({"adder": path / "adder"}, max_rows=4)


class TestServer:
    def test_listens_on_the_loopback_alone(self, running: Running) -> None:
        assert running.addresses.rest.startswith("http://127.0.0.1:")
        assert running.addresses.grpc.startswith("127.0.0.1:")
        port = int(running.addresses.rest.rpartition(":")[2])
        # All of 127/8 is this machine; a server bound to every address would answer there.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=TIMEOUT).close()

    def test_ipv6(self, adder: Path) -> None:
        if not _has_ipv6():
            pytest.skip("this machine has no IPv6 loopback")
        with serve(adder, host="::1") as addresses:
            assert addresses.rest.startswith("http://[::1]:")
            assert requests.get(addresses.rest + "/v1/models/adder", timeout=TIMEOUT).ok
            with grpc.insecure_channel(addresses.grpc) as channel:
                grpc.channel_ready_future(channel).result(TIMEOUT)

    @pytest.mark.parametrize("option", ["port", "grpc_port"])
    def test_a_port_that_is_taken(self, option: str, adder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            ports = {"port": 0, "grpc_port": 0, option: number}
            flag = "--" + option.replace("_", "-")
            message = f"port {number}: .* with {flag}; 0 takes any"
            with pytest.raises(ServingError, match=message), bind(**ports):
                pass

    def test_ports_of_another_server(self, adder: Path) -> None:
        async def second() -> None:
            first = create_server(repository_of(adder), Pool(1), max_bytes=1000)
            port = first.add_insecure_port("127.0.0.1:0")
            await first.start()
            try:
                with bind(port=0, grpc_port=port):
                    pytest.fail("it took a port that is taken")
            finally:
                await first.stop(None)

        with pytest.raises(ServingError, match=r"port .* with --grpc-port"):
            asyncio.run(second())

    def test_an_address_of_another_machine(self) -> None:
        message = r"Cannot listen on 192\.0\.2\.1"
        with pytest.raises(ServingError, match=message), bind("192.0.2.1", 0, 0):  # for texts
            pass

    def test_ports_are_kept_while_models_load(self) -> None:
        with bind(port=0, grpc_port=0) as ports:
            for option, taken in (("port", ports.rest), ("grpc_port", ports.grpc)):
                number = taken.getsockname()[1]
                with pytest.raises(ServingError, match=f"port {number}: "):
                    bind(**{"port": 0, "grpc_port": 0, option: number}).__enter__()

    def test_requests_that_run_at_the_end_are_answered(
        self, adder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running, go_on = threading.Semaphore(0), threading.Event()
        predict = Servable.predict

        def slow(*args: Any) -> dict[str, np.ndarray]:
            running.release()
            assert go_on.wait(TIMEOUT)
            return predict(*args)

        monkeypatch.setattr(Servable, "predict", slow)
        with bind(port=0, grpc_port=0) as ports, concurrent.futures.ThreadPoolExecutor(3) as pool:
            server = Server(repository_of(adder), ports, limits=Limits(num_threads=2))
            started = threading.Event()
            addresses = ports.addresses
            served = pool.submit(lambda: asyncio.run(server.serve(lambda _: started.set())))
            assert started.wait(TIMEOUT)
            url = addresses.rest + "/v1/models/adder:predict"
            rest = pool.submit(requests.post, url, json={"inputs": [1.0]}, timeout=TIMEOUT)
            rpc = pool.submit(predict_by_rpc, addresses.grpc, "adder")
            assert running.acquire(timeout=TIMEOUT)
            assert running.acquire(timeout=TIMEOUT)
            server.stop()
            time.sleep(3.0)
            assert not rest.done()
            assert not rpc.done()
            with pytest.raises(requests.ConnectionError):
                requests.get(addresses.rest, timeout=TIMEOUT)
            go_on.set()
            assert rest.result(TIMEOUT).json() == {"outputs": [2.0]}
            assert rpc.result(TIMEOUT) == [2.0]
            served.result(TIMEOUT)

    def test_ports_are_closed_at_the_end(self, adder: Path) -> None:
        with serve(adder) as addresses:
            ports = [int(address.rpartition(":")[2]) for address in vars(addresses).values()]
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()


def predict_by_rpc(address: str, name: str) -> list[float]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(1, np.float32)))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return tf.make_ndarray(stub.Predict(request, timeout=TIMEOUT).outputs["y"]).tolist()


class TestCommand:
    @pytest.mark.parametrize(("level", "number"), [(None, signal.SIGTERM), ("2", signal.SIGHUP)])
    def test_serves_what_is_exported_and_ends_with_a_signal(
        self, level: str | None, number: signal.Signals, adder: Path
    ) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("TF_CPP")}
        arguments = ["serve", "--path", str(adder), "--port", "0", "--grpc-port", "0"]
        with subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env | ({"TF_CPP_MIN_LOG_LEVEL": level} if level else {}),
        ) as process:
            try:
                rest = process.stdout.readline().removeprefix("REST and page: ").strip()
                rpc = process.stdout.readline().removeprefix("gRPC: ").strip()
                response = requests.post(
                    rest + "/v1/models/adder:predict", json={"instances": [2.0]}, timeout=TIMEOUT
                )
                with grpc.insecure_channel(rpc) as channel:
                    grpc.channel_ready_future(channel).result(TIMEOUT)
            finally:
                process.send_signal(number)
                try:
                    out, err = process.communicate(timeout=TIMEOUT)
                finally:
                    process.kill()  # one that did not end would be waited for
        assert response.json() == {"predictions": [3.0]}
        assert process.returncode == 128 + number, err
        assert out == "imported:\n"
        listening, loading = err.splitlines()[0], err.splitlines()[1:]
        assert listening == f"zoo: {rest} and {rpc} answer when models are loaded"
        assert loading == ["zoo: loading adder, version 1"]

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Result, dict[str, Path]]]:
        """Runs the command up to the server: its result, and what would have been served."""
        served: dict[str, Path] = {}

        def no_server(coroutine: Coroutine[Any, Any, None]) -> None:
            repository = coroutine.cr_frame.f_locals["self"]._repository
            coroutine.close()
            served.update({name: repository.get(name).folder for name in repository.names()})
            raise KeyboardInterrupt

        monkeypatch.setattr(asyncio, "run", no_server)

        def run(*arguments: object) -> tuple[Result, dict[str, Path]]:
            free = ("--port", "0", "--grpc-port", "0")
            return CliRunner().invoke(cli.app, ["serve", *free, *map(str, arguments)]), served

        return run

    def test_all_that_lies_in_the_folder(self, run: Any, adder: Path) -> None:
        result, served = run("--path", adder)
        assert result.exit_code == 128 + signal.SIGINT
        assert served == {"adder": adder / "adder" / "1"}

    def test_names_are_exported_for_now(
        self, run: Any, adder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pins = {"tiny_features": {"version": 4, "files": {}}}
        tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")

        def export(name: str, path: str, version: int) -> str:
            folder = Path(path) / name / str(version)
            tiny_exports.save_adder(folder, version)
            return str(folder)

        monkeypatch.setattr(exporting, "export", export)
        before = sorted(adder.iterdir())
        result, served = run("tiny_features", "adder", "--path", adder)
        assert result.exit_code == 128 + signal.SIGINT, result.output
        assert served["adder"] == adder / "adder" / "1"
        folder = served["tiny_features"]
        assert folder.parts[-2:] == ("tiny_features", "4")
        assert not folder.exists()  # removed with the server
        assert sorted(adder.iterdir()) == before

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["a b"], "A model's name has letters"),
            (["nice_mnits"], "Did you mean"),
            (["--path", "nowhere"], "nowhere holds no exported model"),
            (["--allow-host", "a b"], "'a b' is no name of a host"),
        ],
        ids=["path", "unknown", "empty", "host"],
    )
    def test_refusals(self, arguments: list[str], message: str, run: Any) -> None:
        result, served = run(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stdout == ""
        assert served == {}

    def test_other_machines_may_come_only_on_purpose(self, run: Any, adder: Path) -> None:
        for host in ("127.0.0.1", "localhost"):
            assert "no password" not in run("--path", adder, "--host", host)[0].stderr
        stderr = run("--path", adder, "--host", "0.0.0.0")[0].stderr
        assert stderr.startswith("zoo: whoever reaches 0.0.0.0 can use this server")

    def test_what_to_install(self, run: Any, adder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [n for n in sys.modules if n.startswith("zoo.serving")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        result, _ = run("--path", adder)
        assert result.exit_code == 2
        assert "needs the package 'uvicorn': pip install 'density-zoo[serve]'" in result.stderr


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
