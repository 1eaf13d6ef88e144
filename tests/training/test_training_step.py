"""One step against NumPy: schedule, clipping, decay, averages, augmentation."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_runs
from whole_runs import scheduled_rate

from zoo import training
from zoo.core.recipe import SGD, Optimizer, Recipe, variant
from zoo.models import build
from zoo.objectives import NegativeLogLikelihood
from zoo.objectives.gradient import gradients_of


@pytest.fixture(autouse=True)
def _updates_by_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a training of one's own."""
    monkeypatch.setattr(training.TrainingStep, "compiles_update", True)


@pytest.mark.parametrize("warmup_steps", [0, 1, 10])
@pytest.mark.parametrize(("schedule", "final_fraction"), [("constant", 0.0), ("cosine", 0.25)])
def test_schedule_is_its_closed_form(
    warmup_steps: int, schedule: str, final_fraction: float
) -> None:
    settings = Optimizer(
        learning_rate=0.3,
        warmup_steps=warmup_steps,
        schedule=schedule,
        final_fraction=final_fraction,
    )
    built = training.WarmupSchedule(
        0.3,
        warmup_steps=warmup_steps,
        total_steps=200,
        cosine=schedule == "cosine",
        final_fraction=final_fraction,
    )
    copy = training.WarmupSchedule.from_config(built.get_config())
    for step in (0, 1, 5, 9, 10, 100, 150, 199, 200, 500):
        expected = scheduled_rate(settings, step, 200)
        assert float(built(step)) == pytest.approx(expected, rel=1e-6)
        assert float(copy(step)) == float(built(step))


STEP_CASES = {
    "adam": {"optimizer": Optimizer(learning_rate=0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3)},
    "warm-up and cosine": {
        "optimizer": Optimizer(
            learning_rate=0.02, warmup_steps=3, schedule="cosine", final_fraction=0.1
        )
    },
    "clipping": {"optimizer": Optimizer(learning_rate=0.02, clip_norm=0.5, epsilon=0.1)},
    "weight decay": {"optimizer": Optimizer(learning_rate=0.02, weight_decay=0.5)},
    "l2": {"optimizer": Optimizer(learning_rate=0.02, epsilon=0.1), "l2": 0.3},
    "averages": {"optimizer": Optimizer(learning_rate=0.02), "ema_decay": 0.35},
}
TOTAL_STEPS = 8


def numpy_step(
    state: dict[str, list[np.ndarray]], gradients: list[np.ndarray], recipe: Recipe, step: int
) -> float:
    """Adam (Kingma & Ba 2015, algorithm 1 with the epsilon of their Sec. 2), in place, in float64.

    Returns the norm of the gradient with the penalty's, before clipping.
    """
    settings = recipe.training.optimizer
    weights = state["weights"]
    gradients = [g + 2.0 * recipe.training.l2 * w for g, w in zip(gradients, weights, strict=True)]
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    rate = scheduled_rate(settings, step, TOTAL_STEPS)
    correction = math.sqrt(1.0 - settings.beta_2 ** (step + 1)) / (
        1.0 - settings.beta_1 ** (step + 1)
    )
    decay = min(recipe.training.ema_decay, (1.0 + step) / (10.0 + step))
    for i, gradient in enumerate(gradients):
        if settings.clip_norm:
            gradient = gradient * min(1.0, settings.clip_norm / norm)
        first, second = state["first"], state["second"]
        first[i] = settings.beta_1 * first[i] + (1.0 - settings.beta_1) * gradient
        second[i] = settings.beta_2 * second[i] + (1.0 - settings.beta_2) * gradient**2
        if gradient.ndim >= 2:
            weights[i] = weights[i] * (1.0 - rate * settings.weight_decay)
        weights[i] = weights[i] - rate * correction * first[i] / (
            np.sqrt(second[i]) + settings.epsilon
        )
        state["averages"][i] = decay * state["averages"][i] + (1.0 - decay) * weights[i]
    return norm


