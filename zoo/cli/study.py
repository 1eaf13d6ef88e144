"""`zoo study`: comparisons of models over seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from zoo import registry
from zoo.cli.app import EXIT_CODES, FAILED, SIGNALLED, app, complain
from zoo.cli.train import training_display
from zoo.core.study import Study
from zoo.errors import InvalidInputError
from zoo.media.console import columns, import_tensorflow, waiting
from zoo.store import locate
from zoo.store.files import read_optional, write_json_atomic
from zoo.studies import results, runs, tables

RESULTS_FILE = "results.json"


@app.command(epilog=EXIT_CODES)
def study(
    name: Annotated[str | None, typer.Argument(help="A study; --list names them.")] = None,
    *,
    list_all: Annotated[bool, typer.Option("--list", help="List the studies.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Print the tables of the runs so far; run nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs; runs/studies/NAME without.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs at a time, each a process of its own.")
    ] = 1,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm; may be repeated.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option("--seed", help="Only this seed; may be repeated.")
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.0, help="Of a run: save its state and stop it after this time."),
    ] = None,
) -> None:
    """Run a comparison: every arm from every seed, judged on test rows, each in a run's folder.

    The same command goes on where it was stopped, and repeats nothing that has ended. What was
    found is in OUT/results.json and, in a source checkout and once every run has ended, in
    benchmarks/studies/NAME.json, of which the tables of the cards and of docs/studies.md are made.

    Example: zoo study integer_flows_digits --processes 2
    """
    if list_all == (name is not None):
        raise InvalidInputError("Give the name of a study, or --list.")
    if name is None:
        rows = [("study", "arms", "seeds", "what")]
        rows += [
            (s.name, str(len(s.arms)), "published" if s.published else str(len(s.seeds)), s.title)
            for s in registry.STUDIES.values()
        ]
        print(columns(rows, right={1}))
        return
    chosen = registry.get_study(name)
    folder = out or Path("runs") / "studies" / name
    wanted = [
        (arm, seed)
        for arm, seed in ([] if chosen.published or table else results.pending(chosen, folder))
        if arm in _named(chosen, arms) and seed in _seeds(chosen, seeds)
    ]
    code = 0
    if len(wanted) == 1:
        code = _run_here(chosen, *wanted[0], folder, max_seconds)
    elif wanted:
        code = _run_apart(chosen, wanted, folder, processes, max_seconds)
    if code or (wanted and arms and seeds):  # a child of a study, whose parent collects
        raise typer.Exit(code)
    print(tables.markdown(chosen, _collected(chosen, folder, run=not table)))
    if not table and results.pending(chosen, folder) and not (arms or seeds or chosen.published):
        raise typer.Exit(FAILED)


def _named(chosen: Study, arms: list[str] | None) -> list[str]:
    return [chosen.arm(name).name for name in arms or [arm.name for arm in chosen.arms]]


def _seeds(chosen: Study, seeds: list[int] | None) -> list[int]:
    if unknown := [seed for seed in seeds or () if seed not in chosen.seeds]:
        known = ", ".join(map(str, chosen.seeds))
        raise InvalidInputError(
            f"The study {chosen.name} has no seed {unknown[0]}; it has {known}."
        )
    return seeds or list(chosen.seeds)


def _run_here(chosen: Study, arm: str, seed: int, folder: Path, max_seconds: float | None) -> int:
    """One run in this process; its exit code."""
    import_tensorflow()
    with training_display(f"{chosen.name}, {arm}, seed {seed}") as progress:
        record = runs.run(
            chosen,
            chosen.arm(arm),
            seed,
            folder,
            max_seconds=math.inf if max_seconds is None else max_seconds,
            progress=progress,
        )
    print(f"{arm}, seed {seed}: {record['status']} {record.get('error', '')}".rstrip())
    return _signalled(record["error"]) if record["status"] == "stopped" else 0


def _signalled(reason: str) -> int:
    """The exit code of a run that this reason stopped: of a signal or, after its time, 0."""
    import signal

    found, _, name = reason.partition("signal ")
    return SIGNALLED + signal.Signals[name] if not found and name else 0


def _run_apart(
    chosen: Study,
    wanted: list[tuple[str, int]],
    folder: Path,
    processes: int,
    max_seconds: float | None,
) -> int:
    """Every run in a process of its own; the exit code of the whole."""
    from zoo.studies.schedule import Child, in_processes

    def log(child: Child) -> Path:
        return folder / "logs" / runs.record_path(folder, chosen.arm(child[0]), child[1]).stem

    def command(child: Child) -> list[str]:
        arm, seed = child
        limit = [] if max_seconds is None else ["--max-seconds", str(max_seconds)]
        names = ["--arm", arm, "--seed", str(seed), "--out", str(folder)]
        return ["study", chosen.name, *names, *limit]

    def ended(child: Child, code: int) -> None:
        arm, seed = child
        record = runs.recorded(folder, chosen.arm(arm), seed)
        if record:
            print(f"{arm}, seed {seed}: {record['status']}", flush=True)
        else:
            complain(f"{arm}, seed {seed}, has not ended (exit code {code}): see {log(child)}")
        write_json_atomic(folder / RESULTS_FILE, results.collect(chosen, folder, floors=False))

    reason = in_processes(wanted, command, processes=processes, log=log, ended=ended)
    return _signalled(reason)


def _collected(chosen: Study, folder: Path, *, run: bool) -> dict[str, object]:
    """The results so far.   run: whether they are also written, and floors computed.

    Without, a checkout's own are taken where the folder has none.
    """
    checkout = locate.PACKAGE.parent
    file = checkout / results.RESULTS / f"{chosen.name}.json"
    if not run and not (folder / "records").is_dir() and file.is_file():
        return read_optional(file)
    if run and chosen.floors:
        import_tensorflow()
    with waiting("collecting"):
        found = results.collect(chosen, folder, floors=run)
    if run:
        if not chosen.published:
            write_json_atomic(folder / RESULTS_FILE, found)
        if results.is_complete(found) and (checkout / "pyproject.toml").is_file():
            write_json_atomic(file, found)
    return found
