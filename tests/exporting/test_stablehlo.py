"""StableHLO: artefacts that JAX runs without TensorFlow, compared with the Keras model."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY

from zoo import exporting, models
from zoo.errors import ExportError, MissingExtraError, NotPortableError
from zoo.exporting import jax_reader, manifest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX, the extra portable, is not installed"
)
BATCH = 4


@pytest.fixture(scope="module")
def model() -> Any:
    """Labels, standardised features, batch norm; sampling runs in a loop."""
    model = models.build("maf", {**TINY["maf"], "num_layers": 1}, name="maf")
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign_add(0.2 * np.abs(rng.normal(size=weight.shape)))
    return model


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("stablehlo")
    return Path(exporting.export(model, path, 2, format="stablehlo", batch_size=BATCH))


@pytest.fixture(scope="module")
def rows(model: Any) -> dict[str, np.ndarray]:
    """Seven rows: one batch and a part of another."""
    x = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
    context = np.arange(7, dtype="int32") % 2
    nats = model(x, tf.constant(context))
    return {"x": x, "context": context, "log_prob": np.asarray(nats)}


def test_the_folder_says_what_it_holds(folder: Path) -> None:
    assert folder.parts[-3:] == ("stablehlo", "maf", "2")
    described = manifest.read(folder, format="stablehlo")
    assert described["batch_size"] == BATCH
    assert set(described["signatures"]) == {"log_prob", "encode", "decode", "sample"}
    names = {f"{name}.jax" for name in described["signatures"]}
    found = {path.name for path in folder.iterdir()}
    assert found == names | {"weights.npz", "signatures.json", "jax_reader.py"}
    assert "made_0/output/kernel" in jax_reader.load(folder).weights


IN_JAX = """
import sys, numpy as np
sys.path.insert(0, ".")
from jax_reader import load
model, rows = load("."), np.load("rows.npz")
x, context = rows["x"], rows["context"]
np.testing.assert_allclose(model.log_prob(x, context), rows["log_prob"], 1e-4, 1e-4)
z = model.call("encode", x=x, context=context)["z"]
again = model.call("decode", z=z, context=context)["x"]
np.testing.assert_allclose(again, x, 1e-3, 1e-3)
drawn = model.sample(5, seed=3, context=1)
assert drawn.shape == (5, 3) and np.isfinite(drawn).all() and len(np.unique(drawn)) == 15
np.testing.assert_array_equal(model.sample(2, seed=3, context=1), drawn[:2])
cold = model.sample(2, seed=3, temperature=0.0, context=1)
np.testing.assert_allclose(cold[0], cold[1])
model.weights["made_0/output/bias"] = model.weights["made_0/output/bias"] + 1.0
assert abs(model.log_prob(x, context) - rows["log_prob"]).min() > 1e-3  # weights are arguments
assert "tensorflow" not in sys.modules and "zoo" not in sys.modules
"""


def test_jax_runs_it_without_tensorflow(folder: Path, rows: Any) -> None:
    np.savez(folder / "rows.npz", **rows)
    done = subprocess.run(
        [sys.executable, "-c", IN_JAX],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    (folder / "rows.npz").unlink()
    assert done.returncode == 0, done.stderr


def test_bad_calls_sizes_and_models_are_refused(
    folder: Path, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="log_prob takes x, context; got x"):
        jax_reader.load(folder).log_prob(np.zeros((1, 3)))
    with pytest.raises(ExportError, match="batch_size must be 1 or more; got 0"):
        exporting.export(model, tmp_path, format="stablehlo", batch_size=0)
    answer = {"log_prob": np.zeros(4, "float32"), "bits_per_dim": np.zeros(4, "float32")}
    signatures = {"log_prob": model.serving_signatures()["log_prob"]}
    monkeypatch.setattr(jax_reader, "artefact", lambda _: lambda *_: answer)
    with pytest.raises(ExportError, match="stablehlo does not answer as in TensorFlow"):
        exporting.stablehlo._check(signatures, folder, {}, BATCH)
    monkeypatch.setattr(model, "serving_signatures", dict)
    with pytest.raises(NotPortableError, match="can be converted to stablehlo"):
        exporting.export(model, tmp_path, format="stablehlo")
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"density-zoo\[portable\]"):
        exporting.export(model, tmp_path, format="stablehlo")
    assert not (tmp_path / "stablehlo").exists()
