"""Every published model, exported in every format, answers as the Keras model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served

import zoo
from zoo import exporting
from zoo.data import sample_labels, samples
from zoo.errors import DataError, ExportError
from zoo.exporting import manifest, portable

ROWS = 3
NAMES = zoo.list_models(pretrained=True)

# Where float32 needs more than 1e-5 of the largest answer.
TOLERANCES: dict[tuple[str, str], float] = {}


def _inputs(name: str, model: Any) -> dict[str, np.ndarray]:
    """Test rows, real ones where the package holds some, their latents, seeds, temperatures."""
    dataset = zoo.info(name).dataset.partition(":")[0]
    try:
        x = samples(dataset)[:ROWS]
    except DataError:  # the package holds no rows of it
        x = model.sample(ROWS, seed=0).numpy()
    inputs = {
        "x": x,
        "seed": np.array([[0, 1], [2, -3], [4, 5]], "int32"),
        "temperature": np.array([1.0, 0.0, 0.7], "float32"),
    }
    if model.config.context_size:
        inputs["context"] = sample_labels(dataset)[:ROWS].astype("int32")
    if model.data.dtype == "int16":
        inputs["z"] = np.random.default_rng(0).normal(size=(ROWS, model.config.event_size))
        inputs["z"] = inputs["z"].astype("float32")
        return inputs
    inputs["z"] = 0.7 * np.asarray(model.encode(inputs["x"], inputs.get("context")))
    return inputs


def _expected(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    x, context = inputs["x"], inputs.get("context")
    if "log_prob" not in model.serving_signatures():
        return {"decode": {"x": model.decode(inputs["z"], context)}}
    scores = {
        "log_prob": model.log_prob(x, context),
        "bits_per_dim": model.bits_per_dim(x, context),
    }
    if model.data.dtype == "int16":
        return {"log_prob": scores}
    rows = []
    for i in range(ROWS):
        label = None if context is None else context[i : i + 1]
        temperature = float(inputs["temperature"][i])
        rows.append(model.sample(1, inputs["seed"][i], temperature, context=label))
    bounds = {}
    if hasattr(model, "elbo"):
        bounds = {"elbo": {"elbo": model.elbo(x)}, "reconstruct": {"x": model.reconstruct(x)}}
    return {
        **bounds,
        "log_prob": scores,
        "encode": {"z": model.encode(x, context)},
        "decode": {"x": model.decode(inputs["z"], context)},
        "sample": {"x": np.concatenate(rows)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_signature_through_the_cpp_loader(
    name: str, tmp_path: Path, require_checkpoint: Any
) -> None:
    require_checkpoint(name)
    model = zoo.load(name)
    inputs, signatures = _inputs(name, model), model.serving_signatures()
    folder = exporting.export(name, tmp_path)
    assert manifest.read(Path(folder))["name"] == name
    assert (Path(folder) / "assets.extra" / "card.md").is_file()
    requests: dict[str, dict[str, Any]] = {}
    expected = _expected(model, inputs)
    # Of WaveNets' draws no two compilers' roundings are the same for long.
    assert set(expected) == set(signatures) or model.data.dtype == "int16"
    for key in expected:
        signature = signatures[key]
        requests[key] = {k: inputs[k] for k in signature.inputs}
        requests[f"{key}:row"] = {k: inputs[k][-1:] for k in signature.inputs}
    answers = served.answers(tmp_path, {name: (folder, requests)})[name]
    for key, outputs in expected.items():
        assert set(answers[key]) == set(outputs), answers[key]
        for output, value in outputs.items():
            tolerance = TOLERANCES.get((name, key), 1e-5)
            served.assert_close(answers[key][output], value, tolerance)
            served.assert_close(answers[f"{key}:row"][output], answers[key][output][-1:], tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", NAMES)
def test_other_formats_answer_in_their_own_runtimes(
    name: str, format: str, tmp_path: Path, require_checkpoint: Any
) -> None:
    """The export itself runs and compares them; what it refuses is no part of this list."""
    require_checkpoint(name)
    if not any(s.portable for s in zoo.load(name).serving_signatures().values()):
        with pytest.raises(ExportError, match="can be converted"):
            exporting.export(name, tmp_path, format=format)
        return
    folder = Path(exporting.export(name, tmp_path, format=format))
    described = manifest.read(folder, format=format)
    found = portable.portable_signatures(name, zoo.load(name).serving_signatures(), format)
    assert set(described["signatures"]) == set(found)
