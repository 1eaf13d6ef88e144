from __future__ import annotations

import math

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from zoo.ops.stable import soft_clip
from zoo.ops.units import bits_per_dim_from_nats


@settings(deadline=None, derandomize=True)
@given(st.floats(-1e6, 1e6), st.floats(0.1, 50.0))
def test_soft_clip_is_bounded_odd_and_the_identity_near_zero(x: float, limit: float) -> None:
    value = float(soft_clip(tf.constant(x, tf.float64), limit))
    assert abs(value) <= limit
    assert abs(value) <= abs(x) * (1.0 + 1e-15)  # a rounding above, for the tiniest x
    assert value == -float(soft_clip(tf.constant(-x, tf.float64), limit))
    assert_allclose(soft_clip(tf.constant(1e-6, tf.float64), limit), 1e-6, rtol=1e-9)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 100_000))
def test_uniform_grey_levels_cost_exactly_eight_bits(event_size: int) -> None:
    assert math.isclose(
        bits_per_dim_from_nats(-event_size * math.log(256.0), event_size), 8.0, rel_tol=4e-16
    )


def test_bits_per_dim_by_hand() -> None:
    assert bits_per_dim_from_nats(-2.0 * math.log(2.0), 4) == 0.5
