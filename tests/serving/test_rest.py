"""REST by what TensorFlow Serving documents: formats, versions, status, metadata, errors."""

from __future__ import annotations

import concurrent.futures
import json
import math
import socket
from typing import Any

import numpy as np
import pytest
import requests
from live_server import MAX_BYTES, MAX_ROWS, Running

TIMEOUT = 30


def post(url: str, body: Any) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=data, timeout=TIMEOUT)


def answer(url: str, body: Any) -> dict[str, Any]:
    response = post(url, body)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.content)


def refused(response: requests.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    return body["error"]


class TestPredict:
    """The zoo's exports answer as the Keras models do."""

    @pytest.fixture
    def images(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 256, [3, 4, 4, 1], dtype=np.uint8)

    def test_rows_of_one_input_need_no_name(self, running: Running, images: np.ndarray) -> None:
        url = running.predict_url("tiny_images")
        plain = answer(url, {"instances": images.tolist()})
        named = answer(url, {"instances": [{"x": image} for image in images.tolist()]})
        assert plain == named
        assert [row.keys() for row in plain["predictions"]] == [{"log_prob", "bits_per_dim"}] * 3
        nats = [row["log_prob"] for row in plain["predictions"]]
        expected = running.models["tiny_images"].log_prob(images)
        np.testing.assert_allclose(nats, expected, rtol=1e-5)

    def test_columns(self, running: Running, images: np.ndarray) -> None:
        url = running.predict_url("tiny_images")
        plain = answer(url, {"inputs": images.tolist()})
        named = answer(url, {"signature_name": "log_prob", "inputs": {"x": images.tolist()}})
        assert plain == named
        expected = running.models["tiny_images"].bits_per_dim(images)
        np.testing.assert_allclose(plain["outputs"]["bits_per_dim"], expected, rtol=1e-5)

    def test_a_single_output_has_no_name(self, running: Running, images: np.ndarray) -> None:
        url = running.predict_url("tiny_images")
        body = {"signature_name": "encode", "instances": images.tolist()}
        codes = answer(url, body)["predictions"]
        expected = running.models["tiny_images"].encode(images)
        np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-6)
        back = answer(url, {"signature_name": "decode", "inputs": codes})["outputs"]
        # A grey level is the floor of a float, which may lie on either side of an integer.
        np.testing.assert_allclose(back, images, atol=1)

    def test_several_inputs_and_a_context(self, running: Running) -> None:
        seeds, temperatures, labels = [[1, 2], [3, -4]], [1.0, 0.5], [0, 3]
        url = running.predict_url("tiny_labels", 1)
        columns = answer(
            url,
            {
                "signature_name": "sample",
                "inputs": {"seed": seeds, "temperature": temperatures, "context": labels},
            },
        )["outputs"]
        rows = [
            {"seed": s, "temperature": t, "context": c}
            for s, t, c in zip(seeds, temperatures, labels, strict=True)
        ]
        body = {"signature_name": "sample", "instances": rows[::-1]}
        reversed_rows = answer(url, body)["predictions"]
        np.testing.assert_allclose(columns, reversed_rows[::-1], rtol=1e-5)
        assert np.shape(columns) == (2, 3)

    def test_an_empty_signature_name_is_the_default_one(self, running: Running) -> None:
        body = {"signature_name": "", "inputs": [1.5]}
        assert answer(running.predict_url("adder"), body) == {"outputs": [11.5]}

    def test_other_keys_are_ignored(self, running: Running) -> None:
        body = {"instances": [1.5], "comment": None}
        assert answer(running.predict_url("adder"), body) == {"predictions": [11.5]}

    def test_not_a_number_passes_both_ways(self, running: Running) -> None:
        body = b'{"inputs": [NaN, Infinity, -Infinity, 1e-50, 2]}'
        values = answer(running.predict_url("adder", 1), body)["outputs"]
        assert math.isnan(values[0])
        assert values[1:] == [math.inf, -math.inf, 1.0, 3.0]

    def test_requests_at_the_same_time(self, running: Running) -> None:
        url = running.predict_url("adder")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            bodies = [{"instances": [float(i)]} for i in range(64)]
            answers = list(pool.map(lambda body: answer(url, body), bodies))
        assert answers == [{"predictions": [i + 10.0]} for i in range(64)]


