"""safetensors: names and shapes of the file, and its reader over NumPy and over PyTorch.

NumPy runs the reader's own code in any case. PyTorch does where it is installed, or where
`ZOO_PEERS_PYTHON` names an interpreter that has it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY

import zoo
from zoo import exporting, models
from zoo.errors import ExportError, MissingExtraError
from zoo.exporting import tensors, torch_reader

GREY = {"num_levels": 256, "transform": "logit", "alpha": 0.05}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "maf": ("maf", {"activation": "swish4"}),
    "maf_mixtures": ("maf", {"num_components": 3, "normalization": "activation_norm"}),
    "made_images": (
        "made",
        {"event_shape": (2, 2, 1), "preprocessing": {**GREY, "whitening": "separable"}},
    ),
    "nsf": ("nsf", {"affine": True, "preprocessing": {"whitening": "zca_cor"}}),
    "nsf_coupling": ("nsf_coupling", {}),
    "realnvp": (
        "realnvp",
        {"num_scales": 2, "conditioner_stride": 1, "event_shape": (4, 8, 3), "num_checkerboard": 1}
        | {"num_channelwise": 1, "num_final": 1, "skip_connections": True},
    ),
    "realnvp_stride": (
        "realnvp",
        {"conditioner_stride": 2, "weight_norm": False, "conditioner_batch_norm": False},
    ),
    "realnvp_vectors": (
        "realnvp",
        {"event_shape": (5,), "preprocessing": {}, "num_couplings": 3, "hidden_units": (6,)}
        | {"normalization": "batch_norm", "activation": "tanh"},
    ),
    "nice": ("nice", {"log_scale_factor": 2.0}),
}
ROWS = 4


def randomised(case: str) -> Any:
    """The case's model, every weight off its start."""
    family, changes = CASES[case]
    model = models.build(family, {**TINY[family], **changes}, name=case)
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if "float" in weight.dtype:
            weight.assign_add(0.2 * np.abs(rng.normal(size=weight.shape)))
    return model


def rows_of(model: Any) -> dict[str, np.ndarray]:
    """Rows and labels, latents, and what the model says of them; eagerly, which traces nothing."""
    rng, shape = np.random.default_rng(4), (ROWS, *model.config.event_shape)
    grey = model.data.is_integer
    x = rng.integers(0, 256, shape).astype("uint8") if grey else rng.normal(size=shape)
    x = x if grey else x.astype("float32")
    z = tf.constant(rng.normal(size=(ROWS, model.config.event_size)), tf.float32)
    context = np.arange(ROWS) % model.config.context_size if model.config.context_size else None
    labels = None if context is None else tf.constant(context, tf.int32)
    found = {"x": x, "z": z, "log_prob": model(x, labels), "decoded": model._decode(z, labels)}
    found |= {} if context is None else {"context": context}
    return {key: np.asarray(value) for key, value in found.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: Any) -> dict[str, tuple[Path, dict[str, np.ndarray]]]:
    """case -> (folder, rows and answers)."""
    path, found = tmp_path_factory.mktemp("tensors"), {}
    for case in CASES:
        model = randomised(case)
        folder = Path(exporting.export(model, path, format="safetensors"))
        found[case] = folder, rows_of(model)
        np.savez(folder / "rows.npz", **found[case][1])
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_reader_scores_and_decodes_as_the_model_does(case: str, exported: Any) -> None:
    folder, rows = exported[case]
    flow, context = torch_reader.load(folder / "model.safetensors", "numpy"), rows.get("context")
    np.testing.assert_allclose(flow.log_prob(rows["x"], context), rows["log_prob"], 1e-4, 1e-4)
    decoded = flow.decode(rows["z"], context)
    grey = rows["decoded"].dtype == np.uint8
    if grey:  # rounding may decide between two neighbours
        assert (np.abs(decoded - rows["decoded"]) > 1).sum() == 0
        assert (decoded != rows["decoded"]).mean() < 0.05
    else:
        np.testing.assert_allclose(decoded, rows["decoded"], 1e-3, 1e-3)
    drawn = flow.sample(3, seed=1, context=None if context is None else context[:3])
    assert drawn.shape == (3, *rows["x"].shape[1:])


