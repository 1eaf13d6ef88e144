"""Certificates and other data's scores, against models whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

import zoo
from zoo.evaluation import certificate, golden
from zoo.media.console import error_text


@pytest.fixture
def model(rng: np.random.Generator):
    model = zoo.create("nice", event_shape=[28, 28, 1], hidden_units=[8], num_couplings=2)
    for variable in model.trainable_variables:
        variable.assign(0.1 * rng.normal(size=variable.shape))
    return model


def test_a_flow_is_certified_and_a_broken_one_is_not(model, rng, monkeypatch) -> None:
    x = rng.integers(0, 256, (7, 28, 28, 1), np.uint8)
    found = certificate.certificate(model, x, batch_size=3)
    assert found["rows"] == 7
    assert found["float32"]["invertibility"] < 1e-2
    assert found["float32"]["log_det"] < 1e-2
    # The way back starts from a rounded latent: a bfloat16 network may round it otherwise.
    assert found["float32"]["invertibility"] < found["bfloat16"]["invertibility"] < 16.0
    from zoo.bijectors.elementwise import DiagonalAffine

    def wrong(self, z):
        return z * 1.1, DiagonalAffine._log_det(self, z) + 3.0

    monkeypatch.setattr(DiagonalAffine, "forward_and_log_det", wrong)
    broken = certificate.certificate(model, x)
    assert broken["float32"]["invertibility"] > 1.0
    assert broken["float32"]["log_det"] > 1.0


def test_a_conditional_model_is_certified_with_its_labels(rng) -> None:
    model = zoo.create("made", event_shape=[3], hidden_units=[8], context_size=4)
    x = rng.normal(size=(5, 3)).astype("float32")
    found = certificate.certificate(model, x, np.arange(5, dtype=np.int32) % 4)
    assert found["float32"]["invertibility"] < 1e-4


def test_only_what_has_a_bijector_between_rows_and_latents_is_certified(model) -> None:
    assert certificate.applies(model)
    assert certificate.applies(zoo.create("maf", event_shape=(3,), hidden_units=(4,)))
    clips = {"event_shape": (64,), "residual_channels": 4, "skip_channels": 4}
    for other in (
        zoo.create("vae", event_shape=(4,), latent_size=2, hidden_units=(4,)),
        zoo.create("wavenet", num_stacks=1, layers_per_stack=2, **clips),
        zoo.create("parallel_wavenet", layers_per_flow=(2,), **clips),
    ):
        assert not certificate.applies(other)


def test_other_data_of_a_uniform_density_is_eight_bits(monkeypatch, model) -> None:
    monkeypatch.setattr(model, "bits_per_dim", lambda x, seed: np.full(len(x), 8.0))
    scores = certificate.other_data(model)
    assert set(scores.values()) == {8.0}
    assert {"constant images (64)", "uniform noise (64)", "fashion_mnist test (64)"} <= set(scores)
    assert not any(name.startswith("cifar10") for name in scores)  # larger than the model's images


def test_smaller_images_are_padded_and_their_channels_repeated() -> None:
    scored = []

    class Colour:
        config = zoo.create("realnvp", event_shape=[32, 32, 3], filters=2, num_blocks=1).config
        context = None

        def bits_per_dim(self, x, seed):
            scored.append(x)
            return np.zeros(len(x))

    assert "mnist test (64)" in certificate.other_data(Colour())
    digits = scored[-1]
    assert digits.shape == (64, 32, 32, 3)
    assert digits.dtype == np.uint8
    assert not digits[:, :2].any()
    assert (digits[..., 0] == digits[..., 2]).all()


def test_features_have_no_other_data() -> None:
    assert certificate.other_data(zoo.create("nice", event_shape=[4], hidden_units=[4])) == {}


def test_golden_rows_are_real_where_there_are_some(model, tmp_path) -> None:
    from zoo.data.samples import samples

    answers = golden.golden(model, "mnist")
    np.testing.assert_array_equal(answers["x"], samples("mnist")[:4])
    golden.write(tmp_path, answers)
    read = golden.read(tmp_path)
    assert sorted(read) == ["log_prob", "sample", "x", "z"]
    assert max(golden.differences(model, read).values()) < 0.5
    model.scaling.raw_log_scale.assign_add([0.01] * 784)
    assert golden.differences(model, read)["log_prob"] > 1.0


def test_a_damaged_golden_file_is_refused(model, tmp_path) -> None:
    path = golden.write(tmp_path, golden.golden(model, "mnist"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(zoo.ZooError, match=r"golden\.npz cannot be read"):
        golden.read(tmp_path)
    assert golden.read(tmp_path / "nowhere") == {}


def test_an_error_that_is_not_finite_is_none() -> None:
    assert [certificate._stored(e) for e in (0.012345, math.nan, math.inf)] == [
        0.0123,
        None,
        None,
    ]
    assert [error_text(e) for e in (0.0123, None)] == ["0.0123", "not finite"]