class TestDtypes:
    """What the zoo's signatures do not have, other SavedModels may."""

    def predict(self, running: Running, signature: str, **body: Any) -> dict[str, Any]:
        return answer(running.predict_url("probe"), {"signature_name": signature, **body})

    def test_text_and_bytes(self, running: Running) -> None:
        for body in ({"instances": ["ü", {"b64": "/wA="}]}, {"inputs": ["ü", {"b64": "/wA="}]}):
            found = self.predict(running, "strings", **body)
            texts = found.get("outputs") or {
                key: [row[key] for row in found["predictions"]] for key in ("text", "text_bytes")
            }
            assert texts == {"text": ["ü", "�\0"], "text_bytes": [{"b64": "w7w="}, {"b64": "/wA="}]}

    def test_wide_integers_and_booleans(self, running: Running) -> None:
        inputs = {"b": [True, False], "i": [[2**53 + 1, 0], [-(2**62), 5]], "u": [2**64 - 1, 0]}
        expected = {"b": [False, True], "i": [[-(2**53) - 1, 0], [2**62, -5]], "u": inputs["u"]}
        assert self.predict(running, "kinds", inputs=inputs) == {"outputs": expected}

    def test_no_batch(self, running: Running) -> None:
        assert self.predict(running, "scalar", inputs=0.1) == {"outputs": 0.2}
        assert self.predict(running, "scalar", inputs={"x": 3}) == {"outputs": 6.0}

    def test_what_has_no_rows_cannot_be_rows(self, running: Running) -> None:
        url = running.predict_url("probe")
        body = {"signature_name": "uneven", "instances": [[1.0], [2.0]]}
        assert "Outputs of different lengths" in refused(post(url, body), 400)
        columns = self.predict(running, "uneven", inputs=[[1.0], [2.0]])
        assert columns == {"outputs": {"all": [[1.0], [2.0]], "twice": [[1], [2], [1], [2]]}}

    def test_what_has_no_form_in_json(self, running: Running) -> None:
        body = {"signature_name": "brain", "inputs": [[1.0]]}
        message = refused(post(running.predict_url("probe"), body), 400)
        assert message == "Input 'x' is bfloat16, which has no form in JSON: use gRPC."

    def test_the_graph_may_refuse_values(self, running: Running) -> None:
        body = {"signature_name": "positive", "inputs": [1.0, -1.0]}
        message = refused(post(running.predict_url("probe"), body), 400)
        assert message.startswith("assertion failed: [x must be positive]")


class TestVersions:
    def test_the_highest_answers(self, running: Running) -> None:
        assert answer(running.predict_url("adder"), {"inputs": [0.0]}) == {"outputs": [10.0]}
        assert answer(running.predict_url("adder", 1), {"inputs": [0.0]}) == {"outputs": [1.0]}

    def test_an_unknown_one(self, running: Running) -> None:
        message = refused(post(running.predict_url("adder", 2), {"inputs": [0.0]}), 404)
        assert message == "Servable not found for request: Specific(adder, 2)"

    def test_an_unknown_model(self, running: Running) -> None:
        message = refused(post(running.predict_url("adde"), {"inputs": [0.0]}), 404)
        assert message == "Servable not found for request: Latest(adde)"

    def test_one_that_is_no_int64(self, running: Running) -> None:
        message = refused(post(running.predict_url("adder", 2**63), {"inputs": [0.0]}), 400)
        assert message == f"Failed to convert version: {2**63} to numeric."

    @pytest.mark.parametrize("end", ["", ":predict"])
    def test_labels_are_unknown(self, end: str, running: Running) -> None:
        url = running.url(f"/v1/models/adder/labels/stable{end}")
        response = post(url, {"inputs": [0.0]}) if end else requests.get(url, timeout=TIMEOUT)
        assert refused(response, 400) == "Unrecognized servable version label: stable"


