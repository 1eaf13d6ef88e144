"""Rows that count more than others: `sample_weight` and `class_weight` of Keras' methods."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY

from zoo.errors import InvalidInputError
from zoo.models import build

WEIGHTS = np.array([2, 0, 1, 3, 1, 0, 2, 1])

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "maf": ("maf", {}),  # batch norm between the layers, labels
    "realnvp": ("realnvp", {"normalization": "batch_norm"}),  # and inside the conditioner
    "nsf": ("nsf", {"context_size": 0}),
    "idf": ("idf", {}),
    "vae": ("vae", {}),
    "free bits": ("iaf_vae", {"free_bits": 0.5}),
    "wavenet": ("wavenet", {}),
}


def rows_of(model: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    shape = (len(WEIGHTS), *model.data.shape)
    if model.data.medium == "audio":
        x = rng.integers(-3000, 3000, shape).astype(np.int16)
    elif model.data.levels:
        x = rng.integers(0, model.data.levels, shape).astype(np.uint8)
    else:
        x = rng.normal(size=shape).astype(np.float32)
    labels = rng.integers(0, model.config.context_size or 1, len(WEIGHTS)).astype(np.int32)
    return x, labels if model.config.context_size else None


def moved(case: str, how: Any) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """(weights' moves in one step at rate 1, running moments, loss).   how: of the step."""
    family, changes = CASES[case]
    keras.utils.set_random_seed(3)
    model = build(family, {**TINY[family], **changes})
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(scale=0.1, size=variable.shape))
    x, context = rows_of(model, rng)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    before = [v.numpy() for v in model.trainable_variables]
    loss = how(model, x, context)
    moves = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
    layers = (v for v in model.non_trainable_variables if "seed" not in v.path)
    return moves, [v.numpy() for v in layers], float(np.ravel(loss)[0])


def repeated(model: Any, x: np.ndarray, context: np.ndarray | None) -> Any:
    return model.train_on_batch(
        np.repeat(x, WEIGHTS, 0), None if context is None else np.repeat(context, WEIGHTS)
    )


def assert_close(found: Any, expected: Any) -> None:
    for mine, theirs in zip(found[:2], expected[:2], strict=True):
        if mine:
            whole = np.concatenate([np.ravel(v) for v in theirs])
            same = np.concatenate([np.ravel(v) for v in mine])
            np.testing.assert_allclose(same, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


@pytest.mark.parametrize("case", CASES)
def test_weight_k_is_the_row_k_times(case: str) -> None:
    def weighted(model: Any, x: np.ndarray, context: np.ndarray | None) -> Any:
        return model.train_on_batch(x, context, sample_weight=0.5 * WEIGHTS)  # no scale matters

    expected, found = moved(case, repeated), moved(case, weighted)
    assert max(np.abs(move).max() for move in expected[0]) > 1e-3
    assert_close(found, expected)
    assert found[2] == pytest.approx(expected[2], rel=1e-5)


def fit_arrays(model: Any, x: Any, context: Any) -> Any:
    return model.fit(x, context, 8, sample_weight=WEIGHTS, verbose=0).history["loss"]


def fit_dataset(model: Any, x: Any, context: Any) -> Any:
    w = WEIGHTS.astype(np.float32)
    if context is None:
        pairs = tf.data.Dataset.from_tensor_slices((x, w)).batch(8)
        elements = pairs.map(lambda x, w: (x, None, w))
    else:
        elements = tf.data.Dataset.from_tensor_slices((x, context, w)).batch(8)
    return model.fit(elements, shuffle=False, verbose=0).history["loss"]


def fit_generator(model: Any, x: Any, context: Any) -> Any:
    batches = (batch for batch in [(x, context, WEIGHTS)])
    return model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0).history["loss"]


class Batches(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, *batch: Any) -> None:
        super().__init__()
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch


