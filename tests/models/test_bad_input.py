"""Bad input gets an error that says what was expected and what came; never a silent number."""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from zoo import models
from zoo.errors import ConfigError, InvalidInputError, UnknownModelError


@functools.cache
def _model(kind: str):
    if kind == "image":
        return models.create("nice", event_shape=(2, 3, 1), hidden_units=(4,), num_couplings=2)
    if kind == "conditional":
        return models.create(
            "maf", event_shape=(3,), hidden_units=(6,), num_layers=2, context_size=4
        )
    return models.create("realnvp", event_shape=(3,), hidden_units=(4,), num_couplings=2)


IMAGES = np.zeros((2, 2, 3, 1), "uint8")
ROWS = np.zeros((2, 3), "float32")
SCORES = ["log_prob", "bits_per_dim", "encode"]


@pytest.mark.parametrize("method", [*SCORES, "adapt", "paper_space_log_det"])
@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        ("image", IMAGES[0], r"Expected x of shape \[batch, 2, 3, 1\]; got \[2, 3, 1\]"),
        ("image", IMAGES[0], r"one row: x\[None\]"),
        ("image", IMAGES[0, ..., 0], r"got \[2, 3\]\. It is one row.*x\[None, \.\.\., None\]"),
        ("image", np.moveaxis(IMAGES, -1, 1), r"got \[2, 1, 2, 3\].*np\.moveaxis\(x, 1, -1\)"),
        ("image", IMAGES.reshape(2, 6), r"x\.reshape\(-1, 2, 3, 1\) makes rows"),
        ("image", IMAGES[None], r"x\.reshape\(-1, 2, 3, 1\) makes rows"),
        ("image", np.repeat(IMAGES, 3, -1), "in colour, and the model takes grey"),
        ("image", IMAGES / 255.0, r"x \+ u with u in \[0, 1\), is model\.distribution\(\)"),
        ("image", tf.zeros([2, 2, 3, 1]), r"got float32.*model\.distribution\(\)"),
        ("image", (IMAGES, np.arange(2)), r"a tuple of 2.*\(x, context\), not \(\(x, context\)\)"),
        ("image", {"image": IMAGES}, "a dictionary of 'image'"),
        ("image", tf.data.Dataset.from_tensors(IMAGES), "for x in …"),
        ("image", np.full((2, 2, 3, 1), "7"), "got string"),
        ("image", np.zeros((2, 3, 2, 1), "uint8"), r"got \[2, 3, 2, 1\]"),
        ("image", IMAGES[:0], "empty batch"),
        ("image", IMAGES / 255.0, r"0\.\.255 as integers \(uint8\).*got float64.*np\.round\(255"),
        ("image", IMAGES + 7.0, r"got float64.*whole numbers: x\.astype\('uint8'\)"),
        ("image", IMAGES.astype("float32"), "got float32"),
        ("image", IMAGES.astype(bool), "got bool"),
        ("image", IMAGES.astype("int32") - 1, r"must be in 0\.\.255; got -1\.\.-1"),
        ("image", IMAGES.astype("int64") + 256, r"must be in 0\.\.255; got 256\.\.256"),
        ("image", "an image", "Expected x of shape|got string"),
        ("image", [[1, 2], [3]], "not an array of numbers"),
        ("features", ROWS[0], r"Expected x of shape \[batch, 3\]; got \[3\]"),
        (
            "features",
            np.zeros((2, 4), "float32"),
            r"Expected x of shape \[batch, 3\]; got \[2, 4\]",
        ),
        ("features", ROWS[0], r"one row: x\[None\] is a batch of one"),
        ("features", np.zeros((3, 5), "float32"), r"rows as columns: x\.T"),
        ("features", ROWS[..., None], r"x\.reshape\(-1, 3\) makes rows"),
        ("features", (ROWS, np.arange(2)), "a tuple of 2"),
        ("features", [ROWS, ROWS], r"got \[2, 2, 3\]"),
        ("features", np.array([["1", "2", "3"]], "object"), "If all of them are numbers"),
        ("features", 1.0, r"Expected x of shape \[batch, 3\]; got \[\]"),
        ("features", ROWS[:0], "empty batch"),
        ("features", ROWS + np.nan, "NaN or infinity"),
        ("features", np.array([[0.0, 1.0, np.inf]]), "NaN or infinity"),
        ("features", tf.constant([[0.0, 1.0, -np.inf]]), "NaN or infinity"),
        ("features", np.array([["a", "b", "c"]]), "Expected numbers in x"),
        ("features", None, "Expected numbers in x"),
    ],
)
def test_data_of_the_wrong_kind(method: str, kind: str, x: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        getattr(_model(kind), method)(x)


class Foreign:
    """A tensor of another library, on a device and with a gradient."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return self.values


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("image", lambda x: x[..., 0]),
        ("image", lambda x: tf.constant(x)[..., 0]),
        ("image", lambda x: x.astype("int64")),
        ("image", lambda x: x.tolist()),
        ("image", lambda x: x[..., 0].tolist()),
        ("image", Foreign),
        ("features", lambda x: x.tolist()),
        ("features", lambda x: x.astype("float64")),
        ("features", pd.DataFrame),
        ("features", Foreign),
        ("features", lambda x: [tf.constant(row) for row in x]),
    ],
)
def test_rows_that_are_no_plain_array_are_taken(kind: str, rows) -> None:
    model, generator = _model(kind), np.random.default_rng(0)
    x = generator.integers(0, 256, IMAGES.shape).astype("uint8")
    x = x if kind == "image" else generator.normal(size=ROWS.shape).astype("float32")
    for method in (model.log_prob, model.encode):
        np.testing.assert_array_equal(method(rows(x)), method(x))


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros(3), r"one row: z\[None\]"),
        (np.zeros((2, 3, 1)), r"z\.reshape\(-1, 3\)"),
        (np.zeros((2, 4)), r"Expected latents z of shape \[batch, 3\]; got \[2, 4\]"),
        (np.zeros(3), r"\[batch, 3\]; got \[3\]"),
        (np.zeros((0, 3)), r"\[batch, 3\]; got \[0, 3\]"),
        (np.full((1, 3), np.nan), "NaN or infinity"),
        (np.full((1, 3), np.inf), "NaN or infinity"),
        ("latents", "Expected numbers in z"),
    ],
)
def test_latents_of_the_wrong_kind(z: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _model("features").decode(z)


CONTEXTS = [
    (None, "conditional: give context"),
    (np.array([0.0, 1.0]), "integer labels.*got float64"),
    (np.array([[0], [1]]), r"integer labels of shape \[batch\]; got int64 \[2, 1\]"),
    (np.array([0.0, 1.0]), r"context\.astype\('int32'\)"),
    (np.array([[0], [1]]), r"context\[:, 0\]"),
    (np.eye(4)[:2], r"np\.argmax\(context, -1\)"),
    (np.array([0, 1, 2]), "one label a row: 2; got 3"),
    (np.array([0, 4]), r"0\.\.3; got 0\.\.4"),
    (np.array([-1, 0]), r"0\.\.3; got -1\.\.0"),
]


@pytest.mark.parametrize(("context", "message"), CONTEXTS)
def test_contexts_of_the_wrong_kind(context: object, message: str) -> None:
    model = _model("conditional")
    for call in (
        lambda: model.log_prob(ROWS, context),
        lambda: model.bits_per_dim(ROWS, context),
        lambda: model.encode(ROWS, context),
        lambda: model.decode(ROWS, context),
        lambda: model.sample(2, context=context),
        lambda: model.adapt(ROWS, context),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_bijector_and_distribution_check_the_context_too() -> None:
    for call in (_model("conditional").bijector, _model("conditional").distribution):
        with pytest.raises(InvalidInputError, match="give context"):
            call()
        with pytest.raises(InvalidInputError, match=r"0\.\.3"):
            call(np.array([7]))


def test_a_context_that_is_not_expected() -> None:
    labels, model = np.array([0, 1]), _model("features")
    for call in (
        lambda: model.log_prob(ROWS, labels),
        lambda: model.encode(ROWS, labels),
        lambda: model.decode(ROWS, labels),
        lambda: model.sample(2, context=labels),
        lambda: model.bijector(labels),
    ):
        with pytest.raises(InvalidInputError, match="unconditional: leave out context"):
            call()


@pytest.mark.parametrize("num_samples", [0, -1, 2.5, "3", None, True, float("nan"), [2]], ids=repr)
def test_numbers_of_samples_that_are_none(num_samples: object) -> None:
    with pytest.raises(InvalidInputError, match="num_samples must be an integer of at least 1"):
        _model("features").sample(num_samples)


@pytest.mark.parametrize(
    "temperature", [-0.1, 2e6, float("nan"), float("inf"), "warm", None, [1.0, 2.0]], ids=repr
)
def test_temperatures_that_are_none(temperature: object) -> None:
    with pytest.raises(InvalidInputError, match=r"temperature must be a finite number >= 0"):
        _model("features").sample(2, temperature=temperature)


@pytest.mark.parametrize("seed", [1.5, "seed", (1, 2, 3), [[1, 2]], True, 2**70], ids=repr)
def test_seeds_that_are_none(seed: object) -> None:
    for call in (
        lambda: _model("features").sample(2, seed=seed),
        lambda: _model("image").log_prob(IMAGES, seed=seed),
    ):
        with pytest.raises(InvalidInputError, match="seed must be an integer or a pair"):
            call()


def test_one_dtype_for_a_density() -> None:
    config = {"event_shape": (3,), "hidden_units": (4,)}
    with pytest.raises(ConfigError, match=r"one dtype; .*conditioner_dtype='mixed_bfloat16'"):
        models.create("maf", **config, dtype="mixed_bfloat16")
    model = models.build("maf", config, conditioner_dtype="mixed_bfloat16")
    assert np.isfinite(model.log_prob(ROWS)).all()


def test_what_fit_refuses() -> None:
    model = _model("features")
    with pytest.raises(InvalidInputError, match="takes no loss"):
        model.compile(loss="mse")
    with pytest.raises(InvalidInputError, match="leave out metrics, weighted_metrics"):
        model.compile(metrics=["mse"], weighted_metrics=["mse"])
    model.compile()
    for elements, message in (
        ((ROWS, np.array([0, 1])), "Drop the second element"),
        ((ROWS, None, np.ones(1)), "one sample weight a row"),
        (({"image": ROWS},), r"dictionary with \['image'\]"),
        ((IMAGES,), r"Expected x of shape \[batch, 3\]"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            model.train_step(elements)


def test_a_scaled_loss_that_overflows_lowers_its_scale(rng: np.random.Generator) -> None:
    model = models.create(
        "maf", event_shape=(3,), hidden_units=(8,), num_layers=1, preprocessing={}
    )
    rows = rng.normal(size=(32, 3)).astype(np.float32)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=2.0**120)
    model.compile(optimizer)
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(1e6 * rows, batch_size=32, verbose=0, adapt=False)
    assert float(optimizer.dynamic_scale) == 2.0**119
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_fit_outlives_a_row_that_overflows(
    clip_norm: float | None, rng: np.random.Generator
) -> None:
    """A finite cell, but its square is not: the batch norms' moments, Adam's and the clipping."""
    model = models.create("maf", event_shape=(3,), hidden_units=(8,), num_layers=2)
    rows = rng.normal(size=(64, 3)).astype(np.float32)
    bad = rows.copy()
    bad[40] = 1e20
    model.compile(keras.optimizers.Adam(1e-3, global_clipnorm=clip_norm))
    model.fit(rows, batch_size=32, verbose=0)
    before = [v.numpy() for v in model.non_trainable_variables]
    told = model.fit(bad, batch_size=32, shuffle=False, verbose=0).history
    assert not np.isfinite(told["loss"][0])
    assert all(np.isfinite(v.numpy()).all() for v in model.weights)
    moved = [
        np.any(v.numpy() != b) for v, b in zip(model.non_trainable_variables, before, strict=True)
    ]
    assert any(moved)  # by the batch before
    assert np.isfinite(model.log_prob(rows)).all()


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("nice", {}, "needs event_shape"),
        ("nice", {"event_shape": (1,)}, "at least 2 dimensions"),
        ("nice", {"event_shape": (4,), "num_couplings": 0}, "1 coupling"),
        ("nice", {"event_shape": (4,), "base": "cauchy"}, "base must be"),
        ("nice", {"event_shape": (4,), "dropout": 1.0}, r"dropout in \[0, 1\)"),
        ("nice", {"event_shape": (4,), "log_scale_factor": 0.0}, "finite log_scale_factor"),
        (
            "vae",
            {"event_shape": (4,), "free_bits": math.nan},
            "free_bits must be a finite",
        ),
        (
            "vae",
            {"event_shape": (4,), "free_bits": math.inf},
            "free_bits must be a finite",
        ),
        ("nice", {"event_shape": (4,), "hidden": (4,)}, "has no hidden; its fields"),
        ("nice", {"event_shape": (0,)}, "positive integers"),
        ("nice", {"event_shape": ()}, "positive integers"),
        ("realnvp", {"event_shape": (2, 2)}, r"\[h, w, c\] or \[d\]"),
        ("realnvp", {"event_shape": (6, 5, 1)}, "multiples of 2"),
        ("realnvp", {"event_shape": (6, 6, 1), "conditioner_stride": 2}, "multiples of 4"),
        ("realnvp", {"event_shape": (1,)}, "at least 2 dimensions"),
        ("realnvp", {"event_shape": (4,), "normalization": "none"}, "normalization must be"),
        ("realnvp", {"event_shape": (4,), "num_couplings": 0}, "at least 1; .*num_couplings"),
        ("realnvp", {"event_shape": (4, 4, 1), "num_scales": 0}, "at least 1; .*'num_scales': 0"),
        ("realnvp", {"event_shape": (4, 4, 1), "filters": 0}, "at least 1; .*'filters': 0"),
        ("realnvp", {"event_shape": (4, 4, 1), "num_blocks": -1}, "at least 0; .*'num_blocks': -1"),
        ("maf", {"event_shape": (4,), "num_layers": 0}, "num_layers must be at least 1"),
        ("maf", {"event_shape": (4,), "normalization": "layer_norm"}, "normalization must be"),
        ("maf", {"event_shape": (4,), "context_size": -1}, "context_size must be 0 or more"),
        ("made", {"event_shape": (4,), "hidden_units": ()}, "at least one layer"),
        ("made", {"event_shape": (4,), "log_scale_limit": 0.0}, "must be positive"),
        ("made", {"event_shape": (4,), "log_scale_limit": math.nan}, "a finite number; got nan"),
        ("maf", {"event_shape": (4,), "preprocessing": {"num_levels": 256}}, "Integer data need"),
        (
            "maf",
            {"event_shape": (4,), "preprocessing": {"num_levels": 1, "transform": "unit"}},
            r"\[2, 256\]",
        ),
        ("maf", {"event_shape": (4,), "preprocessing": {"whitening": "pca"}}, "whitening must be"),
        ("maf", {"event_shape": (4,), "preprocessing": {"levels": 2}}, "cannot be built"),
        (
            "maf",
            {
                "event_shape": (4,),
                "preprocessing": {"num_levels": 9, "transform": "logit", "alpha": 0.5},
            },
            "alpha",
        ),
    ],
)
def test_configs_that_cannot_be_built(family: str, config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create(family, **config)


def test_unknown_families_name_close_ones() -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'realnvp'"):
        models.create("real_nvp", event_shape=(4,))
    with pytest.raises(UnknownModelError, match="Families: nice, realnvp, maf, made"):
        models.build("glow", {})


def test_a_model_refuses_the_config_of_another_family() -> None:
    config = models.model_class("maf").config_class(event_shape=(4,))
    with pytest.raises(ConfigError, match="NICE needs a NICEConfig; got MAFConfig"):
        models.build("nice", config)


def test_good_input_of_other_kinds_is_taken() -> None:
    """Lists, float64 arrays, tensors and signed integers within range are no mistakes."""
    rows = [[0.0, 1.0, 2.0], [3, 4, 5]]
    expected = _model("features").log_prob(np.array(rows, "float32")).numpy()
    for x in (rows, np.array(rows), tf.constant(rows, tf.float64), np.array(rows).astype("int64")):
        np.testing.assert_array_equal(_model("features").log_prob(x), expected)
    expected = _model("image").log_prob(IMAGES + 255).numpy()
    for x in ((IMAGES + 255).tolist(), (IMAGES + 255).astype("int64"), tf.constant(IMAGES + 255)):
        np.testing.assert_array_equal(_model("image").log_prob(x), expected)
    model = _model("conditional")
    assert model.sample(np.int64(3), context=2).shape == (3, 3)
    np.testing.assert_array_equal(
        model.log_prob(ROWS, [1, 2]), model.log_prob(ROWS, np.array([1, 2], "int64"))
    )
