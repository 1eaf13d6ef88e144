"""Whether an accelerator may round the factors of float32 products: TensorFloat-32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["float32_products"]


@contextlib.contextmanager
def float32_products(*, exact: bool) -> Iterator[None]:
    """Inside, float32 products and convolutions are computed, and lowered, in full or rounded.

    TensorFlow rounds their factors to TF32's 10 bits by default, on GPUs that can. On a CPU both
    are float32.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(not exact)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
