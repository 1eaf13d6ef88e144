"""LiteRT and ONNX: loaded in their own runtimes, compared with the Keras model, or refused."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served
import tensorflow as tf

from zoo import exporting
from zoo.errors import ExportError, MissingExtraError
from zoo.exporting import manifest, portable

NAMES = ("digits", "labels")
FORMATS = ("tflite", "onnx")
RUNTIMES = {"tflite": "ai_edge_litert.interpreter", "onnx": "onnxruntime"}

Run = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def _runtime(folder: Path, format: str) -> Run:
    """(signature, inputs) -> outputs, in the format's own runtime."""
    if format == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(folder / "model.tflite"))
        return lambda name, inputs: interpreter.get_signature_runner(name)(**inputs)
    import onnxruntime

    def run(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        outputs = [output.name for output in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, inputs), strict=True))

    return run


@pytest.fixture(scope="module")
def exported(models: dict[str, Any], tmp_path_factory: Any) -> dict[tuple[str, str], Path]:
    """(format, name) -> folder."""
    path = tmp_path_factory.mktemp("portable")
    return {
        (format, name): Path(exporting.export(models[name], path, 3, format=format))
        for format in FORMATS
        for name in NAMES
    }


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_the_runtime_answers_as_the_keras_model_does(
    format: str, name: str, exported: Any, models: dict[str, Any], batches: dict[str, Any]
) -> None:
    model, batch = models[name], batches[name]
    context = batch.get("context")
    expected = {
        "log_prob": {
            "log_prob": model.log_prob(batch["x"], context),
            "bits_per_dim": model.bits_per_dim(batch["x"], context),
        },
        "encode": {"z": model.encode(batch["x"], context)},
        "decode": {"x": model.decode(batch["z"], context)},
    }
    run = _runtime(exported[format, name], format)
    for rows in (3, 1):
        for signature, outputs in expected.items():
            declared = model.serving_signatures()[signature].inputs
            answers = run(signature, {key: batch[key][:rows] for key in declared})
            assert set(answers) == set(outputs)
            for key, value in outputs.items():
                served.assert_close(answers[key], np.asarray(value)[:rows])


@pytest.mark.parametrize("format", FORMATS)
def test_the_folder_holds_the_files_and_their_description(format: str, exported: Any) -> None:
    folder = exported[format, "labels"]
    assert folder.parts[-3:] == (format, "labels", "3")
    files = {"model.tflite"} if format == "tflite" else {"log_prob.onnx", "encode.onnx"}
    found = {path.name for path in folder.iterdir()}
    assert found >= files | {"signatures.json"}
    described = manifest.read(folder, format=format)
    assert (described["format"], described["version"]) == (format, 3)
    assert set(described["signatures"]) == {"log_prob", "encode", "decode"}
    assert described["temperature"] is None


@pytest.fixture
def unsupported(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose `encode` sorts by an operation that neither runtime has."""
    model = models["labels"]
    signatures = model.serving_signatures()

    def encode(x: Any, context: Any) -> dict[str, Any]:
        del context
        return {"z": tf.math.bessel_i0(x)}

    other = dataclasses.replace(signatures["encode"], function=encode)
    monkeypatch.setattr(model, "serving_signatures", lambda: {"encode": other})
    return model


@pytest.mark.parametrize("format", FORMATS)
def test_what_cannot_be_converted_is_refused_with_the_reason(
    format: str, unsupported: Any, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=rf"cannot be converted to {format}: .*no operation.*I0"):
        exporting.export(unsupported, tmp_path, format=format)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_without_portable_signatures_is_refused(
    format: str, models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = models["digits"].serving_signatures()["sample"]
    monkeypatch.setattr(models["digits"], "serving_signatures", lambda: {"sample": sample})
    with pytest.raises(ExportError, match=f"No signature of digits can be converted to {format}"):
        exporting.export(models["digits"], tmp_path, format=format)


@pytest.mark.parametrize("format", FORMATS)
def test_a_runtime_that_is_not_installed(
    format: str, models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, RUNTIMES[format], None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'density-zoo\[{format}\]'"):
        exporting.export(models["digits"], tmp_path, format=format)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda value: value * (1.0 + 3e-4), True),
        (lambda value: value * (1.0 + 3e-5), False),
        (lambda value: value.astype("float64"), True),
        (lambda value: value[:1], True),
        (lambda value: value * np.nan, True),
    ],
)
def test_another_answer_than_tensorflows_is_refused(
    change: Any, wrong: bool, models: dict[str, Any]
) -> None:
    signatures = {"encode": models["digits"].serving_signatures()["encode"]}
    function = signatures["encode"].function

    def run(name: str, inputs: Any) -> dict[str, np.ndarray]:
        return {"z": change(function(**inputs)["z"].numpy())}

    if wrong:
        with pytest.raises(ExportError, match="encode in onnx does not answer as in TensorFlow"):
            portable.check_agreement(signatures, {"encode": function}, run, "onnx")
    else:
        portable.check_agreement(signatures, {"encode": function}, run, "onnx")


def test_random_batches_stay_in_range(models: dict[str, Any]) -> None:
    inputs = models["labels"].serving_signatures()["sample"].inputs
    batch = portable.random_batch(inputs, 500, seed=3)
    assert set(np.unique(batch["context"])) == {0, 1}
    assert batch["temperature"].min() == 0.0
    assert batch["temperature"].max() > 1.0
    assert batch["seed"].shape == (500, 2)
    assert batch["seed"].min() < 0 < batch["seed"].max()
