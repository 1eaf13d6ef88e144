"""Autoregressive flows under `tfb.MaskedAutoregressiveFlow`, and the permutations between them.

MAF (arXiv:1705.07057, Eq. 3-5), forward = latent -> data:

    x_i = z_i * exp(alpha_i(x_<i)) + mu_i(x_<i)         log|det dx/dz| = sum alpha
    z_i = (x_i - mu_i) * exp(-alpha_i)                  log|det dz/dx| = -sum alpha
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector

tfb = tfp.bijectors

__all__ = ["AutoregressiveFlow", "Interleave", "Reverse"]


class AutoregressiveFlow(tfb.MaskedAutoregressiveFlow):
    """`tfb.MaskedAutoregressiveFlow` with a one-pass inverse and a forward that stops early.

    shift_and_log_scale_fn: x [..., D] -> (mu, alpha), each [..., D], autoregressive in the order
        0..D-1.

    TFP's forward always runs the network D times. The forward here iterates the same map
    x <- z * exp(alpha(x)) + mu(x) (Jacobi's method on a triangular system): after k passes the
    first k coordinates are exact, so D passes always suffice, and it stops as soon as a pass
    changes nothing. Intermediate values may overflow in coordinates that are not yet right; they
    are replaced by 0, which cannot touch the coordinates before them.
    """

    def __init__(
        self,
        shift_and_log_scale_fn: Callable[[Any], tuple[Any, Any]],
        *,
        name: str = "autoregressive_flow",
    ) -> None:
        def with_keywords(x: Any, **_: Any) -> tuple[Any, Any]:
            return shift_and_log_scale_fn(x)

        super().__init__(shift_and_log_scale_fn=with_keywords, name=name)
        self._conditioner = shift_and_log_scale_fn

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - mu) exp(-alpha), log-det -sum alpha: one network pass."""
        shift, log_scale = self._conditioner(x)
        return (x - shift) * tf.exp(-log_scale), -tf.reduce_sum(log_scale, -1)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """The fixed point x = z exp(alpha(x)) + mu(x): at most D + 1 network passes."""
        x = self._forward(z)
        return x, tf.reduce_sum(self._conditioner(x)[1], -1)

    def _inverse(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[0]

    def _inverse_log_det_jacobian(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[1]

    def _forward(self, z: Any) -> Any:
        z = tf.convert_to_tensor(z)

        def changed(*state: Any) -> Any:
            return state[1]

        def update(x: Any, *_: Any) -> tuple[Any, Any]:
            shift, log_scale = self._conditioner(x)
            new = z * tf.exp(log_scale) + shift
            new = tf.where(tf.math.is_finite(new), new, tf.zeros_like(new))
            return new, tf.reduce_any(tf.not_equal(new, x))

        start = (tf.zeros_like(z), tf.constant(value=True))
        return tf.while_loop(changed, update, start, maximum_iterations=z.shape[-1])[0]


class Reverse(OnePassBijector):
    """x_i = z_{D-1-i}: the order of the variables reversed, log-det 0.  MAF Sec. 4.1."""

    def __init__(self, name: str = "reverse") -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Reversed last axis."""
        return tf.reverse(z, [-1]), tf.zeros(tf.shape(z)[:-1], z.dtype)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Reversed last axis: its own inverse."""
        return self.forward_and_log_det(x)


class Interleave(OnePassBijector):
    """forward: (evens, odds) -> evens and odds interleaved;  log-det 0.

    Puts the odd/even partition of NICE (arXiv:1410.8516, Sec. 5.1) into contiguous halves.
    """

    def __init__(self, name: str = "interleave") -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """[e0, e1, ..., o0, o1, ...] -> [e0, o0, e1, o1, ...]."""
        size = z.shape[-1]
        num_evens = (size + 1) // 2
        evens, odds = z[..., :num_evens], z[..., num_evens:]
        pairs = tf.stack([evens[..., : size // 2], odds], -1)  # [..., D // 2, 2]
        x = tf.reshape(pairs, tf.concat([tf.shape(z)[:-1], [2 * (size // 2)]], 0))
        if size % 2:
            x = tf.concat([x, evens[..., -1:]], -1)
        return x, tf.zeros(tf.shape(z)[:-1], z.dtype)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """[e0, o0, e1, o1, ...] -> [e0, e1, ..., o0, o1, ...]."""
        z = tf.concat([x[..., 0::2], x[..., 1::2]], -1)
        return z, tf.zeros(tf.shape(x)[:-1], x.dtype)
