"""Runs that are killed at any moment and resumed end as the undisturbed run."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forked
import numpy as np
import pytest
import tiny_runs
from whole_runs import STOPS, assert_same_run, state_of

from zoo import training
from zoo.errors import TrainingError


def start(folder: Path) -> contextlib.closing[forked.Process]:
    """All runs of `tiny_runs` into the folder, each from where it was."""
    errors = folder.parent / f"{folder.name}.err"
    return contextlib.closing(forked.Process(tiny_runs.main, folder, errors=errors))


def stop(process: forked.Process, folder: Path, plan: tuple[Any, ...]) -> SimpleNamespace:
    """Lets a process reach the planned step, sends the signal a little later, waits for its end."""
    name, steps, number = plan
    rng = np.random.default_rng()
    step, delay = int(rng.integers(*steps)), rng.uniform(0.0, 0.05)
    second = ""
    for line in process.stdout:
        if not line.endswith("\n"):  # cut off by the kill
            continue
        last_line = line.split()
        if last_line == [name, str(step)]:
            try:  # while the process holds the folder
                training.train(tiny_runs.RECIPES[name], folder / name)
            except TrainingError as error:
                second = str(error)
            time.sleep(delay)
            process.send_signal(number)
    return SimpleNamespace(
        name=name,
        number=number,
        planned=step,
        status=process.wait(),
        last_line=last_line,
        saved_step=state_of(folder / name)[0]["counters"]["step"],
        second=second,
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The runs of `tiny_runs`, once undisturbed and once stopped at every one of `STOPS`."""
    root = tmp_path_factory.mktemp("stopped")
    stops = []
    with start(root / "undisturbed") as undisturbed:
        threading.Thread(target=undisturbed.stdout.read, daemon=True).start()
        for plan in STOPS:
            with start(root / "stopped") as process:
                stops.append(stop(process, root / "stopped", plan))
        with start(root / "stopped") as process:
            last_line = process.stdout.readlines()[-1]
            status = process.wait()
        assert undisturbed.wait() == 0, (root / "undisturbed.err").read_text()
    assert status == 0, (root / "stopped.err").read_text()
    return SimpleNamespace(root=root, stops=stops, last_line=last_line)


@pytest.mark.parametrize("name", tiny_runs.RECIPES)
def test_killed_and_resumed_is_the_undisturbed_run(name: str, stopped: SimpleNamespace) -> None:
    assert_same_run(stopped.root / "stopped" / name, stopped.root / "undisturbed" / name)


def test_kills_hit_running_processes(stopped: SimpleNamespace) -> None:
    assert stopped.last_line == "maf finished\n"
    total = tiny_runs.STEPS_PER_EPOCH * 60
    for stop in stopped.stops:
        assert 0 < stop.saved_step < total
        if stop.number == signal.SIGKILL:
            assert stop.status == -signal.SIGKILL
            assert stop.last_line[0] == stop.name
            assert stop.planned <= int(stop.last_line[1]) < total


def test_sigterm_saves_the_state_of_its_step_and_exits_cleanly(stopped: SimpleNamespace) -> None:
    (stop,) = [stop for stop in stopped.stops if stop.number == signal.SIGTERM]
    assert stop.status == 0
    assert stop.last_line == [stop.name, "signal", "SIGTERM"]
    assert stop.saved_step >= stop.planned


def test_two_trainings_on_one_directory_are_refused(stopped: SimpleNamespace) -> None:
    for stop in stopped.stops:
        assert "Another training is writing to" in stop.second
