"""The command line: `zoo COMMAND`, the verbs of the Python interface.

Results go to stdout, progress and errors to stderr. `list`, `info` and every `--help` import no
TensorFlow; each command imports what it needs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

import zoo
from zoo import loading, registry
from zoo.console import columns, figure, import_tensorflow, interactive, progress_bar, waiting
from zoo.errors import CheckpointError, InvalidInputError, TrainingError, ZooError

if TYPE_CHECKING:
    import numpy as np

    from zoo.models.base import DensityModel

__all__ = ["app", "main"]

FAILED = 1
BAD_INPUT = 2
SIGNALLED = 128  # plus the signal's number, as shells have it

SHOWN_ROWS = 20  # of scores, without --all
LOG_SECONDS = 60.0  # between lines of training progress where there is no terminal

EXIT_CODES = """
Exit codes: 0 done; 1 a check failed, a checkpoint is missing or damaged, or a training was stopped
by an error; 2 bad usage or bad input; 128 + N a training was ended by signal N, its state saved.
"""


class _Group(typer.core.TyperGroup):
    """Turns the zoo's own errors, and those of files, into a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except ZooError as error:
            if ctx.params.get("debug"):
                raise
            _complain(str(error))
            failed = isinstance(error, CheckpointError | TrainingError)
            raise typer.Exit(FAILED if failed else BAD_INPUT) from error
        except BrokenPipeError:
            raise  # the reader has gone: the framework ends quietly
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            _complain(str(error))
            raise typer.Exit(FAILED) from error


