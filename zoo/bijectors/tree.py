"""Tree-structured permutations of integer vectors: a walk to a leaf, and the leaf's relabelling.

    inverse, data -> latent:   from the root, at each node left if x_j = v, else right;
                               at the leaf z_d = table[leaf, d, x_d] for every feature d
    forward, latent -> data:   the same walk by z_j = u, u the latent value of the node;
                               x_d is the value whose label is z_d

No number is computed, so no rounding decides anything: results are the same in every program.
`zoo.models.discrete.tree_growing` makes the arrays, and says why both walks end at the same leaf.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

__all__ = ["TreePermutation"]


class TreePermutation(NamedTuple):
    """Tensors: feature, value, latent_value int32 [2**depth - 1], table integers [2**depth, D, K].

    A node of feature -1 sends all rows to the left.
    """

    feature: Any
    value: Any
    latent_value: Any
    table: Any

    def inverse(self, x: Any) -> Any:
        """Data -> latent: int32 [batch, D]."""
        size = self.table.shape[1] * self.table.shape[2]
        leaf = self._leaf(x, self.value)
        places = leaf[:, None] * size + self.table.shape[2] * tf.range(self.table.shape[1]) + x
        return tf.cast(tf.gather(tf.reshape(self.table, [-1]), places), tf.int32)

    def forward(self, z: Any) -> Any:
        """Latent -> data: int32 [batch, D]."""
        labels = tf.cast(tf.gather(self.table, self._leaf(z, self.latent_value)), tf.int32)
        same = tf.cast(tf.equal(labels, z[..., None]), tf.int32)
        return tf.reduce_sum(same * tf.range(self.table.shape[2]), axis=-1)

    def _leaf(self, x: Any, values: Any) -> Any:
        """The number of each row's leaf: int32 [batch]."""
        inner = self.feature.shape[0]
        place = tf.zeros_like(x[:, 0])
        for _ in range(inner.bit_length()):
            feature = tf.gather(self.feature, place)
            found = tf.gather(x, tf.maximum(feature, 0), axis=1, batch_dims=1)
            right = (feature >= 0) & (found != tf.gather(values, place))
            place = 2 * place + 1 + tf.cast(right, tf.int32)
        return place - inner
