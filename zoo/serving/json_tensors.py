"""Tensors in the JSON of TensorFlow Serving's REST interface.

    request  {"signature_name": NAME, "instances": [row, ...]}   ->  {"predictions": [row, ...]}
    request  {"signature_name": NAME, "inputs": columns}         ->  {"outputs": columns}

A row is an object with a value for each input, or the value itself if there is one input; columns
likewise. Outputs have the same form. Bytes are {"b64": "..."}; NaN and infinities are the literals
`NaN`, `Infinity`, `-Infinity`, which Python writes too and other readers may not know.
"""

from __future__ import annotations

import base64
import binascii
import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core import nesting
from zoo.serving.servable import DEFAULT_SIGNATURE, Signature, check_names
from zoo.serving.status import invalid

__all__ = ["PredictRequest", "format_response", "parse_request"]

_BYTES_SUFFIX = "_bytes"  # of the names of string outputs that are written as base64
# Of NumPy's kinds of dtype: the types of JSON's values, and their name in messages.
_LEAVES: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "true or false"),
    "i": (frozenset({int}), "integers"),
    "u": (frozenset({int}), "integers"),
    "f": (frozenset({int, float}), "numbers"),
    "O": (frozenset({str, dict}), "strings"),
}
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = 60


@dataclass(frozen=True)
class PredictRequest:
    """A predict request as arrays; `rows` tells the row format from the columnar one."""

    signature: Signature
    inputs: dict[str, np.ndarray]
    rows: bool


def parse_request(body: bytes, find_signature: Callable[[str], Signature]) -> PredictRequest:
    """The arrays of a predict request.

    find_signature: name -> signature; raises RequestError for an unknown one.
    Raises RequestError if the body is no such request, or its values are not of the signature's
    dtypes. Shapes are left to the servable.
    """
    document = _parse_object(body)
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise invalid(f"'signature_name' key must be a string value; got {_shown(name)}")
    signature = find_signature(name or DEFAULT_SIGNATURE)
    if "instances" in document and "inputs" in document:
        raise invalid(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        columns = _columns_of_rows(document["instances"], signature)
    elif "inputs" in document:
        columns = _columns(document["inputs"], signature)
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    inputs = {
        name: _array(f"Input {name!r}", value, signature.inputs[name].dtype)
        for name, value in columns.items()
    }
    return PredictRequest(signature, inputs, rows="instances" in document)


def format_response(outputs: Mapping[str, np.ndarray], *, rows: bool) -> bytes:
    """The body of the answer, in the format of the request."""
    values = {name: _values(name, array) for name, array in outputs.items()}
    single = next(iter(values.values())) if len(values) == 1 else None
    if not rows:
        return _dump({"outputs": values if single is None else single})
    if any(array.ndim == 0 for array in outputs.values()):
        raise invalid("Outputs without a batch dimension cannot be rows: send 'inputs' instead.")
    if len({len(array) for array in outputs.values()}) > 1:
        raise invalid("Outputs of different lengths cannot be rows: send 'inputs' instead.")
    if single is None:
        single = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return _dump({"predictions": single})


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _parse_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
        if nesting.depth(body) > nesting.MAX_DEPTH:
            raise invalid(
                f"JSON Parse error: nested too deeply, more than {nesting.MAX_DEPTH} levels"
            )
        document = json.loads(text)
    except ValueError as error:  # syntax, encoding, or an integer of thousands of digits
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_shown(document)} Is not object")
    return document


def _columns_of_rows(instances: Any, signature: Signature) -> dict[str, list[Any]]:
    """Input name -> the rows' values."""
    if not isinstance(instances, list):
        raise invalid(f"Expecting 'instances' to be an list/array; got {_shown(instances)}")
    if not instances:
        raise invalid("No values in 'instances' array")
    if not _is_named(instances[0]):
        if any(map(_is_named, instances)):
            raise invalid("Expecting value/list but got object in 'instances' list")
        return {_only_input(signature, "instances is a plain list"): instances}
    for index, row in enumerate(instances):
        if not _is_named(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if row.keys() != signature.inputs.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {','.join(signature.inputs)}"
            )
    return {name: [row[name] for row in instances] for name in signature.inputs}


