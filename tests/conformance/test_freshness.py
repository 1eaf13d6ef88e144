"""Law: no number is stale after a weight has changed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, costly, having, randomise

from zoo.core.capabilities import Bijective, Encodes, Scores


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_new_weights_give_new_numbers_for_the_same_tensors(name: str) -> None:
    case = MODELS[name]
    model = case.build()
    x, labels = tf.constant(case.rows()), case.labels()
    context = model.checked_context(labels, rows=None)
    z = tf.constant(np.full((3, case.event_size), 0.8, "float32"))
    compiled = tf.function(lambda: model.score(x, context, tf.constant([0, 0])), autograph=False)

    def numbers() -> list[np.ndarray]:
        found = [model.log_prob(x, labels).numpy(), compiled().numpy()]
        if isinstance(model, Encodes):
            found.append(model.encode(x, labels).numpy())
        if not isinstance(model, Bijective):
            return found
        bijector = model.bijector(labels)
        y = bijector.forward(z)
        return [
            *found,
            y.numpy(),
            bijector.inverse(tf.zeros_like(y) + 3.0).numpy(),
            model.distribution(labels).log_prob(tf.zeros_like(y) + 3.0).numpy(),
        ]

    before = numbers()
    for old, same in zip(before, numbers(), strict=True):
        np.testing.assert_array_equal(same, old)
    randomise(model, seed=99, scale=case.weight_scale)
    for old, new in zip(before, numbers(), strict=True):
        assert np.abs(new - old).max() > 1e-4
    randomise(model, seed=0, scale=case.weight_scale)
    for old, back in zip(before, numbers(), strict=True):
        np.testing.assert_array_equal(back, old)
