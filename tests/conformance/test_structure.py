"""Laws: what a bijector must not touch stays bit for bit, and what must not matter does not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import BIJECTORS, MODELS, having, jacobians, shared_model
from numpy.testing import assert_array_equal

from zoo.core.capabilities import Bijective
from zoo.ops.masks import checkerboard


@pytest.mark.parametrize(
    ("name", "untouched"),
    [
        ("split-additive", np.s_[..., :3]),
        ("split-affine-first", np.s_[..., :3]),
        ("split-affine-second", np.s_[..., 3:]),
        ("split-channels", np.s_[..., :2]),
        ("factor-out", np.s_[..., 2:]),
    ],
)
def test_split_bijectors_leave_their_part_untouched(name: str, untouched: object) -> None:
    case = BIJECTORS[name]
    bijector, z = case.bijector(), case.latents()
    x = bijector.forward(z).numpy()
    assert_array_equal(x[untouched], z.numpy()[untouched])
    moved = np.ones(z.shape, bool)
    moved[untouched] = False
    assert (x[moved] != z.numpy()[moved]).all()
    assert_array_equal(bijector.inverse(tf.constant(x)).numpy()[untouched], x[untouched])


@pytest.mark.parametrize(
    ("name", "even"), [("checkerboard-even", True), ("checkerboard-odd", False)]
)
def test_checkerboard_coupling_leaves_its_colour_untouched(name: str, even: bool) -> None:
    case = BIJECTORS[name]
    bijector, z = case.bijector(), case.latents()
    kept = np.broadcast_to(checkerboard(2, 4, even_first=even), z.shape)
    x = bijector.forward(z).numpy()
    assert_array_equal(x[kept], z.numpy()[kept])
    assert (x[~kept] != z.numpy()[~kept]).all()
    assert_array_equal(bijector.inverse(tf.constant(x)).numpy()[kept], x[kept])


@pytest.mark.parametrize("name", ["split-affine-first", "checkerboard-even"])
def test_couplings_move_pixels_one_by_one(name: str) -> None:
    """The moved part given the kept one is elementwise: its block of the Jacobian is diagonal."""
    case = BIJECTORS[name]
    bijector, z = case.bijector(), case.latents()
    jacobian = jacobians(bijector.forward, z)
    moved = (bijector.forward(z).numpy() != z.numpy()).reshape(len(z), -1)[0]
    block = jacobian[:, moved][:, :, moved]
    diagonal = np.eye(block.shape[-1], dtype=bool)
    assert_array_equal(block[:, ~diagonal], 0.0)
    assert (block[:, diagonal] > 0.0).all()
    assert (jacobian[:, moved][:, :, ~moved] != 0.0).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BIJECTORS["autoregressive"].bijector(),
        lambda: shared_model(MODELS["made-2d"], "float64").bijector(np.zeros(2, "int32")),
    ],
    ids=["autoregressive", "made-2d"],
)
def test_autoregressive_jacobians_are_triangular(make) -> None:
    bijector = make()
    size = 5 if bijector.name == "autoregressive_flow" else 2
    x = tf.constant(np.random.default_rng(0).normal(size=(1, size)))
    for function in (bijector.inverse, bijector.forward):
        jacobian = jacobians(function, x)[0]
        assert_array_equal(jacobian[np.triu_indices(size, 1)], 0.0)
        assert (jacobian[np.tril_indices(size)] != 0.0).all()


@pytest.mark.parametrize("name", ["reverse", "interleave-even", "interleave-odd", "unsqueeze"])
def test_permutations_permute(name: str) -> None:
    case = BIJECTORS[name]
    jacobian = jacobians(case.bijector().forward, case.latents(1))[0]
    assert set(np.unique(jacobian)) == {0.0, 1.0}
    assert_array_equal(jacobian.sum(0), 1.0)
    assert_array_equal(jacobian.sum(1), 1.0)


@pytest.mark.parametrize("name", [n for n in having(Bijective) if MODELS[n].event_size > 2])
def test_every_latent_and_every_coordinate_matters(name: str) -> None:
    case = MODELS[name]
    labels = None if case.labels() is None else np.repeat(case.labels(1), case.event_size, axis=0)
    bijector = shared_model(case, "float64").bijector(labels)
    jacobian = jacobians(bijector.forward, case.latents(1))[0]
    assert (np.abs(jacobian).max(0) > 0.0).all()
    assert (np.abs(jacobian).max(1) > 0.0).all()
    off_diagonal = jacobian[~np.eye(case.event_size, dtype=bool)]
    assert np.count_nonzero(off_diagonal) >= case.event_size - 1
