"""Malformed requests, generated from what `/metadata` says of a model's signatures.

Each kind breaks one thing of a request that is right otherwise.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

ROWS = 2
RIGHT = {"DT_UINT8": 7, "DT_INT32": 3, "DT_FLOAT": 0.5}
# Values that are not of the dtype; JSON text where Python has no such value.
WRONG: dict[str, dict[str, Any]] = {
    "DT_UINT8": {"fraction": 0.5, "whole-float": 1.0, "minus-one": -1, "256": 256},
    "DT_INT32": {"fraction": 0.5, "2^31": 2**31, "not-a-number": float("nan")},
    "DT_FLOAT": {"1e39": 1e39, "ten-to-400": 10**400},
}
WRONG_FOR_ALL = {
    "null": None,
    "true": True,
    "text": "1",
    "empty-text": "",
    "surrogate": "\ud800",
    "object": {"a": 1},
    "base64": {"b64": "AA=="},
    "empty-list": [],
}


@dataclasses.dataclass(frozen=True)
class Request:
    """A request that must be refused; `kind` names what is wrong with it."""

    kind: str
    path: str
    body: bytes
    method: str = "POST"


def inputs_of(metadata: dict[str, Any], *names: str) -> Iterator[Request]:
    """Every request with a malformed input of these signatures of a model."""
    name = metadata["model_spec"]["name"]
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    for signature in names:
        for kind, body in _bodies(signature, signatures[signature]["inputs"]):
            content = json.dumps(body).encode()
            yield Request(f"{name}-{signature}-{kind}", f"/v1/models/{name}:predict", content)


def texts_and_addresses_of(metadata: dict[str, Any]) -> Iterator[Request]:
    """Every request for a model with another body than inputs, or to another address."""
    name = metadata["model_spec"]["name"]
    path = f"/v1/models/{name}:predict"
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    right = _right(signatures["serving_default"]["inputs"])
    for kind, raw in _texts(right):
        yield Request(f"{name}-{kind}", path, raw)
    for kind, method, address in _addresses(name):
        yield Request(f"{name}-{kind}", address, json.dumps({"inputs": right}).encode(), method)


def _right(specs: dict[str, Any]) -> dict[str, Any]:
    """Columns that the signature takes."""
    return {
        key: _full([ROWS, *_row_shape(spec)], RIGHT[spec["dtype"]]) for key, spec in specs.items()
    }


def _row_shape(spec: dict[str, Any]) -> list[int]:
    return [int(dim["size"]) for dim in spec["tensor_shape"]["dim"]][1:]


def _full(shape: list[int], value: Any) -> Any:
    return [_full(shape[1:], value) for _ in range(shape[0])] if shape else value


def _bodies(signature: str, specs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind, body): wrong inputs, in columns and in rows."""
    right = _right(specs)

    def columns(inputs: Any) -> dict[str, Any]:
        return {"signature_name": signature, "inputs": inputs}

    def rows(inputs: dict[str, Any]) -> dict[str, Any]:
        instances = [
            {key: value[row] for key, value in inputs.items() if row < len(value)}
            for row in range(max(len(value) for value in inputs.values()))
        ]
        return {"signature_name": signature, "instances": instances}

    for key, spec in specs.items():
        for kind, inputs in _wrong_inputs(key, spec, right):
            yield f"columns-{key}-{kind}", columns(inputs)
            if inputs and isinstance(inputs.get(key, []), list):
                yield f"rows-{key}-{kind}", rows(inputs)
    yield "columns-extra", columns({**right, "y": [0.0, 0.0]})
    yield "rows-extra", rows({**right, "y": [0.0, 0.0]})
    yield "columns-empty", columns({})
    yield "rows-mixed", {**rows(right), "instances": [*rows(right)["instances"], [1.0]]}
    yield "rows-mixed-first", {**rows(right), "instances": [[1.0], *rows(right)["instances"]]}
    yield "rows-none", {**rows(right), "instances": []}
    yield "rows-null", {**rows(right), "instances": None}
    yield "rows-object", {**rows(right), "instances": right}
    yield "columns-null", columns(None)


