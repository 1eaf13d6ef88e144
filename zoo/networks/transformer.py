"""A causal transformer that can go on token by token: Vaswani et al. 2017, arXiv:1706.03762.

    h <- norm(h + drop(attend(h)));   h <- norm(h + drop(W relu(W h + b) + b))          post-norm
    attend(h)_t = W concat_heads softmax_{j <= t}(q_t . k_j / sqrt(size of a head)) v_j

`call` takes a whole sequence; `step` the next tokens, with the keys and values of those before in a
cache. Keras' own MultiHeadAttention computes the same and has no cache, hence this one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf

__all__ = ["Cache", "CausalTransformer", "CausalTransformerLayer"]

_HIDDEN = -1e9  # a score whose weight is 0, exactly


class Cache(NamedTuple):
    """Keys and values of the tokens so far, [batch, heads, slots, head size] each."""

    keys: Any
    values: Any


@keras.saving.register_keras_serializable("zoo")
class CausalTransformerLayer(keras.layers.Layer):
    """Attention to the tokens up to one's own, and a perceptron a token, each with a norm behind.

    size: of a token, a multiple of num_heads.   hidden_size: of the perceptron.
    """

    def __init__(
        self, size: int, num_heads: int, hidden_size: int, *, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.num_heads, self.hidden_size = size, num_heads, hidden_size
        self.dropout = dropout
        policy = self.dtype_policy
        self.projection = keras.layers.Dense(3 * size, dtype=policy, name="projection")
        self.attended = keras.layers.Dense(size, dtype=policy, name="attended")
        self.hidden = keras.layers.Dense(
            hidden_size, activation="relu", dtype=policy, name="hidden"
        )
        self.output_layer = keras.layers.Dense(size, dtype=policy, name="output")
        self.norms = [
            keras.layers.LayerNormalization(epsilon=1e-5, dtype=policy, name=f"norm_{i}")
            for i in range(2)
        ]
        self.dropout_layers = (
            [keras.layers.Dropout(dropout, dtype=policy) for _ in range(2)] if dropout else []
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for tokens [..., size]."""
        for layer in (self.projection, self.attended, self.hidden, *self.norms):
            layer.build(input_shape)
        self.output_layer.build((*input_shape[:-1], self.hidden_size))
        self.built = True

    def call(self, h: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[batch, T, size] -> [batch, T, size], a token of those up to it."""
        queries, keys, values = self._heads(h)
        places = tf.range(tf.shape(h)[1])
        seen = places[None, :] <= places[:, None]
        return self._mixed(h, self._attend(queries, Cache(keys, values), seen), training=training)

    def step(self, h: Any, cache: Cache, slot: Any, first: int) -> tuple[Any, Cache]:
        """(tokens [batch, m, size] at the slots `slot` .. `slot + m - 1`, the cache with them).

        Slots before `first` are not attended to.
        """
        queries, keys, values = self._heads(h)
        slots = tf.range(tf.shape(cache.keys)[2])
        for i in range(h.shape[1]):
            here = (slots == slot + i)[:, None]
            cache = Cache(
                tf.where(here, keys[:, :, i : i + 1], cache.keys),
                tf.where(here, values[:, :, i : i + 1], cache.values),
            )
        own = slot + tf.range(h.shape[1])
        seen = (slots[None, :] <= own[:, None]) & (slots >= first)
        return self._mixed(h, self._attend(queries, cache, seen), training=False), cache

    def empty_cache(self, rows: Any, slots: int) -> Cache:
        """Of no tokens yet."""
        shape = [rows, self.num_heads, slots, self.size // self.num_heads]
        return Cache(tf.zeros(shape, self.compute_dtype), tf.zeros(shape, self.compute_dtype))

    def _heads(self, h: Any) -> list[Any]:
        """Queries, keys and values, [batch, heads, T, head size] each."""
        shape = [tf.shape(h)[0], h.shape[1], 3, self.num_heads, self.size // self.num_heads]
        return tf.unstack(tf.transpose(tf.reshape(self.projection(h), shape), [2, 0, 3, 1, 4]))

    def _attend(self, queries: Any, cache: Cache, seen: Any) -> Any:
        scale = 1.0 / math.sqrt(self.size // self.num_heads)
        scores = tf.matmul(queries * tf.cast(scale, queries.dtype), cache.keys, transpose_b=True)
        scores = tf.where(seen, scores, tf.constant(_HIDDEN, scores.dtype))
        mixed = tf.matmul(tf.nn.softmax(scores), cache.values)
        mixed = tf.transpose(mixed, [0, 2, 1, 3])
        return tf.reshape(mixed, [tf.shape(mixed)[0], mixed.shape[1], self.size])

    def _mixed(self, h: Any, mixed: Any, *, training: bool) -> Any:
        h = self.norms[0](h + self._dropped(0, self.attended(mixed), training=training))
        again = self.output_layer(self.hidden(h))
        return self.norms[1](h + self._dropped(1, again, training=training))

    def _dropped(self, i: int, h: Any, *, training: bool) -> Any:
        return self.dropout_layers[i](h, training=training) if self.dropout_layers else h

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "size": self.size,
            "num_heads": self.num_heads,
            "hidden_size": self.hidden_size,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable("zoo")
class CausalTransformer(keras.layers.Layer):
    """`num_layers` layers over tokens [batch, T, size]; see `CausalTransformerLayer`."""

    def __init__(
        self,
        num_layers: int,
        size: int,
        num_heads: int,
        hidden_size: int,
        *,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.num_heads, self.hidden_size = size, num_heads, hidden_size
        self.dropout = dropout
        self.blocks = [
            CausalTransformerLayer(
                size,
                num_heads,
                hidden_size,
                dropout=dropout,
                dtype=self.dtype_policy,
                name=f"layer_{i}",
            )
            for i in range(num_layers)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for tokens [..., size]."""
        for layer in self.blocks:
            layer.build(input_shape)
        self.built = True

    def call(self, h: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[batch, T, size] -> [batch, T, size], a token of those up to it."""
        for layer in self.blocks:
            h = layer(h, training=training)
        return h

    def empty_caches(self, rows: Any, slots: int) -> list[Cache]:
        """A cache of no tokens for each layer."""
        return [layer.empty_cache(rows, slots) for layer in self.blocks]

    def step(
        self, h: Any, caches: list[Cache], slot: Any, first: int = 0
    ) -> tuple[Any, list[Cache]]:
        """What `call` gives for the tokens h [batch, m, size] at `slot`, and the caches with them.

        first: the first slot that is attended to.
        """
        kept = []
        for layer, cache in zip(self.blocks, caches, strict=True):
            h, cache = layer.step(h, cache, slot, first)
            kept.append(cache)
        return h, kept

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "num_layers": len(self.blocks),
            "size": self.size,
            "num_heads": self.num_heads,
            "hidden_size": self.hidden_size,
            "dropout": self.dropout,
        }