def fit_batches(model: Any, x: Any, context: Any) -> Any:
    batches = Batches(x, context, WEIGHTS.astype(np.float32))
    return model.fit(batches, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("case", ["maf", "nsf"])
@pytest.mark.parametrize("fit", [fit_arrays, fit_dataset, fit_generator, fit_batches])
def test_every_entry_of_fit_weighs(case: str, fit: Any) -> None:
    expected, found = moved(case, repeated), moved(case, fit)
    assert_close(found, expected)
    assert found[2] == pytest.approx(expected[2], rel=1e-5)


@pytest.fixture
def model() -> Any:
    found = build("made", {**TINY["made"], "context_size": 0})
    found.compile("sgd")
    return found


@pytest.fixture
def conditional() -> Any:
    found = build("made", TINY["made"])
    found.compile("sgd")
    return found


def test_evaluation_is_the_weighted_mean(model: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 3)).astype(np.float32)
    expected = -np.average(model.log_prob(x), weights=WEIGHTS)
    found = model.evaluate(x, sample_weight=WEIGHTS, batch_size=3, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert model.test_on_batch(x, None, WEIGHTS)[0] == pytest.approx(expected, rel=1e-5)
    quiet = model.fit(
        x, epochs=1, verbose=0, validation_data=(x, None, WEIGHTS), batch_size=3
    ).history
    after = -np.average(model.log_prob(x), weights=WEIGHTS)
    assert quiet["val_loss"][0] == pytest.approx(after, rel=1e-5)
    split = model.fit(x, sample_weight=WEIGHTS, validation_split=0.5, verbose=0).history
    after = -np.average(model.log_prob(x[4:]), weights=WEIGHTS[4:])
    assert split["val_loss"][0] == pytest.approx(after, rel=1e-5)


def test_class_weights_are_those_of_labels(conditional: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 3)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 0])
    elements = tf.data.Dataset.from_tensor_slices((x, labels)).batch(8)
    weights = np.where(labels == 1, 3.0, 1.0)
    expected = -np.average(conditional.log_prob(x, labels), weights=weights)
    start = conditional.get_weights()
    for arguments in ((x, labels), (elements,)):
        conditional.set_weights(start)
        loss = conditional.fit(*arguments, class_weight={1: 3.0}, shuffle=False, verbose=0)
        loss = loss.history["loss"][0]
        assert loss == pytest.approx(expected, rel=1e-5)
    conditional.set_weights(start)
    loss = conditional.train_on_batch(x, labels, class_weight={1: 3.0})[0]
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"one sample weight a row, \[8\]; got \[3\]"),
        (np.ones((8, 2)), r"one sample weight a row, \[8\]; got \[8, 2\]"),
        (-np.arange(8.0), r"finite and at least 0\. Row 1 has -1\.0"),
        (np.full(8, np.nan), r"finite and at least 0\. Row 0 has nan"),
        (np.zeros(8), "above 0 for some row; all 8 are 0"),
        (np.array(["a"] * 8), "Expected numbers in sample_weight"),
    ],
    ids=["short", "columns", "negative", "nan", "zeros", "text"],
)
def test_weights_that_cannot_count_are_refused(model: Any, weights: Any, message: str) -> None:
    x = np.zeros((8, 3), np.float32)
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(InvalidInputError, match=message):
            call(x, sample_weight=weights)
    with pytest.raises(InvalidInputError, match=message.replace("sample_weight", ".*")):
        model.fit(x, validation_data=(x, None, weights))


def test_other_arguments_are_honoured_or_refused(model: Any, conditional: Any) -> None:
    x, labels = np.zeros((8, 3), np.float32), np.zeros(8, np.int32)
    elements = tf.data.Dataset.from_tensor_slices(x).batch(8)
    with pytest.raises(InvalidInputError, match=r"a dataset's elements hold their weights"):
        model.fit(elements, sample_weight=np.ones(8))
    with pytest.raises(InvalidInputError, match="this model is unconditional: give sample_weight"):
        model.fit(x, class_weight={0: 2.0})
    with pytest.raises(InvalidInputError, match=r"of labels 0\.\.1; got \{2: 1\.0\}"):
        conditional.fit(x, labels, class_weight={2: 1.0})
    with pytest.raises(InvalidInputError, match="at least 0 and not all 0"):
        conditional.fit(x, labels, class_weight={0: -1.0})
    with pytest.raises(InvalidInputError, match="not both"):
        conditional.fit(x, labels, class_weight={0: 2.0}, sample_weight=np.ones(8))
    with pytest.raises(InvalidInputError, match=r"integers \[batch\]; got int32 \[8, 1\]"):
        conditional.fit(x, labels[:, None], class_weight={0: 2.0})
    with pytest.raises(InvalidInputError, match=r"class_weight needs elements \(x, labels\)"):
        conditional.fit(elements, class_weight={0: 2.0})
    with pytest.raises(TypeError, match="one of them twice"):
        model.fit(x, x=x)


def test_masks_of_batches_are_refused(model: Any, rng: np.random.Generator) -> None:
    x = np.ma.masked_greater(rng.normal(size=(8, 3)).astype(np.float32), 0.0)
    with pytest.raises(InvalidInputError, match="Batch 0 is masked"):
        model.fit(Batches(x, None, np.ones(8, np.float32)), verbose=0)


def test_a_row_of_weight_zero_may_be_out_of_range(model: Any) -> None:
    x = np.zeros((4, 3), np.float32)
    x[1] = 1e30
    found = model.evaluate(x, sample_weight=[1, 0, 1, 1], verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(-np.mean(model.log_prob(x[[0, 2, 3]])), rel=1e-5)


def test_replicas_divide_by_the_weights_of_the_global_batch(
    rng: np.random.Generator, two_replicas: tf.distribute.MirroredStrategy
) -> None:
    """Two parts of a processor step as one device does, though the parts weigh otherwise."""
    x = rng.normal(size=(8, 3)).astype(np.float32)
    weights = np.array([5, 1, 0, 0, 1, 0, 0, 1], np.float32)
    moves = []
    config = {**TINY["maf"], "context_size": 0}
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(3)
        with strategy.scope():
            model = build("maf", config)
            model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
        before = [v.numpy() for v in model.trainable_variables]
        elements = tf.data.Dataset.from_tensor_slices((x, weights)).batch(8)
        model.fit(elements.map(lambda x, w: (x, None, w)), shuffle=False, verbose=0)
        after = [v.numpy() for v in model.trainable_variables]
        moves.append([b - a for a, b in zip(before, after, strict=True)])
    for mine, theirs in zip(moves[1], moves[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
