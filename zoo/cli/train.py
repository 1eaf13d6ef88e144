"""`zoo train` and `zoo evaluate`: making a model, and its figures."""

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
    AsJson,
    Name,
    RegistryName,
    app,
    print_json,
)
from zoo.core import recipe as recipes
from zoo.errors import InvalidInputError
from zoo.media.console import (
    columns,
    error_text,
    figure,
    import_tensorflow,
    interactive,
    progress_bar,
    waiting,
)
from zoo.store.files import read_json
from zoo.store.folder import RECIPE_FILE
from zoo.store.hashes import verify_sha256sums
from zoo.store.weights import WEIGHTS_FILE

if TYPE_CHECKING:
    from zoo.training import TrainingResult

LOG_SECONDS = 60.0  # between lines of training progress where there is no terminal

# Options of `zoo train`: what a fresh run starts with, where and how long it trains, what goes out.
_FRESH = ("assignments", "resume", "start")
_HERE = ("max_seconds", "strategy", "replicas", "tpu", "tpu_zone", "worker_timeout")
_LOWERED = ("platforms", "reference_steps", "part_size")
_SPELT = {"assignments": "--set", "start": "--from"}


@app.command(epilog=EXIT_CODES)
def train(
    name: RegistryName,
    *,
    invocation: typer.Context,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the recipe; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run stopped, by its own recipe.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME without.")] = None,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Start from these weights: a name of `zoo list`, a folder or a .weights.h5.",
        ),
    ] = "",
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
    export_step: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the run for tools/run_step.py, which needs JAX alone, and train nothing.",
        ),
    ] = None,
    platforms: Annotated[
        str, typer.Option(help="With --export-step: what DIR is for, of cuda, rocm, tpu, cpu.")
    ] = "cuda,tpu,cpu",
    reference_steps: Annotated[
        int,
        typer.Option(
            min=0,
            help="With --export-step: steps to run here, for run_step.py --check to compare.",
        ),
    ] = 20,
    part_size: Annotated[
        float,
        typer.Option(min=1e-6, help="With --export-step: megabytes of a file of data in DIR."),
    ] = 15.0,
    import_step: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take back the run that tools/run_step.py left in DIR (its --out)."
        ),
    ] = None,
) -> None:
    """Train a model by its recipe, or go on with a run that was stopped.

    The folder holds the best weights so far at every moment: `zoo score FOLDER …` works on it.
    SIGINT (Ctrl-C) and SIGTERM save the state and end the run.

    Example: zoo train nice_mnist --set optimizer.learning_rate=3e-4 --set max_epochs=5
    """
    _refuse_unused(invocation)
    folder = out or Path("runs") / name
    recipe = recipes.override(_recipe(name, folder if resume else None), assignments or [])
    import_tensorflow()
    if import_step is not None:
        from zoo.training import portable

        _print_result(portable.import_step(import_step, folder, name=name))
        if not (folder / "state.npz").exists():
            print("the run's state was left behind: it cannot be resumed")
        return
    if export_step is not None:
        from zoo.training import portable

        with waiting(f"lowering the training step of {name}"):
            written = portable.export_step(
                recipe,
                export_step,
                name=name,
                run_folder=folder,
                resume=resume,
                initial_weights=_weights_file(start),
                platforms=[platform.strip() for platform in platforms.split(",")],
                reference_steps=reference_steps,
                data_part_bytes=round(part_size * 1e6),
            )
        print(written)
        return
    from zoo import training
    from zoo.training import devices as distribution

    devices = distribution.create(
        strategy,
        replicas=replicas,
        tpu=tpu,
        zone=tpu_zone,
        worker_timeout=distribution.WORKER_TIMEOUT if worker_timeout is None else worker_timeout,
    )
    with _training_display(name) as progress:
        result = training.train(
            recipe,
            folder,
            name=name,
            resume=resume,
            initial_weights=_weights_file(start),
            max_seconds=math.inf if max_seconds is None else max_seconds,
            progress=progress,
            **({} if devices is None else {"strategy": devices}),
        )
    _print_result(result)
    if result.reason.startswith("signal "):
        import signal

        raise typer.Exit(SIGNALLED + signal.Signals[result.reason.removeprefix("signal ")])


