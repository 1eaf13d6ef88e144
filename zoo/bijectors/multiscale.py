"""Squeezing and factoring out: the multi-scale architecture of RealNVP.

arXiv:1605.08803, Sec. 3.6.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector, forward_and_log_det, inverse_and_log_det

tfb = tfp.bijectors

__all__ = ["FactorOut", "Unsqueeze"]


class Unsqueeze(OnePassBijector):
    """forward: [h, w, 4c] -> [2h, 2w, c].

    inverse (the paper's squeeze): [2h, 2w, c] -> [h, w, 4c].
    A permutation: log-det 0. Channel 4 blocks are the positions (0,0), (0,1), (1,0), (1,1) of each
    2 x 2 square, so that halves of the channels are rows, not the pixels of one colour of the
    checkerboard (the paper asks for a partition that is not redundant with it).
    """

    def __init__(self, name: str = "unsqueeze") -> None:
        super().__init__(event_ndims=3, parameters=dict(locals()), name=name)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Depth to space."""
        return _blocks(z, tf.nn.depth_to_space), tf.zeros(tf.shape(z)[:-3], z.dtype)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Space to depth."""
        return _blocks(x, tf.nn.space_to_depth), tf.zeros(tf.shape(x)[:-3], x.dtype)

    def _forward_event_shape(self, shape: Any) -> Any:
        height, width, channels = shape
        return tf.TensorShape([2 * height, 2 * width, channels // 4])

    def _inverse_event_shape(self, shape: Any) -> Any:
        height, width, channels = shape
        return tf.TensorShape([height // 2, width // 2, 4 * channels])

    def _forward_event_shape_tensor(self, shape: Any) -> Any:
        return shape * [2, 2, 1] // [1, 1, 4]

    def _inverse_event_shape_tensor(self, shape: Any) -> Any:
        return shape * [1, 1, 4] // [2, 2, 1]


def _blocks(x: Any, move: Any) -> Any:
    """`move` needs exactly one batch axis."""
    batch = tf.shape(x)[:-3]
    moved = move(tf.reshape(x, tf.concat([[-1], tf.shape(x)[-3:]], 0)), 2)
    if x.shape.rank == 4:
        return tf.ensure_shape(moved, [x.shape[0], *moved.shape[1:]])
    return tf.reshape(moved, tf.concat([batch, tf.shape(moved)[1:]], 0))


class FactorOut(OnePassBijector):
    """The first `num_kept` channels pass through `inner`; the others are latents already.

    RealNVP Eq. 14-16.   inner: a bijector of images [h, w, num_kept].
    """

    def __init__(self, inner: tfb.Bijector, *, num_kept: int, name: str = "factor_out") -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=3, parameters=parameters, name=name)
        self._inner = inner
        self._num_kept = num_kept

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Inner forward on the kept channels."""
        kept, log_det = forward_and_log_det(self._inner, z[..., : self._num_kept], 3)
        return tf.concat([kept, z[..., self._num_kept :]], -1), log_det

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Inner inverse on the kept channels."""
        kept, log_det = inverse_and_log_det(self._inner, x[..., : self._num_kept], 3)
        return tf.concat([kept, x[..., self._num_kept :]], -1), log_det
