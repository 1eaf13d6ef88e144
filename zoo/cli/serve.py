"""`zoo serve`: exported models behind TensorFlow Serving's interfaces, for development."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from zoo import loading, registry
from zoo.cli.app import EXIT_CODES, SIGNALLED, app, complain
from zoo.errors import ServingError
from zoo.media.console import import_tensorflow
from zoo.serving import ports
from zoo.store import pins

if TYPE_CHECKING:
    from zoo.serving.ports import Addresses


@app.command(epilog=EXIT_CODES)
def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models, or folders of runs; all that lie in PATH without."),
    ] = None,
    *,
    path: Annotated[
        Path, typer.Option(help="Base folder of exports. What is not there is exported for now.")
    ] = Path("export"),
    host: Annotated[
        str, typer.Option(help="Address to listen on; this machine alone without.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of REST and the page; 0 for any free one.")
    ] = 8501,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of gRPC; 0 for any free one.")
    ] = 8500,
    max_megabytes: Annotated[
        float, typer.Option(min=0.001, max=2047.0, help="The largest request, in MiB.")
    ] = 32.0,
    max_rows: Annotated[int, typer.Option(min=1, help="The most rows in a request.")] = 1024,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further name that requests may call the server by; may be given again."
        ),
    ] = None,
) -> None:
    """Serve exported models as TensorFlow Serving does, with a web page: for development and tests.

    REST (/v1/models/NAME:predict) and gRPC (PredictionService), a page at / to look at samples and
    to score images. No authentication and no encryption: deploy TensorFlow Serving itself.
    Pages of other sites cannot use it.

    Example: zoo serve nice_mnist
    """
    with (
        _orderly_end(),
        ports.bind(host, port, grpc_port, allow_hosts=allow_host or ()) as bound,
        tempfile.TemporaryDirectory(prefix="zoo-serve-") as temporary,
    ):
        if not _is_loopback(host):
            complain(f"whoever reaches {host} can use this server: it asks for no password")
        complain(f"{bound.addresses.rest} and {bound.addresses.grpc} answer when models are loaded")
        modules = _import_serving()
        folders = _folders(names, path, Path(temporary), modules)
        repository = modules.repository.Repository(folders, max_rows=max_rows, say=complain)
        limits = modules.server.Limits(max_bytes=int(max_megabytes * 2**20), max_rows=max_rows)
        server = modules.server.Server(repository, bound, limits=limits)
        asyncio.run(server.serve(_announce))


def _import_serving() -> Any:
    """The package `zoo.serving` with the modules used here, or what to install.

    What TensorFlow, absl and gRPC tell of themselves at the start is not shown.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import_tensorflow()
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import zoo.serving.repository
        import zoo.serving.server
    except ModuleNotFoundError as error:
        raise ServingError(
            f"`zoo serve` needs the package {error.name!r}: pip install 'density-zoo[serve]'."
        ) from error
    return zoo.serving


def _folders(names: list[str] | None, path: Path, temporary: Path, modules: Any) -> dict[str, Path]:
    """name -> folder of versions: what lies in `path`, else a fresh export in `temporary`."""
    find, find_versions = modules.repository.find, modules.repository.find_versions
    if not names:
        found = find(path)
        if not found:
            raise ServingError(
                f"{path} holds no exported model. Name one of `zoo list --pretrained`, which is "
                "then exported for now, or use `zoo export` first."
            )
        return {name: path / name for name in found}
    folders = {}
    for given in dict.fromkeys(names):
        own = loading.is_folder(given)
        name = Path(given).resolve().name if own else given
        modules.repository.check_name(name)
        folders[name] = path / name
        if own or not find_versions(folders[name]):
            folders[name] = _export(given, temporary, own=own)
    return folders


def _export(name: str, folder: Path, *, own: bool) -> Path:
    """Writes a model's SavedModel below `folder`; returns its folder of versions.

    own: whether the name is the folder of a run or a checkpoint, and not a registered one.
    """
    if not own:
        registry.get(name)
    complain(f"exporting {name}" + ("" if own else ", which lies in no folder of exports"))
    from zoo import exporting

    version = pins.pins().get(name, {}).get("version", 1)
    return Path(exporting.export(name, str(folder), version=version)).parent


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(addresses: Addresses) -> None:
    print(f"REST and page: {addresses.rest}", flush=True)
    print(f"gRPC: {addresses.grpc}", flush=True)


@contextlib.contextmanager
def _orderly_end() -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP end the block in order: ports closed, exports for now removed."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(SIGNALLED + number)

    heard = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))
    previous = {
        number: signal.signal(number, end)
        for number in heard
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN  # by nohup
    }
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(SIGNALLED + signal.SIGINT) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