@pytest.mark.parametrize("changes", STEP_CASES.values(), ids=STEP_CASES)
def test_steps_match_numpy(changes: dict[str, Any]) -> None:
    recipe = Recipe(
        family="maf",
        config={
            "event_shape": [3],
            "num_layers": 1,
            "hidden_units": [8],
            "normalization": "activation_norm",
        },
        data=tiny_runs.RECIPES["maf"].dataset,
        training=SGD(batch_size=32, max_epochs=1, **changes),
    )
    keras.utils.set_random_seed(1)
    model = build(recipe.family, recipe.config)
    x = tf.constant(tiny_runs.load_arrays(recipe.dataset, "train").x[:32])
    step = training.TrainingStep(model, recipe, TOTAL_STEPS)
    start = [v.numpy().astype(np.float64) for v in model.trainable_variables]
    zeros = [np.zeros_like(v) for v in start]
    state = {
        "weights": list(start),
        "first": list(zeros),
        "second": list(zeros),
        "averages": list(start),
    }
    for number in range(5):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(x))
        gradients = [g.numpy() for g in tape.gradient(loss, model.trainable_variables)]
        result = step(x, None, tf.constant(number))
        norm = numpy_step(state, gradients, recipe, number)
        assert float(result["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
        assert float(tf.reduce_mean(result["nats"])) == pytest.approx(float(loss), rel=1e-5)
        for variable, expected in zip(model.trainable_variables, state["weights"], strict=True):
            np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-4, atol=2e-5)
    assert len(step.averages) == (len(start) if recipe.training.ema_decay else 0)
    for average, expected in zip(step.averages, state["averages"], strict=False):
        np.testing.assert_allclose(average.numpy(), expected, rtol=2e-4, atol=2e-5)
    if recipe.training.optimizer.clip_norm:
        assert norm > 2.0 * recipe.training.optimizer.clip_norm  # the clipping was at work


@pytest.mark.parametrize("clip_norm", [0.0, 10.0])
def test_clipping_takes_gradients_whose_squares_overflow(clip_norm: float) -> None:
    keras.utils.set_random_seed(5)  # weights with which no gradient itself overflows
    recipe = tiny_runs.RECIPES["maf"]
    settings = Optimizer(learning_rate=0.01, clip_norm=clip_norm)
    config = {"event_shape": [3], "hidden_units": [8], "normalization": "activation_norm"}
    recipe = variant(recipe, config=config, optimizer=settings, ema_decay=0.0, l2=0.0)
    model = build(recipe.family, recipe.config)
    x = tiny_runs.load_arrays(recipe.dataset, "train").x[:32].copy()
    model.adapt(x)
    x[7] = 1e12  # a row that no model of these data expects
    before = [v.numpy() for v in model.trainable_variables]
    step = training.TrainingStep(model, recipe, TOTAL_STEPS)
    norm = float(step(tf.constant(x), None, tf.constant(0))["gradient_norm"])
    moved = [np.abs(v.numpy() - b).max() for v, b in zip(step.variables, before, strict=True)]
    if clip_norm:
        assert 1e19 < norm < math.inf
        assert 0.005 < max(moved) < 0.02  # Adam's first step: about the rate
    else:  # Adam's second moment would be infinite, and its weight stand still for ever
        assert not math.isfinite(norm)
        assert max(moved) == 0.0


def test_averaged_weights_are_lent_and_returned() -> None:
    recipe = tiny_runs.RECIPES["maf"]
    model = build(recipe.family, recipe.config)
    step = training.TrainingStep(model, recipe, 10)
    for i, average in enumerate(step.averages):
        average.assign(tf.fill(average.shape, float(i)))
    own = [v.numpy() for v in model.trainable_variables]
    with step.averaged_weights():
        for i, variable in enumerate(model.trainable_variables):
            np.testing.assert_array_equal(variable.numpy(), np.full(variable.shape, float(i)))
    for variable, value in zip(model.trainable_variables, own, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_l2_adds_the_sum_of_squares() -> None:
    recipe = tiny_runs.RECIPES["maf"]
    model = build(recipe.family, recipe.config)
    arrays = tiny_runs.load_arrays(recipe.data, "train")
    x, context = (tf.constant(a[:8]) for a in (arrays.x, arrays.context))
    losses = [
        gradients_of(
            model.default_objective(),
            model,
            model.trainable_variables,
            x,
            context,
            tf.constant([0, 1]),
            step=tf.constant(1),
            l2=l2,
        )[1]
        for l2 in (0.0, 0.7)
    ]
    squares = sum(float(np.sum(np.square(w, dtype=np.float64))) for w in model.regularized_weights)
    assert float(losses[1] - losses[0]) == pytest.approx(0.7 * squares, rel=1e-4)


def test_flips_mirror_whole_rows_and_differ_from_step_to_step() -> None:
    """With a model that is no flow: its loss is the data's left column, which a flip replaces."""
    recipe = variant(tiny_runs.RECIPES["realnvp"], l2=0.0, ema_decay=0.0)
    x = np.zeros((64, 2, 2, 1), "uint8")
    x[:, :, 1] = 100

    class Column(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.weight = self.add_weight(shape=(), initializer="zeros")

        def context_of_rows(self, x: Any, context: Any) -> Any:
            return context

        def score(self, x: Any, context: Any, seed: Any, *, training: bool) -> Any:
            return self.weight - tf.reduce_sum(tf.cast(x[:, :, 0, 0], tf.float32), 1)

    step = training.TrainingStep(Column(), recipe, 10, NegativeLogLikelihood())
    draws = [step(tf.constant(x), None, tf.constant(i))["nats"].numpy() for i in (0, 1, 0)]
    for draw in draws:
        assert set(np.round(draw)) == {0.0, 200.0}
        assert 16 <= np.sum(draw > 100.0) <= 48
    assert (draws[0] > 100.0).tolist() == (draws[2] > 100.0).tolist()
    assert (draws[0] > 100.0).tolist() != (draws[1] > 100.0).tolist()
