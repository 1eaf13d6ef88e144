"""What lies in an exported version, and what TensorFlow alone can do with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import zoo
from zoo import exporting, loading
from zoo.exporting import manifest

NAMES = ("digits", "labels", "streaming")

# A process with TensorFlow alone: argv is the base folder and the file of batches.
FINE_TUNING = """
import sys
import numpy as np
import tensorflow as tf

batches = np.load(sys.argv[2])
for name in {name.partition("/")[0] for name in batches.files}:
    model = tf.saved_model.load(f"{sys.argv[1]}/{name}/2")
    inputs = [tf.constant(batches[f"{name}/{key}"])
              for key in ("x", "context") if f"{name}/{key}" in batches.files]
    assert len(model.trainable_variables) < len(model.variables)
    assert model.regularization_losses == []
    trainable = {variable.ref() for variable in model.trainable_variables}
    assert trainable < {variable.ref() for variable in model.variables}
    losses = [-tf.reduce_mean(model(*inputs)).numpy()]
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model(*inputs, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients):
            variable.assign_sub(1e-3 * gradient)
    losses.append(-tf.reduce_mean(model(*inputs)).numpy())
    print(name, *losses)
found = {"zoo", "tensorflow_probability", "tf_keras"} & set(sys.modules)
sys.exit(f"imported: {found}" if found else 0)
"""


def test_a_version_holds_the_servers_layout_and_what_describes_it(root: Path) -> None:
    assert sorted(path.name for path in root.iterdir()) == sorted(NAMES)
    for name in NAMES:
        assert [path.name for path in (root / name).iterdir()] == ["2"]
        files = {str(p.relative_to(root / name / "2")) for p in (root / name).rglob("*.*")}
        assert files >= {"saved_model.pb", "variables/variables.index"}
        assert {path.name for path in (root / name / "2" / "assets.extra").iterdir()} == {
            "signatures.json",
            "tf_serving_warmup_requests",
        }


def _signatures(folder: Path) -> dict[str, Any]:
    """signature -> (inputs, outputs), each name -> (dtype, shape), from saved_model.pb itself."""
    message = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())

    def side(tensors: Any) -> dict[str, Any]:
        return {
            key: (
                tf.as_dtype(info.dtype).name,
                [None if d.size < 0 else d.size for d in info.tensor_shape.dim],
            )
            for key, info in tensors.items()
        }

    return {
        key: (side(value.inputs), side(value.outputs))
        for key, value in message.meta_graphs[0].signature_def.items()
        if not key.startswith("__")
    }


def test_the_signatures_take_and_give_raw_data_batch_first(root: Path) -> None:
    row = ("float32", [None])
    scores = {"log_prob": row, "bits_per_dim": row}
    for name, x, z, context in (
        ("digits", ("uint8", [None, 4, 4, 1]), ("float32", [None, 16]), {}),
        ("labels", ("float32", [None, 3]), ("float32", [None, 3]), {"context": ("int32", [None])}),
    ):
        assert _signatures(root / name / "2") == {
            "serving_default": ({"x": x, **context}, scores),
            "log_prob": ({"x": x, **context}, scores),
            "encode": ({"x": x, **context}, {"z": z}),
            "decode": ({"z": z, **context}, {"x": x}),
            "sample": ({"seed": ("int32", [None, 2]), "temperature": row, **context}, {"x": x}),
        }


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_is_of_the_signatures_in_the_file(name: str, root: Path) -> None:
    described = manifest.read(root / name / "2")
    found = _signatures(root / name / "2")
    assert found.pop("serving_default") == found[described["default_signature"]]
    assert next(iter(described["signatures"])) == described["default_signature"] == "log_prob"
    for key, signature in described["signatures"].items():
        sides = tuple(
            {k: (field["dtype"], field["shape"]) for k, field in signature[side].items()}
            for side in ("inputs", "outputs")
        )
        assert found.pop(key) == sides
    assert found == {}


def test_the_manifest_says_what_a_client_must_know(root: Path) -> None:
    digits = manifest.read(root / "digits" / "2")
    assert {key: digits[key] for key in list(digits)[:10]} == {
        "schema": 1,
        "format": "savedmodel",
        "name": "digits",
        "version": 2,
        "family": "nice",
        "event_shape": [4, 4, 1],
        "event_size": 16,
        "data_dtype": "uint8",
        "media": {"kind": "image"},
        "context_size": 0,
    }
    assert digits["temperature"] == {"minimum": 0.0, "maximum": 1e6}
    assert "fixed draw" in digits["dequantisation"]
    assert digits["software"]["tensorflow"] == tf.__version__
    assert digits["signatures"]["encode"]["inputs"]["x"] == {
        "dtype": "uint8",
        "shape": [None, 4, 4, 1],
        "meaning": "grey levels as the dataset stores them",
        "unit": "grey level",
        "minimum": 0,
        "maximum": 255,
        "finite": False,
        "example": 128,
    }
    labels = manifest.read(root / "labels" / "2")
    assert (labels["media"], labels["dequantisation"]) == ({"kind": "features"}, None)
    inputs = labels["signatures"]["log_prob"]["inputs"]
    assert (inputs["context"]["minimum"], inputs["context"]["maximum"]) == (0, 1)
    assert inputs["x"]["finite"] is True
    assert manifest.read(root / "streaming" / "2")["signatures"]["mean_step"]["portable"] is False


def test_tensorflow_alone_fine_tunes_an_export(
    root: Path, batches: dict[str, Any], models: dict[str, Any], tmp_path: Path
) -> None:
    flat = {f"{n}/{k}": v for n, b in batches.items() for k, v in b.items()}
    np.savez(tmp_path / "batches.npz", **flat)
    done = subprocess.run(
        [sys.executable, "-c", FINE_TUNING, str(root), str(tmp_path / "batches.npz")],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    losses = {name: (float(a), float(b)) for name, a, b in map(str.split, done.stdout.splitlines())}
    assert set(losses) == set(NAMES)
    for name, (before, after) in losses.items():
        batch = batches[name]
        expected = -np.mean(models[name].log_prob(batch["x"], batch.get("context")))
        assert before == pytest.approx(expected, rel=1e-5)
        assert after < before - 0.05


def test_graphs_do_not_ask_for_xla(root: Path) -> None:
    for name in NAMES:
        content = (root / name / "2" / "saved_model.pb").read_bytes()
        graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
        assert graph.library.function
        assert not any(f.attr["_XlaMustCompile"].b for f in graph.library.function)


def test_a_model_that_only_samples_has_no_call(
    tmp_path: Path, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = models["digits"].serving_signatures()["sample"]
    monkeypatch.setattr(models["digits"], "serving_signatures", lambda: {"sample": sample})
    loaded = tf.saved_model.load(exporting.export(models["digits"], tmp_path))
    assert not callable(loaded)
    assert set(loaded.signatures) == {"sample", "serving_default"}


def test_a_checkpoint_is_exported_with_its_card(
    tmp_path: Path, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = "---\nlicense: apache-2.0\n---\n# Labels\n"
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "card.md").write_text(card)
    monkeypatch.setattr(loading, "load", lambda name: models["labels"])
    folder = Path(zoo.export(tmp_path / "labels", tmp_path / "base"))
    assert folder == tmp_path / "base" / "labels" / "1"
    assert (folder / "assets.extra" / "card.md").read_text() == card
    assert json.loads((folder / "assets.extra" / "signatures.json").read_text())["version"] == 1
    assert exporting.export is zoo.export