def test_the_file_has_every_weight_by_name_and_says_what_it_is(exported: Any) -> None:
    folder, _ = exported["nsf"]
    found, metadata = torch_reader.read(folder / "model.safetensors", "numpy")
    assert found["made_0/hidden_0/kernel"].shape == (3, 8)
    assert found["made_0/output/kernel"].shape == (8, 3 * (3 * 4 - 1 + 2))
    assert sorted(found["linear_1/permutation"]) == [0, 1, 2]
    assert not found["made_0/output/kernel"][3:, :13].any()  # the first sees the context alone
    assert {"made_0/context/kernel", "zca_cor/matrix", "linear_2/factors"} <= set(found)
    assert metadata["family"] == "nsf"
    assert metadata["version"] == "1"
    assert json.loads(metadata["config"]) == randomised("nsf").config.to_dict()
    fixed = json.loads(metadata["fixed"])
    assert "linear_1/permutation" in fixed
    assert "zca_cor/matrix" in fixed
    assert "linear_1/factors" not in fixed
    assert not (folder / "signatures.json").exists()


def test_families_without_a_reader_get_their_weights_alone(tmp_path: Path) -> None:
    model = zoo.create("planar", event_shape=(2,), num_layers=2, name="planar")
    folder = Path(exporting.export(model, tmp_path, format="safetensors"))
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    with pytest.raises(ValueError, match="of the family 'planar'; this reader computes maf, made"):
        torch_reader.load(folder / "model.safetensors", "numpy")


def test_other_files_contexts_and_answers_are_refused(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not for this reader: expected the format 'density-zoo'"):
        torch_reader.load(tmp_path / "other.safetensors", "numpy")
    flow = torch_reader.load(exported["maf"][0] / "model.safetensors", "numpy")
    with pytest.raises(ValueError, match=r"context must be labels 0\.\.1"):
        flow.log_prob(np.zeros((1, 3), "float32"))
    model = randomised("nsf_coupling")
    monkeypatch.setitem(torch_reader.FAMILIES, "nsf_coupling", lambda *_: [])
    with pytest.raises(ExportError, match="log_prob in safetensors does not answer as in Tensor"):
        exporting.export(model, tmp_path, format="safetensors")
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingExtraError, match=r"density-zoo\[safetensors\]"):
        exporting.export(model, tmp_path, format="safetensors")
    assert not (tmp_path / "safetensors").exists()


IN_PYTORCH = """
import sys, numpy as np, torch
from pathlib import Path
for folder in map(Path, sys.argv[1:]):
    sys.path.insert(0, str(folder))  # the copy beside the file
    from torch_reader import load
    assert "tensorflow" not in sys.modules and "zoo" not in sys.modules
    flow, rows = load(folder / "model.safetensors"), np.load(folder / "rows.npz")
    x = torch.as_tensor(rows["x"])
    context = torch.as_tensor(rows["context"]) if "context" in rows else None
    nats = flow(x, context)
    np.testing.assert_allclose(nats.detach().numpy(), rows["log_prob"], 1e-4, 1e-4)
    nats.sum().backward()
    gradients = {name: p.grad for name, p in flow.named_parameters()}
    assert all(torch.isfinite(g).all() for g in gradients.values() if g is not None), folder
    assert sum(bool(g.any()) for g in gradients.values() if g is not None) > len(gradients) / 2
    with torch.no_grad():
        decoded = flow.decode(rows["z"], context).numpy()
    off = 1.0 if rows["decoded"].dtype == np.uint8 else 1e-3
    np.testing.assert_allclose(decoded, rows["decoded"].astype("float32"), 1e-3, off)
    assert {*flow.state_dict()} == {*load(folder / "model.safetensors").state_dict()}
    print(folder.parent.name)
"""


@pytest.fixture(scope="module")
def python_with_torch() -> str:
    given = os.environ.get("ZOO_PEERS_PYTHON")
    if not given and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed, and ZOO_PEERS_PYTHON names no interpreter with it")
    return given or sys.executable


def test_pytorch_scores_with_gradients_and_decodes(exported: Any, python_with_torch: str) -> None:
    folders = [str(folder) for folder, _ in exported.values()]
    done = subprocess.run(
        [python_with_torch, "-c", IN_PYTORCH, *folders],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(CASES)


@pytest.mark.parametrize("name", ["maf_magic", "nsf_magic", "realnvp_mnist", "nice_mnist"])
@pytest.mark.slow
def test_published_models_answer_their_golden_rows(
    name: str, require_checkpoint: Any, tmp_path: Path
) -> None:
    from zoo.evaluation import golden

    require_checkpoint(name)
    folder = Path(exporting.export(name, tmp_path, format="safetensors"))
    rows = golden.read(zoo.loading.local_folder(name))
    flow = torch_reader.load(folder / tensors.TENSORS_FILE, "numpy")
    nats = flow.log_prob(rows["x"])
    assert np.abs(nats - rows["log_prob"]).max() <= 1e-4 * max(1.0, np.abs(rows["log_prob"]).max())
