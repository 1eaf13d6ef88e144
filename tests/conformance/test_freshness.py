"""Law: no number is stale after a weight has changed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, costly, having, randomise

from zoo.core.capabilities import Bijective, Encodes, Grows, Infers, Scores


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_new_weights_give_new_numbers_for_the_same_tensors(name: str) -> None:
    """Of graphs that were traced before; bijectors that are held are in `test_tfp.py`."""
    case = MODELS[name]
    model = case.build()
    x, labels = tf.constant(case.rows()), case.labels()
    calls = [model.elbo if isinstance(model, Infers) else model.log_prob]
    # What grows has its map in integers, which stay.
    if isinstance(model, Encodes) and not isinstance(model, Bijective | Grows):
        calls.append(model.encode)

    def numbers() -> list[np.ndarray]:
        return [call(x, labels).numpy() for call in calls]

    before = numbers()
    for old, same in zip(before, numbers(), strict=True):
        np.testing.assert_array_equal(same, old)
    randomise(model, seed=99, scale=case.weight_scale)
    for old, new in zip(before, numbers(), strict=True):
        assert np.abs(new - old).max() > 1e-4
    randomise(model, seed=0, scale=case.weight_scale)
    for old, back in zip(before, numbers(), strict=True):
        np.testing.assert_array_equal(back, old)