def _columns(inputs: Any, signature: Signature) -> dict[str, Any]:
    if not _is_named(inputs):
        return {_only_input(signature, "inputs is a plain value/list"): inputs}
    check_names(signature, inputs)
    return dict(inputs)


def _is_named(value: Any) -> bool:
    """Whether it is an object of named values, and not one of base64."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _only_input(signature: Signature, found: str) -> str:
    if len(signature.inputs) != 1:
        raise invalid(
            f"{found}, but signature {signature.name!r} takes several inputs: expecting an object "
            f"with keys {','.join(signature.inputs)}"
        )
    return next(iter(signature.inputs))


def _array(label: str, value: Any, dtype: tf.DType) -> np.ndarray:
    """Nested lists as an array of the dtype; nothing is rounded to an integer or wrapped."""
    target = np.dtype(dtype.as_numpy_dtype)
    if target.kind not in _LEAVES:
        raise invalid(f"{label} is {dtype.name}, which has no form in JSON: use gRPC.")
    allowed, expected = _LEAVES[target.kind]
    try:
        nested = np.array(value, dtype=object)
    except ValueError:
        nested = np.array([[]])  # lists of one level that differ in length
        leaves: list[Any] = [[]]
    else:
        leaves = nested.ravel().tolist()
    wrong = [leaf for leaf in leaves if type(leaf) not in allowed]
    if wrong and isinstance(wrong[0], list):
        raise invalid(f"{label} is ragged: expected lists of one depth and one length")
    if wrong:
        raise invalid(
            f"{label}: JSON Value: {_shown(wrong[0])} is not of expected type: {dtype.name} "
            f"({expected})"
        )
    if target.kind == "O":
        return np.array([_bytes(leaf) for leaf in leaves], dtype=object).reshape(nested.shape)
    return _integers(label, nested, target) if target.kind in "iu" else _cast(label, nested, target)


def _integers(label: str, nested: np.ndarray, target: np.dtype) -> np.ndarray:
    limits = np.iinfo(target)
    wrong = [leaf for leaf in nested.ravel().tolist() if not limits.min <= leaf <= limits.max]
    if wrong:
        raise invalid(
            f"{label}: JSON Value: {_shown(wrong[0])} is not of expected type: {target.name} "
            f"({limits.min} to {limits.max})"
        )
    return nested.astype(target)


def _cast(label: str, nested: np.ndarray, target: np.dtype) -> np.ndarray:
    """Numbers or booleans in the target's dtype, unless a finite number becomes infinite."""
    if target.kind == "b":
        return nested.astype(target)
    try:
        with np.errstate(over="raise"):
            return nested.astype(np.float64).astype(target)
    except (OverflowError, FloatingPointError):
        raise invalid(
            f"{label}: a number cannot be converted to {target.name} without loss of precision"
        ) from None


def _bytes(leaf: str | dict[str, Any]) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode()
        except UnicodeEncodeError:
            raise invalid(f"JSON Value: {_shown(leaf)} has a lone surrogate") from None
    try:
        return base64.b64decode(leaf["b64"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise invalid(
            f"JSON Value: {_shown(leaf)} not formatted correctly for base64 data"
        ) from None


def _values(name: str, array: np.ndarray) -> Any:
    """The array as nested lists of what JSON has."""
    if array.dtype.kind not in _LEAVES:
        raise invalid(f"Output {name!r} is {array.dtype}, which has no form in JSON: use gRPC.")
    if array.dtype != object:
        return array.tolist()
    encode = _to_base64 if name.endswith(_BYTES_SUFFIX) else _to_text
    return np.vectorize(encode, otypes=[object])(array).tolist()


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _to_text(value: bytes) -> str:
    return value.decode(errors="replace")


def _shown(value: Any) -> str:
    """The value, shortened: lists of any size and depth cost nothing."""
    return _SHORT.repr(value)
