"""Exports of VAEs: every signature through TensorFlow's C++ loader is the Keras model's answer.

Of forms that the laws over models have not: flows with weights of their own for every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import served

import zoo
from zoo import exporting
from zoo.exporting import manifest

ROWS = 3
SIZES = {
    "event_shape": (4, 4, 1),
    "latent_size": 3,
    "hidden_units": (6,),
    "features": 8,
}
BINARY = {"num_levels": 2, "transform": "unit"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "grey": ("planar_vae", {"num_flows": 2}),
    "sylvester": ("sylvester_vae", {"preprocessing": BINARY, "num_flows": 2, "num_vectors": 2}),
}
SEED = np.array([[1, 2], [3, -4], [5, 6]], "int32")
TEMPERATURE = np.array([1.0, 0.0, 0.7], "float32")


def _batch(model: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    levels = model.config.preprocessing.num_levels
    return {
        "x": rng.integers(0, levels, (ROWS, 4, 4, 1)).astype("uint8"),
        "z": rng.normal(size=(ROWS, 3)).astype("float32"),
        "seed": SEED,
        "temperature": TEMPERATURE,
    }


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    built = {}
    for name, (family, sizes) in CASES.items():
        model = zoo.create(family, name=name, **SIZES, **sizes)
        for variable in model.trainable_variables:
            variable.assign_add(rng.normal(0.0, 0.3, variable.shape))
        built[name] = model
    return built


@pytest.fixture(scope="module")
def answers(models: dict[str, Any], tmp_path_factory: Any) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("vaes")
    jobs = {}
    for name, model in models.items():
        batch = _batch(model)
        signatures = model.serving_signatures()
        requests = {
            key: {field: batch[field] for field in signature.inputs}
            for key, signature in signatures.items()
        }
        requests["sample:row"] = {key: value[1:2] for key, value in requests["sample"].items()}
        requests["log_prob:row"] = {"x": batch["x"][1:2]}
        jobs[name] = (exporting.export(model, root), requests)
    assert manifest.read(root / "sylvester" / "1")["dequantisation"] is None
    described = manifest.read(root / "sylvester" / "1")["signatures"]
    assert set(described) >= {"log_prob", "elbo", "encode", "decode", "reconstruct", "sample"}
    return served.answers(root, jobs)


@pytest.mark.parametrize("name", CASES)
def test_every_signature_is_the_model(name: str, models: Any, answers: Any) -> None:
    model, batch, found = models[name], _batch(models[name]), answers[name]
    served.assert_close(found["log_prob"]["log_prob"], model.log_prob(batch["x"]))
    served.assert_close(found["log_prob"]["bits_per_dim"], model.bits_per_dim(batch["x"]))
    served.assert_close(found["elbo"]["elbo"], model.elbo(batch["x"]))
    served.assert_close(found["encode"]["z"], model.encode(batch["x"]))
    served.assert_close(found["reconstruct"]["x"], model.reconstruct(batch["x"]))
    np.testing.assert_array_equal(found["decode"]["x"], model.decode(batch["z"]))
    for row, (seed, temperature) in enumerate(zip(SEED, TEMPERATURE, strict=True)):
        expected = model.sample(1, seed, float(temperature))
        np.testing.assert_array_equal(found["sample"]["x"][row : row + 1], expected)


@pytest.mark.parametrize("name", CASES)
def test_a_row_does_not_depend_on_its_batch(name: str, answers: Any) -> None:
    found = answers[name]
    served.assert_close(found["sample:row"]["x"], found["sample"]["x"][1:2])
    served.assert_close(found["log_prob:row"]["log_prob"], found["log_prob"]["log_prob"][1:2])
