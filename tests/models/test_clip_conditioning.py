"""Clips' lengths in the condition: classes, typical ones, places within the word, bad input."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo.core.recipe import Distillation
from zoo.errors import ConfigError, InvalidInputError
from zoo.models.audio.clips import labels_of_factors
from zoo.networks.conditioning import LabelConditioner
from zoo.objectives import NegativeLogLikelihood
from zoo.objectives.distillation import DistillationLoss
from zoo.objectives.gradient import nats_of

SIZE = 64
COMMON = {
    "event_shape": (SIZE,),
    "residual_channels": 4,
    "skip_channels": 4,
    "context_size": 6,
    "context_factors": (3, 2),
    "context_channels": 4,
    "frame_size": 8,
    "position_frames": 5,
    "num_durations": 4,
}
SIZES = {
    "wavenet": {"output": "gaussian", "num_stacks": 1, "layers_per_stack": 3},
    "parallel_wavenet": {"layers_per_flow": (2, 2)},
}
LENGTHS = np.array([1, 16, 17, 32, 40, 64])
CLASSES = np.array([0, 0, 1, 1, 2, 3])
LABELS = np.array([0, 0, 0, 1, 1, 5], np.int32)


def clips(lengths: np.ndarray = LENGTHS) -> np.ndarray:
    x = np.random.default_rng(0).integers(1, 2000, (len(lengths), SIZE)).astype(np.int16)
    return np.where(np.arange(SIZE) < lengths[:, None], x, 0).astype(np.int16)


@pytest.fixture(params=sorted(SIZES))
def model(request: pytest.FixtureRequest):
    keras.utils.set_random_seed(0)
    return zoo.create(request.param, dtype="float64", **COMMON, **SIZES[request.param])


def test_clips_of_a_class_are_of_like_lengths(model) -> None:
    rows = model.clip_context(clips(), LABELS)
    assert_array_equal(rows, np.stack([LABELS // 2, LABELS % 2, CLASSES], -1))
    inside = model._with_durations(tf.constant(clips()), tf.constant(LABELS))
    assert_array_equal(inside, np.stack([LABELS, CLASSES], -1))
    cut = model._with_durations(tf.constant(clips()[:4, :40]), tf.constant(LABELS[:4]))
    assert_array_equal(cut, inside[:4])  # a batch cut behind its longest clip
    assert_array_equal(model.checked_context(rows, rows=6), inside)
    silence = model.clip_context(np.zeros((1, SIZE), np.int16), LABELS[:1])
    assert_array_equal(silence, [[0, 0, 0]])


def test_labels_alone_mean_clips_of_typical_length(model) -> None:
    assert_array_equal(model.typical_durations, np.full(6, 2))  # the middle class of a fresh model
    model.adapt(clips(), LABELS)
    # Medians of 0, 0, 1 and of 1, 2 (whole classes), of 3; all rows' for labels without rows.
    assert_array_equal(model.typical_durations, [0, 1, 1, 1, 1, 3])
    explicit = np.array([[0, 0, 0], [0, 1, 1], [2, 1, 3]], np.int32)
    labels = np.array([0, 1, 5], np.int32)
    for context in (labels, explicit[:, :2]):
        assert_array_equal(
            model.sample(3, seed=1, context=context), model.sample(3, seed=1, context=explicit)
        )
    other = model.sample(3, seed=1, context=explicit + np.array([0, 0, 1]) * [[1], [1], [-1]])
    assert (model.sample(3, seed=1, context=labels).numpy() != other.numpy()).any()


def test_lengths_of_some_labels_leave_the_others(model) -> None:
    model.adapt(clips(), np.stack([LABELS // 2, LABELS % 2], -1))  # factors, as in `sample`
    assert_array_equal(model.typical_durations, [0, 1, 1, 1, 1, 3])
    model.observe(clips()[:3], np.array([5, 5, 5], np.int32))
    assert_array_equal(model.typical_durations, [0, 1, 1, 1, 1, 0])
    for context in (None, LABELS[:2], LABELS + 9):
        with pytest.raises(InvalidInputError):
            model.adapt(clips(), context)


class _Duration(NegativeLogLikelihood):
    def __call__(self, model, x, context, seed, *, step=None, training=False):
        return tf.cast(context[:, 1], tf.float64)


def test_fit_knows_the_length_of_each_clip(model) -> None:
    x, rows = clips(), model.clip_context(clips(), LABELS)
    if model.family == "parallel_wavenet":
        expected, objective = CLASSES.mean(), _Duration()
    else:
        expected, objective = -np.mean(model.log_prob(x, rows)), None
    model.compile(objective=objective)
    for context in (LABELS, rows[:, :2], rows):
        loss = model.test_step((x, context))["loss"]
        model.reset_metrics()
        assert_allclose(loss, expected, rtol=1e-6)
    loss = model.test_step((x, rows * [1, 1, 0]))["loss"]  # as they are given
    assert abs(loss - expected) > 1e-3
    for context in (LABELS, rows[:, :2], rows):  # in a graph, as Keras runs it
        model.compile(objective=objective)  # a graph of its own for each rank
        found = model.evaluate(x, context, verbose=0, return_dict=True)["loss"]
        assert_allclose(found, expected, rtol=1e-6)


def test_factors_are_labels_in_a_graph_too() -> None:
    @tf.function(autograph=False, reduce_retracing=True)
    def label(context):
        return labels_of_factors(context, (3, 2))

    assert_array_equal(label(tf.constant([[0, 0], [1, 1], [2, 1]])), [0, 3, 5])
    assert labels_of_factors(np.array([[5, 99]], np.uint8), (10, 100)) == [599]
    with pytest.raises(InvalidInputError, match=r"Factor 0 of context must be .* got 3\.\.3"):
        labels_of_factors([[3, 1]], (3, 2))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"Factor 1 of context must be in 0\.\.1"
    ):
        label(tf.constant([[0, 2]]))
    for context in (tf.constant([[0.0, 1.0]]), tf.constant([[0, 1, 1]])):
        with pytest.raises(InvalidInputError, match="Expected 2 integers below"):
            label(context)


def test_the_typical_lengths_are_saved_with_the_weights(model, tmp_path) -> None:
    model.adapt(clips(), LABELS)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_array_equal(again.typical_durations, model.typical_durations)
    assert all("typical_durations" not in v.path for v in model.trainable_variables)


def test_training_knows_the_length_of_each_clip() -> None:
    keras.utils.set_random_seed(0)
    model = zoo.create("wavenet", dtype="float64", **COMMON, **SIZES["wavenet"])
    x = clips()
    nats = nats_of(
        model.default_objective(),
        model,
        tf.constant(x),
        tf.constant(LABELS),
        tf.constant([0, 0]),
        training=True,
    )
    assert_allclose(nats, -model.log_prob(x, model.clip_context(x, LABELS)), rtol=1e-12)
    assert_allclose(model.stepwise_log_prob(x, model.clip_context(x, LABELS)).numpy().sum(1), -nats)
    assert np.abs(nats + model.log_prob(x, LABELS)).max() > 1e-3  # typical lengths are others


def test_places_are_shares_of_the_clip() -> None:
    """The table's rows at linear shares of each length, then the last row: NumPy's own."""
    layer = LabelConditioner((3, 2), 4, frames=6, durations=5, clip_frames=20)
    layer.build()
    layer.positions.assign(np.random.default_rng(0).normal(size=layer.positions.shape))
    words, durations = np.array([0, 2]), np.array([1, 4])
    placed = layer._placed(tf.constant(words), tf.constant(durations)).numpy()
    table = layer.positions.numpy()
    for row, (word, length) in enumerate(zip(words, (1.5 * 4.0, 4.5 * 4.0), strict=True)):
        places = np.minimum(4.0 * (np.arange(20) + 0.5) / length, 5.0)
        for channel in range(4):
            expected = np.interp(places, np.arange(6), table[word, :, channel])
            assert_allclose(placed[row, :, channel], expected, rtol=1e-5, atol=1e-6)
    again = LabelConditioner.from_config(layer.get_config())
    assert (again.durations, again.clip_frames) == (5, 20)


@pytest.mark.parametrize("bad", [[0, 0, 4], [0, 0, -1], [3, 0, 0], [0, 0, 0, 0]])
def test_rows_that_are_no_condition_are_refused(model, bad: list[int]) -> None:
    with pytest.raises(InvalidInputError, match=r"duration class|integers below|Factor|\[batch\]"):
        model.sample(1, context=np.array([bad], np.int32))


def test_floats_are_no_durations(model) -> None:
    with pytest.raises(InvalidInputError, match=r"integer in 0\.\.3"):
        model.sample(1, context=np.array([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("changes", [{"num_durations": 1}, {"position_frames": 2}])
def test_sizes_that_cannot_be_built(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="num_durations"):
        zoo.create("wavenet", **{**COMMON, **SIZES["wavenet"], **changes})


def test_a_student_is_a_flow_given_label_and_length() -> None:
    keras.utils.set_random_seed(0)
    student = zoo.create("parallel_wavenet", dtype="float64", **COMMON, **SIZES["parallel_wavenet"])
    for variable in student.trainable_variables:
        variable.assign(0.3 * np.random.default_rng(1).normal(size=variable.shape))
    context = student.checked_context(np.array([[0, 1, 3], [2, 0, 1]]), rows=2)
    z = tf.constant(np.random.default_rng(2).logistic(size=(2, SIZE)))
    draw = student.draw(z, context)
    flow = tfp.bijectors.Chain(student._flow(context=context))
    assert_allclose(flow.forward(z), draw.x, rtol=1e-10)
    assert_allclose(flow.inverse(tf.identity(draw.x)), z, rtol=1e-7, atol=1e-8)
    longer = student.draw(z, context + tf.constant([[0, 0], [0, 2]]))
    assert_array_equal(longer.x[0], draw.x[0])
    assert np.abs(longer.x[1] - draw.x[1]).max() > 1e-3


def test_teacher_and_student_are_told_the_same_length() -> None:
    """A student's loss is that of the explicit condition; another label keeps the length."""
    keras.utils.set_random_seed(0)
    teacher = zoo.create("wavenet", **COMMON, **SIZES["wavenet"])
    sizes = {**SIZES["parallel_wavenet"], "base": "normal"}
    student = zoo.create("parallel_wavenet", **COMMON, **sizes)
    settings = Distillation(teacher="t", divergence="gaussian", contrastive=0.3)
    loss = DistillationLoss(settings, teacher)
    x, labels, seed = tf.constant(clips()), tf.constant(LABELS), tf.constant([0, 1])
    rows = student._with_durations(x, labels)
    told = nats_of(loss, student, x, labels, seed, training=True)
    assert_allclose(told, loss(student, x, rows, seed), rtol=1e-5)
    others = loss._other_labels(rows, seed).numpy()
    assert_array_equal(others[:, 1], CLASSES)
    assert (others[:, 0] != LABELS).all()
