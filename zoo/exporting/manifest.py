"""The manifest of an export: what a client must know, without the project's source.

`assets.extra/signatures.json` in the folder of a SavedModel, `signatures.json` in that of another
format; UTF-8, an object with

    schema             1: the number of this layout
    format             "savedmodel", "tflite", "onnx" or "stablehlo"
    name, version      as in the folder; version is an integer
    family             such as "realnvp"
    event_shape        list of integers: the shape of one row of data, without the batch
    event_size         their product, the number of dimensions D
    data_dtype         "uint8" for grey levels, else a float: what `x` is
    media              {"kind": "image"}, {"kind": "features"}, or
                       {"kind": "audio", "sample_rate": hertz}: how a row may be shown; with
                       "columns", the names of features, "labels", those of the labels
                       0..context_size - 1, and "context_columns", a list of {"name": …, and of
                       categories "categories": […]} of a context, where they are known
    context_size       number of classes of the label `context`; 0 for an unconditional model, and
                       for one whose context is no label: the field `context` describes it
    temperature        {"minimum": 0.0, "maximum": number}, the range that `sample` accepts;
                       null for a model whose signatures have no temperature
    dequantisation     the policy for the noise on grey levels, a sentence; null for features and
                       for VAEs
    default_signature  the signature that `serving_default` is another name of
    batch_size         the rows of every call, of "stablehlo" alone; other formats take any number
    software           {"zoo": version, "tensorflow": version, "keras": version}
    signatures         name -> signature, the default one first; `serving_default` is not repeated

and each signature an object with

    description        a phrase
    portable           whether it is converted to LiteRT and ONNX too
    inputs, outputs    name -> field

and each field an object with

    dtype              "uint8", "int32", "float32", …
    shape              [null, …]: null is the batch, which is the first axis everywhere
    meaning            a phrase
    unit               such as "nats", "grey level", "class"; "" for a pure number
    minimum, maximum   inclusive range; null for no bound
    finite             true for an input that must hold no NaN and no infinity
    example            a number in the range: a batch filled with it is a valid input
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

import zoo
from zoo.core.capabilities import Bijective

if TYPE_CHECKING:
    from zoo.core.columns import Column
    from zoo.core.signature import Signature
    from zoo.core.space import Space
    from zoo.kinds.model import ZooModel

__all__ = ["FILES", "SCHEMA", "manifest", "read", "write"]

SCHEMA = 1
FILES = {
    "savedmodel": "assets.extra/signatures.json",
    "tflite": "signatures.json",
    "onnx": "signatures.json",
    "stablehlo": "signatures.json",
}

_DEQUANTISATION = (
    "log_prob adds one fixed draw of uniform noise in [0, 1) to every grey level, a hash of the "
    "row's own values (equal rows have equal answers in any batch); encode takes the middle of "
    "the bin."
)


def manifest(
    model: ZooModel,
    name: str,
    version: int,
    signatures: Mapping[str, Signature],
    *,
    format: str = "savedmodel",
    columns: Sequence[str] = (),
) -> dict[str, Any]:
    """The manifest of the model's export, plain JSON values.   columns: of a row, where named."""
    config = model.config
    temperatures = [s.inputs["temperature"] for s in signatures.values() if _has_temperature(s)]
    return {
        "schema": SCHEMA,
        "format": format,
        "name": name,
        "version": version,
        "family": model.family,
        "event_shape": list(config.event_shape),
        "event_size": config.event_size,
        "data_dtype": model.data.dtype,
        "media": _media(model, columns),
        "context_size": config.context_size,
        "temperature": _range(temperatures[0]) if temperatures else None,
        "dequantisation": _dequantisation(model, signatures),
        "default_signature": next(iter(signatures)),
        "software": {
            "zoo": zoo.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        "signatures": {key: _signature(value) for key, value in signatures.items()},
    }


def _dequantisation(model: ZooModel, signatures: Mapping[str, Signature]) -> str | None:
    """None of models that give integers probabilities of their own, and where none is served."""
    noisy = isinstance(model, Bijective) and model.data.is_integer and "log_prob" in signatures
    return _DEQUANTISATION if noisy else None


def write(folder: Path, values: Mapping[str, Any]) -> Path:
    """Writes the manifest into an export's folder; returns the file."""
    path = folder / FILES[values["format"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(folder: Path, *, format: str = "savedmodel") -> dict[str, Any]:
    """The manifest in an export's folder. Raises OSError where it holds none."""
    values: dict[str, Any] = json.loads((folder / FILES[format]).read_text(encoding="utf-8"))
    return values


def _has_temperature(signature: Signature) -> bool:
    return "temperature" in signature.inputs


def _media(model: ZooModel, columns: Sequence[str]) -> dict[str, Any]:
    space, factors = model.data, getattr(model.config, "context_factors", ())
    known = {
        "sample_rate": space.rate,
        "columns": list(columns) if len(columns) == space.size else [],
        "labels": [", ".join(map(str, label)) for label in itertools.product(*map(range, factors))]
        if len(factors) > 1
        else [],
        "context_columns": [] if model.context is None else _described(model.context.columns),
    }
    return {"kind": space.medium, **{key: value for key, value in known.items() if value}}


def _described(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Names, and the texts of categories, of columns."""
    return [
        {"name": c.name, **({"categories": list(c.categories)} if c.categories else {})}
        for c in columns
    ]


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "description": signature.description,
        "portable": signature.portable,
        "inputs": {k: _field(v, is_input=True) for k, v in signature.inputs.items()},
        "outputs": {k: _field(v, is_input=False) for k, v in signature.outputs.items()},
    }


def _field(field: Space, *, is_input: bool) -> dict[str, Any]:
    dtype = tf.as_dtype(field.dtype)
    return {
        "dtype": field.dtype,
        "shape": [None, *field.shape],
        "meaning": field.meaning,
        "unit": field.unit,
        **_range(field),
        "finite": is_input and dtype.is_floating,
        "example": int(field.example) if dtype.is_integer else field.example,
    }


def _range(field: Space) -> dict[str, Any]:
    return {"minimum": field.minimum, "maximum": field.maximum}
