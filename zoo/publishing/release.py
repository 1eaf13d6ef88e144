"""A release: a training run's folder becomes a checkpoint with all that belongs to one, or nothing.

    weights      stored, in half precision by default, with config.json, recipe.json, history.csv
                 and run.json
    figures      metrics.json, by `zoo.evaluate` on the weights as stored
    certificate  no row may overflow between data and latents
    golden       golden.npz, the answers that later versions have to give again
    samples      a picture, sound or a table
    card         card.md
    hashes       SHA256SUMS

All are made in a temporary folder beside the place; then follow one rename and, for a registered
name, one pin. A failure anywhere leaves what was there before: the old folder and the old pins;
after a kill the next release puts that right (`zoo.publishing.staging`).
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zoo import loading, registry
from zoo.core import recipe_json
from zoo.errors import PublishError
from zoo.evaluation import evaluating, golden
from zoo.publishing import pin
from zoo.publishing.card import CARD_FILE, render_card
from zoo.publishing.checkpoint import (
    entry_of_run,
    read_audio_rates,
    read_checkpoint,
    studies_of,
)
from zoo.publishing.copies import MANIFEST_FILE, is_run
from zoo.publishing.samples import write_samples
from zoo.publishing.staging import OLD, staged
from zoo.store.files import read_object, write_json_atomic, write_text_atomic
from zoo.store.folder import BASELINES_FILE, METRICS_FILE, RECIPE_FILE, RUN_FILE, save_checkpoint
from zoo.store.hashes import SUMS_FILE, read_sha256sums, verify_sha256sums, write_sha256sums
from zoo.training.records import ENDED

__all__ = ["STAGES", "Release", "release_name", "release_run"]

LOG_DET_ERROR = 0.1  # nats

# What a release makes, and never copies.
MADE = (
    METRICS_FILE,
    CARD_FILE,
    MANIFEST_FILE,
    SUMS_FILE,
    golden.GOLDEN_FILE,
    "calibration.png",
    "pairs.png",
    "samples.csv",
    "samples.png",
    "samples.wav",
)


@dataclass(kw_only=True)
class Release:
    """A release under way.

    run: where the weights come from: a training run's folder, or a checkpoint's.
    folder: the temporary one that is filled.   entry: what the card says of the model.
    named: whether `zoo.load` will know it by its name.   model, metrics: of the stages.
    """

    run: Path
    folder: Path
    entry: registry.Entry
    version: int
    storage_dtype: Literal["float32", "float16"]
    named: bool
    audio_rates: dict[str, Any] = field(default_factory=dict)
    studies: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    metrics: dict[str, Any] = field(default_factory=dict)


def release_run(
    run: Path, folder: Path, *, storage_dtype: Literal["float32", "float16"], licence: str
) -> Release:
    """Makes the release of a person's own run, named as `folder`, which must not exist.

    licence: of the weights, for the card.
    Raises PublishError for a run that did not end, or a flow that overflows; CheckpointError for a
    folder that is no run; DataError where the dataset is absent.
    """
    check_finished(run)
    job = Release(
        run=run,
        folder=folder,
        entry=entry_of_run(folder.name, run, licence=licence),
        version=0,
        storage_dtype=storage_dtype,
        named=False,
    )
    with _staged(job, folder) as stage:
        stage.rename(folder)
    return job


def release_name(
    name: str,
    run: Path,
    *,
    version: int | None = None,
    storage_dtype: Literal["float32", "float16"] = "float16",
) -> Release:
    """Makes the release of a registered name in this checkout, and pins it.

    run: a training run; or the published folder itself, whose weights are judged and described
        again.   version: of the weights; without, the one that is pinned, or 1.

    Raises UnknownModelError; PublishError outside a checkout, for other weights under a released
    version, for a run that did not end, or a flow that overflows; DataError where the dataset is
    absent.
    """
    entry = registry.get(name)
    root = pin.checkout()
    target = root / "checkpoints" / name
    again = run.resolve() == target.resolve()
    number = pin.version_of(name, again=again, given=version)
    if not again:
        check_finished(run)
    job = Release(
        run=run,
        folder=target,
        entry=entry,
        version=number,
        storage_dtype=storage_dtype,
        named=True,
        audio_rates=read_audio_rates(root).get(name, {}),
        studies=studies_of(name, root),
    )
    with _staged(job, target) as stage, _replaced(stage, target):
        pin.pin(root, name, target, number)
    return job


def check_finished(run: Path) -> None:
    """Raises PublishError for a run that ended before its recipe did, which nobody could repeat."""
    reason = read_object(run / RUN_FILE).get("reason", "")
    if reason not in ENDED:
        raise PublishError(
            f"{run} ended by {reason or 'nothing that run.json names'}, and its recipe goes on: "
            "resume it, or give it fewer epochs."
        )


# --- stages: each adds to the temporary folder


def store(job: Release) -> None:
    """The weights and what the training wrote; those of a checkpoint as they are stored there."""
    hashed = verify_sha256sums(job.run)
    if hashed and not is_run(job.run):
        for file in read_sha256sums(job.run):
            if file not in MADE:
                shutil.copyfile(job.run / file, job.folder / file)
    else:
        model = loading.load(job.run)
        recipe = recipe_json.from_dict(read_object(job.run / RECIPE_FILE))
        save_checkpoint(
            job.folder,
            model,
            family=model.family,
            recipe=recipe,
            storage_dtype=job.storage_dtype,
        )
        for file in ("history.csv", RUN_FILE):
            if (job.run / file).is_file():
                shutil.copyfile(job.run / file, job.folder / file)
    job.model = loading.loaded(job.folder)


def judge(job: Release) -> None:
    """The figures, on the test split."""
    entry = job.entry
    subject = evaluating.Subject(
        name=entry.name,
        version=job.version,
        model=job.model,
        recipe=entry.recipe,
        metrics=entry.metrics,
        paper=evaluating.paper_of(entry),
        train_hours=read_object(job.folder / RUN_FILE).get("train_hours"),
    )
    job.metrics = evaluating.evaluate_subject(subject, certify=True)
    write_json_atomic(job.folder / METRICS_FILE, job.metrics)


def certify(job: Release) -> None:
    """Raises PublishError for a flow with rows that overflow, or nearly, between data and latents.

    Both log-dets of a row add up to at most `LOG_DET_ERROR` in float32; with conditioners in
    bfloat16 they need only be finite.
    """
    certificate = job.metrics.get("certificate", {})
    for dtype, bound in (("float32", LOG_DET_ERROR), ("bfloat16", math.inf)) if certificate else ():
        errors = certificate[dtype]
        if None in errors.values() or errors["log_det"] > bound:
            raise PublishError(f"{job.entry.name} is not to be published: {dtype} errors {errors}.")


def remember(job: Release) -> None:
    """The golden outputs."""
    golden.write(job.folder, golden.golden(job.model, job.entry.recipe.dataset.name))


def draw(job: Release) -> None:
    """The samples."""
    write_samples(job.folder, job.model, job.entry.recipe)


def describe(job: Release) -> None:
    """The card."""
    account = read_checkpoint(
        job.folder,
        job.entry,
        audio_rates=job.audio_rates,
        studies=job.studies,
        named=job.named,
    )
    write_text_atomic(job.folder / CARD_FILE, render_card(account))


def seal(job: Release) -> None:
    """The hashes."""
    write_sha256sums(job.folder)


STAGES: tuple[Callable[[Release], None], ...] = (
    store,
    judge,
    certify,
    remember,
    draw,
    describe,
    seal,
)


# --- all or nothing


def _is_nothing(_: Path) -> bool:
    """Of a person's own runs, no content is announced anywhere."""
    return False


@contextlib.contextmanager
def _staged(job: Release, target: Path) -> Iterator[Path]:
    """All stages in a temporary folder beside `target`; what is left of it goes at the end."""
    with staged(target, is_published=pin.is_pinned if job.named else _is_nothing) as job.folder:
        # Figures of other models on the same rows: those beside the run, else those of before.
        for source in (job.run / BASELINES_FILE, target / BASELINES_FILE):
            if source.is_file():
                shutil.copyfile(source, job.folder / BASELINES_FILE)
                break
        for stage in STAGES:
            stage(job)
        yield job.folder
        job.folder = target


@contextlib.contextmanager
def _replaced(stage: Path, target: Path) -> Iterator[None]:
    """The staged folder in the target's place; after an error in the block the old one again."""
    old = stage.with_name(OLD)
    if target.exists():
        target.rename(old)
    try:
        stage.rename(target)
        yield
    except BaseException:
        if target.exists():
            target.rename(stage)
        if old.exists():
            old.rename(target)
        raise
