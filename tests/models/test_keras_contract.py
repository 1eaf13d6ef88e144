"""What Keras offers of any model: honoured, or refused with the zoo's own way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from tiny import TINY

from zoo import models
from zoo.errors import InvalidInputError

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
LABELS = np.arange(6, dtype="int32") % 2
FAMILIES = {
    "conditional": ("maf", {}),
    "unconditional": ("maf", {"context_size": 0}),
    "vae": ("vae", {}),
    "discrete": ("idf", {"num_parts": 2}),
}


def _model(kind: str, **compiled: Any) -> tuple[Any, np.ndarray, Any]:
    """(a compiled model, rows, labels or None)."""
    family, changes = FAMILIES[kind]
    model = models.create(family, **{**TINY[family], **changes})
    model.compile(**compiled)
    rows = {
        "vae": np.random.default_rng(1).integers(0, 2, (6, 4, 4, 1)).astype("uint8"),
        "discrete": np.random.default_rng(1).integers(0, 7, (6, 5)).astype("uint8"),
    }.get(kind, ROWS)
    return model, rows, LABELS if kind == "conditional" else None


@pytest.mark.parametrize("kind", FAMILIES)
def test_predict_is_the_call_batch_by_batch(kind: str) -> None:
    model, x, labels = _model(kind)
    expected = model(x, labels)
    given = x if labels is None else (x, labels)
    dataset = tf.data.Dataset.from_tensor_slices(given).batch(4)
    for found in (
        model.predict(given, batch_size=4, verbose=0),
        model.predict(dataset, verbose=0),
        model.predict_on_batch(given),
    ):
        assert isinstance(found, np.ndarray)
        assert_allclose(found, expected, rtol=1e-5)


def test_predict_says_what_a_context_is_missing_from_or_not_expected_in() -> None:
    model, x, labels = _model("conditional")
    with pytest.raises(InvalidInputError, match="give context"):
        model.predict(x, verbose=0)
    model, x, _ = _model("unconditional")
    for call in (model.predict, model.predict_on_batch):
        with pytest.raises(InvalidInputError, match="predict takes x alone; got 2 arrays"):
            call((x, labels))


@pytest.mark.parametrize("kind", ["conditional", "unconditional", "vae"])
def test_weights_count_in_every_entry(kind: str) -> None:
    model, x, labels = _model(kind, optimizer=keras.optimizers.SGD(0.0))
    weights = np.array([2.0, 0.0, 1.0, 0.0, 0.0, 0.0], "float32")
    rows, three = [0, 0, 2], None if labels is None else labels[[0, 0, 2]]
    expected = model.test_on_batch(x[rows], three, return_dict=True)["loss"]
    for found in (
        model.evaluate(x, labels, sample_weight=weights, verbose=0, return_dict=True),
        model.test_on_batch(x, labels, sample_weight=weights, return_dict=True),
    ):
        if kind != "vae":  # whose noise is of the row's place
            assert_allclose(found["loss"], expected, rtol=1e-5)
        assert np.isfinite(found["loss"])
    trained = model.train_on_batch(x, labels, sample_weight=weights, return_dict=True)
    fitted = model.fit(x, labels, sample_weight=weights, batch_size=6, verbose=0, shuffle=False)
    assert np.isfinite([trained["loss"], *fitted.history["loss"]]).all()
    if kind != "conditional":
        with pytest.raises(InvalidInputError, match="class_weight is of labels"):
            model.train_on_batch(x, class_weight={0: 2.0})
        return
    classes = {0: 3.0, 1: 0.0}
    even = model.test_on_batch(x[::2], labels[::2], return_dict=True)["loss"]
    weighted = model.test_on_batch(x, labels, class_weight=classes, return_dict=True)["loss"]
    assert_allclose(weighted, even, rtol=1e-5)


@pytest.mark.parametrize("kind", ["conditional", "unconditional", "vae"])
def test_after_a_refused_fit_the_corrected_one_works(kind: str) -> None:
    model, x, labels = _model(kind)
    wrong = (x, None) if kind == "conditional" else (x, LABELS)
    with pytest.raises(InvalidInputError):
        model.fit(*wrong, verbose=0)
    with pytest.raises(InvalidInputError):
        model.fit(x[:, :-1], labels, verbose=0)
    assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("kind", FAMILIES)
def test_shapes_are_known_without_a_call(kind: str) -> None:
    model, x, labels = _model(kind)
    assert model.compute_output_shape(x.shape) == (6,)
    assert model.compute_output_shape((None, *x.shape[1:])) == (None,)
    with pytest.raises(InvalidInputError, match="Expected x of shape"):
        model.compute_output_shape((6,))
    inputs = [keras.Input(x.shape[1:], dtype=model.data.dtype)]
    if labels is not None:
        inputs.append(keras.Input((), dtype="int32"))
    around = keras.Model(inputs, -model(*inputs))
    given = [x] if labels is None else [x, labels]
    assert_allclose(around.predict(given, verbose=0), -model(x, labels), rtol=1e-5)


def test_what_keras_would_do_wrong_names_the_zoos_way() -> None:
    model, _, _ = _model("unconditional")
    with pytest.raises(InvalidInputError, match=r"zoo\.export\(model, path\)"):
        model.export("somewhere")
    with pytest.raises(InvalidInputError, match="conditioner_dtype"):
        model.quantize("int8")


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_function_may_draw_a_number_that_it_is_given(kind: str) -> None:
    model, x, labels = _model(kind)

    @tf.function(autograph=False)
    def drawn(number: Any, temperature: Any) -> Any:
        label = None if labels is None else tf.constant(1)
        return model.sample(number, seed=(1, 2), temperature=temperature, context=label)

    for number in (2, 5, 3):
        found = drawn(tf.constant(number), tf.constant(0.7))
        expected = model.sample(
            number, seed=(1, 2), temperature=0.7, context=None if labels is None else 1
        )
        assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert drawn.experimental_get_tracing_count() < 3  # not one a number
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_samples must be an integer"):
        drawn(tf.constant(0), tf.constant(1.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be"):
        drawn(tf.constant(2), tf.constant(-1.0))
    with pytest.raises(InvalidInputError, match="got a tensor of float32"):
        drawn(tf.constant(2.0), tf.constant(1.0))

    @tf.function(input_signature=[tf.TensorSpec([None, *x.shape[1:]], x.dtype)], autograph=False)
    def scored(rows: Any) -> Any:
        context = None if labels is None else tf.zeros(tf.shape(rows)[:1], tf.int32)
        return model.log_prob(rows, context)

    zeros = None if labels is None else np.zeros(6, "int32")
    for count in (6, 2):
        some = None if zeros is None else zeros[:count]
        assert_allclose(scored(x[:count]), model.log_prob(x[:count], some), rtol=1e-5)


def test_a_loop_over_samples_says_that_it_needs_their_number() -> None:
    model = models.create("wavenet", **TINY["wavenet"])
    drawn = tf.function(lambda n: model.sample(n, context=tf.constant(0)), autograph=False)
    with pytest.raises(InvalidInputError, match="num_samples must be a Python integer here"):
        drawn(tf.constant(2))
