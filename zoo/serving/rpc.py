"""gRPC: TensorFlow Serving's PredictionService and ModelService, on its own messages.

Predict, GetModelMetadata and GetModelStatus; the other methods answer UNIMPLEMENTED.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from zoo.serving import responses
from zoo.serving.pool import Pool
from zoo.serving.repository import Repository
from zoo.serving.servable import Servable, check_names, check_shape
from zoo.serving.status import RequestError, invalid

__all__ = ["create_server"]

Request = TypeVar("Request")
Response = TypeVar("Response")


def create_server(repository: Repository, pool: Pool, *, max_bytes: int) -> grpc.aio.Server:
    """A server with both services; inside a running event loop. max_bytes: of a request."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.so_reuseport", 0),  # another server's port is taken, not shared
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(repository, pool), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _ModelService(repository, pool), server
    )
    return server


class _Service:
    def __init__(self, repository: Repository, pool: Pool) -> None:
        self._repository = repository
        self._pool = pool

    async def _answer(
        self,
        function: Callable[[Repository, Request], Response],
        request: Request,
        context: grpc.aio.ServicerContext[Request, Response],
    ) -> Response:
        """The function's answer, from a thread of the pool; its RequestError ends the call."""
        try:
            return await self._pool.run(function, self._repository, request)
        except RequestError as error:
            await context.abort(error.code, str(error))
            raise  # never reached: abort raises


class _PredictionService(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        return await self._answer(_predict, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(_metadata, request, context)


class _ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(_status, request, context)


def _predict(
    repository: Repository, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    servable = _find(repository, request)
    signature = servable.signature(request.model_spec.signature_name)
    check_names(signature, request.inputs)
    inputs = {
        name: _array(name, tensor, signature.inputs[name], max_rows=servable.max_rows)
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


def _metadata(
    repository: Repository, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    servable = _find(repository, request)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != responses.SIGNATURE_FIELD:
            raise invalid(f"Metadata field {field} is not supported")
    return responses.metadata(servable)


def _status(
    repository: Repository, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    spec = _model_spec(request)
    if spec.version_label:
        repository.get(spec.name, label=spec.version_label)
    return responses.status(repository.versions(spec.name, _version(spec)))


def _find(repository: Repository, request: Any) -> Servable:
    spec = _model_spec(request)
    return repository.get(spec.name, _version(spec), spec.version_label)


def _model_spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _version(spec: model_pb2.ModelSpec) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _array(
    name: str, tensor: tensor_pb2.TensorProto, spec: tf.TensorSpec, *, max_rows: int
) -> np.ndarray:
    """The message's array; dtype and shape are checked before memory is asked for."""
    if tensor.dtype != spec.dtype.as_datatype_enum:
        raise invalid(f"Expects arg[{name}] to be {spec.dtype.name} but got {_name(tensor)}")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"Input {name!r} has no complete shape")
    check_shape(name, shape, spec, max_rows=max_rows)
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise invalid(f"Input {name!r} is no valid TensorProto: {error}") from error


def _name(tensor: tensor_pb2.TensorProto) -> str:
    try:
        return tf.as_dtype(tensor.dtype).name
    except TypeError:
        return f"dtype {tensor.dtype}"
