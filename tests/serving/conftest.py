"""One server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_exports
from live_server import Running, serve


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("export")
    return path, tiny_exports.export(path)


@pytest.fixture(scope="session")
def running(exported: tuple[Path, dict[str, Any]]) -> Iterator[Running]:
    path, models = exported
    with serve(path) as addresses:
        yield Running(addresses, path, models)
