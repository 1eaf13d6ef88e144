"""Laws of models that grow: the training score does not fall, and depth survives saving."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from cases import MODELS, having
from numpy.testing import assert_array_equal

from zoo import models
from zoo.core.capabilities import Grows
from zoo.core.training import Descent

DESCENT = Descent(learning_rate=1e-2, batch_size=64, epochs=2)


@pytest.mark.parametrize("name", having(Grows))
def test_the_training_score_does_not_fall_and_depth_survives_saving(
    name: str, tmp_path: Path
) -> None:
    case = MODELS[name]
    model = models.create(case.family, **case.config)
    x = case.rows(128, seed=9)
    x = np.where(x > x.min(), x, x[:, ::-1])  # features that hang together
    model.adapt(x)
    scores, options = [float(np.mean(model.log_prob(x)))], {}
    if model.default_descent is not None:
        options["descent"] = DESCENT
    for stage in range(2):
        before = [w.numpy() for w in model.weights]
        gain = model.grow(x, seed=1, **options)
        scores.append(float(np.mean(model.log_prob(x))))
        assert model.stages_done == stage + 1
        assert gain >= 0.0
        assert scores[-1] >= scores[-2] - 1e-6
        assert gain == pytest.approx(scores[-1] - scores[-2], abs=1e-5)
    # What the first stage has learnt stays as it is.
    for weight, old in zip(model.weights, before, strict=True):
        if "coupling_0/" in weight.path:
            assert_array_equal(weight.numpy(), old)
        elif weight.path.endswith(("feature", "value", "table")):
            assert_array_equal(weight.numpy()[0], old[0])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.stages_done == 2
    assert_array_equal(again.log_prob(x), model.log_prob(x))
