"""`zoo train`: making a model."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import loading, registry
from zoo.cli.app import (
    EXIT_CODES,
    SIGNALLED,
    RegistryName,
    app,
)
from zoo.core import recipe as recipes
from zoo.core import recipe_json
from zoo.errors import InvalidInputError
from zoo.media.console import (
    import_tensorflow,
    interactive,
    progress_bar,
)
from zoo.store import locate
from zoo.store.files import read_object
from zoo.store.folder import RECIPE_FILE, RUN_FILE
from zoo.store.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    from zoo.training import TrainingResult

LOG_SECONDS = 60.0  # between lines of training progress where there is no terminal

Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change the recipe; may be repeated."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where a run stopped, by its own recipe.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME without.")]
Start = Annotated[
    str,
    typer.Option(
        "--from", help="Start from these weights: a name of `zoo list`, a folder or a .weights.h5."
    ),
]


@app.command(epilog=EXIT_CODES)
def train(
    name: RegistryName,
    *,
    assignments: Assignments = None,
    resume: Resume = False,
    out: Out = None,
    start: Start = "",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Train into a folder that holds something else already."),
    ] = False,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Save the state and stop after this time.")
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(help="Where to train: auto, one, mirrored, multiworker or tpu."),
    ] = "auto",
    replicas: Annotated[
        int,
        typer.Option(
            min=0,
            help="With mirrored: GPUs of this machine, 0 for all; without GPUs, parts of its CPU.",
        ),
    ] = 0,
    tpu: Annotated[
        str, typer.Option(help="With tpu: its name or address, local on a TPU VM; else $TPU_NAME.")
    ] = "",
    tpu_zone: Annotated[str, typer.Option(help="With tpu: its zone.")] = "",
    worker_timeout: Annotated[
        float | None,
        typer.Option(help="With multiworker: seconds to wait for the others in a step; else 300."),
    ] = None,
) -> None:
    """Train a model by its recipe, or go on with a run that was stopped.

    The folder holds the best weights so far at every moment: `zoo score FOLDER …` works on it.
    SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) save the state and end the run.

    Example: zoo train nice_mnist --set optimizer.learning_rate=3e-4 --set max_epochs=5
    """
    if resume and start:
        raise InvalidInputError("A resumed run goes on from its own weights: leave out --from.")
    if resume and overwrite:
        raise InvalidInputError("A resumed run goes on in its own folder: leave out --overwrite.")
    folder = out or Path("runs") / name
    recipe = recipes.override(recipe_of(name, folder if resume else None), assignments or [])
    import_tensorflow()
    from zoo import training
    from zoo.training import devices as distribution

    alone = strategy == "auto" and not recipe.training.shares_batches
    devices = distribution.create(
        "one" if alone else strategy,
        replicas=replicas,
        tpu=tpu,
        zone=tpu_zone,
        worker_timeout=distribution.WORKER_TIMEOUT if worker_timeout is None else worker_timeout,
    )
    with training_display(name) as progress:
        result = training.train(
            recipe,
            folder,
            name=name,
            resume=resume,
            initial_weights=weights_file(start),
            max_seconds=math.inf if max_seconds is None else max_seconds,
            progress=progress,
            overwrite=overwrite,
            **({} if devices is None else {"strategy": devices}),
        )
    print_result(result)
    if result.reason.startswith("signal "):
        import signal

        raise typer.Exit(SIGNALLED + signal.Signals[result.reason.removeprefix("signal ")])


def recipe_of(name: str, resumed: Path | None) -> recipes.Recipe:
    """The recipe of the name; of a run of it that has ended and is resumed, the run's own."""
    recipe = registry.get(name).recipe
    record = resumed and resumed / RUN_FILE
    if not record or not record.exists():
        return recipe  # which a state of another one refuses
    if read_object(record).get("name") != name:
        return recipe
    return recipe_json.from_dict(read_object(record.with_name(RECIPE_FILE)))


def print_result(result: TrainingResult) -> None:
    """Says how a run ended."""
    epoch = f" (epoch {result.epoch})" if result.unit == "step" else ""
    took = (
        f"{result.seconds / 3600:.2f} hours" if result.seconds > 180 else f"{result.seconds:.0f} s"
    )
    print(f"{result.reason} after {result.unit} {result.step:,}{epoch}, {took}")
    if result.best_step:
        best = f"{-result.best_validation_nats:.3f} nats at {result.unit} {result.best_step:,}"
        print(f"best validation {best}")
    print(f"weights, history and state in {result.folder}")


def weights_file(start: str) -> Path | str:
    """The `.weights.h5` of a registered name, a checkpoint folder or a path; "" for none."""
    if not start:
        return start
    if start.endswith(".weights.h5"):
        return locate.given_file(Path(start).expanduser())
    if not loading.is_folder(start):
        return loading.resolve(start) / WEIGHTS_FILE
    folder = Path(start).expanduser()
    if not folder.is_dir():
        raise InvalidInputError(f"--from: no folder {folder}.")
    return locate.given(folder) / WEIGHTS_FILE


@contextlib.contextmanager
def training_display(name: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """What `training.train` calls after each step: a bar on a terminal, else a line a minute."""
    if not interactive():
        logged_at = -LOG_SECONDS

        def log(step: int, total: int, values: dict[str, float]) -> None:
            nonlocal logged_at
            if time.monotonic() - logged_at >= LOG_SECONDS:
                logged_at = time.monotonic()
                print(
                    f"{name}: step {step:,} of {total:,}, {_training_text(values)}", file=sys.stderr
                )

        yield log
        return
    with progress_bar("{task.fields[values]}") as progress:
        task = progress.add_task(name, total=None, values="")

        def show(step: int, total: int, values: dict[str, float]) -> None:
            progress.update(task, completed=step, total=total, values=_training_text(values))

        yield show


def _training_text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value:.6g}" for key, value in values.items())
