"""Requests as a server's clients send them: warm-up, sound ones, and ones that are refused.

Through TensorFlow's C++ loader and session, without its Python.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from zoo.exporting.warmup import ROWS, WARMUP_FILE

VALUES = ("digits", "labels")  # whose families the laws of exports leave to this file
NAN, INFINITY = float("nan"), float("inf")

# (model, signature, inputs that are not those of the sound batch, the error's words)
REFUSED = {
    "floats for grey levels": ("digits", "log_prob", {"x": np.ones((3, 4, 4, 1), "f")}, "uint8"),
    "integers for features": ("labels", "encode", {"x": np.ones((3, 3), "int32")}, "float"),
    "floats for labels": ("labels", "decode", {"context": np.zeros(3, "f")}, "int32"),
    "doubles": ("labels", "decode", {"z": np.zeros((3, 3))}, "float"),
    "images of another size": (
        "digits",
        "log_prob",
        {"x": np.zeros((4, 2, 2, 1), "uint8")},
        r"\[4,2,2,1\] is not compatible with expected shape \[\?,4,4,1\]",
    ),
    "images without a channel": (
        "digits",
        "encode",
        {"x": np.zeros((3, 4, 4), "uint8")},
        r"\[3,4,4\] is not compatible",
    ),
    "one row without a batch": (
        "labels",
        "decode",
        {"z": np.zeros(3, "f")},
        r"\[3\] is not compat",
    ),
    "latents of another size": (
        "digits",
        "decode",
        {"z": np.zeros((3, 8), "f")},
        r"\[3,8\] is not compatible with expected shape \[\?,16\]",
    ),
    "seeds of one word": ("digits", "sample", {"seed": np.zeros((3, 1), "int32")}, r"\[3,1\]"),
    "NaN in features": (
        "labels",
        "log_prob",
        {"x": np.full((3, 3), NAN, "f")},
        "x must be finite numbers; got NaN or infinity",
    ),
    "infinity in latents": (
        "digits",
        "decode",
        {"z": np.full((3, 16), INFINITY, "f")},
        "z must be finite numbers",
    ),
    "NaN for a temperature": (
        "digits",
        "sample",
        {"temperature": np.array([1, NAN, 1], "f")},
        "temperature must be finite numbers",
    ),
    "a negative temperature": (
        "digits",
        "sample",
        {"temperature": np.array([1.0, -0.5, 0.7], "f")},
        r"temperature must be at least 0; got values from, to:\] \[-0\.5\] \[1\]",
    ),
    "a temperature beyond all": (
        "labels",
        "sample",
        {"temperature": np.array([1.0, 1.0, 2e6], "f")},
        r"temperature must be at most 1e\+06",
    ),
    "a label too large": (
        "labels",
        "log_prob",
        {"context": np.array([0, 1, 2], "int32")},
        r"context must be at most 1; got values from, to:\] \[0\] \[2\]",
    ),
    "a negative label": (
        "labels",
        "sample",
        {"context": np.array([0, -1, 1], "int32")},
        r"context must be at least 0",
    ),
    "fewer temperatures than seeds": (
        "digits",
        "sample",
        {"temperature": np.ones(1, "f")},
        r"seed and temperature must have one row each; got rows:\] \[3\] \[1\]",
    ),
    "more labels than rows": (
        "labels",
        "encode",
        {"context": np.zeros(4, "int32")},
        "x and context must have one row each",
    ),
}


def _warmup_requests(root: Path, name: str) -> list[tuple[str, dict[str, np.ndarray]]]:
    """(signature, inputs) of the file's records, read with the server's own protos."""
    found = []
    path = str(root / name / "2" / WARMUP_FILE)
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == name
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        found.append((request.model_spec.signature_name, inputs))
    return found


def _sound(name: str, signature: str, models: dict[str, Any], batches: dict[str, Any]) -> Any:
    declared = models[name].serving_signatures()[signature].inputs
    return {key: batches[name][key] for key in declared}


@pytest.fixture(scope="module")
def answers(
    root: Path, models: dict[str, Any], batches: dict[str, Any], tmp_path_factory: Any
) -> dict[str, Any]:
    """model -> request -> output -> array, of all requests of this module in one process."""
    requests: dict[str, dict[str, Any]] = {name: {} for name in models}
    for case, (name, signature, changes, _) in REFUSED.items():
        requests[name][f"{signature}:{case}"] = {
            **_sound(name, signature, models, batches),
            **changes,
        }
    for name, found in requests.items():
        for number, (signature, inputs) in enumerate(_warmup_requests(root, name)):
            found[f"{signature}:warmup-{number}"] = inputs
    for name in VALUES:
        for key in models[name].serving_signatures():
            sound = _sound(name, key, models, batches)
            requests[name][f"{key}:sound"] = sound
            requests[name][f"{key}:row"] = {k: array[-1:] for k, array in sound.items()}
    first = _sound("streaming", "mean_step", models, batches)
    later = {**first, "state": np.array([[6.0, 2.0]] * 3, "float32")}
    requests["streaming"] |= {"mean_step:first": first, "mean_step:later": later}
    jobs = {name: (str(root / name / "2"), found) for name, found in requests.items()}
    return served.answers(tmp_path_factory.mktemp("requests"), jobs)


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_with_the_name_of_the_input(
    case: str, answers: dict[str, Any]
) -> None:
    name, signature, _, message = REFUSED[case]
    answer = answers[name][f"{signature}:{case}"]
    assert set(answer) == {"error"}
    assert re.search(message, answer["error"])


@pytest.mark.parametrize("name", ["digits", "labels", "streaming"])
def test_warm_up_covers_every_signature_and_runs(
    name: str, root: Path, models: dict[str, Any], answers: dict[str, Any]
) -> None:
    requests = _warmup_requests(root, name)
    signatures = models[name].serving_signatures()
    assert [signature for signature, _ in requests] == [
        key for key in ("serving_default", *signatures) for _ in ROWS
    ]
    for number, (key, inputs) in enumerate(requests):
        signature = signatures["log_prob" if key == "serving_default" else key]
        rows = ROWS[number % len(ROWS)]
        assert {k: (v.dtype.name, v.shape) for k, v in inputs.items()} == {
            k: (field.dtype, (rows, *field.shape)) for k, field in signature.inputs.items()
        }
        answer = answers[name][f"{key}:warmup-{number}"]
        assert set(answer) == set(signature.outputs), answer
        assert all(len(value) == rows for value in answer.values())
    for number in range(len(ROWS)):  # the default is the first signature, in values too
        default = answers[name][f"serving_default:warmup-{number}"]
        first = answers[name][f"{next(iter(signatures))}:warmup-{number + len(ROWS)}"]
        assert all(np.array_equal(default[key], value) for key, value in first.items())


@pytest.mark.parametrize("name", VALUES)
def test_every_signature_answers_as_the_model_does(
    name: str, models: dict[str, Any], batches: dict[str, Any], answers: dict[str, Any]
) -> None:
    for signature, outputs in served.expected(models[name], batches[name]).items():
        assert set(answers[name][f"{signature}:sound"]) == set(outputs)
        for key, value in outputs.items():
            answer = answers[name][f"{signature}:sound"][key]
            served.assert_close(answer, value)
            served.assert_close(answers[name][f"{signature}:row"][key], answer[-1:])


def test_state_goes_in_and_out(batches: dict[str, Any], answers: dict[str, Any]) -> None:
    means = batches["streaming"]["x"].mean(-1)
    first, later = (answers["streaming"][f"mean_step:{key}"] for key in ("first", "later"))
    np.testing.assert_allclose(first["mean"], means, rtol=1e-5)
    np.testing.assert_allclose(first["state"], np.stack([means, np.ones(3)], -1), rtol=1e-5)
    np.testing.assert_allclose(later["mean"], (6.0 + means) / 3.0, rtol=1e-5)
