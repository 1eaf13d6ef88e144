"""gRPC on TensorFlow Serving's own messages and stubs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from live_server import MAX_BYTES, MAX_ROWS, Running
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

TIMEOUT = 30


@pytest.fixture(scope="module")
def stubs(running: Running) -> Iterator[SimpleNamespace]:
    with grpc.insecure_channel(running.addresses.grpc) as channel:
        yield SimpleNamespace(
            prediction=prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model=model_service_pb2_grpc.ModelServiceStub(channel),
        )


def predict_request(
    name: str, signature: str = "", version: int | None = None, **inputs: Any
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request


def outputs(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def refused(method: Any, request: Any, code: grpc.StatusCode) -> str:
    with pytest.raises(grpc.RpcError) as error:
        method(request, timeout=TIMEOUT)
    assert error.value.code() == code, error.value
    return error.value.details()


class TestPredict:
    def test_answers_as_the_model(
        self, running: Running, stubs: SimpleNamespace, rng: np.random.Generator
    ) -> None:
        images = rng.integers(0, 256, [3, 4, 4, 1], dtype=np.uint8)
        request = predict_request("tiny_images", x=images)
        response = stubs.prediction.Predict(request, timeout=TIMEOUT)
        assert response.model_spec.name == "tiny_images"
        assert response.model_spec.version.value == 1
        assert response.model_spec.signature_name == "serving_default"
        expected = running.models["tiny_images"].log_prob(images)
        np.testing.assert_allclose(outputs(response)["log_prob"], expected, rtol=1e-5)

    def test_every_dtype_comes_back(self, stubs: SimpleNamespace) -> None:
        values = {"b": [True], "i": np.array([[2**60, -1]]), "u": np.array([2**63], np.uint64)}
        found = outputs(stubs.prediction.Predict(predict_request("probe", "kinds", **values)))
        assert found["i"].tolist() == [[-(2**60), 1]]
        assert found["u"].tolist() == [2**63]
        brain = tf.constant([[1.5]], tf.bfloat16)
        answer = stubs.prediction.Predict(
            predict_request("probe", "brain", x=tf.make_tensor_proto(brain.numpy()))
        )
        assert outputs(answer)["x"].astype(float).tolist() == [[1.5]]

    def test_versions(self, stubs: SimpleNamespace) -> None:
        for version, expected in ((None, 10.0), (10, 10.0), (1, 1.0)):
            request = predict_request("adder", version=version, x=np.zeros(1, np.float32))
            response = stubs.prediction.Predict(request, timeout=TIMEOUT)
            assert outputs(response)["y"].tolist() == [expected]
            assert response.model_spec.version.value == (version or 10)

    def test_only_the_outputs_that_are_asked_for(self, stubs: SimpleNamespace) -> None:
        request = predict_request("tiny_features", x=np.zeros([1, 5], np.float32))
        request.output_filter.append("bits_per_dim")
        assert set(outputs(stubs.prediction.Predict(request))) == {"bits_per_dim"}

    def test_a_value_for_all_elements(self, stubs: SimpleNamespace) -> None:
        """A TensorProto may give the last value once for all that follow."""
        tensor = tf.make_tensor_proto(1.0, shape=[3])
        request = predict_request("adder", x=tensor)
        assert outputs(stubs.prediction.Predict(request))["y"].tolist() == [11.0] * 3


def tensor_proto(**fields: Any) -> Any:
    tensor = tf.make_tensor_proto(np.zeros(2, np.float32))
    for key, value in fields.items():
        if key == "shape":
            tensor.tensor_shape.Clear()
            for size in value:
                tensor.tensor_shape.dim.add().size = size
        else:
            setattr(tensor, key, value)
    return tensor


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_", "code", "message"),
        [
            (predict_request("", x=0.0), "INVALID_ARGUMENT", "has no name"),
            (predict_request("nobody", x=0.0), "NOT_FOUND", r"Latest(nobody)"),
            (predict_request("../adder", x=0.0), "NOT_FOUND", r"Latest(../adder)"),
            (predict_request("adder", version=2, x=0.0), "NOT_FOUND", "Specific(adder, 2)"),
            (predict_request("adder", version=-1, x=0.0), "NOT_FOUND", "Specific(adder, -1)"),
            (predict_request("adder", "none", x=0.0), "FAILED_PRECONDITION", 'key "none" not'),
            (predict_request("adder"), "INVALID_ARGUMENT", "Missing but required: {x}"),
            (predict_request("adder", x=[0.0], y=[0.0]), "INVALID_ARGUMENT", "extra: {y}"),
            (predict_request("adder", x=[1]), "INVALID_ARGUMENT", "be float32 but got int32"),
            (predict_request("adder", x=[[0.0]]), "INVALID_ARGUMENT", "shape [?]; got [1,1]"),
            (predict_request("adder", x=0.0), "INVALID_ARGUMENT", "shape [?]; got []"),
            (
                predict_request("adder", x=np.zeros(0, np.float32)),
                "INVALID_ARGUMENT",
                "has no rows",
            ),
            (
                predict_request("adder", x=np.zeros(MAX_ROWS + 1, np.float32)),
                "INVALID_ARGUMENT",
                "larger than maximum input batch size",
            ),
            (
                predict_request("probe", "positive", x=np.array([-1.0], np.float32)),
                "INVALID_ARGUMENT",
                "x must be positive",
            ),
        ],
        ids=range(14),
    )
    def test_of_a_predict_request(
        self, request_: Any, code: str, message: str, stubs: SimpleNamespace
    ) -> None:
        text = refused(stubs.prediction.Predict, request_, grpc.StatusCode[code])
        assert message in text

    @pytest.mark.parametrize(
        "fields",
        [
            {"shape": [2**40]},  # a memory bomb
            {"shape": [2**31, 2**31]},
            {"shape": [-1]},
            {"shape": []},
            {"dtype": 0},
            {"dtype": 9999},
            {"dtype": tf.string.as_datatype_enum},
            {"tensor_content": b"\0" * 5},
            {"tensor_content": b"\0" * 80},
        ],
        ids=str,
    )
    def test_of_a_broken_tensor(self, fields: dict[str, Any], stubs: SimpleNamespace) -> None:
        request = predict_request("adder", x=tensor_proto(**fields))
        assert refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)

    @pytest.mark.parametrize("value", [-1, 256, 2**31 - 1])
    def test_of_grey_levels_that_are_none(self, value: int, stubs: SimpleNamespace) -> None:
        tensor = tf.make_tensor_proto(np.zeros([1, 4, 4, 1], np.uint8))
        tensor.tensor_content = b""
        tensor.int_val.extend([7] * 15 + [value])
        request = predict_request("tiny_images", x=tensor)
        text = refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert "out of bounds for uint8" in text

    def test_of_one_value_for_more_elements_than_fit(self, stubs: SimpleNamespace) -> None:
        tensor = tensor_proto(shape=[1, 2**40], tensor_content=b"")
        tensor.float_val.append(1.0)
        request = predict_request("probe", "uneven", x=tensor)
        text = refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert text.startswith(f"Input 'x' is larger than {MAX_BYTES:,} bytes")

    def test_messages_are_short(self, stubs: SimpleNamespace) -> None:
        text = refused(
            stubs.prediction.Predict, predict_request("é" * 9000), grpc.StatusCode.NOT_FOUND
        )
        assert len(text) == 500

    def test_of_a_shape_of_unknown_rank(self, stubs: SimpleNamespace) -> None:
        tensor = tensor_proto()
        tensor.tensor_shape.unknown_rank = True
        request = predict_request("adder", x=tensor)
        text = refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert "no complete shape" in text

    def test_of_rows_that_differ(self, stubs: SimpleNamespace) -> None:
        request = predict_request(
            "tiny_labels",
            x=np.zeros([2, 3], np.float32),
            context=np.zeros(3, np.int32),
        )
        text = refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert "same number of rows" in text

    def test_of_outputs(self, stubs: SimpleNamespace) -> None:
        request = predict_request("adder", x=np.zeros(1, np.float32))
        request.output_filter.extend(["y", "y"])
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert "duplicate output" in refused(stubs.prediction.Predict, request, invalid)
        request.output_filter[1] = "z"
        assert "alias not found" in refused(stubs.prediction.Predict, request, invalid)

    def test_of_a_label(self, stubs: SimpleNamespace) -> None:
        request = predict_request("adder", x=[0.0])
        request.model_spec.version_label = "stable"
        text = refused(stubs.prediction.Predict, request, grpc.StatusCode.INVALID_ARGUMENT)
        assert text == "Unrecognized servable version label: stable"

    def test_of_a_message_that_is_too_large(self, stubs: SimpleNamespace) -> None:
        request = predict_request("adder", x=np.zeros(MAX_BYTES // 4 + 1, np.float32))
        refused(stubs.prediction.Predict, request, grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_of_a_message_without_a_model(self, stubs: SimpleNamespace) -> None:
        empty = predict_pb2.PredictRequest()
        text = refused(stubs.prediction.Predict, empty, grpc.StatusCode.INVALID_ARGUMENT)
        assert text == "Missing ModelSpec"

    def test_of_other_methods(self, stubs: SimpleNamespace) -> None:
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        refused(
            stubs.prediction.Classify, classification_pb2.ClassificationRequest(), unimplemented
        )
        reload = model_management_pb2.ReloadConfigRequest()
        refused(stubs.model.HandleReloadConfigRequest, reload, unimplemented)


class TestMetadata:
    def request(self, *fields: str) -> get_model_metadata_pb2.GetModelMetadataRequest:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = "tiny_images"
        return request

    def test_has_the_signatures(self, stubs: SimpleNamespace) -> None:
        response = stubs.prediction.GetModelMetadata(self.request("signature_def"))
        definitions = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(definitions)
        x = definitions.signature_def["serving_default"].inputs["x"]
        assert x.dtype == tf.uint8.as_datatype_enum
        assert response.model_spec.version.value == 1

    def test_refusals(self, stubs: SimpleNamespace) -> None:
        method, invalid = stubs.prediction.GetModelMetadata, grpc.StatusCode.INVALID_ARGUMENT
        assert "at least one metadata_field" in refused(method, self.request(), invalid)
        text = refused(method, self.request("weights"), invalid)
        assert text == "Metadata field weights is not supported"


class TestStatus:
    def status(
        self, stubs: SimpleNamespace, name: str, version: int | None = None
    ) -> list[tuple[int, int]]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        response = stubs.model.GetModelStatus(request, timeout=TIMEOUT)
        return [(entry.version, entry.state) for entry in response.model_version_status]

    def test_of_versions(self, stubs: SimpleNamespace) -> None:
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        assert self.status(stubs, "adder") == [(10, available), (1, available)]
        assert self.status(stubs, "adder", 1) == [(1, available)]

    def test_of_what_is_unknown(self, stubs: SimpleNamespace) -> None:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "nobody"
        refused(stubs.model.GetModelStatus, request, grpc.StatusCode.NOT_FOUND)
        request.model_spec.name = "adder"
        request.model_spec.version_label = "stable"
        refused(stubs.model.GetModelStatus, request, grpc.StatusCode.INVALID_ARGUMENT)
