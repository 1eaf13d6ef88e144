"""Trainings that are killed, starved and damaged, against one that nothing disturbs.

    python tools/torture.py                   every fault, 50 kills: some minutes
    python tools/torture.py --kills 3 --only kill --only corrupt
    python tools/torture.py --write           also replaces the table in CONTRIBUTING.md

Each fault strikes a short run on made-up rows, which then goes on with `resume` to its end. It
passes if no file of the run was ever unreadable, and the run's end is, bit for bit, that of the
undisturbed run: weights, Adam's moments, averages, history, and the best weights. Exits with 1
where a fault did not pass. A full disk and a read-only folder are real ones, on file systems that
the tool mounts in a namespace of its own; where that is forbidden they are reported as not run.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from zoo.core.recipe import SGD, Descent, Greedy, Optimizer, Recipe, Rows, variant
from zoo.data import sources

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- torture:begin -->", "<!-- torture:end -->"
IN_NAMESPACE = "ZOO_TORTURE_NAMESPACE"
TRAIN_ROWS, VALIDATION_ROWS, BATCH = 512, 64, 16
TIMES = ("seconds", "rows_per_second")  # of the history: all that a clock decides
DISK_BYTES = 3_000_000  # of the file system that fills up; a run needs about a third of it

RECIPE = Recipe(
    family="nice",
    config={
        "event_shape": [4, 4, 1],
        "preprocessing": {"num_levels": 256, "transform": "unit"},
        "num_couplings": 2,
        "hidden_units": [64],
        "dropout": 0.2,
    },
    data=Rows(name="made-up", version="1", train="train", validation="held", test="test"),
    training=SGD(
        optimizer=Optimizer(learning_rate=2e-3, warmup_steps=10, schedule="cosine", clip_norm=50.0),
        batch_size=BATCH,
        max_epochs=1,
        validate_every=40,
        ema_decay=0.99,
        initialization_rows=64,
    ),
)

IN_STAGES = Recipe(
    family="ddf",
    config={"event_shape": [4, 4, 1], "num_classes": [4], "num_couplings": 8, "hidden_units": [32]},
    data=Rows(name="made-up in 4 levels", version="1", train="train", validation="held", test=""),
    training=Greedy(layers=8, descent=Descent(batch_size=BATCH, epochs=30)),
)


def rows(dataset: Rows, split: str, **_: object) -> sources.Arrays:
    """In place of a dataset: images of one brightness each, the same in every process."""
    count = VALIDATION_ROWS if split == "validation" else TRAIN_ROWS
    rng = np.random.default_rng([len(split), count])
    brightness = rng.integers(0, 200, (count, 1, 1, 1))
    x = (brightness + rng.integers(0, 56, (count, 4, 4, 1))).astype("uint8")
    return sources.Arrays(x // 64 if dataset.name == IN_STAGES.dataset.name else x)


# --- one training, in a process that may be killed


@dataclass
class Training:
    """A forked process that trains in `folder`; it writes a byte a step."""

    recipe: Recipe
    folder: Path
    resume: bool = False
    before: Callable[[], None] | None = None  # in the process, before it trains
    at_step: Callable[[int], None] | None = None  # in the process, after a step
    pid: int = field(init=False, default=0)

    def start(self) -> Training:
        """Forks; TensorFlow is imported in the parent and started in the child alone."""
        self._steps, pipe = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(pipe)
            return self
        code = 1
        try:
            os.close(self._steps)
            code = self._train(pipe)
        finally:
            os._exit(code)

    @property
    def log(self) -> Path:
        """What the processes in this folder have printed."""
        return self.folder.parent / f"{self.folder.name}.log"

    def _train(self, pipe: int) -> int:
        from zoo import training
        from zoo.training import run

        with self.log.open("a") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
            if self.before is not None:
                self.before()
            run.SAVE_SECONDS = 0.03

            def progress(step: int, *_: Any) -> None:
                os.write(pipe, b".")
                if self.at_step is not None:
                    self.at_step(step)

            try:
                result = training.train(
                    self.recipe, self.folder, resume=self.resume, progress=progress
                )
            except Exception as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                return 1
            except BaseException:
                traceback.print_exc()
                return 3
            print(result.reason, flush=True)
            return 0

    def first_step(self) -> bool:
        """Waits for it; False if the process ended before."""
        return os.read(self._steps, 1) == b"."

    def wait(self) -> int:
        """The exit code; of a signal its number, negative."""
        while os.read(self._steps, 4096):
            pass
        os.close(self._steps)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def last_words(self) -> str:
        """The last line that was printed."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def readable(folder: Path) -> None:
    """Raises if a file that a reader would take for whole is not."""
    import h5py

    for name in ("state.npz", "state.previous.npz"):
        if (folder / name).exists():
            with np.load(folder / name) as file:
                for key in file.files:
                    _ = file[key]
    if (folder / "model.weights.h5").exists():
        with h5py.File(folder / "model.weights.h5") as file:
            file.visititems(lambda _, node: node[()] if isinstance(node, h5py.Dataset) else None)
    for name in ("config.json", "recipe.json", "run.json"):
        if (folder / name).exists():
            json.loads((folder / name).read_text())


