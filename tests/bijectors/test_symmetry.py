"""Flows of patches that treat positions of a patch alike: two, four or all eight."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.bijectors import (
    DiagonalAffine,
    SquareEquivariant,
    forward_and_log_det,
    inverse_and_log_det,
)
from zoo.ops.symmetries import GENERATORS, patches_of_rows, rows_of_patches

SIDE = 4
COLUMNS = SIDE**2 - 1
SOFTNESS = 0.3


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    patches = rng.normal(size=(200, SIDE, SIDE))
    patches -= patches.mean((1, 2), keepdims=True)
    return patches.reshape(-1, SIDE**2)[:, :-1]


@pytest.fixture(params=[2, 4, 8])
def num_positions(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def bijector(rng: np.random.Generator, num_positions: int) -> SquareEquivariant:
    """Of a flow that treats no two pixels alike."""
    shift, log_scale = (tf.constant(0.5 * rng.normal(size=COLUMNS)) for _ in range(2))
    flow = DiagonalAffine(shift, log_scale, event_shape=(COLUMNS,))
    return SquareEquivariant(flow, SOFTNESS, num_positions)


def slopes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    patches = np.concatenate([x, -x.sum(1, keepdims=True)], 1).reshape(-1, SIDE, SIDE)
    ramp = np.arange(SIDE) - (SIDE - 1) / 2
    ramp = ramp / np.linalg.norm(np.tile(ramp, SIDE))
    return patches.sum(1) @ ramp, patches.sum(2) @ ramp


def in_position(s_1: np.ndarray, s_2: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    if number == 2:
        return s_1, abs(s_2)
    if number == 4:
        return abs(s_1), abs(s_2)
    return np.maximum(abs(s_1), abs(s_2)), np.minimum(abs(s_1), abs(s_2))


def test_a_turned_patch_has_the_turned_latents_and_the_same_density(
    rows: np.ndarray, bijector: SquareEquivariant, num_positions: int
) -> None:
    z, log_det = (t.numpy() for t in bijector.inverse_and_log_det(tf.constant(rows)))
    on_latents = [
        lambda z: z[:, [1, 0, *range(2, COLUMNS)]],
        lambda z: z * np.r_[1.0, -1.0, np.ones(COLUMNS - 2)],
        lambda z: z * np.r_[-1.0, 1.0, np.ones(COLUMNS - 2)],
    ]
    alike = {2: [False, True, False], 4: [False, True, True], 8: [True, True, True]}[num_positions]
    for generator, moved, same in zip(GENERATORS, on_latents, alike, strict=True):
        turned = rows_of_patches(generator(patches_of_rows(tf.constant(rows))))
        other, other_log_det = bijector.inverse_and_log_det(turned)
        assert np.allclose(other, moved(z), atol=1e-9) == same
        if same:
            assert_allclose(other_log_det, log_det, atol=1e-9)


def test_the_flow_is_given_patches_in_one_position(
    rows: np.ndarray, bijector: SquareEquivariant, num_positions: int
) -> None:
    rows = 10.0 * rows  # the slopes of some are far above the softness, and those of others not
    s_1, s_2 = slopes(rows)
    assert {(a < 0, b < 0, abs(b) > abs(a)) for a, b in zip(s_1, s_2, strict=True)} == {
        (a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)
    }
    first, second = in_position(s_1, s_2, num_positions)
    given = bijector.into_position(tf.constant(rows)).numpy()
    v_1, v_2 = slopes(given)
    positive = {
        2: [(second, v_2)],
        4: [(first, v_1), (second, v_2)],
        8: [(first - second, v_1 - v_2), (second, v_2)],
    }[num_positions]
    for a, v in positive:
        assert_allclose(SOFTNESS * np.logaddexp(0.0, v / SOFTNESS), a, atol=1e-9)
    if num_positions == 2:
        assert_allclose(v_1, s_1, atol=1e-9)
    steep = np.all([a > 20.0 * SOFTNESS for a, _ in positive], 0)
    assert 10 < steep.sum() < 190
    norms = (np.linalg.norm(np.c_[x, x.sum(1)], axis=1)[steep] for x in (given, rows))
    assert_allclose(*norms, rtol=1e-6)  # moved, and nothing else
    assert bijector.into_position(tf.constant(rows, tf.float32)).dtype == tf.float32


def test_latents_in_any_position_come_from_patches_in_that_position(
    rng: np.random.Generator, bijector: SquareEquivariant, num_positions: int
) -> None:
    z = rng.normal(size=(4000, COLUMNS))
    x, log_det = forward_and_log_det(bijector, tf.constant(z), 1)
    s_1, s_2 = slopes(x.numpy())
    assert_array_equal(s_2 < 0, z[:, 1] < 0)
    if num_positions >= 4:
        assert_array_equal(s_1 < 0, z[:, 0] < 0)
    if num_positions == 8:
        assert_array_equal(abs(s_2) > abs(s_1), abs(z[:, 1]) > abs(z[:, 0]))
    again, inverse = inverse_and_log_det(bijector, x, 1)
    assert_allclose(again, z, atol=1e-6)
    assert_allclose(inverse, -log_det, atol=1e-6)


def test_latents_of_normal_rows_are_normal(rng: np.random.Generator, num_positions: int) -> None:
    """f is given its first two latents' angle times n, which keeps their distribution."""
    seen = []

    class Recorded(DiagonalAffine):
        def forward_and_log_det(self, z):
            seen.append(z.numpy())
            return super().forward_and_log_det(z)

    zeros = tf.zeros(COLUMNS, tf.float64)
    z = rng.normal(size=(20_000, COLUMNS))
    flow = Recorded(zeros, zeros, event_shape=(COLUMNS,))
    SquareEquivariant(flow, SOFTNESS, num_positions).forward_and_log_det(tf.constant(z))
    (w,) = seen
    assert_allclose(np.linalg.norm(w[:, :2], axis=1), np.linalg.norm(z[:, :2], axis=1))
    assert_allclose(np.cov(w[:, :2].T), np.eye(2), atol=0.05)
    assert_allclose(w[:, :2].mean(0), 0.0, atol=0.05)
    assert_array_equal(w[:, 2:], z[:, 2:])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_flat_patches_and_ties_have_finite_densities(dtype: str, num_positions: int) -> None:
    flat = np.zeros((1, SIDE, SIDE))
    tie = np.add.outer(np.arange(SIDE), np.arange(SIDE))[None] - (SIDE - 1.0)
    rising = np.tile(np.arange(SIDE) - (SIDE - 1) / 2, (1, SIDE, 1))
    x = tf.constant(np.concatenate([flat, tie, rising]).reshape(3, -1)[:, :-1], dtype)
    zeros = tf.zeros(COLUMNS, dtype)
    flow = DiagonalAffine(zeros, zeros, event_shape=(COLUMNS,))
    bijector = SquareEquivariant(flow, SOFTNESS, num_positions)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = bijector.inverse_and_log_det(x)
    assert np.isfinite(z).all()
    assert np.isfinite(log_det).all()
    assert np.isfinite(tape.gradient(log_det, x)).all()
    assert_allclose(bijector.forward(tf.identity(z)), x, atol=5e-6)


def test_whitening_is_fitted_to_rows_in_position(rows: np.ndarray) -> None:
    model = models.create(
        "nsf_patches",
        event_shape=(COLUMNS,),
        preprocessing={"whitening": "standardise"},
        num_layers=1,
        num_units=4,
        num_blocks=1,
        slope_softness=SOFTNESS,
        dtype="float64",
    )
    model.adapt(rows)
    (whitening,) = model._preprocessing()
    given = model.bijector().bijectors[0].into_position(tf.constant(rows))
    z = whitening.inverse(given).numpy()
    assert_allclose(z.mean(0), 0.0, atol=1e-6)
    assert_allclose(z.std(0), 1.0, atol=1e-3)
