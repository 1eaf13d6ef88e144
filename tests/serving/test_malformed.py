"""Malformed requests are refused with a message, and the server goes on answering."""

from __future__ import annotations

import json
import socket
from typing import Any

import malformed
import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_server import Running

from zoo.core import nesting
from zoo.serving import json_tensors, repository
from zoo.serving.servable import Servable
from zoo.serving.status import RequestError

TIMEOUT = 30


@pytest.fixture(scope="module")
def session() -> Any:
    with requests.Session() as session:
        yield session


def assert_answers(running: Running, session: requests.Session) -> None:
    url = running.predict_url("tiny_features")
    response = session.post(url, json={"instances": [[0.0] * 5]}, timeout=TIMEOUT)
    assert response.status_code == 200, response.text


# Between them inputs of every dtype and rank; bodies and addresses hang on no model.
@pytest.mark.parametrize(
    ("model", "malformed_of"),
    [
        ("tiny_images", lambda found: malformed.inputs_of(found, "serving_default", "decode")),
        ("tiny_labels", lambda found: malformed.inputs_of(found, "sample")),
        ("tiny_labels", malformed.texts_and_addresses_of),
    ],
    ids=["arrays", "draws", "texts-and-addresses"],
)
def test_every_kind_is_refused(
    model: str, malformed_of: Any, running: Running, session: requests.Session
) -> None:
    metadata = session.get(running.url(f"/v1/models/{model}/metadata"), timeout=TIMEOUT).json()
    kinds = list(malformed_of(metadata))
    assert len({request.kind for request in kinds}) == len(kinds) >= 70
    wrong = []
    for request in kinds:
        response = session.request(
            request.method, running.url(request.path), data=request.body, timeout=TIMEOUT
        )
        try:
            message = response.json()["error"]
        except (ValueError, KeyError, TypeError):
            message = ""
        if not (
            400 <= response.status_code < 500
            and isinstance(message, str)
            and 0 < len(message) <= 500
        ):
            wrong.append((request.kind, response.status_code, response.text[:200]))
    assert wrong == []
    assert_answers(running, session)


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/models/adder:predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/models/adder:predict HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/models/adder:predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a TLS handshake
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(10),
)
def test_what_is_no_http_does_no_harm(
    raw: bytes, running: Running, session: requests.Session
) -> None:
    host, port = running.addresses.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as client:
        try:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(100)
        except TimeoutError:
            raise
        except OSError:  # the server has hung up, which any of the three may be the first to see
            answer = b""
    other_version = b"HTTP/9.9" in raw or b"HTTP/2.0" in raw
    refusal = b"HTTP/1.1 505" if other_version else b"HTTP/1.1 4"
    assert answer == b"" or answer.startswith(refusal)
    assert_answers(running, session)


@pytest.mark.parametrize("path", ["/", "/v1/models/adder"])
def test_other_versions_of_http_are_named(path: str, running: Running) -> None:
    host, port = running.addresses.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as client:
        client.sendall(f"GET {path} HTTP/2.3\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 505")
    assert b"HTTP/2.3 is not spoken here; use HTTP/1.1." in answer


@pytest.mark.parametrize(
    ("body", "depth"),
    [
        (rb'{"inputs": [[1], [[2]]]}', 4),
        (rb'{"[[[": "]{[\\"[[", "a": "\\\\", "b": [{}]}', 3),
        (rb'["\\\\\"", "[[["]', 1),
        ('["☃[[", {}]'.encode(), 2),
        (b"[[[", 3),
        (b'["[[[', 1),
        (b'["[\\', 1),
        (b"1", 0),
    ],
    ids=range(8),
)
def test_depth_is_that_of_brackets_outside_text(body: bytes, depth: int) -> None:
    assert nesting.depth(body) == depth


def test_a_text_that_is_no_unicode(servables: list[Servable]) -> None:
    body = rb'{"signature_name": "strings", "inputs": ["\ud800"]}'
    with pytest.raises(RequestError, match="has a lone surrogate"):
        json_tensors.parse_request(body, servables[1].signature)
    pair = rb'{"signature_name": "strings", "inputs": ["\ud83d\ude00"]}'
    request = json_tensors.parse_request(pair, servables[1].signature)
    assert request.inputs["text"].tolist() == ["😀".encode()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
INPUT_NAMES = st.sampled_from(["x", "z", "seed", "temperature", "context", "b64", "b", "i", "u"])
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(["log_prob", "sample", "strings", "kinds", "uneven"])
        | JSON,
        "instances": st.lists(st.dictionaries(INPUT_NAMES, JSON, max_size=3), max_size=3) | JSON,
        "inputs": st.dictionaries(INPUT_NAMES, JSON, max_size=3) | JSON,
    },
)


@pytest.fixture(scope="module")
def servables(exported: Any) -> list[Servable]:
    path, _ = exported
    names = ("tiny_labels", "probe")
    found = repository.Repository({name: path / name for name in names}, max_rows=64)
    return [found.get(name) for name in names]


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=BODIES | JSON)
def test_any_json_is_answered_or_refused(body: Any, servables: list[Servable]) -> None:
    """Whatever is parsed has the signature's dtypes; the model takes it, or says why not."""
    for servable in servables:
        try:
            request = json_tensors.parse_request(json.dumps(body).encode(), servable.signature)
            outputs = servable.predict(request.signature, request.inputs)
            content = json_tensors.format_response(outputs, rows=request.rows)
        except RequestError:
            continue
        assert set(json.loads(content)) == {"predictions" if request.rows else "outputs"}
        for name, spec in request.signature.inputs.items():
            assert request.inputs[name].dtype == spec.dtype.as_numpy_dtype


@settings(deadline=None, max_examples=100)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused(raw: bytes, servables: list[Servable]) -> None:
    with pytest.raises(RequestError):
        json_tensors.parse_request(raw, servables[0].signature)


@settings(deadline=None, max_examples=100)
@given(
    values=st.lists(st.floats(width=32) | st.integers(-(2**24), 2**24), min_size=1, max_size=5),
    rows=st.booleans(),
)
def test_floats_survive_the_round_trip(
    values: list[float], rows: bool, servables: list[Servable]
) -> None:
    probe = servables[1]
    body = {"signature_name": "uneven", "instances" if rows else "inputs": [values, values]}
    request = json_tensors.parse_request(json.dumps(body).encode(), probe.signature)
    expected = np.array([values, values], np.float32)
    np.testing.assert_array_equal(request.inputs["x"], expected)
    content = json_tensors.format_response(request.inputs, rows=rows)
    back = json.loads(content)["predictions" if rows else "outputs"]
    np.testing.assert_array_equal(np.array(back, np.float32), expected)
