"""The energies against their formulas in NumPy, and log Z against SciPy and a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo.data.targets.plane import BOX, ENERGIES, log_normaliser


def _numpy_energy(name: str, x: float, y: float) -> float:
    """arXiv:1505.05770, table 1, one point at a time."""
    w1 = math.sin(2 * math.pi * x / 4)
    w2 = 3 * math.exp(-0.5 * ((x - 1) / 0.6) ** 2)
    w3 = 3 / (1 + math.exp(-(x - 1) / 0.3))
    if name == "u1":
        ring = 0.5 * ((math.hypot(x, y) - 2) / 0.4) ** 2
        bumps = np.logaddexp(-0.5 * ((x - 2) / 0.6) ** 2, -0.5 * ((x + 2) / 0.6) ** 2)
        return ring - bumps
    box = max(abs(x) - 6, 0) ** 2 + max(abs(y) - 6, 0) ** 2
    if name == "u2":
        return 0.5 * ((y - w1) / 0.4) ** 2 + box
    first, shift, second = (0.35, w2, 0.35) if name == "u3" else (0.4, w3, 0.35)
    terms = (-0.5 * ((y - w1) / first) ** 2, -0.5 * ((y - w1 + shift) / second) ** 2)
    return box - np.logaddexp(*terms)


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_are_the_papers(name: str, rng: np.random.Generator) -> None:
    points = rng.uniform(-8.0, 8.0, (200, 2))
    expected = [_numpy_energy(name, *point) for point in points]
    assert_allclose(ENERGIES[name](tf.constant(points)), expected, rtol=1e-12, atol=1e-12)
    single = ENERGIES[name](tf.constant(points, tf.float32))
    assert single.dtype == tf.float32
    assert_allclose(single, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ENERGIES)
def test_gradients_are_finite_everywhere(name: str) -> None:
    points = tf.constant([[0.0, 0.0], [BOX, -BOX], [100.0, -100.0], [-1e4, 1e4]])
    with tf.GradientTape() as tape:
        tape.watch(points)
        energy = ENERGIES[name](points)
    assert np.isfinite(energy).all()
    assert np.isfinite(tape.gradient(energy, points)).all()


def test_the_normaliser_of_u2_is_a_product_of_integrals() -> None:
    """For fixed z1 a normal in z2, but for the penalty, which is 0 within 10 deviations of it."""
    across = 12.0 + math.sqrt(math.pi)  # the box, and half a normal of variance 1/2 on each side
    expected = math.log(across) + 0.5 * math.log(2.0 * math.pi * 0.4**2)
    assert log_normaliser("u2") == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", ["u1", "u3", "u4"])
def test_normalisers_are_scipys(name: str) -> None:
    """Simpson's rule on another grid."""
    axis = np.linspace(-10.5, 10.5, 1401)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    density = np.exp(-ENERGIES[name](tf.constant(points)).numpy())
    total = scipy.integrate.simpson(scipy.integrate.simpson(density, x=axis), x=axis)
    assert log_normaliser(name) == pytest.approx(math.log(total), abs=1e-6)
