"""Sylvester flows against the paper's formulas in NumPy; frames; extremes; one flow a row."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bijectors.planar import Planar
from zoo.bijectors.sylvester import (
    Sylvester,
    bounded_triangle,
    householder,
    orthogonal,
    triangular,
)

SIZE, COLUMNS = 6, 4


def _matrix(frame, columns: int) -> np.ndarray:
    """Q, column by column."""
    return np.asarray(frame.expand(tf.eye(columns, dtype=tf.float64))).T


FRAMES = {
    "orthogonal": (lambda rng: orthogonal(tf.constant(rng.normal(size=(SIZE, COLUMNS)))), COLUMNS),
    "householder": (lambda rng: householder(tf.constant(rng.normal(size=(3, SIZE)))), SIZE),
    "triangular": (lambda _: triangular(reverse=False), SIZE),
    "reversed": (lambda _: triangular(reverse=True), SIZE),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_are_orthonormal_and_project_by_the_transpose(
    name: str, rng: np.random.Generator
) -> None:
    make, columns = FRAMES[name]
    frame = make(rng)
    q = _matrix(frame, columns)
    assert_allclose(q.T @ q, np.eye(columns), atol=1e-13)
    z = rng.normal(size=(5, SIZE))
    assert_allclose(frame.project(tf.constant(z)), z @ q, rtol=1e-12, atol=1e-13)


def test_the_orthogonal_frame_is_the_polar_factor(rng: np.random.Generator) -> None:
    raw = rng.normal(size=(SIZE, COLUMNS))
    left, _, right = np.linalg.svd(raw, full_matrices=False)
    assert_allclose(_matrix(orthogonal(tf.constant(raw)), COLUMNS), left @ right, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_steps_do_for_singular_values_within_a_factor_of_a_thousand(
    dtype: str, tolerance: float, rng: np.random.Generator
) -> None:
    left, _, right = np.linalg.svd(rng.normal(size=(32, 16)), full_matrices=False)
    raw = 50.0 * left * np.geomspace(1.0, 1e-3, 16) @ right
    q = orthogonal(tf.constant(raw, dtype)).expand(tf.eye(16, dtype=dtype)).numpy()
    assert_allclose(q @ q.T, np.eye(16), atol=tolerance)


def test_the_householder_frame_is_the_product_of_reflections(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(3, SIZE))
    product = np.eye(SIZE)
    for v in vectors:
        product = product @ (np.eye(SIZE) - 2.0 * np.outer(v, v) / (v @ v))
    assert_allclose(_matrix(householder(tf.constant(vectors)), SIZE), product, atol=1e-13)


def test_reversed_turns_the_order_around() -> None:
    assert_array_equal(_matrix(triangular(reverse=True), 4), np.eye(4)[::-1])
    assert_array_equal(_matrix(triangular(reverse=False), 4), np.eye(4))


@pytest.mark.parametrize("name", FRAMES)
def test_sylvester_is_the_papers(name: str, rng: np.random.Generator) -> None:
    make, columns = FRAMES[name]
    frame = make(rng)
    raw = rng.normal(size=(2, columns, columns))
    b, z = rng.normal(size=columns), rng.normal(size=(5, SIZE))
    flow = Sylvester(frame, *map(tf.constant, raw), tf.constant(b))
    x, log_det = flow.forward_and_log_det(tf.constant(z))
    r1, r2 = (np.triu(r, 1) + np.diag(np.tanh(np.diag(r))) for r in raw)
    q = _matrix(frame, columns)
    for i in range(5):
        v = r2 @ q.T @ z[i] + b
        assert_allclose(x[i], z[i] + q @ r1 @ np.tanh(v), rtol=1e-12)
        jacobian = np.eye(SIZE) + q @ r1 @ np.diag(1.0 - np.tanh(v) ** 2) @ r2 @ q.T
        sign, expected = np.linalg.slogdet(jacobian)
        assert sign > 0.0
        assert_allclose(log_det[i], expected, rtol=1e-9, atol=1e-12)


def test_with_one_column_it_is_a_planar_flow(rng: np.random.Generator) -> None:
    """x = z + q r1 tanh(r2 q.z + b): w = r2 q, u_hat = r1 q."""
    raw = rng.normal(size=(SIZE, 1))
    r1, r2, b = np.tanh(0.7), np.tanh(-0.4), 0.3
    q = raw[:, 0] / np.linalg.norm(raw)
    w, u_hat = r2 * q, r1 * q
    # The u whose constrained form is u_hat: w.u = m^-1(w.u_hat), along w.
    product = np.log(np.expm1(1.0 + w @ u_hat))
    u = u_hat + (product - w @ u_hat) * w / (w @ w)
    z = tf.constant(rng.normal(size=(5, SIZE)))
    diagonals = [tf.constant([[np.arctanh(r)]]) for r in (r1, r2)]
    sylvester = Sylvester(orthogonal(tf.constant(raw)), *diagonals, tf.constant([b], tf.float64))
    planar = Planar(tf.constant(w), tf.constant(u), tf.constant(b, tf.float64))
    for ours, theirs in zip(
        sylvester.forward_and_log_det(z), planar.forward_and_log_det(z), strict=True
    ):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_bounded_triangle_is_upper_triangular_and_bounded() -> None:
    raw = tf.constant([[40.0, 2.0, -7.0], [5.0, -40.0, 3.0], [6.0, 8.0, 0.5]])
    r = bounded_triangle(raw).numpy()
    assert_array_equal(np.triu(r, 1), np.triu(raw.numpy(), 1))
    assert_array_equal(np.tril(r, -1), 0.0)
    assert 0.999999 < r[0, 0] < 1.0
    assert -1.0 < r[1, 1] < -0.999999
    assert_allclose(r[2, 2], np.tanh(0.5), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_diagonals_at_their_bounds(dtype: str, jit_compile: bool) -> None:
    """Diagonals of 1 and -1, whose product leaves a slope of rounding size at v = 0."""
    z = tf.constant(np.random.default_rng(0).normal(size=(64, SIZE)), dtype)
    rng = np.random.default_rng(1)
    raw = np.triu(rng.normal(size=(2, COLUMNS, COLUMNS)), 1)
    raw += 30.0 * np.multiply.outer([1.0, -1.0], np.eye(COLUMNS))
    parameters = [
        tf.constant(a, dtype)
        for a in (rng.normal(size=(SIZE, COLUMNS)), *raw, rng.normal(size=COLUMNS))
    ]

    @tf.function(autograph=False, jit_compile=jit_compile)
    def round_trip(z, *parameters):
        with tf.GradientTape() as tape:
            tape.watch([z, *parameters])
            flow = Sylvester(orthogonal(parameters[0]), *parameters[1:])
            x, log_det = flow.forward_and_log_det(z)
            again, inverse_log_det = flow.inverse_and_log_det(x)
            total = tf.reduce_sum(again) + tf.reduce_sum(log_det - 0.5 * inverse_log_det)
        x_again = flow.forward_and_log_det(again)[0]
        gradients = tape.gradient(total, [z, *parameters])
        return x, log_det, again, inverse_log_det, x_again, gradients

    x, log_det, again, inverse_log_det, x_again, gradients = round_trip(z, *parameters)
    for tensor in (x, log_det, again, inverse_log_det, *gradients):
        assert np.isfinite(tensor).all()
    assert_allclose(x_again, x, rtol=0.0, atol={"float32": 1e-4, "float64": 1e-10}[dtype])


def test_one_flow_for_each_row_is_that_flow_alone(rng: np.random.Generator) -> None:
    z = tf.constant(rng.normal(size=(7, 3, SIZE)))
    raw_q = tf.constant(rng.normal(size=(3, SIZE, COLUMNS)))
    r1, r2 = (tf.constant(a) for a in rng.normal(size=(2, 3, COLUMNS, COLUMNS)))
    b = tf.constant(rng.normal(size=(3, COLUMNS)))
    together = Sylvester(orthogonal(raw_q), r1, r2, b)
    x, log_det = together.forward_and_log_det(z)
    again, inverse_log_det = together.inverse_and_log_det(x)
    assert_allclose(again, z, rtol=1e-7, atol=1e-9)
    for i in range(3):
        alone = Sylvester(orthogonal(raw_q[i]), r1[i], r2[i], b[i])
        assert_allclose(alone.forward(z[:, i]), x[:, i], rtol=1e-10, atol=1e-12)
        log_dets = alone.inverse_and_log_det(x[:, i])[1]
        assert_allclose(log_dets, inverse_log_det[:, i], rtol=1e-6, atol=1e-9)
    assert tuple(log_det.shape) == (7, 3)
    vectors = tf.constant(rng.normal(size=(3, 2, SIZE)))
    for i in range(3):
        assert_allclose(
            householder(vectors).expand(z)[:, i], householder(vectors[i]).expand(z[:, i])
        )
