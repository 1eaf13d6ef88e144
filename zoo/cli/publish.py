"""`zoo export`, `zoo publish`, `zoo verify`, `zoo doctor`: handing models on, and checking them."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo import loading
from zoo.cli.app import (
    EXIT_CODES,
    FAILED,
    AsJson,
    Name,
    app,
    complain,
    print_json,
)
from zoo.errors import InvalidInputError, NotPortableError
from zoo.media.console import columns, figure, import_tensorflow, waiting
from zoo.store import pins


@app.command(epilog=EXIT_CODES)
def export(
    name: Annotated[
        str | None, typer.Argument(help="One of `zoo list`, or the path of a checkpoint folder.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every model with weights.")] = False,
    path: Annotated[
        Path, typer.Option(help="Base folder: PATH/NAME/VERSION, or PATH/FORMAT/NAME/VERSION.")
    ] = Path("export"),
    version: Annotated[
        int | None, typer.Option(min=1, help="Version folder; that of the weights without.")
    ] = None,
    format: Annotated[
        Literal["savedmodel", "tflite", "onnx", "safetensors", "stablehlo"],
        typer.Option(help="Others need the extra of that name; stablehlo needs portable."),
    ] = "savedmodel",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a version that exists.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Of stablehlo, whose shapes are fixed: the rows of a call.")
    ] = 64,
) -> None:
    """Write SavedModels in the layout that TensorFlow Serving reads, with its configuration.

    Or LiteRT's and ONNX's files, each run in its own runtime and compared before it is written; or
    the weights by name as safetensors, with a reader for PyTorch; or StableHLO, which JAX runs.
    With --all, models that cannot leave TensorFlow are passed over.
    """
    if every == (name is not None):
        raise InvalidInputError("Give the name of one model, or --all.")
    names = loading.list_models(pretrained=True) if name is None else [name]
    import_tensorflow()
    from zoo import exporting

    folder = path if format == "savedmodel" else path / format
    any_written = False
    try:
        for one in names:
            number = version or pins.pins().get(one, {}).get("version", 1)
            if every and not overwrite and (folder / one / str(number)).exists():
                print(f"{folder / one / str(number)} exists; --overwrite replaces it")
                continue
            try:
                with waiting(f"exporting {one}"):
                    written = exporting.export(
                        one,
                        str(path),
                        version=number,
                        format=format,
                        overwrite=overwrite,
                        batch_size=batch_size,
                    )
            except NotPortableError as error:
                if not every:
                    raise
                complain(str(error))
                continue
            any_written = True
            print(written)
    finally:
        if format == "savedmodel" and any_written:
            exporting.write_deployment(path)  # the server's configuration is of what lies there


@app.command(epilog=EXIT_CODES)
def publish(
    name: Name,
    *,
    invocation: typer.Context,
    to: Annotated[
        str, typer.Option(help="A folder, hf://user/repository[/folder] or gs://bucket/path.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another checkpoint that lies there.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Make a private repository, where there is none.")
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In a source checkout: first make this run the published weights of NAME.",
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="With --run: of the weights; above the pinned one.")
    ] = None,
    storage: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="Of a run: the precision in which its weights are stored and judged."),
    ] = "float16",
    licence: Annotated[
        str, typer.Option(help="Of a run of your own: the licence of its weights, for the card.")
    ] = "unknown",
    as_is: Annotated[
        bool,
        typer.Option("--as-is", help="Of a run: copy its files alone, without figures or card."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a checkpoint with its card, manifest and hashes to where others load it from.

    A training run, a folder without a card, becomes a release on the way: its weights are
    stored, evaluated on the test split of its dataset, and get golden outputs, samples, a card and
    hashes, all of it or nothing. The run's own folder stays as it is.

    Prints the zoo.load call that loads it, with the hash that pins it.

    Examples: zoo publish nice_mnist --to shared/nice_mnist

    zoo publish runs/mine --to hf://me/mine --licence cc-by-4.0

    zoo publish nice_mnist --run runs/nice_mnist --version 2
    """
    from zoo.publishing import copies

    of_run = copies.is_run(name)
    fresh = run is not None or (of_run and not as_is)
    _refuse_unused(invocation, fresh=fresh, named=run is not None, of_run=of_run, to=to)
    if to:
        copies.parsed_address(to, private=private)  # before the work, not after it
    if fresh or of_run or to.startswith("gs://"):
        import_tensorflow()
    with waiting(f"publishing {name}"), tempfile.TemporaryDirectory() as work:
        source: str | Path = name
        facts: dict[str, Any] = {}
        if fresh:
            from zoo.publishing import release

            if run is not None:
                made = release.release_name(name, run, version=version, storage_dtype=storage)
                facts = {"folder": str(made.folder), "version": made.version}
            else:
                folder = Path(name).expanduser().resolve()
                source = Path(work, folder.name)
                made = release.release_run(folder, source, storage_dtype=storage, licence=licence)
            facts["metrics"] = made.metrics["metrics"]
        published = copies.publish(source, to, overwrite=overwrite, private=private) if to else None
    if as_json:
        print_json({**facts, **(dataclasses.asdict(published) if published else {})})
        return
    for metric, value in facts.get("metrics", {}).items():
        print(f"{metric}  {figure(value)}")
    if run is not None:
        print(f"{facts['folder']}, version {facts['version']}, is pinned; `make cards` lists it")
    if published:
        print(published)


