"""`zoo download` and `zoo cache`: published files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import loading
from zoo.cli.app import EXIT_CODES, AsJson, app, print_json
from zoo.errors import InvalidInputError
from zoo.media.console import columns
from zoo.store import cache, downloads, pins

MB = 1e6

CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="In place of $ZOO_CACHE, or of ~/.cache/zoo."),
]

commands = typer.Typer(
    help="What downloads left on this machine.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(commands, name="cache")


@app.command(epilog=EXIT_CODES)
def download(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="Of `zoo list`.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every model that has published weights.")
    ] = False,
    version: Annotated[
        int | None, typer.Option(min=1, help="Of the weights; the newest without.")
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Bring published models onto this machine, and check every file; print their folders.

    Files that are here already, in a checkout, a wheel or the cache, are checked where they are.
    The others come from the host that ZOO_BASE_URL names. Afterwards ZOO_OFFLINE=1 does no harm.

    Example: zoo download nsf_magic
    """
    if everything == bool(names):
        raise InvalidInputError("Give names of models, or --all.")
    if everything and version is not None:
        raise InvalidInputError("--version goes with names.")
    with downloads.caching_in(cache_dir):
        for name in names or sorted(pins.pins()):
            print(f"{name}  {loading.resolve(name, version)}")


@commands.command("list", epilog=EXIT_CODES)
def list_command(*, cache_dir: CacheDir = None, as_json: AsJson = False) -> None:
    """List what lies in the cache, and what of it this version of the zoo uses."""
    with downloads.caching_in(cache_dir):
        found, root = cache.cached(), downloads.cache_dir()
    if as_json:
        print_json([{**vars(entry), "folder": str(entry.folder)} for entry in found])
        return
    print(f"{root}: {sum(entry.size for entry in found) / MB:,.1f} MB")
    if found:
        lines = [("name", "version", "MB", "state")]
        lines += [
            (entry.name[:40], str(entry.version or ""), f"{entry.size / MB:,.1f}", entry.state)
            for entry in found
        ]
        print(columns(lines, right={1, 2}, indent="  "))


@commands.command(epilog=EXIT_CODES)
def clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Remove these; without, what no load would use."),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove every model, and what came from addresses.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and leave it.")
    ] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Remove models from the cache: those that the installed zoo does not pin, unless told.

    Prepared datasets stay: they are TensorFlow Datasets' own.
    """
    if everything and names:
        raise InvalidInputError("Give names of models, or --all.")
    with downloads.caching_in(cache_dir):
        found = [entry for entry in cache.cached() if entry.state != "datasets"]
        if unknown := set(names or ()) - {entry.name for entry in found}:
            raise InvalidInputError(
                f"{min(unknown)} is not in {downloads.cache_dir()}; `zoo cache list` shows what is."
            )
        if names:
            found = [entry for entry in found if entry.name in names]
        elif not everything:
            found = [entry for entry in found if entry.state == "not pinned"]
        for entry in found:
            print(entry.folder)
        size = sum(entry.size for entry in found) if dry_run else cache.remove(found)
    print(f"{size / MB:,.1f} MB {'would be' if dry_run else 'are'} free again")