app = typer.Typer(
    name="zoo",
    cls=_Group,
    help="Normalizing flows with weights: list them, score, sample, train, evaluate, export.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(help="One of `zoo list`, or the path of a checkpoint folder.")]
RegistryName = Annotated[str, typer.Argument(help="One of `zoo list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Context = Annotated[
    int | None, typer.Option(help="Class label for every row, for class-conditional models.")
]


def main() -> None:
    """The console script."""
    app(prog_name="zoo")


def _version(value: bool) -> None:  # noqa: FBT001  # called by typer
    if value:
        print(zoo.__version__)
        raise typer.Exit


@app.callback()
def _common(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del debug, version


# --- what there is


@app.command("list", epilog=EXIT_CODES)
def list_command(
    pattern: Annotated[str, typer.Argument(help="A shell pattern such as '*_mnist'.")] = "*",
    *,
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    pretrained: Annotated[
        bool | None, typer.Option(help="Only models with, or without, published weights.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models: name, family, dataset, parameters, weights and headline figure."""
    names = zoo.list_models(pattern, family=family, dataset=dataset, pretrained=pretrained)
    if as_json:
        _print_json([_list_row(name) for name in names])
        return
    if not names:
        _complain("no model passes these filters; `zoo list` shows all")
        return
    lines = [("name", "family", "dataset", "parameters", "weights", "test metric")]
    for name in names:
        row = _list_row(name)
        count = "" if row["num_parameters"] is None else f"{row['num_parameters']:,}"
        weights = f"v{row['version']}" if row["pretrained"] else "-"
        lines.append((name, row["family"], row["dataset"], count, weights, row["headline"]))
    print(columns(lines, right={3}))


def _list_row(name: str) -> dict[str, Any]:
    """The facts of a model for a list; a damaged checkpoint is one of them, not an error."""
    entry = registry.get(name)
    row: dict[str, Any] = {
        "name": name,
        "family": entry.family,
        "dataset": f"{entry.recipe.dataset.name}:{entry.recipe.dataset.version}",
        "event_shape": list(entry.recipe.config.get("event_shape", ())),
        "num_parameters": None,
        "pretrained": name in registry.pins(),
        "version": 0,
        "metrics": {},
        "headline": "",
    }
    try:
        known = loading.info(name)
    except CheckpointError as error:
        return {**row, "headline": f"checkpoint refused: {type(error).__name__}"}
    metrics = known.metrics.get("metrics", {})
    return {
        **row,
        "num_parameters": known.num_parameters,
        "version": known.version,
        "metrics": metrics,
        "headline": _headline(entry, metrics),
    }


def _headline(entry: registry.Entry, metrics: Mapping[str, Any]) -> str:
    """The entry's first metric that has been evaluated, as text; "" for none."""
    for metric in entry.metrics:
        if metric in metrics:
            return f"{figure(metrics[metric])} {metric}"
    return ""


@app.command(epilog=EXIT_CODES)
def info(
    name: RegistryName,
    *,
    card: Annotated[bool, typer.Option("--card", help="Print the model card too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a model: paper, dataset, sizes, figures, licence, limits."""
    known = loading.info(name)
    if as_json:
        _print_json(dataclasses.asdict(known))
        return
    print(known)
    print(f"\n{known.description}\nLimits: {known.limitations}")
    if card:
        print(f"\n{known.card or 'There is no card on this machine.'}")


# --- using a model


@app.command(epilog=EXIT_CODES)
def sample(
    name: Name,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Rows to draw.")] = 64,
    seed: Annotated[int | None, typer.Option(help="Makes the draw reproducible.")] = None,
    temperature: Annotated[float, typer.Option(help="Scale of the latents.")] = 1.0,
    context: Context = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png, .npy, .npz or .csv file.")],
) -> None:
    """Draw rows from a model: a picture (.png, a grid) or numbers (.npy, .npz with key x, .csv).

    The rows are those of `model.sample(number, seed=seed, temperature=temperature)`.
    """
    writer = _WRITERS.get(out.suffix.lower())
    if writer is None:
        raise InvalidInputError(f"Expected a {', '.join(_WRITERS)} file; got {str(out)!r}.")
    model = _loaded(name)
    if out.suffix.lower() == ".png" and model.data_dtype != "uint8":
        raise InvalidInputError(
            f"{name} draws rows of {model.config.event_size} features, not images: write them to "
            ".npy, .npz or .csv."
        )
    with waiting(f"drawing {number} from {name}"):
        rows = model.sample(number, seed=seed, temperature=temperature, context=context).numpy()
    out.parent.mkdir(parents=True, exist_ok=True)
    writer(out, rows)
    print(out)


def _write_png(path: Path, rows: np.ndarray) -> None:
    from zoo import figures

    figures.save_png(path, figures.grid(rows))


def _write_npy(path: Path, rows: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.save(stream, rows, allow_pickle=False)


def _write_npz(path: Path, rows: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.savez_compressed(stream, x=rows)


def _write_csv(path: Path, rows: np.ndarray) -> None:
    """One line a row, its event flattened, under the header x0, x1 and so on."""
    import csv

    flat = rows.reshape([len(rows), -1])
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(f"x{index}" for index in range(flat.shape[1]))
        table.writerows(flat.tolist())


_WRITERS: dict[str, Callable[[Path, Any], None]] = {
    ".png": _write_png,
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
}


@app.command(epilog=EXIT_CODES)
def score(
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Rows as the dataset stores them: .npy, .npz or images.", metavar="FILE…"
        ),
    ],
    *,
    context: Context = None,
    seed: Annotated[
        int | None, typer.Option(help="Names the dequantisation noise; one fixed draw without.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows scored at a time.")] = 250,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show every row, not the first {SHOWN_ROWS} of a file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score rows: log-density in nats and bits per dimension, row by row, and their means.

    .npy holds rows [n, …], or one row; .npz the same under the key x (or its only key), with labels
    under context for class-conditional models; an image file is one row.
    """
    import numpy as np

    model = _loaded(name)
    scored = []
    for path in files:
        rows, labels = _read_rows(path, model.config.event_shape)
        if context is not None:
            if labels is not None:
                raise InvalidInputError(f"{path} holds labels of its own: leave out --context.")
            labels = np.full(rows.shape[:1], context)
        try:
            nats = _score(model, rows, labels, seed=seed, batch_size=batch_size, label=str(path))
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        scored.append(_scores(path, nats, model.config.event_size))
    if as_json:
        _print_json({"name": name, "files": scored})
        return
    for result in scored:
        _print_scores(result, shown=None if show_all else SHOWN_ROWS)


def _read_rows(path: Path, event_shape: Sequence[int]) -> tuple[Any, Any]:
    """The rows of a file, [n, …], and their labels or None."""
    import zipfile

    import numpy as np

    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz"):
        from zoo import figures

        return figures.read_image(path, event_shape), None
    labels = None
    try:
        with path.open("rb") as stream:
            content: Any = np.load(stream, allow_pickle=False)
            if isinstance(content, np.lib.npyio.NpzFile):
                keys = content.files
                key = "x" if "x" in keys else keys[0] if len(keys) == 1 else ""
                if not key:
                    raise InvalidInputError(
                        f"{path} needs its rows under the key x; it has {', '.join(keys)}."
                    )
                labels = content["context"] if "context" in keys else None
                content = content[key]
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path} cannot be read as {suffix} ({error}).") from error
    if content.shape == tuple(event_shape):
        content = content[np.newaxis]
    return content, labels


def _score(
    model: Any, rows: Any, labels: Any, *, seed: int | None, batch_size: int, label: str
) -> np.ndarray:
    """log p of every row, [n] nats, a batch at a time."""
    import numpy as np

    starts = range(0, max(len(rows), 1) if rows.ndim else 1, batch_size)
    if len(starts) == 1:
        return np.asarray(model.log_prob(rows, labels, seed=seed))
    nats = []
    with progress_bar() as progress:
        task = progress.add_task(label, total=len(rows))
        for start in starts:
            chosen = slice(start, start + batch_size)
            some = None if labels is None else labels[chosen]
            nats.append(np.asarray(model.log_prob(rows[chosen], some, seed=seed)))
            progress.update(task, advance=len(nats[-1]))
    return np.concatenate(nats)


def _scores(path: Path, nats: np.ndarray, event_size: int) -> dict[str, Any]:
    import numpy as np

    from zoo.ops.units import bits_per_dim_from_nats

    nats = nats.astype(np.float64)
    bits = bits_per_dim_from_nats(nats, event_size)
    return {
        "file": str(path),
        "count": len(nats),
        "mean_log_prob": float(nats.mean()),
        "mean_bits_per_dim": float(bits.mean()),
        "log_prob": [float(value) for value in nats],
        "bits_per_dim": [float(value) for value in bits],
    }


def _print_scores(result: Mapping[str, Any], *, shown: int | None) -> None:
    count = result["count"]
    lines = [("row", "nats", "bits/dim")]
    pairs = list(zip(result["log_prob"], result["bits_per_dim"], strict=True))[:shown]
    lines += [(str(i), f"{nats:.3f}", f"{bits:.4f}") for i, (nats, bits) in enumerate(pairs)]
    lines.append(("mean", f"{result['mean_log_prob']:.3f}", f"{result['mean_bits_per_dim']:.4f}"))
    print(result["file"])
    print(columns(lines, right={0, 1, 2}, indent="  "))
    if shown is not None and count > shown:
        print(f"  the mean is of all {count:,} rows; --all shows them")


# --- making a model


@app.command(epilog=EXIT_CODES)
def train(
    name: RegistryName,
    *,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change the recipe; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME without.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Save the state and stop after this time.")
    ] = None,
) -> None:
    """Train a model by its recipe, or go on with a run that was stopped.

    The folder holds the best weights so far at every moment: `zoo score FOLDER …` works on it.
    SIGINT (Ctrl-C) and SIGTERM save the state and end the run.

    Example: zoo train nice_mnist --set optimizer.learning_rate=3e-4 --set max_epochs=5
    """
    from zoo import recipes

    recipe = recipes.override(registry.get(name).recipe, assignments or [])
    folder = out or Path("runs") / name
    import_tensorflow()
    from zoo import training

    with _training_display(name) as progress:
        result = training.train(
            recipe,
            folder,
            name=name,
            resume=resume,
            max_seconds=math.inf if max_seconds is None else max_seconds,
            progress=progress,
        )
    print(
        f"{result.reason} after step {result.step:,} (epoch {result.epoch}), "
        f"{result.seconds / 3600:.2f} hours"
    )
    if result.best_step:
        print(
            f"best validation {-result.best_validation_nats:.3f} nats at step {result.best_step:,}"
        )
    print(f"weights, history and state in {result.folder}")
    if result.reason.startswith("signal "):
        import signal

        raise typer.Exit(SIGNALLED + signal.Signals[result.reason.removeprefix("signal ")])


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
    name: RegistryName,
    *,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A folder of a run, or a .weights.h5, in place of the published weights."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the first rows; 0 for all.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at a time.")] = 200,
    seed: Annotated[int, typer.Option(help="Names the dequantisation noise.")] = 0,
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
            out=out or "",
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        _print_json(result)
        return
    print(f"{result['name']} on {result['dataset']}, {result['split']}, {result['count']:,} rows")
    print(f"  {result['protocol']}")
    lines = [
        (metric, figure(value), value.get("space", ""))
        for metric, value in result["metrics"].items()
    ]
    print(columns(lines, right={1}, indent="  "))
    paper = result.get("paper") or {}
    if paper.get("value") is not None:
        print(f"  paper: {paper['value']:g} {paper['metric']} ({paper['source']})")
    if out is not None:
        print(f"written to {out}")


@app.command(epilog=EXIT_CODES)
def export(
    name: Annotated[
        str | None, typer.Argument(help="One of `zoo list`, or the path of a checkpoint folder.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every model with weights.")] = False,
    path: Annotated[Path, typer.Option(help="Base folder: PATH/NAME/VERSION is written.")] = Path(
        "export"
    ),
    version: Annotated[
        int | None, typer.Option(min=1, help="Version folder; that of the weights without.")
    ] = None,
) -> None:
    """Write SavedModels in the layout that TensorFlow Serving reads."""
    if every == (name is not None):
        raise InvalidInputError("Give the name of one model, or --all.")
    names = loading.list_models(pretrained=True) if name is None else [name]
    import_tensorflow()
    from zoo import exporting

    for one in names:
        number = version or registry.pins().get(one, {}).get("version", 1)
        with waiting(f"exporting {one}"):
            written = exporting.export(one, str(path), version=number)
        print(written)


# --- checking


@app.command(epilog=EXIT_CODES)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; all with published weights without.")
    ] = None,
    *,
    load: Annotated[bool, typer.Option(help="Also build each model and load its weights.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check published checkpoints: every file against its pinned SHA-256, and that they load."""
    chosen = names or loading.list_models(pretrained=True)
    if load and chosen:
        import_tensorflow()
    results = []
    for name in chosen:
        registry.get(name)
        with waiting(f"verifying {name}"):
            results.append(_verify(name, load=load))
    if as_json:
        _print_json(results)
    elif not results:
        print("no model has published weights: nothing to verify")
    else:
        lines = [("name", "files", "bytes", "result")]
        lines += [
            (r["name"], str(r["files"]), f"{r['bytes']:,}", "ok" if r["ok"] else r["error"])
            for r in results
        ]
        print(columns(lines, right={1, 2}))
    if not all(result["ok"] for result in results):
        raise typer.Exit(FAILED)


def _verify(name: str, *, load: bool) -> dict[str, Any]:
    files = registry.pins().get(name, {}).get("files", {})
    result = {
        "name": name,
        "files": len(files),
        "bytes": sum(pin["size"] for pin in files.values()),
        "folder": "",
        "loaded": False,
        "ok": False,
        "error": "",
    }
    try:
        result["folder"] = str(loading.resolve(name))
        if load:
            loading.load(name)
            result["loaded"] = True
    except ZooError as error:
        return {**result, "error": str(error)}
    return {**result, "ok": True}


@app.command(epilog=EXIT_CODES)
def doctor(*, as_json: AsJson = False) -> None:
    """Check this machine: versions against the pins, folders, datasets, XLA, cores."""
    from zoo import diagnosis

    import_tensorflow()
    with waiting("checking versions, folders and XLA"):
        checks = diagnosis.run()
    if as_json:
        _print_json([dataclasses.asdict(check) for check in checks])
    else:
        print(columns([(check.status, check.name, check.found) for check in checks]))
        for check in checks:
            if check.advice:
                print(f"{check.name}: {check.advice}")
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(FAILED)


def _loaded(name: str) -> DensityModel:
    import_tensorflow()
    with waiting(f"loading {name}"):
        return loading.load(name)


# --- output


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _complain(message: str) -> None:
    print(f"zoo: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
