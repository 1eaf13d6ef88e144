"""What a server needs beside the models: its configuration, in the base folder of the exports.

    <path>/models.config          the models that lie in <path>, a `ModelServerConfig`
    <path>/batching.config        request batching, `BatchingParameters`
    <path>/monitoring.config      Prometheus metrics, a `MonitoringConfig`
    <path>/docker-compose.yml     the official image of TensorFlow Serving, by version
    <path>/README.md              how to start it and call it

The first is written anew; the others are copied where they are absent, so that they can be edited.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from zoo.store.files import write_text_atomic

__all__ = ["STATIC_FILES", "exported", "models_config", "write"]

MODELS_CONFIG = "models.config"
STATIC_FILES = ("batching.config", "monitoring.config", "docker-compose.yml", "README.md")
SERVED_FOLDER = "/models"  # where docker-compose.yml mounts <path>

_HEADER = """\
# Written by `zoo export`: the models beside this file, as the container sees them. TensorFlow
# Serving serves the newest version of each, and reads this file again when it changes.
"""


def write(path: str | os.PathLike[str]) -> None:
    """Writes the files into the base folder of some exports."""
    folder = Path(path)
    # A running server never reads half of it.
    write_text_atomic(folder / MODELS_CONFIG, models_config(exported(folder)))
    for name in STATIC_FILES:
        if not (folder / name).exists():
            shutil.copyfile(_sources() / name, folder / name)


def exported(path: Path) -> list[str]:
    """The names under which SavedModels lie in the base folder."""
    files = path.glob("*/[0-9]*/saved_model.pb")
    return sorted({file.parent.parent.name for file in files if file.parent.name.isdecimal()})


def models_config(names: Iterable[str]) -> str:
    """A `ModelServerConfig` in protobuf's text format."""
    entries = "".join(
        f'  config {{ name: "{name}" base_path: "{SERVED_FOLDER}/{name}" '
        'model_platform: "tensorflow" }\n'
        for name in names
    )
    return f"{_HEADER}model_config_list {{\n{entries}}}\n"


def _sources() -> Path:
    """`export/` of the checkout, or its copy inside the installed wheel."""
    package = Path(__file__).parent.parent
    places = (package.parent / "export", package / "_export")
    return next(place for place in places if (place / STATIC_FILES[0]).is_file())
