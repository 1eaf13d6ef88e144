"""Densities averaged over the symmetries of square patches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from click.testing import Result
from typer.testing import CliRunner

from zoo import evaluation, models, registry
from zoo.cli.app import app
from zoo.data import sources
from zoo.errors import InvalidInputError
from zoo.ops.symmetries import all_symmetries, patches_of_rows, rows_of_patches
from zoo.tasks.symmetrised import symmetrised_log_prob

SIDE = 3
COLUMNS = SIDE**2 - 1


@pytest.fixture
def model(rng: np.random.Generator) -> models.ZooModel:
    """Of patches of 3 x 3, and far from symmetric."""
    model = models.create("maf", event_shape=(COLUMNS,), hidden_units=(9,), dtype="float64")
    for weight in model.trainable_weights:
        weight.assign(0.4 * rng.normal(size=weight.shape))
    return model


def rows(rng: np.random.Generator, count: int) -> np.ndarray:
    patches = rng.normal(size=(count, SIDE, SIDE))
    patches -= patches.mean((1, 2), keepdims=True)
    return patches.reshape(count, -1)[:, :-1]


def eight_ways(x: np.ndarray) -> list[np.ndarray]:
    patches = np.concatenate([x, -x.sum(1, keepdims=True)], 1).reshape(-1, SIDE, SIDE)
    turned = [np.rot90(patches, k, axes=(1, 2))[:, :, ::s] for s in (1, -1) for k in range(4)]
    return [way.reshape(len(x), -1)[:, :-1] for way in turned]


def test_symmetries_are_the_squares_and_keep_the_volume(rng: np.random.Generator) -> None:
    x = rows(rng, 5)
    ours = [way.numpy() for way in all_symmetries(tf.constant(x))]
    np.testing.assert_allclose(ours[0], x)
    np.testing.assert_allclose(rows_of_patches(patches_of_rows(tf.constant(x))), x)
    for theirs in eight_ways(x):
        assert sum(np.allclose(way, theirs) for way in ours) == 1
    identity = tf.eye(COLUMNS, dtype=tf.float64)
    for way in all_symmetries(identity):  # linear: the images of the basis are its matrix
        assert abs(np.linalg.det(way.numpy())) == pytest.approx(1.0)


def test_density_is_the_mean_of_the_eight(rng: np.random.Generator, model: models.ZooModel) -> None:
    x = rows(rng, 6)
    each = np.stack([model.log_prob(way) for way in eight_ways(x)])
    expected = scipy.special.logsumexp(each, axis=0) - np.log(8.0)
    np.testing.assert_allclose(symmetrised_log_prob(model, x), expected, rtol=1e-9)
    assert np.ptp(each, axis=0).min() > 0.1  # the model alone is not symmetric, and the mixture is:
    for way in eight_ways(x):
        np.testing.assert_allclose(symmetrised_log_prob(model, way), expected, rtol=1e-9)


def test_rows_are_of_the_models_dtype_before_they_are_turned(
    rng: np.random.Generator, model: models.ZooModel
) -> None:
    x = np.clip(40 * rows(rng, 4), -120, 120).astype(np.int8)  # sums of them are beyond int8
    expected = symmetrised_log_prob(model, x.astype(np.float64))
    np.testing.assert_array_equal(symmetrised_log_prob(model, x), expected)


def test_other_events_are_refused(rng: np.random.Generator, model: models.ZooModel) -> None:
    with pytest.raises(InvalidInputError, match=r"rows of side\*\*2 - 1 pixels.*\(4, 5\)"):
        symmetrised_log_prob(models.create("maf", event_shape=(5,)), np.zeros((4, 5), "float32"))
    with pytest.raises(InvalidInputError, match="patches as rows of real pixels"):
        symmetrised_log_prob(models.create("nice", event_shape=(3, 3, 1)), np.zeros((4, 3, 3, 1)))
    for x in (rows(rng, 4)[0], np.float32(1.0)):
        with pytest.raises(InvalidInputError, match=r"Expected x of shape \[batch, "):
            symmetrised_log_prob(model, x)
    labelled = models.create("maf", event_shape=(COLUMNS,), context_size=2)
    with pytest.raises(InvalidInputError, match="context_size=2"):
        symmetrised_log_prob(labelled, rows(rng, 4))


def test_evaluation_reports_it_beside_the_models_own(
    rng: np.random.Generator, model: models.ZooModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rows(rng, 300)
    arrays = sources.Arrays(x=x, context=None)
    monkeypatch.setattr(sources, "load_arrays", lambda *_: arrays)
    assert registry.get("maf_bsds300").metrics == ("log_prob", "log_prob_symmetrised")
    metrics = evaluation.evaluate("maf_bsds300", model=model, batch_size=100)["metrics"]
    expected = np.mean(symmetrised_log_prob(model, x))
    assert metrics["log_prob_symmetrised"]["value"] == pytest.approx(expected, abs=1e-5)
    assert metrics["log_prob"]["value"] == pytest.approx(np.mean(model.log_prob(x)), abs=1e-5)


def score(tmp_path: Path, name: str, x: np.ndarray) -> Result:
    np.save(tmp_path / "x.npy", x)
    arguments = ["score", name, str(tmp_path / "x.npy"), "--symmetrised", "--json"]
    return CliRunner().invoke(app, arguments)


def test_command_scores_a_patch_and_its_mirror_image_alike(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    patch = 0.05 * rng.normal(size=(8, 8))
    patches = np.stack([patch, patch[::-1], patch.T]) - patch.mean()
    x = patches.reshape(3, -1)[:, :-1].astype("float32")
    result = score(tmp_path, "made_bsds300", x)
    assert result.exit_code == 0, result.output
    nats = json.loads(result.stdout)["files"][0]["log_prob"]
    assert max(nats) - min(nats) < 1e-3


def test_command_refuses_models_of_other_data(tmp_path: Path) -> None:
    result = score(tmp_path, "maf_magic", np.zeros((2, 10), "float32"))
    assert result.exit_code == 2
    assert "side**2 - 1 pixels" in result.output
