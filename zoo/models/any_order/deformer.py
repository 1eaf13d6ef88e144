"""DEformer: a transformer whose tokens say which feature they are, so that any order will do.

Alcorn & Nguyen 2021, arXiv:2106.06989. For an order s of the D features:

    z_k = g_z(identity of s_k)                        asks for the feature s_k
    u_k = g_u(identity of s_k, value of s_k)          says what it is
    "interleaved":  z_1 u_1 z_2 u_2 ... z_D, a causal transformer;  p(x_{s_k} | x_{s_<k}) of the
                    output at z_k
    "shifted":      D tokens g(identity of s_k; identity of s_{k-1}, value of s_{k-1}): half the
                    length, a quarter of the attention (the authors' variant of tables)

    identity   (row, column[, channel]) of an image, scaled to [-1, 1]; of others a learned vector
    value      the integer, of an image; of others a learned projection of what its column shows
    g          perceptrons of two hidden layers, 128 and 256 units in the paper, times sqrt(size)

A new uniform order for every row and step; log_prob in raster order, as published.
Deviations: coordinates are scaled (the authors' are raw integers); a table's values enter through a
projection of their own, since categories have no scale; every feature has a bias of its own at the
output, from which a fresh model starts, at its columns' marginal locations and scales; the last
layer of g starts at 1 / sqrt(size) of Glorot's scale, so that fresh tokens are of size 1 and not of
sqrt(size), beside which a norm behind the sum would see little of the attention.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.errors import ConfigError
from zoo.kinds.any_order import AnyOrderModel
from zoo.models.any_order.config import AnyOrderConfig
from zoo.networks.mlp import MLP
from zoo.networks.transformer import CausalTransformer

__all__ = ["DEformer", "DEformerConfig"]


@dataclass(frozen=True, kw_only=True)
class DEformerConfig(AnyOrderConfig):
    """Sizes of a transformer over features.

    size: of a token.   token_units: of the perceptrons that make tokens.
    hidden_size: of the transformer's perceptrons; 0 for four times the size.
    identity_size: of the learned identities of features that are no pixels.
    """

    tokens: Literal["interleaved", "shifted"] = "interleaved"
    size: int = 128
    token_units: tuple[int, ...] = (128, 256)
    num_layers: int = 4
    num_heads: int = 4
    hidden_size: int = 0
    identity_size: int = 20
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if min(self.size, self.num_layers, self.num_heads, self.identity_size) < 1:
            raise ConfigError(
                "size, num_layers, num_heads and identity_size must be at least 1; got "
                f"{self.size}, {self.num_layers}, {self.num_heads} and {self.identity_size}."
            )
        if self.size % self.num_heads or any(units < 1 for units in self.token_units):
            raise ConfigError(
                f"size must be a multiple of num_heads, {self.num_heads}, and token_units at least "
                f"1; got {self.size} and {self.token_units}."
            )
        if self.hidden_size < 0 or not 0.0 <= self.dropout < 1.0:
            raise ConfigError(
                "Expected hidden_size of 0 or more and dropout in [0, 1); got "
                f"{self.hidden_size} and {self.dropout}."
            )


@keras.saving.register_keras_serializable("zoo")
class DEformer(AnyOrderModel):
    """Tokens, a causal transformer over them, and the parameters of each feature's conditional."""

    config_class: ClassVar[type[ModelConfig]] = DEformerConfig
    family: ClassVar[str] = "deformer"
    config: DEformerConfig

    def _create_networks(self) -> None:
        config, size = self.config, self.config.event_size
        self.heads = config.heads()
        self._pixels = _coordinates(config.event_shape) if len(config.event_shape) == 3 else None
        shown = self.heads.num_features
        if self._pixels is None:
            self.identities = self.add_weight(
                shape=(size, config.identity_size),
                initializer=keras.initializers.RandomNormal(0.5),
                name="identities",
            )
            self.value_kernel = self.add_weight(
                shape=(size, shown, config.identity_size),
                initializer=keras.initializers.RandomNormal(1.0 / math.sqrt(shown)),
                name="value_kernel",
            )
            identity = value = config.identity_size
        else:
            identity, value = self._pixels.shape[1], shown
        if config.tokens == "interleaved":
            self.asking = self._perceptron(identity, "asking")
            self.telling = self._perceptron(identity + value, "telling")
        else:
            self.asking = self._perceptron(2 * identity + value + 1, "asking")
        self.transformer = CausalTransformer(
            config.num_layers,
            config.size,
            config.num_heads,
            config.hidden_size or 4 * config.size,
            dropout=config.dropout,
            dtype=self.network_dtype,
            name="transformer",
        )
        self.transformer.build((None, None, config.size))
        self.output_layer = keras.layers.Dense(
            self.heads.num_parameters,
            use_bias=False,
            kernel_initializer="zeros",
            dtype=self.network_dtype,
            name="output",
        )
        self.output_layer.build((None, None, config.size))
        self.output_bias = self.add_weight(
            shape=(size, self.heads.num_parameters), initializer="zeros", name="output_bias"
        )
        self.output_bias.assign(self.heads.fresh())

    def _perceptron(self, in_size: int, name: str) -> MLP:
        size = self.config.size
        perceptron = MLP(self.config.token_units, size, dtype=self.network_dtype, name=name)
        perceptron.build((None, None, in_size))
        kernel = perceptron.output_layer.kernel
        start = keras.initializers.GlorotUniform()
        kernel.assign(start(kernel.shape, dtype=kernel.dtype) / math.sqrt(size))
        return perceptron

    # A whole row.

    def _parameters(self, x: Any, order: Any, *, training: bool) -> Any:
        identities = tf.gather(self._identities(), order)
        shown = self._values(x)
        values = tf.gather(shown, order, axis=1, batch_dims=1)
        if self.config.tokens == "interleaved":
            asking = self._token(self.asking, identities)
            telling = self._token(self.telling, identities[:, :-1], values[:, :-1])
            pairs = tf.stack([asking[:, :-1], telling], axis=2)
            rows = tf.shape(asking)[0]
            tokens = tf.reshape(pairs, [rows, 2 * asking.shape[1] - 2, asking.shape[2]])
            tokens = tf.concat([tokens, asking[:, -1:]], axis=1)
        else:
            begins = tf.one_hot(tf.zeros([tf.shape(x)[0]], tf.int32), order.shape[1], dtype=x.dtype)
            behind = [[0, 0], [1, 0], [0, 0]]
            before = [tf.pad(part[:, :-1], behind) for part in (identities, values)]
            tokens = self._token(self.asking, identities, *before, begins[..., None])
        hidden = self.transformer(tokens, training=training and bool(self.trainable_variables))
        if self.config.tokens == "interleaved":
            hidden = hidden[:, ::2]
        raw = tf.gather(self._read(hidden, x.dtype), tf.argsort(order), axis=1, batch_dims=1)
        return raw + tf.cast(self.output_bias, x.dtype)

    # One feature after another.

    def _first(self, order: Any) -> Any:
        slots = order.shape[1] * self._tokens_a_step
        return self.transformer.empty_caches(tf.shape(order)[0], slots)

    def _next(self, step: Any, order: Any, x: Any, state: Any) -> tuple[Any, Any]:
        here = tf.gather(order, step, axis=1)
        before = tf.gather(order, tf.maximum(step - 1, 0), axis=1)
        known = tf.cast(step > 0, x.dtype)
        identity = tf.gather(self._identities(), here)
        last = tf.gather(self._identities(), before)
        value = self._value_of(tf.gather(x, before, axis=1, batch_dims=1), before)
        if self.config.tokens == "interleaved":
            tokens = [self._token(self.telling, last, value), self._token(self.asking, identity)]
        else:
            begins = tf.fill([tf.shape(x)[0], 1], 1.0 - known)
            tokens = [self._token(self.asking, identity, known * last, known * value, begins)]
        each = self._tokens_a_step
        hidden, state = self.transformer.step(
            tf.stack(tokens, axis=1), state, each * step, first=each - 1
        )
        raw = self._read(hidden[:, -1], x.dtype)
        return raw + tf.gather(tf.cast(self.output_bias, x.dtype), here), state

    @property
    def _tokens_a_step(self) -> int:
        """Of interleaved tokens u_{k-1} z_k, where u_0 stands for nothing and is not seen."""
        return 2 if self.config.tokens == "interleaved" else 1

    # Tokens.

    def _identities(self) -> Any:
        """[D, identity]."""
        if self._pixels is not None:
            return tf.constant(self._pixels, self.compute_dtype)
        return tf.cast(self.identities, self.compute_dtype)

    def _values(self, x: Any) -> Any:
        """What tokens are told of the values x [batch, D]: [batch, D, value]."""
        shown = self.heads.features(x)
        if self._pixels is not None:
            return shown
        return tf.einsum("bdf,dfe->bde", shown, tf.cast(self.value_kernel, x.dtype))

    def _value_of(self, value: Any, feature: Any) -> Any:
        """The same of one value a row, of a feature each: [batch, value]."""
        shown = self.heads.features_of(value, feature)
        if self._pixels is not None:
            return shown
        kernel = tf.gather(tf.cast(self.value_kernel, value.dtype), feature)
        return tf.einsum("bf,bfe->be", shown, kernel)

    def _token(self, perceptron: Any, *parts: Any) -> Any:
        inputs = tf.cast(tf.concat(parts, axis=-1), perceptron.compute_dtype)
        tokens = perceptron(inputs)
        return tokens * tf.cast(math.sqrt(self.config.size), tokens.dtype)

    def _read(self, hidden: Any, dtype: Any) -> Any:
        return tf.cast(self.output_layer(hidden), dtype)


def _coordinates(shape: tuple[int, ...]) -> np.ndarray:
    """(row, column[, channel]) of every pixel in [-1, 1], float32 [D, 2 or 3]."""
    axes = [np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1) for n in shape]
    axes = axes[:2] if shape[2] == 1 else axes
    return np.array(list(itertools.product(*axes)), np.float32)
