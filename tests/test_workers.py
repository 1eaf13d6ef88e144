"""Two real processes that train as one: stopped, killed, cut off, resumed, and equal to one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import forked
import numpy as np
import pytest
import tiny_runs
import tiny_worker

from zoo import training
from zoo.data import sources

# What README and CONTRIBUTING promise for a worker that is killed, or cut off from the network.
KILLED_SECONDS, CUT_OFF_SECONDS = 30.0, 60.0
STEPS = tiny_worker.RECIPE.training.max_epochs * tiny_runs.STEPS_PER_EPOCH
TESTS = Path(tiny_worker.__file__).parent


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Workers:
    """Two processes of `tiny_worker` in one folder."""

    def __init__(
        self,
        out: Path,
        *arguments: str,
        second: Path | None = None,  # the second worker's --out; the same without
        addresses: Sequence[str] = (),
        prefixes: Sequence[Sequence[str]] = ((), ()),
    ) -> None:
        addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.logs = [out.parent / f"{out.name}.{index}.err" for index in range(2)]
        self.processes = []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": list(addresses)}, "task": task}
            env = {**os.environ, "TF_CONFIG": json.dumps(config)}
            options = ["--out", str(second if index and second else out), *arguments]
            self.processes.append(self._process(index, options, prefixes[index], env))

    def _process(
        self, index: int, options: Sequence[str], prefix: Sequence[str], env: dict[str, str]
    ) -> subprocess.Popen[str] | forked.Process:
        if not prefix:
            return forked.Process(tiny_worker.main, *options, errors=self.logs[index], env=env)
        with self.logs[index].open("a") as errors:
            return subprocess.Popen(
                [*prefix, sys.executable, "-u", str(TESTS / "tiny_worker.py"), *options],
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def reach(self, step: int) -> None:
        """Returns once the chief has taken the step."""
        for line in self.processes[0].stdout:
            if line == f"step {step}\n":
                return
        self.close()
        raise AssertionError(self.errors(0))

    def end(self) -> list[SimpleNamespace]:
        """Waits; exit code, last line and seconds of each."""
        began, ends = time.monotonic(), []
        try:
            for process in self.processes:
                lines = process.stdout.read().splitlines()
                code = process.wait(timeout=240)
                weights = [line for line in lines if line.startswith("weights ")]
                ends.append(
                    SimpleNamespace(
                        code=code,
                        lines=lines,
                        weights=weights,
                        seconds=time.monotonic() - began,
                    )
                )
        finally:
            self.close()
        return ends

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()

    def errors(self, index: int) -> str:
        return self.logs[index].read_text()


def saved(out: Path) -> dict[str, object]:
    with np.load(out / "state.npz") as file:
        return json.loads(bytes(file["meta"]))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run of two workers: SIGTERM to one, then kill -9 of one, then to its end."""
    out = tmp_path_factory.mktemp("workers") / "run"
    told = SimpleNamespace(out=out, older=out.parent / "older", others=out.parent / "others")

    workers = Workers(out, second=told.others)
    workers.reach(20)
    workers.processes[1].send_signal(signal.SIGTERM)
    told.terminated, told.terminated_state = workers.end(), saved(out)
    shutil.copytree(out, told.older)

    workers = Workers(out, "--resume")
    workers.reach(told.terminated_state["counters"]["step"] + 40)
    workers.processes[1].kill()
    told.killed, told.killed_error = workers.end(), workers.errors(0)
    told.killed_state = saved(out)

    workers = Workers(out, "--resume")
    told.finished, told.error = workers.end(), workers.errors(0)
    return told


def test_sigterm_to_one_worker_stops_all_at_one_step(story: SimpleNamespace) -> None:
    assert [end.code for end in story.terminated] == [143, 143]
    step = story.terminated_state["counters"]["step"]
    assert 20 <= step < STEPS
    assert story.terminated[0].weights == story.terminated[1].weights != []
    for end in story.terminated:
        assert f"signal SIGTERM after step {step}" in "\n".join(end.lines)


def test_the_chief_alone_writes(story: SimpleNamespace) -> None:
    assert (story.older / "run.json").is_file()
    assert list(story.others.iterdir()) == []


@pytest.mark.slow
def test_workers_at_different_steps_are_refused(story: SimpleNamespace) -> None:
    workers = Workers(story.out, "--resume", second=story.older)
    assert [end.code for end in workers.end()] == [1, 1]
    early = story.terminated_state["counters"]["step"]
    for index in range(2):
        assert f"The workers are at different steps: [{early}, {STEPS}]" in workers.errors(index)


def test_a_killed_worker_fails_the_job_soon_and_says_what_to_do(story: SimpleNamespace) -> None:
    chief, victim = story.killed
    assert (chief.code, victim.code) == (1, -signal.SIGKILL)
    assert chief.seconds < KILLED_SECONDS
    assert "Another worker of this training is gone" in story.killed_error
    assert "Start every worker again, with --resume" in story.killed_error
    before = story.terminated_state["counters"]["step"]
    assert before < story.killed_state["counters"]["step"] < STEPS


def test_both_workers_end_with_the_weights_of_one_process(
    story: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [end.code for end in story.finished] == [0, 0], story.error
    assert story.finished[0].weights == story.finished[1].weights != []
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
    result = training.train(tiny_worker.RECIPE, tmp_path / "one")
    state = saved(story.out)
    assert state["counters"]["step"] == result.step == STEPS
    alone = saved(tmp_path / "one")
    for ours, theirs in zip(state["history"], alone["history"], strict=True):
        assert ours["step"] == theirs["step"]
        assert ours["validation_nats"] == pytest.approx(theirs["validation_nats"], rel=1e-4)
    assert "2 replicas (multi-worker)" in state["counters"]["hardware"][-1]


# A network that is cut, between two namespaces of the kernel's.

UNSHARED = ("unshare", "--map-root-user", "--net", "--mount", "bash", "-c")
NAMESPACES = """
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add other
ip link add here type veth peer name there netns other
ip addr add 10.77.0.1/24 dev here
ip link set here up
ip netns exec other ip addr add 10.77.0.2/24 dev there
ip netns exec other ip link set there up
"""


def namespaces_are_allowed() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    made = subprocess.run(
        [*UNSHARED, NAMESPACES],
        capture_output=True,
        check=False,
    )
    return made.returncode == 0


@pytest.mark.slow
def test_workers_cut_off_from_each_other_both_fail(tmp_path: Path) -> None:
    if not namespaces_are_allowed():
        pytest.skip("this machine makes no network namespaces")
    code = f"""
import subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from test_workers import Workers
workers = Workers(
    Path({str(tmp_path / "run")!r}),
    addresses=["10.77.0.1:5000", "10.77.0.2:5000"],
    prefixes=[["env"], ["ip", "netns", "exec", "other"]],
)
workers.reach(40)
subprocess.run(["ip", "link", "set", "here", "down"], check=True)
ends = workers.end()
print([end.code for end in ends], max(end.seconds for end in ends))
"""
    script = f'{NAMESPACES}\nexec "$0" -c "$1"'
    done = subprocess.run(
        [*UNSHARED, script, sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    codes, _, seconds = done.stdout.strip().rpartition(" ")
    assert codes == "[1, 1]"
    assert float(seconds) < CUT_OFF_SECONDS
    for index in range(2):
        assert (
            "Another worker of this training is gone" in (tmp_path / f"run.{index}.err").read_text()
        )