def _refuse_unused(invocation: typer.Context) -> None:
    """Raises InvalidInputError for options that the others given leave nothing to do."""
    given = {
        name
        for name in invocation.params
        if (source := invocation.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    if {"export_step", "import_step"} <= given:
        raise InvalidInputError("Give --export-step or --import-step, not both.")
    if "import_step" in given:
        why, unused = "A run that comes back has its recipe with it", {*_FRESH, *_HERE, *_LOWERED}
    elif "export_step" in given:
        why, unused = "A step that goes out is trained elsewhere", {*_HERE}
    else:
        why, unused = "No step goes out without --export-step", {*_LOWERED}
    if found := [name for name in (*_FRESH, *_HERE, *_LOWERED) if name in given & unused]:
        options = ", ".join(_SPELT.get(name, f"--{name.replace('_', '-')}") for name in found)
        raise InvalidInputError(f"{why}: leave out {options}.")
    if {"resume", "start"} <= given:
        raise InvalidInputError("A resumed run goes on from its own weights: leave out --from.")


def _recipe(name: str, resumed: Path | None) -> recipes.Recipe:
    """The recipe of the name; of a run of it that has ended and is resumed, the run's own."""
    recipe = registry.get(name).recipe
    record = resumed and resumed / "run.json"
    if not record or not record.exists():
        return recipe  # which a state of another one refuses
    if read_json(record).get("name") != name:
        return recipe
    return recipes.from_dict(read_json(record.with_name(RECIPE_FILE)))


def _print_result(result: TrainingResult) -> None:
    print(
        f"{result.reason} after step {result.step:,} (epoch {result.epoch}), "
        f"{result.seconds / 3600:.2f} hours"
    )
    if result.best_step:
        print(
            f"best validation {-result.best_validation_nats:.3f} nats at step {result.best_step:,}"
        )
    print(f"weights, history and state in {result.folder}")


def _weights_file(start: str) -> Path | str:
    """The `.weights.h5` of a registered name, a checkpoint folder or a path; "" for none."""
    if not start or start.endswith(".weights.h5"):
        return start
    if not loading.is_folder(start):
        return loading.resolve(start) / WEIGHTS_FILE
    folder = Path(start).expanduser()
    if not folder.is_dir():
        raise InvalidInputError(f"--from: no folder {folder}.")
    verify_sha256sums(folder)
    return folder / WEIGHTS_FILE


@contextlib.contextmanager
def _training_display(name: str) -> Iterator[Callable[[int, int, dict[str, float]], None]]:
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


@app.command(epilog=EXIT_CODES)
def evaluate(
    name: Name,
    *,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A folder of a run, or a .weights.h5, in place of the published weights."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the first rows; 0 for all.")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Rows at a time; 0: by their size.")] = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Names the dequantisation noise.")
    ] = 0,
    certify: Annotated[
        bool,
        typer.Option("--certify", help="Also measure invertibility, log-dets and other data."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write this metrics.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute a model's figures by the protocol of its paper, with two standard errors."""
    import_tensorflow()
    from zoo import evaluation

    with waiting(f"loading {name}"):
        model = None if weights is None else loading.load(name, weights=weights)
    with progress_bar() as progress:
        task = progress.add_task(f"{name} on {split}", total=None)
        result = evaluation.evaluate(
            name,
            split=split,
            model=model,
            limit=limit,
            batch_size=batch_size,
            seed=seed,
            certify=certify,
            out=out or "",
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(result)
        return
    print(f"{result['name']} on {result['dataset']}, {result['split']}, {result['count']:,} rows")
    print(f"  {result['protocol']}")
    lines = [
        (metric, figure(value), value.get("space", ""))
        for metric, value in result["metrics"].items()
    ]
    print(columns(lines, right={1}, indent="  "))
    certificate = result.get("certificate", {})
    if certify and not certificate:
        print("  not certified: no bijector between data and latents")
    for dtype in ("float32", "bfloat16") if certificate else ():
        found = certificate[dtype]
        print(
            f"  {dtype} conditioners: max |x - g(f(x))| {error_text(found['invertibility'])}, "
            f"max |sum of both log-dets| {error_text(found['log_det'])}"
        )
    for other, bits in result.get("other_data", {}).items():
        print(f"  {other}: {bits:g} bits/dim")
    paper = result.get("paper") or {}
    if paper.get("value") is not None:
        print(f"  paper: {paper['value']:g} {paper['metric']} ({paper['source']})")
    if out is not None:
        print(f"written to {out}")