def _wrong_inputs(
    key: str, spec: dict[str, Any], right: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "missing", {k: v for k, v in right.items() if k != key}
    yield "renamed", {**{k: v for k, v in right.items() if k != key}, key.upper(): right[key]}
    shapes: dict[str, Callable[[Any], Any]] = {
        "deeper": lambda value: [[item] for item in value],
        "wider": lambda value: [[*row, row] if isinstance(row, list) else [row] for row in value],
        "scalar": lambda value: _first_leaf(value),
        "no-rows": lambda value: value[:0],
        "ragged": lambda value: [value[0], [value[1]]],
        "too-many-rows": lambda value: value * 1000,
    }
    for kind, change in shapes.items():
        yield kind, {**right, key: change(right[key])}
    if len(right) > 1:
        yield "one-row-fewer", {**right, key: right[key][:-1]}
    for kind, value in {**WRONG[spec["dtype"]], **WRONG_FOR_ALL}.items():
        broken = copy.deepcopy(right)
        _set_last_leaf(broken[key], value)
        yield f"value-{kind}", broken


def _first_leaf(value: Any) -> Any:
    return _first_leaf(value[0]) if isinstance(value, list) else value


def _set_last_leaf(value: list[Any], leaf: Any) -> None:
    while isinstance(value[-1], list):
        value = value[-1]
    value[-1] = leaf


def _texts(right: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """(kind, body): not JSON, or not an object of a predict request."""
    good = json.dumps({"inputs": right})
    yield "empty", b""
    yield "spaces", b"   "
    yield "cut", good[:-2].encode()
    yield "twice", (good + good).encode()
    yield "single-quotes", good.replace('"', "'").encode()
    yield "trailing-comma", (good[:-1] + ",}").encode()
    yield "form", b"inputs=1&signature_name=log_prob"
    yield "xml", b"<inputs>1</inputs>"
    yield "binary", bytes(range(256))
    yield "not-utf-8", b'{"inputs": "\xff\xfe"}'
    yield "utf-16-cut", good.encode("utf-16")[:-1]
    yield "nul", b"\0"
    yield "deep-lists", b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    yield "deep-objects", b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    yield "deep-after-text", b'{"a": "\\\\", "inputs": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}"
    yield "open-text", b'{"inputs": "' + b'\\"' * 90_000
    yield "raw-surrogate", b'{"signature_name": "\xed\xa0\x80"}'
    yield "many-digits", b'{"inputs": ' + b"9" * 5000 + b"}"
    for kind, value in {
        "null": None,
        "true": True,
        "number": 1,
        "text": "inputs",
        "list": [right],
        "nothing": {},
        "both": {"inputs": right, "instances": [right]},
        "misspelt": {"input": right},
        "numeric-signature": {"signature_name": 1, "inputs": right},
        "null-signature": {"signature_name": None, "inputs": right},
        "list-signature": {"signature_name": ["log_prob"], "inputs": right},
        "surrogate-signature": {"signature_name": "\ud800", "inputs": right},
        "long-signature": {"signature_name": "a" * 50_000, "inputs": right},
        "surrogate-input": {"inputs": {"\udfff": [1.0]}},
        "long-input": {"inputs": {"a" * 50_000: [1.0]}},
        "unknown-signature": {"signature_name": "log_probs", "inputs": right},
        "initialisation": {"signature_name": "__saved_model_init_op", "inputs": right},
        "path-signature": {"signature_name": "../log_prob", "inputs": right},
    }.items():
        yield f"body-{kind}", json.dumps(value).encode()


def _addresses(name: str) -> Iterator[tuple[str, str, str]]:
    """(kind, method, path): no such model, version or method; folders in place of names."""
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        yield f"method-{method}", method, f"/v1/models/{name}:predict"
    for kind, inner in {
        "parent": "..",
        "parents": "../../../../etc",
        "absolute": "/etc",
        "version-folder": f"{name}/1",
        "dot": ".",
        "nul": f"{name}\0",
        "newline": f"{name}\n",
        "upper": name.upper(),
        "space": f" {name}",
        "wildcard": "*",
        "unicode": "модель",
        "long": "a" * 4000,
        "template": "{{7*7}}",
    }.items():
        yield f"name-{kind}", "POST", f"/v1/models/{quote(inner, safe='')}:predict"
        yield f"status-{kind}", "GET", f"/v1/models/{quote(inner, safe='')}"
    for version in ("0", "999", "-1", "1.0", "01x", "1e3", "latest", "9" * 30, "", "1/2", "١"):
        inner = quote(version, safe="")
        yield f"version-{version}", "POST", f"/v1/models/{name}/versions/{inner}:predict"
        yield f"status-version-{version}", "GET", f"/v1/models/{name}/versions/{inner}"
    for kind, path in {
        "verb": f"/v1/models/{name}:predictt",
        "no-verb": f"/v1/models/{name}",
        "no-name": "/v1/models/:predict",
        "no-models": "/v1/",
        "plural": f"/v1/model/{name}:predict",
        "query-in-path": f"/v1/models/{name}:predict%3Fa=1",
        "slash-at-end": f"/v1/models/{name}:predict/",
        "other-version-of-the-interface": f"/v2/models/{name}:predict",
        "label": f"/v1/models/{name}/labels/stable:predict",
        "classify": f"/v1/models/{name}:classify",
        "regress": f"/v1/models/{name}:regress",
        "script": "/ui/page.js",
        "page": "/",
    }.items():
        yield f"address-{kind}", "POST", path
