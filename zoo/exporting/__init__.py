"""Exports: what a server, a phone or another runtime reads, raw data in and out.

    <path>/<name>/<version>/            a SavedModel in TensorFlow Serving's layout
        saved_model.pb, variables/      needs TensorFlow, and no TFP, Keras or zoo
        assets.extra/signatures.json    what each signature takes and gives: zoo.exporting.manifest
        assets.extra/tf_serving_warmup_requests     a request for every signature
        assets.extra/card.md            the card of a published model
    <path>/tflite/<name>/<version>/     model.tflite, signatures.json, card.md
    <path>/onnx/<name>/<version>/       <signature>.onnx, signatures.json, card.md
    <path>/safetensors/<name>/<version>/    model.safetensors, torch_reader/, card.md
    <path>/stablehlo/<name>/<version>/  <signature>.jax, weights.npz, jax_reader.py,
                                        signatures.json, card.md

A model says itself what it answers (`zoo.kinds.signatures`); everything here follows from that.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

from zoo import loading, registry
from zoo.errors import ExportError
from zoo.exporting import (
    deployment,
    folders,
    lite,
    manifest,
    onnx,
    portable,
    savedmodel,
    stablehlo,
    tensors,
    warmup,
)
from zoo.kinds.model import ZooModel
from zoo.registry.datasets import about

__all__ = ["FORMATS", "Format", "export", "write_deployment"]

Format = Literal["savedmodel", "tflite", "onnx", "safetensors", "stablehlo"]
FORMATS: tuple[Format, ...] = get_args(Format)
CARD_FILE = "card.md"

write_deployment = deployment.write


def export(
    model_or_name: Any,
    path: str | os.PathLike[str] = "export",
    version: int = 1,
    *,
    format: Format = "savedmodel",
    overwrite: bool = False,
    batch_size: int = stablehlo.BATCH_SIZE,
) -> str:
    """Writes the model to `<path>/<name>/<version>`, or `<path>/<format>/<name>/<version>`.

    model_or_name: a registered name, the path of a checkpoint folder, or a density model; the
        name, the folder's or the model's own becomes `<name>`.
    format: "savedmodel"; "tflite" or "onnx", which have the portable signatures (`log_prob`,
        `encode`, `decode`), do not check their inputs, and need the extra of that name. These are
        run in their own runtime and compared before anything is written. "safetensors" is the
        weights by name, with a reader for PyTorch (`zoo.exporting.tensors`), and needs that extra.
        "stablehlo" is the same signatures and `sample` for JAX (`zoo.exporting.stablehlo`), and
        needs the extra portable.
    batch_size: of stablehlo, whose shapes are fixed: the rows of a call.
    overwrite: replaces the version if it exists; without, that is refused.
    returns: the folder.
    Raises UnknownModelError and CheckpointError as `zoo.load` does, MissingExtraError without the
    extra, and ExportError for what is no density model or not built, a version that is no positive
    integer or exists, a name that is no folder's, a model that cannot be converted, and a disk that
    cannot be written. What fails leaves nothing behind.
    """
    if format not in FORMATS:
        raise ExportError(f"format must be one of {', '.join(FORMATS)}; got {format!r}.")
    folders.check_version(version)
    if batch_size < 1:
        raise ExportError(f"batch_size must be 1 or more; got {batch_size}.")
    by_name = isinstance(model_or_name, str | os.PathLike)
    model = loading.load(model_or_name) if by_name else model_or_name
    _check_model(model)
    name = Path(model_or_name).name if by_name else model.name
    folders.check_name(name)
    signatures = model.serving_signatures()
    if format in ("tflite", "onnx"):
        signatures = portable.portable_signatures(name, signatures, format)
    if format == "stablehlo":
        signatures = stablehlo.chosen(name, signatures)
    base = Path(path, name) if format == "savedmodel" else Path(path, format, name)
    with folders.new_version(base, version, overwrite=overwrite) as folder:
        if format == "safetensors":
            tensors.write(model, name, version, folder)
        elif format == "stablehlo":
            stablehlo.write(model, signatures, folder, batch_size)
        elif format == "savedmodel":
            savedmodel.write(model, signatures, folder)
            warmup.write(folder, name, signatures)
        else:
            (lite if format == "tflite" else onnx).write(model, signatures, folder)
        beside = folder
        if format in manifest.FILES:
            described = manifest.manifest(
                model, name, version, signatures, format=format, columns=_columns(model_or_name)
            )
            if format == "stablehlo":
                described["batch_size"] = batch_size
            beside = manifest.write(folder, described).parent
        if by_name:
            _copy_card(model_or_name, beside)
    return str(base / str(version))


def _columns(name: Any) -> tuple[str, ...]:
    """The names of the dataset's columns, of a registered name; () where there are none."""
    entry = registry.ENTRIES.get(name) if isinstance(name, str) else None
    return about(entry.recipe.dataset.name).columns if entry else ()


def _copy_card(name: str | os.PathLike[str], folder: Path) -> None:
    """The checkpoint's card, where it has one."""
    registered = isinstance(name, str) and name in registry.ENTRIES
    card = ((loading.local_folder(str(name)) or Path()) if registered else Path(name)) / CARD_FILE
    if card.is_file():
        shutil.copyfile(card, folder / CARD_FILE)


def _check_model(model: Any) -> None:
    """Raises ExportError for what has no signatures, or no weights yet."""
    if not isinstance(model, ZooModel):
        raise ExportError(
            f"Expected a registered name or a density model; got {type(model).__name__}."
        )
    if not model.built:
        raise ExportError(
            f"{model.name} is not built: it has no weights yet. Build it, or call it once on data."
        )
