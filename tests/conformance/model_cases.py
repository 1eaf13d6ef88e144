"""What a row of the laws over models is: a family with a tiny config, its data and its model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from bijector_cases import NUM_ROWS, Bijector, BijectorCase
from tiny import drawn_columns

from zoo import models
from zoo.core.space import Space

# Why the replicas of a row do not train as one process does.
DROPOUT = "dropout draws other masks for a smaller batch"


def randomise(model: Any, seed: int = 0, scale: float = 1.0) -> Any:
    """Every weight drawn anew, the fitted preprocessing and the seed generators left alone."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "int" in variable.dtype:  # counts, and what grows
            continue
        owner, _, name = variable.path.rpartition("/")
        if (
            owner.rpartition("/")[2].startswith(("zca", "separable", "standardisation"))
            or name == "seed_generator_state"
        ):
            continue
        if name in ("variance", "moving_variance", "magnitude", "factor"):
            value = rng.uniform(0.5, 1.2, variable.shape)
        elif len(variable.shape) >= 2:
            value = scale * rng.normal(size=variable.shape) / np.sqrt(np.prod(variable.shape[:-1]))
        else:
            value = 0.3 * scale * rng.normal(size=variable.shape)
        variable.assign(value)
    return model


@dataclass(frozen=True, kw_only=True)
class ModelCase:
    """A model of a family with a tiny config. `cannot`: law -> the reason why it does not hold.

    weight_scale: of the random weights; below 1 for splines, whose densities are jagged else.
    stages: that it has, of a model that grows; its other weights are random as well.
    """

    family: str
    config: Mapping[str, Any]
    weight_scale: float = 1.0
    stages: int = 0
    cannot: Mapping[str, str] = field(default_factory=dict)

    def build(self, dtype: str = "float32", seed: int = 0, **changes: Any) -> Any:
        """A new model with whitening fitted to its rows and every weight random."""
        model = models.create(self.family, dtype=dtype, **{**self.config, **changes})
        model.adapt_whitening(self.rows(64, seed=seed + 100))
        model.adapt_context(self.labels(64))
        for _ in range(self.stages):
            model.grow(self.rows(64, seed=seed + 200), seed=seed)
        return randomise(model, seed, self.weight_scale)

    @functools.cached_property
    def model_class(self) -> type[Any]:
        return models.model_class(self.family)

    @functools.cached_property
    def model_config(self) -> Any:
        config_class, values = self.model_class.config_class, dict(self.config)
        if len(self.event_shape) == 3:
            values.setdefault("preprocessing", config_class.image_preprocessing())
        return config_class.from_dict(values)

    @functools.cached_property
    def data(self) -> Space:
        """The space of its rows, in float32."""
        return self.model_config.data_space()

    @functools.cached_property
    def context(self) -> Space | None:
        return self.model_config.context_space()

    def rows(self, num_rows: int = NUM_ROWS, seed: int = 2) -> np.ndarray:
        """Data as a dataset would store them."""
        rng = np.random.default_rng(seed)
        if self.data.columns:
            return drawn_columns(self.data.columns, num_rows, rng).astype(self.data.dtype)
        shape = (num_rows, *self.event_shape)
        if self.data.levels:
            return rng.integers(0, self.data.levels, shape).astype("uint8")
        if self.data.medium == "audio":
            return rng.integers(-3000, 3000, shape).astype("int16")
        return (1.5 * rng.normal(size=shape) + 0.3).astype("float32")

    def labels(self, num_rows: int = NUM_ROWS) -> Any:
        """A context for so many rows, [num_rows, ...]: labels, numbers, an image; None without."""
        if self.context is None:
            return None
        if self.context.columns:
            rng = np.random.default_rng(4)
            return drawn_columns(self.context.columns, num_rows, rng)
        if self.context.num_labels:
            return np.arange(num_rows, dtype="int32") % self.context.num_labels
        shape = (num_rows, *self.context.shape)
        if self.context.levels:
            return np.random.default_rng(4).integers(0, self.context.levels, shape).astype("uint8")
        return np.random.default_rng(4).normal(size=shape).astype("float32")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.config["event_shape"]

    @property
    def event_size(self) -> int:
        return int(np.prod(self.event_shape))

    # The model's chain is a row of the bijector laws as well.

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (self.event_size,)

    def bijector(self, dtype: str = "float64") -> Bijector:
        return shared_model(self, dtype).bijector(self.labels())

    latents = BijectorCase.latents


_MODELS: dict[tuple[int, str], Any] = {}


def shared_model(case: ModelCase, dtype: str = "float32") -> Any:
    """The case's model, built once a run: for laws that do not change its weights.

    In float64 its methods compute at once, in place of tracing a graph for a call or two; that
    graphs and XLA give the same numbers is a law of its own (`test_compilation.py`).
    """
    key = (id(case), dtype)
    if key not in _MODELS:
        model = _MODELS[key] = case.build(dtype)
        if dtype == "float64":
            model._run = lambda unused_name, function, **arrays: function(**arrays)
    return _MODELS[key]


def dense(gradients: list[Any]) -> list[Any]:
    """Gradients as tensors: those of looked-up rows of a table come as slices."""
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def jacobians(function: Callable[[Any], Any], x: Any) -> np.ndarray:
    """d function(x)_i / d x_j by autodiff, flattened: [rows, D, D].

    Each row is repeated D times and pulled back along one output each, so that one reverse pass
    does; rows must not influence each other, which is a law of its own.
    """
    num_rows, size = x.shape[0], int(np.prod(x.shape[1:]))
    repeated = tf.repeat(x, size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        y = function(repeated)
    outputs = tf.reshape(tf.tile(tf.eye(size, dtype=x.dtype), [num_rows, 1]), tf.shape(y))
    gradient = tape.gradient(y, repeated, output_gradients=outputs, unconnected_gradients="zero")
    return tf.reshape(gradient, [num_rows, size, size]).numpy()
