"""A run of `tools/run_step.py` as the folder of a run of `zoo train`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from zoo.core.recipe import Recipe
from zoo.core.recipe_json import from_dict
from zoo.errors import FormatError, MissingCheckpointError, TrainingError, WeightsMismatchError
from zoo.store.files import read_object
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import sha256_of
from zoo.training.build import build_model
from zoo.training.claim import seal, unseal
from zoo.training.portable import arrays
from zoo.training.portable.exporting import FORMAT_VERSION, MANIFEST_FILE, described
from zoo.training.records import TrainingResult, write_history, write_record
from zoo.training.state import STATE_FILE, load_state, save_state
from zoo.training.step import TrainingStep

__all__ = ["PROGRESS_FILE", "import_step"]

PROGRESS_FILE = "progress.json"


def import_step(
    source: str | os.PathLike[str], out_dir: str | os.PathLike[str], *, name: str
) -> TrainingResult:
    """Makes `out_dir` the run that `tools/run_step.py` has left in `source`.

    Writes what `zoo.training.train` writes: the best weights with config.json and recipe.json,
    history.csv, run.json (with the hardware that it ran on) and state.npz, from which
    `zoo train --resume` goes on. A run that lies in `out_dir` already is replaced if it is of the
    same recipe and not ahead. Where the folder of the state was not brought along, the weights come
    alone, and the run cannot be resumed.

    Raises:
        MissingCheckpointError: `source` is no such folder, a part is absent, or no validation
            was reached and there is no state either.
        IntegrityError: A part is not the one that was written.
        FormatError: Files of another version, or that are not JSON.
        WeightsMismatchError: The state is not that of the recipe's model.
        TrainingError: A run of another name or recipe, one behind the run in `out_dir`, or a
            training is writing there.
    """
    source, folder = Path(source), Path(out_dir)
    progress = _read(source / PROGRESS_FILE)
    manifest = _read(source / MANIFEST_FILE)
    if sha256_of(source / MANIFEST_FILE) != progress["manifest_sha256"]:
        raise FormatError(f"{source / MANIFEST_FILE} is of another export than {PROGRESS_FILE}.")
    if manifest["name"] != name:
        raise TrainingError(f"{source} is a run of {manifest['name']}, not of {name}.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            return _Import(source, manifest, progress).write(folder)
    except filelock.Timeout as error:
        raise TrainingError(
            f"A training is writing to {folder}; give the import another --out."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingCheckpointError(
            f"{path} is missing: give the folder that run_step.py wrote (its --out)."
        )
    values = read_object(path)
    if values.get("format_version") != FORMAT_VERSION:
        raise FormatError(
            f"{path} has format version {values.get('format_version')!r}; this zoo reads "
            f"{FORMAT_VERSION}: import it with the zoo that exported the step."
        )
    return values


class _Import:
    """The recipe's model and step, with the values of a run: read and checked, not yet written."""

    def __init__(
        self, source: Path, manifest: Mapping[str, Any], progress: Mapping[str, Any]
    ) -> None:
        self.manifest, self.progress = manifest, progress
        self.recipe: Recipe = from_dict(manifest["recipe"])
        self.model = build_model(self.recipe, manifest["name"])
        self.step = TrainingStep(self.model, self.recipe, manifest["total_steps"])
        self.variables = self.step.state_variables()
        _check_variables(self.variables, manifest["state"]["arrays"])
        # All of them are written by the runner, those of zeros too.
        described_state = [{**entry, "zeros": False} for entry in manifest["state"]["arrays"]]
        state, weights = progress["state"], progress["weights"]
        self.state = (
            arrays.read(source / state["folder"], described_state, state["parts"])
            if (source / state["folder"]).is_dir()
            else None
        )
        self.weights: Sequence[np.ndarray] | None
        if weights is not None:
            described_weights = described_state[: len(self.model.variables)]
            self.weights = arrays.read(
                source / weights["folder"], described_weights, weights["parts"]
            )
        elif self.state is not None and not progress["counters"]["best_step"]:
            self.weights = self.state[: len(self.model.variables)]  # no validation yet: as they are
        elif self.state is not None:  # none better than before it was exported
            self.weights = None
        else:
            raise MissingCheckpointError(
                f"{source} has neither weights of a validation nor {state['folder']}/: bring the "
                "state along."
            )
        self.counters = dict(progress["counters"])
        self.counters["best_validation_nats"] = float(self.counters["best_validation_nats"])

    def write(self, folder: Path) -> TrainingResult:
        """Writes the run; the state first, since a state without weights can be resumed."""
        self._check_folder(folder)
        unseal(folder)
        if self.state is not None:
            _assign(self.variables, self.state)
            save_state(
                folder / STATE_FILE,
                self.variables,
                recipe=self.recipe,
                counters=self.counters,
                history=self.progress["history"],
            )
        if self.weights is not None:
            _assign(self.model.variables, self.weights)
            save_checkpoint(folder, self.model, family=self.recipe.family, recipe=self.recipe)
        write_history(folder, self.progress["history"])
        result = write_record(
            folder,
            name=self.manifest["name"],
            reason=self.progress["reason"],
            counters=self.counters,
            steps_per_epoch=self.manifest["steps_per_epoch"],
            software=self.progress["software"],
        )
        seal(folder)
        return result

    def _check_folder(self, folder: Path) -> None:
        """A run in the folder must be the same one, and not ahead.

        It must be there, with the best weights, where these are not among what is imported.
        """
        counters: Mapping[str, Any] = {}
        if (folder / STATE_FILE).exists():
            counters, _ = load_state(folder / STATE_FILE, self.variables, recipe=self.recipe)
        best = self.counters["best_step"]
        if self.weights is None and counters.get("best_step") != best:
            raise TrainingError(
                f"The best weights of this run, of step {best:,}, are where it was exported from: "
                "give the import that folder as its --out."
            )
        if not counters:
            return
        if self.state is None or counters["step"] > self.counters["step"]:
            raise TrainingError(
                f"{folder} holds this run at step {counters['step']:,}, and what is imported "
                + (
                    f"ends at step {self.counters['step']:,}"
                    if self.state is not None
                    else "brings no state"
                )
                + ": give the import another --out."
            )


def _check_variables(variables: Sequence[Any], expected: Sequence[Mapping[str, Any]]) -> None:
    found = described(variables)
    expected = [{key: entry[key] for key in ("name", "shape", "dtype")} for entry in expected]
    different = [f"{f} (exported: {e})" for f, e in zip(found, expected, strict=False) if f != e]
    if len(found) != len(expected) or different:
        raise WeightsMismatchError(
            f"The run's state has {len(expected)} variables, the recipe's model and optimiser have "
            f"{len(found)}; {'; '.join(different[:2]) or 'the first ones agree'}. Import it with "
            "the zoo that exported the step."
        )


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
