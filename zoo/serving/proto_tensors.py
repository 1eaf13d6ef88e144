"""Tensors in the messages of TensorFlow Serving: those of gRPC, and of warm-up requests."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from zoo.serving.servable import Servable, check_names, check_shape
from zoo.serving.status import invalid

__all__ = ["predict"]


def predict(
    servable: Servable, request: predict_pb2.PredictRequest, *, max_bytes: int
) -> predict_pb2.PredictResponse:
    """The answer to a request for this model.

    max_bytes: of an input, which a message may give as one value for all of its elements.
    Raises RequestError.
    """
    signature = servable.signature(request.model_spec.signature_name)
    check_names(signature, request.inputs)
    inputs = {
        name: _array(
            name, tensor, signature.inputs[name], max_rows=servable.max_rows, max_bytes=max_bytes
        )
        for name, tensor in request.inputs.items()
    }
    outputs = servable.predict(signature, inputs, request.output_filter)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = signature.name
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    return response


def _array(
    name: str,
    tensor: tensor_pb2.TensorProto,
    spec: tf.TensorSpec,
    *,
    max_rows: int,
    max_bytes: int,
) -> np.ndarray:
    """The message's array; dtype and shape are checked before memory is asked for."""
    if tensor.dtype != spec.dtype.as_datatype_enum:
        raise invalid(f"Expects arg[{name}] to be {spec.dtype.name} but got {_name(tensor)}")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"Input {name!r} has no complete shape")
    check_shape(name, shape, spec, max_rows=max_rows)
    size = math.prod(shape) * np.dtype(spec.dtype.as_numpy_dtype).itemsize
    if size > max_bytes:
        raise invalid(f"Input {name!r} is larger than {max_bytes:,} bytes: it has {size:,}")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError, OverflowError) as error:  # the last: a value beyond the dtype's
        raise invalid(f"Input {name!r} is no valid TensorProto: {error}") from error


def _name(tensor: tensor_pb2.TensorProto) -> str:
    try:
        return tf.as_dtype(tensor.dtype).name
    except TypeError:
        return f"dtype {tensor.dtype}"
