"""A model of a user's own data: rows prepared and split, a recipe written, a run trained."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo import loading
from zoo.core import recipe_json
from zoo.data.folders import PICTURE_SUFFIXES, files_in
from zoo.errors import InvalidInputError, MissingCheckpointError
from zoo.media.audio import AUDIO_SUFFIXES
from zoo.store.files import read_object
from zoo.store.folder import RECIPE_FILE
from zoo.training.own_files import FIT, fit_clips, fit_pictures, fit_prepared
from zoo.training.own_runs import Progress
from zoo.training.own_table import fit_table, listed
from zoo.training.records import TrainingResult
from zoo.training.train import train

__all__ = ["fit", "fit_clips", "fit_pictures", "fit_table", "resume", "train_on"]


def fit(
    data: Any, out: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
) -> Any:
    """A model of a table or of a folder of files, with the best weights of its run in `out`.

    `fit_table`, `fit_pictures` and `fit_clips` say what data and options are. `zoo.load(out)` gives
    the same model again, and every command takes the folder.
    """
    train_on(data, out, progress=progress, **options)
    return loading.load(Path(out))


def train_on(data: Any, out: str | os.PathLike[str], **options: Any) -> TrainingResult:
    """`fit_table`, `fit_pictures` or `fit_clips`, by what the data are.

    Raises InvalidInputError for options of another kind of data, and what these raise.
    """
    fitted: Callable[..., TrainingResult] = fit_table
    kind = "a table"
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser()
        if not path.exists():
            raise InvalidInputError(f"No file or folder {path}.")
        if path.suffix.lower() in (*PICTURE_SUFFIXES, *AUDIO_SUFFIXES) and path.is_file():
            raise InvalidInputError(
                f"{path} is one row, and a model of it would learn it by heart: give the folder "
                "that holds such files."
            )
        if path.is_dir():
            data = files_in(path, listed(options.pop("context", ())))
            fitted, kind = FIT[data.kind], data.kind
    known = _keywords(fitted)
    if odd := sorted(options.keys() - known):
        raise InvalidInputError(
            f"{odd[0]} is no option for {kind}, which take{'s' * (fitted is fit_table)} "
            f"{', '.join(sorted(known))}: leave it out."
        )
    return fitted(data, out, **options)


def resume(
    out: str | os.PathLike[str], *, minutes: float = math.inf, progress: Progress | None = None
) -> TrainingResult:
    """Goes on with a run of `train_on` that was stopped, by its own rows and recipe.

    Raises MissingCheckpointError where there is none, and what `training.train` raises.
    """
    folder = Path(out)
    if not (folder / RECIPE_FILE).is_file():
        raise MissingCheckpointError(f"Nothing to resume in {folder}: leave out --resume.")
    recipe = recipe_json.from_dict(read_object(folder / RECIPE_FILE))
    return train(
        recipe,
        folder,
        name=recipe.dataset.name,
        resume=True,
        max_seconds=60.0 * minutes,
        progress=progress,
    )


def _keywords(function: Callable[..., Any]) -> set[str]:
    """The names of a function's options, and of those that it passes on."""
    parameters = inspect.signature(function).parameters.values()
    own = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return own | (_keywords(fit_prepared) if passes_on else set())
