"""gRPC: TensorFlow Serving's PredictionService and ModelService, on its own messages.

Predict, GetModelMetadata and GetModelStatus; the other methods answer UNIMPLEMENTED.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from zoo.serving import proto_tensors, responses
from zoo.serving.pool import Pool
from zoo.serving.repository import Repository
from zoo.serving.servable import Servable
from zoo.serving.status import FAILURE, RequestError, invalid

__all__ = ["create_server"]

_LOGGER = logging.getLogger(__name__)

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
        _PredictionService(repository, pool, max_bytes), server
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
        except Exception as error:  # that nobody foresaw
            _LOGGER.exception("A request failed.")
            text = FAILURE.format(type(error).__name__)
            await context.abort(grpc.StatusCode.INTERNAL, text)
            raise


class _PredictionService(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, repository: Repository, pool: Pool, max_bytes: int) -> None:
        super().__init__(repository, pool)
        self._predict = functools.partial(_predict, max_bytes=max_bytes)

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        return await self._answer(self._predict, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(_metadata, request, context)


class _ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(_status, request, context)


def _predict(
    repository: Repository, request: predict_pb2.PredictRequest, *, max_bytes: int
) -> predict_pb2.PredictResponse:
    return proto_tensors.predict(_find(repository, request), request, max_bytes=max_bytes)


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
