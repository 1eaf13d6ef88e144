"""Autoregressive flows under `tfb.MaskedAutoregressiveFlow`, and the permutations between them.

MAF (arXiv:1705.07057, Eq. 3-5), forward = latent -> data:

    x_i = z_i * exp(alpha_i(x_<i)) + mu_i(x_<i)         log|det dx/dz| = sum alpha
    z_i = (x_i - mu_i) * exp(-alpha_i)                  log|det dz/dx| = -sum alpha

Any other increasing map of a coordinate (`zoo.bijectors.scalar`) takes the affine one's place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector
from zoo.bijectors.scalar import Elementwise, ScalarMap, ShiftAndScale

tfb = tfp.bijectors

__all__ = ["AutoregressiveFlow", "Conditioner", "Interleave", "Reverse", "jacobi"]

# (z, parameters of these coordinates) -> x, coordinate by coordinate.
Step = Callable[[Any, Any], Any]


class Conditioner(Protocol):
    """x [..., D] -> the parameters of a `ScalarMap`, those of coordinate i functions of x_<i.

    It may have `solver()`, a function of (step, z, kind=) that returns the x with
    step(z, conditioner(x)) = x faster than `jacobi`, or None where nothing is faster; kind is the
    step's scalar map.
    """

    def __call__(self, x: Any) -> Any:
        """One network pass."""
        ...


def jacobi(conditioner: Callable[[Any], Any], step: Step, z: Any) -> Any:
    """The fixed point x = step(z, conditioner(x)) by Jacobi's method on a triangular system.

    After k passes of the network the first k coordinates are exact, so D passes always suffice, and
    it stops as soon as a pass changes nothing.   z, x: [..., D].
    """

    def changed(*state: Any) -> Any:
        return state[1]

    def update(x: Any, *_: Any) -> tuple[Any, Any]:
        new = step(z, conditioner(x))
        new.set_shape(z.shape)
        return new, tf.reduce_any(tf.not_equal(new, x))

    start = (tf.zeros_like(z), tf.constant(value=True))
    return tf.while_loop(changed, update, start, maximum_iterations=z.shape[-1])[0]


class AutoregressiveFlow(tfb.MaskedAutoregressiveFlow):
    """`tfb.MaskedAutoregressiveFlow` with a one-pass inverse and a forward without D passes.

    conditioner: x [..., D] -> parameters, autoregressive in the order 0..D-1.
    scalar_map: what the parameters do to a coordinate; by default they are (mu, alpha) of Eq. 3.

    TFP's forward always runs the network D times. Here the conditioner's own solver runs, which
    computes each of its hidden units about once (`zoo.networks.blockwise`), or `jacobi`. While they
    iterate, coordinates that are not yet right may overflow; they are replaced by 0, which cannot
    touch the coordinates before them.

    Derivatives of forward are those of the implicit function x = step(z, conditioner(x; theta)),
    not of the iteration: with J = d step / dx, strictly triangular,

        dx = (1 - J)^-1 (d step / dz dz + d step / dtheta dtheta)

    whose adjoint is solved by the same kind of iteration from the last coordinate to the first.
    Second derivatives of forward are refused.
    """

    def __init__(
        self,
        conditioner: Callable[[Any], Any],
        scalar_map: ScalarMap = ShiftAndScale(),  # noqa: B008 (a value without state)
        *,
        name: str = "autoregressive_flow",
    ) -> None:
        def bijector(x: Any, **_: Any) -> tfb.Bijector:
            return Elementwise(scalar_map, conditioner(x))

        super().__init__(bijector_fn=bijector, name=name)
        self._conditioner = conditioner
        self._scalar_map = scalar_map

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - mu) exp(-alpha), log-det -sum alpha: one network pass."""
        z, log_det = self._scalar_map.inverse(x, self._conditioner(x))
        return z, tf.reduce_sum(log_det, -1)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """The fixed point x = z exp(alpha(x)) + mu(x)."""
        z = tf.convert_to_tensor(z)
        fixed = tf.stop_gradient(self._solve(tf.stop_gradient(z)))

        def evaluate(x: Any) -> tuple[Any, Any]:
            x, log_det = self._scalar_map.forward(z, self._conditioner(x))
            return x, tf.reduce_sum(log_det, -1)

        return _with_implicit_gradient(evaluate, fixed, num_coordinates=z.shape[-1])

    def _solve(self, z: Any) -> Any:
        def step(z: Any, parameters: Any) -> Any:
            x = self._scalar_map.forward(z, parameters)[0]
            return tf.where(tf.math.is_finite(x), x, tf.zeros_like(x))

        solver = getattr(self._conditioner, "solver", lambda: None)()
        if solver is not None and z.shape.rank == 2:
            return solver(step, z, kind=self._scalar_map)
        return jacobi(self._conditioner, step, z)

    def _inverse(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[0]

    def _inverse_log_det_jacobian(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[1]

    def _forward(self, z: Any) -> Any:
        return self.forward_and_log_det(z)[0]


def _with_implicit_gradient(
    evaluate: Callable[[Any], tuple[Any, Any]], fixed: Any, *, num_coordinates: int
) -> tuple[Any, Any]:
    """evaluate(fixed) = (x, log-det), x = fixed, with the derivatives of the implicit function.

    The adjoint v of x solves v = g + J^T v, where g is the gradient that arrives, with what reaches
    x through the log-det, and J = d evaluate / dx. J is strictly triangular: at most D products.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def attached(x: Any, log_det: Any) -> tuple[tuple[Any, Any], Callable[..., Any]]:
        def gradient(upstream: Any, upstream_log_det: Any) -> tuple[Any, Any]:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(fixed)
                outputs = evaluate(fixed)

            def pulled_back(output: Any, vector: Any) -> Any:
                return tape.gradient(
                    output,
                    fixed,
                    output_gradients=vector,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )

            known = upstream + pulled_back(outputs[1], upstream_log_det)

            def changed(*state: Any) -> Any:
                return state[1]

            def update(adjoint: Any, *_: Any) -> tuple[Any, Any]:
                new = known + pulled_back(outputs[0], adjoint)
                return new, tf.reduce_any(tf.not_equal(new, adjoint))

            start = (known, tf.constant(value=True))
            adjoint = tf.while_loop(changed, update, start, maximum_iterations=num_coordinates)[0]
            return _once_differentiable(adjoint), upstream_log_det

        return (tf.identity(x), tf.identity(log_det)), gradient

    return attached(*evaluate(fixed))


def _once_differentiable(x: Any) -> Any:
    return tf.raw_ops.PreventGradient(
        input=x, message="An autoregressive flow's forward has no second derivatives."
    )


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
