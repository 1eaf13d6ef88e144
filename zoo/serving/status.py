"""The one error of a request: a canonical code, as gRPC names it, and a message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
import tensorflow as tf

__all__ = ["FAILURE", "RequestError", "invalid", "shortened", "tensorflow_errors"]

_CODES = {code.value[0]: code for code in grpc.StatusCode}
FAILURE = "Internal error: {}"  # of a kind that nobody foresaw
_SHOWN_CHARACTERS = 500  # of a message, which may quote a request or a whole graph


class RequestError(Exception):
    """A request that is answered with an error. The server itself is fine.

    code: of gRPC; `zoo.serving.rest.HTTP_STATUS` has its number in HTTP.
    message: shown `shortened`.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(shortened(message))
        self.code = code


def shortened(message: str) -> str:
    """The message without lone surrogates, which UTF-8 has not, and not longer than one reads."""
    if len(message) > _SHOWN_CHARACTERS:
        message = message[: _SHOWN_CHARACTERS - 1] + "…"
    return message.encode(errors="backslashreplace").decode()


def invalid(message: str) -> RequestError:
    """An INVALID_ARGUMENT: the request is wrong, whatever the state of the server."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


@contextlib.contextmanager
def tensorflow_errors() -> Iterator[None]:
    """Errors of TensorFlow's runtime in the block become RequestErrors with the same code."""
    try:
        yield
    except tf.errors.OpError as error:
        # Python puts lines before the runtime's own message, which is what a server sends.
        message = error.message.rpartition("<stack traces unavailable>\n")[2]
        raise RequestError(_CODES[error.error_code], message) from error