def _refuse_unused(
    invocation: typer.Context, *, fresh: bool, named: bool, of_run: bool, to: str
) -> None:
    """Raises InvalidInputError for options that say nothing about what is published."""
    given = {
        option
        for option in invocation.params
        if (source := invocation.get_parameter_source(option)) and source.name == "COMMANDLINE"
    }
    if not (to or named):
        raise InvalidInputError("Say where to publish it: --to ADDRESS.")
    copies_only = {"overwrite": "--overwrite", "private": "--private"}
    allowed = {
        "version": ("--version goes with --run", named),
        "storage": ("--storage is of a training run", fresh),
        "licence": ("--licence is of a run of your own", fresh and not named),
        "as_is": ("--as-is is of a training run", of_run and not named),
        **{key: (f"{option} goes with --to", bool(to)) for key, option in copies_only.items()},
    }
    for option, (message, applies) in allowed.items():
        if option in given and not applies:
            raise InvalidInputError(f"{message}: leave it out.")


@app.command(epilog=EXIT_CODES)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; all with published weights without.")
    ] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every model with weights, and every check.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Also recompute the figures, and export and score again."),
    ] = False,
    load: Annotated[
        bool, typer.Option(help="Also load the weights and compare golden outputs.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check published checkpoints: pinned files, loading, golden outputs, figures, export.

    Without --all or --full: the files, that they load, and their golden outputs.
    """
    from zoo.publishing import verify

    if every and names:
        raise InvalidInputError("Give names, or --all.")
    if not load and (every or full):
        raise InvalidInputError("--no-load checks files alone: leave out --all and --full.")
    chosen = names or loading.list_models(pretrained=True)
    checks: tuple[str, ...] = verify.CHECKS if every or full else verify.QUICK
    if not load:
        checks = checks[:1]
    if load and chosen:
        import_tensorflow()
    results = []
    for name in chosen:
        with waiting(f"verifying {name}"):
            results.append(verify.verify(name, checks))
    if as_json:
        print_json([{**dataclasses.asdict(result), "ok": result.ok} for result in results])
    elif not results:
        print("no model has published weights: nothing to verify")
    else:
        lines = [("name", "bytes", *checks)]
        for result in results:
            found = {check.name: check.status for check in result.checks}
            cells = [found.get(name, "-") for name in checks]
            lines.append((result.name, f"{result.bytes:,}", *cells))
        print(columns(lines, right={1}))
        for result in results:
            for check in result.checks:
                if check.status != "ok":
                    print(f"{result.name}, {check.name} {check.status}: {check.detail}")
    if not all(result.ok for result in results):
        raise typer.Exit(FAILED)


@app.command(epilog=EXIT_CODES)
def doctor(*, as_json: AsJson = False) -> None:
    """Check this machine: versions against the pins, folders, datasets, XLA, cores."""
    from zoo.cli import doctor

    with contextlib.suppress(Exception):  # a check of its own says why it cannot be imported
        import_tensorflow()
    with waiting("checking versions, folders and XLA"):
        checks = doctor.run()
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    else:
        print(columns([(check.status, check.name, check.found) for check in checks]))
        for check in checks:
            if check.advice:
                print(f"{check.name}: {check.advice}")
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(FAILED)
