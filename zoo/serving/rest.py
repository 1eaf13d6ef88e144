"""TensorFlow Serving's REST interface, version 1.

    POST /v1/models/NAME[/versions/N]:predict     an answer, by `zoo.serving.json_tensors`
    GET  /v1/models/NAME[/versions/N]             the state of its versions
    GET  /v1/models/NAME[/versions/N]/metadata    its signatures

Errors are {"error": MESSAGE} with the status that the server gives them.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tensorflow_serving.apis import get_model_metadata_pb2

from zoo.serving import json_tensors, responses
from zoo.serving.pool import Pool
from zoo.serving.repository import Repository
from zoo.serving.status import FAILURE, RequestError, invalid, shortened

__all__ = [
    "HTTP_STATUS",
    "RefuseOtherVersions",
    "error_response",
    "handle_failure",
    "handle_http_exception",
    "routes",
]

HTTP_STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
TOO_SLOW = 408
TOO_LARGE = 413
VERSION_NOT_SUPPORTED = 505
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(_MODEL + r":(?P<method>classify|regress|predict)")
_STATUS = re.compile(_MODEL + r"(?P<metadata>/metadata)?")
_LARGEST_VERSION = 2**63 - 1
BODY_SECONDS = 60.0  # for a request's body to arrive


def routes(repository: Repository, pool: Pool, *, max_bytes: int) -> list[Route]:
    """The addresses below /v1. max_bytes: of a request's body."""

    async def answer(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read_body(request, max_bytes)
            if body is None:
                return error_response(TOO_LARGE, f"The request is larger than {max_bytes:,} bytes.")
            return await pool.run(_answer, repository, request.method, request.scope["path"], body)
        except TimeoutError:
            return error_response(TOO_SLOW, f"The request took more than {BODY_SECONDS:g} s.")
        except ClientDisconnect:
            return error_response(HTTP_STATUS[grpc.StatusCode.CANCELLED], "The client has gone.")
        except RequestError as error:
            return error_response(HTTP_STATUS[error.code], str(error))

    return [Route("/v1/{rest:path}", answer, methods=_METHODS)]


class RefuseOtherVersions:
    """Status 505 for a request of HTTP/2.0, 9.9, …, which the HTTP library reads as 1.1."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer, or the refusal."""
        version = scope.get("http_version", "1.1")
        answer = self._app
        if not version.startswith("1."):
            message = f"HTTP/{version} is not spoken here; use HTTP/1.1."
            answer = error_response(VERSION_NOT_SUPPORTED, message)
        await answer(scope, receive, send)


def error_response(status: int, message: str) -> JSONResponse:
    """TensorFlow Serving's body of an error."""
    return JSONResponse({"error": shortened(message)}, status_code=status)


async def handle_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own refusals (no such address, wrong method) in the same form."""
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    text = f"{error.detail}: {request.method} {request.scope['path']}"
    return error_response(error.status_code, text)


async def handle_failure(_: Request, error: Exception) -> Response:
    """An error that nobody foresaw; the framework logs it."""
    return error_response(500, FAILURE.format(type(error).__name__))


async def _read_body(request: Request, max_bytes: int) -> bytes | None:
    """The body, or None if it is too large: read to its end, so that the client hears so."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            chunks.clear()
        else:
            chunks.append(chunk)
    return None if size > max_bytes else b"".join(chunks)


def _answer(repository: Repository, method: str, path: str, body: bytes) -> Response:
    """The answer to a request; in a thread of the pool."""
    if method == "POST" and (match := _INFERENCE.fullmatch(path)):
        return _predict(repository, match, body)
    if method == "GET" and (match := _STATUS.fullmatch(path)):
        if match["metadata"]:
            return _metadata(repository, match)
        versions = repository.versions(match["name"], _version(match))
        if match["label"]:
            repository.get(match["name"], label=match["label"])
        return _json(responses.status(versions))
    raise invalid(f"Malformed request: {method} {path}")


def _predict(repository: Repository, match: re.Match[str], body: bytes) -> Response:
    method = match["method"].lower()
    if method != "predict":
        raise invalid(
            f"Expected {method} signature method_name to be tensorflow/serving/{method}. "
            "Was: tensorflow/serving/predict"
        )
    servable = repository.get(match["name"], _version(match), match["label"] or "")
    request = json_tensors.parse_request(body, servable.signature)
    outputs = servable.predict(request.signature, request.inputs)
    content = json_tensors.format_response(outputs, rows=request.rows)
    return Response(content, media_type="application/json")


def _metadata(repository: Repository, match: re.Match[str]) -> Response:
    servable = repository.get(match["name"], _version(match), match["label"] or "")
    response = responses.metadata(servable)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[responses.SIGNATURE_FIELD].Unpack(definitions)
    return JSONResponse(
        {
            "model_spec": _to_dict(response.model_spec),
            "metadata": {responses.SIGNATURE_FIELD: _to_dict(definitions)},
        }
    )


def _version(match: re.Match[str]) -> int | None:
    if not match["version"]:
        return None
    version = int(match["version"]) if len(match["version"]) < 20 else _LARGEST_VERSION + 1
    if version > _LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {match['version'][:40]} to numeric.")
    return version


def _json(message: Message) -> Response:
    return Response(json.dumps(_to_dict(message)), media_type="application/json")


def _to_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