def digest(folder: Path) -> str:
    """Of a run's end: state, best weights and history, without times."""
    import h5py

    found = hashlib.sha256()
    with np.load(folder / "state.npz") as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(bytes(arrays.pop("meta")))
    for key in sorted(arrays):
        found.update(arrays[key].tobytes())
    del meta["counters"]["seconds"]
    found.update(json.dumps(meta["counters"], sort_keys=True).encode())

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found.update(name.encode() + np.asarray(node[()]).tobytes())

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(add)
    with (folder / "history.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found.update(json.dumps({k: v for k, v in row.items() if k not in TIMES}).encode())
    return found.hexdigest()


# --- faults: each returns what happened, and leaves a run that ended


@dataclass(frozen=True)
class Bench:
    """What a fault works with."""

    recipe: Recipe
    root: Path
    kills: int
    random: random.Random

    def train(self, folder: Path, **options: Any) -> Training:
        """A training that has started."""
        return Training(self.recipe, folder, **options).start()

    def killed(self, folder: Path, *, span: float = 0.4, number: int = signal.SIGKILL) -> bool:
        """Trains on, and sends the signal at a random moment; whether it hit a running process."""
        training = self.train(folder, resume=(folder / "state.npz").exists())
        training.first_step()
        time.sleep(self.random.uniform(0.0, span))
        os.kill(training.pid, number)
        return training.wait() == -number

    def finish(self, folder: Path, **options: Any) -> Training:
        """Goes on to the end."""
        training = self.train(folder, resume=True, **options)
        check(training.wait() == 0, f"the run did not end: {training.last_words()}")
        return training


class NotRunError(Exception):
    """This machine does not allow the fault."""


def check(holds: object, message: str) -> None:
    """Raises AssertionError with the message if it does not hold."""
    if not holds:
        raise AssertionError(message)


def kill(bench: Bench, folder: Path) -> str:
    """SIGKILL at random moments, one after another."""
    during_save = hit = 0
    for _ in range(bench.kills):
        hit += bench.killed(folder)
        during_save += bool(list(folder.glob(".*.tmp")))
        readable(folder)
    check(hit == bench.kills, f"only {hit} of {bench.kills} kills hit a running process")
    bench.finish(folder)
    check(not list(folder.glob(".*.tmp")), "temporary files of killed writers were left behind")
    return f"{hit} kills, {during_save} of them while a file was being written"


def terminate(bench: Bench, folder: Path) -> str:
    """SIGTERM."""
    training = bench.train(folder)
    training.first_step()
    os.kill(training.pid, signal.SIGTERM)
    check(training.wait() == 0, "the run did not save and end")
    check(training.last_words() == "signal SIGTERM", f"it ended by {training.last_words()!r}")
    bench.finish(folder)
    return "saved its state and ended"


def corrupt(bench: Bench, folder: Path) -> str:
    """A last state that cannot be read, in three ways."""
    damages = (lambda d: d[: len(d) // 2], lambda d: d[:0], flipped)
    for number, damage in enumerate(damages):
        # The last one in the folder whose end is compared; each from the start, far from the end.
        run = folder if damage is damages[-1] else folder.with_name(f"{folder.name}-{number}")
        state, before = run / "state.npz", run / "state.previous.npz"
        kept = False
        for kill in range(20):  # later and later, until two states lie there
            bench.killed(run, span=0.1 * (kill + 1))
            kept = before.exists() and not before.samefile(state)
            if kept:
                break
        check(kept, "no state before the last one was kept")
        state.write_bytes(damage(state.read_bytes()))
        resumed = bench.train(run, resume=True)
        check(resumed.first_step(), f"it did not go on: {resumed.last_words()}")
        os.kill(resumed.pid, signal.SIGKILL)
        resumed.wait()
        check("going on from the state before it" in resumed.log.read_text(), "it gave no warning")
        bench.finish(run)
    return "truncated, emptied, a byte flipped: went on from the state before it, with a warning"


def flipped(data: bytes) -> bytes:
    """One byte in the middle of the data inverted."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def clock(bench: Bench, folder: Path) -> str:
    """The clock of the day jumps at every step, forward and back."""
    real = time.time
    jumps = random.Random(1)

    def jumping() -> None:
        time.time = lambda: real() + jumps.uniform(-86400.0, 86400.0)

    training = bench.train(folder, before=jumping)
    training.first_step()
    time.sleep(0.3)
    os.kill(training.pid, signal.SIGKILL)
    training.wait()
    bench.finish(folder, before=jumping)
    return "a day forward or back at every look at it; killed and resumed in between"


def second(bench: Bench, folder: Path) -> str:
    """Two trainings on one folder."""
    first = bench.train(folder)
    first.first_step()
    other = bench.train(folder, resume=True)
    check(other.wait() == 1, "the second training was not refused")
    words = other.last_words()
    check("Another training is writing to" in words, f"it was refused by {words!r}")
    check(first.wait() == 0, f"the first one was disturbed: {first.last_words()}")
    return "the second is refused, the first undisturbed"


def full(bench: Bench, folder: Path) -> str:
    """No space left on the device, in the middle of the run."""
    mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder)
    filler = folder / "filler"

    def fill(step: int) -> None:
        if step == 60:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"\0" * 4096)
                except OSError:
                    pass

    training = bench.train(folder, at_step=fill)
    check(training.wait() == 1, "the run did not notice the full disk")
    check("No space left on device" in training.log.read_text(), "it did not say why it ended")
    readable(folder)
    again = bench.train(folder, resume=True)
    check(again.wait() == 1, "a full disk was not noticed on resuming")
    readable(folder)
    filler.unlink()
    bench.finish(folder)
    return "ended with exit code 1, “No space left on device”; went on once there was space"


def read_only(bench: Bench, folder: Path) -> str:
    """The folder's file system has become read-only."""
    mount("-t", "tmpfs", "tmpfs", folder)
    bench.killed(folder)
    mount("-o", "remount,ro", folder)
    training = bench.train(folder, resume=True)
    check(training.wait() == 1, "the run did not notice")
    words = training.last_words()
    check("Read-only file system" in words, f"it ended by {words!r}")
    mount("-o", "remount,rw", folder)
    readable(folder)
    bench.finish(folder)
    return "refused with exit code 1, “Read-only file system”; went on once it was writable"


def mount(*arguments: object) -> None:
    """Mounts in the tool's own namespace; raises NotRunError where that is forbidden."""
    if os.environ.get(IN_NAMESPACE) != "1":
        raise NotRunError("no mount namespace")
    Path(str(arguments[-1])).mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotRunError(f"mount: {done.stderr.strip()}")


FAULTS: dict[str, tuple[str, Callable[[Bench, Path], str]]] = {
    "kill": ("`kill -9` at random moments", kill),
    "stages": ("`kill -9` while a model is fitted in stages", kill),
    "terminate": ("SIGTERM", terminate),
    "corrupt": ("the last state damaged", corrupt),
    "full": ("full disk", full),
    "read-only": ("read-only folder", read_only),
    "clock": ("clock jumps", clock),
    "second": ("two trainings on one folder", second),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Lets the faults strike; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", action="append", choices=list(FAULTS), metavar="FAULT")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--write", action="store_true", help="the table of CONTRIBUTING.md")
    options = parser.parse_args(arguments)
    enter_namespace()

    from zoo import training  # noqa: F401  # imported once, for all children

    sources.load_arrays = rows
    with tempfile.TemporaryDirectory(prefix="torture") as name:
        lines, failed = [], 0
        expected: dict[str, str] = {}
        for fault in options.only or FAULTS:
            # Long enough for every kill to strike a running process.
            epochs = 10 + (3 * options.kills if fault == "kill" else 0)
            in_stages = fault == "stages"
            recipe = IN_STAGES if in_stages else variant(RECIPE, max_epochs=epochs)
            bench = Bench(recipe, Path(name), options.kills, random.Random(options.seed))
            run = "undisturbed-stages" if in_stages else f"undisturbed-{epochs}"
            if run not in expected:
                calm = bench.train(bench.root / run)
                check(calm.wait() == 0, f"the undisturbed run failed: {calm.last_words()}")
                expected[run] = digest(calm.folder)
            what, end, passed = strike(bench, fault, expected[run])
            lines.append(f"| {FAULTS[fault][0]} | {what} | {end} |")
            print(lines[-1], flush=True)
            failed += not passed
        if options.write:
            write(ROOT / "CONTRIBUTING.md", lines)
    return 1 if failed else 0


def strike(bench: Bench, fault: str, expected: str) -> tuple[str, str, bool]:
    """(what happened, how it ended, whether it passed) of one fault."""
    folder = bench.root / fault
    try:
        what = FAULTS[fault][1](bench, folder)
        same = digest(folder) == expected
    except NotRunError as reason:
        return f"not run here: {reason}", "", True
    except Exception as error:
        return f"{type(error).__name__}: {error}", "**failed**", False
    finally:
        if folder.is_mount():
            subprocess.run(["umount", str(folder)], check=True)
    return what, "yes" if same else "**no**", same


def enter_namespace() -> None:
    """Starts again in a mount namespace of its own, where the kernel gives one."""
    if IN_NAMESPACE in os.environ:
        return
    command = ["unshare", "--map-root-user", "--mount"]
    try:
        allowed = (
            subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:  # no unshare on this machine
        allowed = False
    os.environ[IN_NAMESPACE] = "1" if allowed else "0"
    if allowed:
        os.execvp(command[0], [*command, sys.executable, *sys.argv])


def merged(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The table's lines, those of `new` in the place of `old` ones, in the order of the faults."""
    found = {}
    for line in [*old, *new]:
        for title, _ in FAULTS.values():
            if line.startswith(f"| {title} |"):
                found[title] = line
    return [found[title] for title, _ in FAULTS.values() if title in found]


def write(path: Path, lines: Sequence[str]) -> None:
    """Replaces the lines between the markers; those of other faults stay."""
    before, found, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    middle, closed, after = rest.partition(END)
    if not (found and closed):
        raise SystemExit(f"{path} has no {BEGIN} … {END} to write the table between.")
    head = "| fault | what happened | ends as the undisturbed run |\n| --- | --- | --- |"
    table = "\n".join([head, *merged(middle.splitlines(), lines)])
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