class TestStatus:
    def state(self, version: int) -> dict[str, Any]:
        status = {"error_code": "OK", "error_message": ""}
        return {"version": str(version), "state": "AVAILABLE", "status": status}

    def test_of_all_versions(self, running: Running) -> None:
        found = requests.get(running.url("/v1/models/adder"), timeout=TIMEOUT).json()
        assert found == {"model_version_status": [self.state(10), self.state(1)]}

    def test_of_one_version(self, running: Running) -> None:
        found = requests.get(running.url("/v1/models/adder/versions/1"), timeout=TIMEOUT).json()
        assert found == {"model_version_status": [self.state(1)]}

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("nobody", "Could not find any versions of model nobody"),
            ("adder/versions/7", "Could not find version 7 of model adder"),
        ],
    )
    def test_of_what_is_unknown(self, path: str, message: str, running: Running) -> None:
        response = requests.get(running.url(f"/v1/models/{path}"), timeout=TIMEOUT)
        assert refused(response, 404) == message


class TestMetadata:
    def get(self, running: Running, path: str) -> requests.Response:
        return requests.get(running.url(f"/v1/models/{path}/metadata"), timeout=TIMEOUT)

    def test_has_the_signatures(self, running: Running) -> None:
        found = self.get(running, "tiny_images").json()
        assert found["model_spec"]["name"] == "tiny_images"
        assert found["model_spec"]["version"] == "1"
        signatures = found["metadata"]["signature_def"]["signature_def"]
        assert {"serving_default", "log_prob", "encode", "decode", "sample"} <= set(signatures)
        x = signatures["log_prob"]["inputs"]["x"]
        assert x["dtype"] == "DT_UINT8"
        assert [dim["size"] for dim in x["tensor_shape"]["dim"]] == ["-1", "4", "4", "1"]
        assert signatures["sample"]["method_name"] == "tensorflow/serving/predict"

    def test_of_a_version(self, running: Running) -> None:
        assert self.get(running, "adder").json()["model_spec"]["version"] == "10"
        assert self.get(running, "adder/versions/1").json()["model_spec"]["version"] == "1"

    def test_of_what_is_unknown(self, running: Running) -> None:
        message = refused(self.get(running, "nobody"), 404)
        assert message == "Servable not found for request: Latest(nobody)"


class TestLimits:
    def body(self, size: int) -> bytes:
        start = b'{"inputs": [1.0]'
        return start + b" " * (size - len(start) - 1) + b"}"

    def test_the_largest_body(self, running: Running) -> None:
        url = running.predict_url("adder")
        assert answer(url, self.body(MAX_BYTES)) == {"outputs": [11.0]}
        message = refused(post(url, self.body(MAX_BYTES + 1)), 413)
        assert message == f"The request is larger than {MAX_BYTES:,} bytes."

    def test_a_body_of_unknown_length(self, running: Running) -> None:
        chunks = (b" " * 1000 for _ in range(MAX_BYTES // 1000 + 1))
        response = requests.post(running.predict_url("adder"), data=chunks, timeout=TIMEOUT)
        refused(response, 413)

    def test_the_most_rows(self, running: Running) -> None:
        url = running.predict_url("adder")
        assert len(answer(url, {"inputs": [0.0] * MAX_ROWS})["outputs"]) == MAX_ROWS
        message = refused(post(url, {"inputs": [0.0] * (MAX_ROWS + 1)}), 400)
        assert "larger than maximum input batch size 64" in message

    def test_a_client_that_goes_away(self, running: Running) -> None:
        host, port = running.addresses.rest.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as client:
            client.sendall(
                b"POST /v1/models/adder:predict HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
        assert answer(running.predict_url("adder"), {"inputs": [0.0]}) == {"outputs": [10.0]}


class TestOtherAddresses:
    @pytest.mark.parametrize("path", ["/v2/models/adder", "/models", "/ui/none.js"])
    def test_unknown(self, path: str, running: Running) -> None:
        response = requests.get(running.url(path), timeout=TIMEOUT)
        assert refused(response, 404) == f"Not Found: GET {path}"

    def test_the_wrong_method(self, running: Running) -> None:
        response = requests.post(running.url("/"), timeout=TIMEOUT)
        assert refused(response, 405) == "Method Not Allowed: POST /"

    @pytest.mark.parametrize("method", ["classify", "regress"])
    def test_other_inference_methods(self, method: str, running: Running) -> None:
        message = refused(post(running.url(f"/v1/models/adder:{method}"), {"inputs": [0.0]}), 400)
        assert message.startswith(f"Expected {method} signature method_name to be")
