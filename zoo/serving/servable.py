"""One version of one model: a SavedModel, its signatures, and inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from zoo.errors import ServingError
from zoo.serving.status import RequestError, invalid, tensorflow_errors

__all__ = ["DEFAULT_SIGNATURE", "Servable", "Signature", "check_names", "check_shape"]

DEFAULT_SIGNATURE = "serving_default"
SERVING_TAG = "serve"


@dataclass(frozen=True)
class Signature:
    """Names, dtypes and shapes of a signature's inputs and outputs, as the SavedModel has them."""

    name: str
    inputs: Mapping[str, tf.TensorSpec]
    outputs: Mapping[str, tf.TensorSpec]


class Servable:
    """A loaded SavedModel.

    name, version: as in the address of a request.
    folder: holds saved_model.pb.
    max_rows: the most rows that a request may have, as a server's `max_batch_size`.

    Raises ServingError if TensorFlow cannot load the folder, or if it has no signature.
    """

    def __init__(self, name: str, version: int, folder: Path, *, max_rows: int) -> None:
        self.name = name
        self.version = version
        self.folder = folder
        self.max_rows = max_rows
        self.definitions = _read_definitions(folder)
        self.signatures = {
            key: Signature(key, _specs(value.inputs), _specs(value.outputs))
            for key, value in sorted(self.definitions.items())
            if value.method_name
        }
        if not self.signatures:
            raise ServingError(f"{folder} has no signature to serve: export the model again.")
        try:
            # Holds the variables, which the functions alone refer to weakly.
            self._loaded: Any = tf.saved_model.load(str(folder), tags=[SERVING_TAG])
        except (tf.errors.OpError, OSError, ValueError) as error:
            raise _unloadable(folder, error) from error
        self._functions = {key: self._loaded.signatures[key] for key in self.signatures}

    def signature(self, name: str) -> Signature:
        """The signature of that name, or the default one for "". Raises RequestError."""
        key = name or DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{key}" not found. {self.name} has: '
                f"{', '.join(self.signatures)}.",
            )
        return self.signatures[key]

    def predict(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        output_names: Iterable[str] = (),
    ) -> dict[str, np.ndarray]:
        """Runs a signature; from any thread.

        inputs: an array for each of the signature's inputs, of its dtype.
        output_names: of the outputs that are wanted; all of them if empty.
        Raises RequestError if names, dtypes, shapes or the number of rows are wrong, or if the
        graph itself refuses the values.
        """
        names = _wanted(signature, list(output_names))
        self._check(signature, inputs)
        with tensorflow_errors():
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            outputs = self._functions[signature.name](**tensors)
            return {name: _to_array(outputs[name]) for name in names}

    def _check(self, signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
        check_names(signature, inputs)
        for name, array in inputs.items():
            spec = signature.inputs[name]
            if array.dtype != spec.dtype.as_numpy_dtype:
                raise invalid(f"Expects arg[{name}] to be {spec.dtype.name} but got {array.dtype}")
            check_shape(name, array.shape, spec, max_rows=self.max_rows)
        rows = {
            name: array.shape[0]
            for name, array in inputs.items()
            if _is_batched(signature.inputs[name])
        }
        if len(set(rows.values())) > 1:
            raise invalid(f"Inputs must have the same number of rows; got {rows}")


def check_names(signature: Signature, given: Iterable[str]) -> None:
    """Raises RequestError unless the names given are those of the signature's inputs."""
    sent, expected = set(given), set(signature.inputs)
    if sent != expected:
        raise invalid(
            f"Inputs do not match signature {signature.name!r}, which takes {_set(expected)}. "
            f"Sent extra: {_set(sent - expected)}. "
            f"Missing but required: {_set(expected - sent)}."
        )


def check_shape(name: str, shape: Iterable[int], spec: tf.TensorSpec, *, max_rows: int) -> None:
    """Raises RequestError unless the shape is one of the spec's, with 1 to max_rows rows."""
    got = tuple(shape)
    if not spec.shape.is_compatible_with(got):
        raise invalid(f"Input {name!r} expects shape {_text(spec.shape)}; got {_text(got)}")
    if not _is_batched(spec):
        return
    if got[0] == 0:
        raise invalid(f"Input {name!r} has no rows; it expects shape {_text(spec.shape)}")
    if got[0] > max_rows:
        raise invalid(
            f"Task size {got[0]} is larger than maximum input batch size {max_rows}: "
            "send fewer rows at a time."
        )


def _wanted(signature: Signature, names: list[str]) -> list[str]:
    unknown = sorted(set(names) - set(signature.outputs))
    if unknown:
        raise invalid(
            f"output tensor alias not found in signature: {unknown[0]} "
            f"Outputs expected to be in the set {_set(signature.outputs)}."
        )
    if len(set(names)) < len(names):
        raise invalid(f"duplicate output tensor alias in {names}")
    return names or list(signature.outputs)


def _to_array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.numpy(), dtype=tensor.dtype.as_numpy_dtype)


def _is_batched(spec: tf.TensorSpec) -> bool:
    return bool(spec.shape.rank) and spec.shape[0] is None


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _text(shape: Iterable[int | None]) -> str:
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"


def _specs(tensors: Mapping[str, meta_graph_pb2.TensorInfo]) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype, name)
        for name, info in sorted(tensors.items())
    }


def _read_definitions(folder: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The signature definitions of the graph that is tagged for serving."""
    path = folder / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, or an OSError
        raise _unloadable(folder, error) from error
    for graph in saved.meta_graphs:
        if SERVING_TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ServingError(f"{path} has no graph with the tag {SERVING_TAG!r}: export the model again.")


def _unloadable(folder: Path, error: Exception) -> ServingError:
    return ServingError(
        f"TensorFlow cannot load {folder} as a SavedModel: {error}. Export the model again."
    )
