"""Functions that an equation defines, with derivatives of every order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["implicit_root"]


def implicit_root(
    solve: Callable[..., Any],
    residual: Callable[..., Any],
    adjoint: Callable[..., Any],
    *arguments: Any,
) -> Any:
    """v = solve(*arguments), the root of residual(v, *arguments) = 0, as the implicit function.

    With J = d residual / d v, dv = -J^-1 (d residual / d arguments). adjoint(upstream, v,
    *arguments) is the solution a of J^T a = upstream, written as the caller can compute it best.
    The gradient solves once more and is itself made of differentiable parts and of this function,
    so that derivatives of any order are right; no derivative goes through the solver's steps.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def root(*arguments: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            v = root(*arguments)
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                value = residual(v, *arguments)
            return tape.gradient(
                value,
                list(arguments),
                output_gradients=-adjoint(upstream, v, *arguments),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return solve(*arguments), gradient

    return root(*[tf.convert_to_tensor(argument) for argument in arguments])
