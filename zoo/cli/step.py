"""`zoo step`: training on a host that has JAX and no TensorFlow, and the run that comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.app import EXIT_CODES, RegistryName, app
from zoo.cli.train import (
    Assignments,
    Out,
    Resume,
    Start,
    print_result,
    recipe_of,
    weights_file,
)
from zoo.core import recipe as recipes
from zoo.errors import InvalidInputError
from zoo.media.console import import_tensorflow, waiting

step = typer.Typer(
    help="Train on a host that has JAX and no TensorFlow.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(step, name="step")


@step.command("export", epilog=EXIT_CODES)
def export_step(
    name: RegistryName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")],
    *,
    assignments: Assignments = None,
    resume: Resume = False,
    out: Out = None,
    start: Start = "",
    platforms: Annotated[
        str, typer.Option(help="What DIR is for, of cuda, rocm, tpu, cpu.")
    ] = "cuda,tpu,cpu",
    reference_steps: Annotated[
        int, typer.Option(min=0, help="Steps to run here, for run_step.py --check to compare.")
    ] = 20,
    part_size: Annotated[
        float, typer.Option(min=1e-6, help="Megabytes of a file of data in DIR.")
    ] = 15.0,
) -> None:
    """Write a run for tools/run_step.py: its step, state and data as files. Nothing is trained.

    Example: zoo step export realnvp_cifar step --platforms cuda
    """
    if resume and start:
        raise InvalidInputError("A resumed run goes on from its own weights: leave out --from.")
    run = out or Path("runs") / name
    recipe = recipes.override(recipe_of(name, run if resume else None), assignments or [])
    import_tensorflow()
    from zoo.training import portable

    with waiting(f"lowering the training step of {name}"):
        written = portable.export_step(
            recipe,
            folder,
            name=name,
            run_folder=run,
            resume=resume,
            initial_weights=weights_file(start),
            platforms=[platform.strip() for platform in platforms.split(",")],
            reference_steps=reference_steps,
            data_part_bytes=round(part_size * 1e6),
        )
    print(written)


@step.command("import", epilog=EXIT_CODES)
def import_step(
    name: RegistryName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What tools/run_step.py wrote (its --out).")
    ],
    *,
    out: Out = None,
) -> None:
    """Take back a run that tools/run_step.py trained: a run as any other, with its own recipe.

    Example: zoo step import realnvp_cifar run
    """
    import_tensorflow()
    from zoo.training import portable

    run = out or Path("runs") / name
    print_result(portable.import_step(folder, run, name=name))
    if not (run / "state.npz").exists():
        print("the run's state was left behind: it cannot be resumed")
