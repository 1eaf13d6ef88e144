"""Bijections of integer vectors: couplings that add rounded shifts, and chains of them.

Tomczak 2020, arXiv:2011.15056; of two parts, one of them shifted: Hoogeboom et al. 2019,
arXiv:1905.07376. A row x in Z^D is cut into K contiguous parts.

    inverse, data -> latent:   for i = 1 .. K:   y_i = x_i + round(t_i(y_<i, x_>i));   y reversed
    forward, latent -> data:   y reversed;   for i = K .. 1:   x_i = y_i - round(t_i(y_<i, x_>i))

Both directions ask t_i about the same arguments, so the one undoes the other, and log-determinants
do not exist. Maps take int32, or floats that hold integers: through these `round` has the gradient
of the identity (straight-through), for training.

`IntegerChain.walk` is both directions in one: every shift is computed by the same operations
whichever way it is taken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["IntegerChain", "IntegerCoupling", "Shift", "rounded"]

Shift = Callable[[Any], Any]


@tf.custom_gradient  # type: ignore[untyped-decorator]
def rounded(t: Any) -> Any:
    """round(t), half to even, with the gradient of t."""
    return tf.round(t), lambda upstream: upstream


class IntegerCoupling:
    """One coupling of K parts, without the reversal that follows it.

    sizes: of the parts, [K].   shifts: t_i for each part, floats [batch, D - d_i] ->
    [batch, d_i]; None leaves a part as it is.
    """

    def __init__(self, sizes: Sequence[int], shifts: Sequence[Shift | None]) -> None:
        self.sizes, self.shifts = tuple(sizes), tuple(shifts)

    def inverse(self, x: Any, dtype: Any = tf.float32) -> Any:
        """Data -> latent: [batch, D]. dtype: of the shifts' arguments."""
        for part in range(len(self.sizes)):
            x = self.shifted(x, part, 1, dtype)
        return x

    def forward(self, y: Any, dtype: Any = tf.float32) -> Any:
        """Latent -> data: [batch, D]. dtype: of the shifts' arguments."""
        for part in reversed(range(len(self.sizes))):
            y = self.shifted(y, part, -1, dtype)
        return y

    def shifted(self, x: Any, part: int, sign: Any, dtype: Any) -> Any:
        """x with `sign` times its shift added to one part."""
        shift = self.shifts[part]
        if shift is None:
            return x
        parts = tf.split(x, self.sizes, axis=-1)
        others = tf.concat([p for i, p in enumerate(parts) if i != part], axis=-1)
        step = rounded(shift(tf.cast(others, dtype)))
        parts[part] += tf.cast(sign, x.dtype) * tf.cast(step, x.dtype)
        return tf.concat(parts, axis=-1)


class IntegerChain:
    """Couplings from data (first) to latent (last), the vector reversed after each."""

    def __init__(self, couplings: Sequence[IntegerCoupling], dtype: Any = tf.float32) -> None:
        """dtype: of the shifts' arguments and results."""
        self.couplings, self.dtype = list(couplings), dtype

    def inverse(self, x: Any) -> Any:
        """Data -> latent: int32, or floats, [batch, D]."""
        for coupling in self.couplings:
            x = tf.reverse(coupling.inverse(x, self.dtype), [-1])
        return x

    def forward(self, z: Any) -> Any:
        """Latent -> data: int32, or floats, [batch, D]."""
        for coupling in reversed(self.couplings):
            z = coupling.forward(tf.reverse(z, [-1]), self.dtype)
        return z

    def walk(self, x: Any, sign: Any) -> Any:
        """`inverse` where sign is 1, `forward` where it is -1, by one loop over the same shifts.

        x: int32 [batch, D].   sign: an int32 scalar tensor.
        """
        shifts = [
            functools.partial(self._shifted_in_place, coupling, part, flipped=bool(index % 2))
            for index, coupling in enumerate(self.couplings)
            for part, shift in enumerate(coupling.shifts)
            if shift is not None
        ]
        odd = bool(len(self.couplings) % 2)  # the reversals that are left at the latent's end

        def flipped_if(condition: Any, x: Any) -> Any:
            return tf.where(condition, tf.reverse(x, [-1]), x) if odd else x

        def advance(step: Any, x: Any) -> tuple[Any, Any]:
            index = tf.where(sign > 0, step, len(shifts) - 1 - step)
            return step + 1, tf.switch_case(
                index, [functools.partial(shift, x, sign) for shift in shifts]
            )

        x = flipped_if(sign < 0, x)
        _, x = tf.while_loop(lambda step, _: step < len(shifts), advance, (tf.constant(0), x))
        return flipped_if(sign > 0, x)

    def _shifted_in_place(
        self, coupling: IntegerCoupling, part: int, x: Any, sign: Any, *, flipped: bool
    ) -> Any:
        """One shift of a vector that is never reversed: every second coupling sees its mirror."""
        x = tf.reverse(x, [-1]) if flipped else x
        x = coupling.shifted(x, part, sign, self.dtype)
        return tf.reverse(x, [-1]) if flipped else x
