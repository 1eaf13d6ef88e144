"""The dilated causal stack of WaveNet: gated units with residual and skip connections.

van den Oord et al. 2016, arXiv:1609.03499, Sec. 2.1-2.5. Of layer l with dilation d_l and input
h_l [batch, T, R], taps j = 0..k-1, and a conditioning vector c_t:

    a_t = sum_j W_j h[t - j d] + V c_t + b          [2 R]
    z_t = tanh(a_t[:R]) * sigmoid(a_t[R:])          (Eq. 2-3)
    h_{l+1} = h_l + U z + u,    skip = s + sum_l S_l z_l

What lies before the first sample is silence: h = 0 there. Each convolution is one matrix product
of the k shifted inputs side by side. The weights of all layers are stacked in one variable a kind.

`CausalStack.stepper` computes one time step of the same function from a state that holds, for each
layer, the inputs of its last (k-1) d_l steps in a ring: O(layers) work a sample, where computing
every layer anew takes O(receptive field * layers) (arXiv:1611.09482).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["CausalStack", "built_dense", "receptive_field", "shifted"]

Stepper = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any, Any]]


def receptive_field(dilations: Sequence[int], filter_size: int) -> int:
    """1 + (filter_size - 1) * sum(dilations): the inputs that one output of the stack sees."""
    return 1 + (filter_size - 1) * sum(dilations)


@keras.saving.register_keras_serializable("zoo")
class CausalStack(keras.layers.Layer):
    """Dilated gated layers, [batch, T, R] -> summed skip connections [batch, T, S].

    The conditioning is given per frame of `frame_size` steps, [batch, frames, C], and held within
    a frame; C = 0 for none. The last layer's residual output is used by nothing and not computed.
    """

    def __init__(
        self,
        dilations: Sequence[int],
        *,
        filter_size: int = 2,
        residual_channels: int = 32,
        skip_channels: int = 64,
        context_channels: int = 0,
        frame_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dilations = tuple(int(d) for d in dilations)
        self.filter_size = filter_size
        self.residual_channels = residual_channels
        self.skip_channels = skip_channels
        self.context_channels = context_channels
        self.frame_size = frame_size

    def build(self, input_shape: Any = None) -> None:
        """Creates the stacked weights; their shapes do not depend on the input's."""
        del input_shape
        layers, k = len(self.dilations), self.filter_size
        r, s, c = self.residual_channels, self.skip_channels, self.context_channels

        def kernel(name: str, shape: tuple[int, ...], fan_in: int, gain: float = 1.0) -> Any:
            deviation = gain / np.sqrt(fan_in)
            initializer = keras.initializers.TruncatedNormal(stddev=deviation)
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        self.dilated_kernel = kernel("dilated_kernel", (layers, k * r, 2 * r), k * r)
        self.dilated_bias = self.add_weight(
            shape=(layers, 2 * r), initializer="zeros", name="dilated_bias"
        )
        if c:
            self.context_kernel = kernel("context_kernel", (layers, c, 2 * r), c)
        self.residual_kernel = kernel("residual_kernel", (layers - 1, r, r), r)
        self.residual_bias = self.add_weight(
            shape=(layers - 1, r), initializer="zeros", name="residual_bias"
        )
        self.skip_kernel = kernel("skip_kernel", (layers, r, s), layers * r, gain=2.0)
        self.skip_bias = self.add_weight(shape=(s,), initializer="zeros", name="skip_bias")
        self.built = True

    def call(self, h: Any, context: Any = None) -> Any:
        """Every step at once. h: [batch, T, R].   context: [batch, frames, C], frames cover T."""
        return self.skips(h, self.context_biases(context), frame_size=self.frame_size)

    def skips(self, h: Any, biases: Any, *, frame_size: int) -> Any:
        """`call` with the conditioning's biases given, [batch or 1, frames or 1, layers, 2 R]."""
        dtype = self.compute_dtype
        h = tf.cast(h, dtype)
        skip: Any = tf.cast(self.skip_bias, dtype)
        for layer, dilation in enumerate(self.dilations):
            taps = [shifted(h, j * dilation) for j in reversed(range(self.filter_size))]
            a = _dense(tf.concat(taps, -1), tf.cast(self.dilated_kernel[layer], dtype))
            z = self._gate(_with_frames(a, biases[:, :, layer], frame_size))
            skip += _dense(z, tf.cast(self.skip_kernel[layer], dtype))
            if layer < len(self.dilations) - 1:
                h += _dense(z, tf.cast(self.residual_kernel[layer], dtype))
                h += tf.cast(self.residual_bias[layer], dtype)
        return skip

    def context_biases(self, context: Any) -> Any:
        """b + V c of every layer: [batch or 1, frames or 1, layers, 2 R]."""
        dtype = self.compute_dtype
        bias = tf.cast(self.dilated_bias, dtype)[None, None]
        if context is None:
            return bias
        kernel = tf.cast(self.context_kernel, dtype)
        return bias + tf.einsum("bfc,lcr->bflr", tf.cast(context, dtype), kernel)

    def _gate(self, a: Any) -> Any:
        r = self.residual_channels
        return tf.tanh(a[..., :r]) * tf.sigmoid(a[..., r:])

    # One step at a time.

    @property
    def ring_sizes(self) -> tuple[int, ...]:
        """Steps that each layer remembers, (filter_size - 1) * dilation."""
        return tuple((self.filter_size - 1) * d for d in self.dilations)

    def initial_rings(self, batch: int) -> list[Any]:
        """Silence: one ring [ring size, batch, R] of zeros for each layer."""
        shape = [batch, self.residual_channels]
        return [tf.zeros([size, *shape], self.compute_dtype) for size in self.ring_sizes]

    def taps(self, layer: int, ring: Any, time: Any) -> Any:
        """The inputs h[time - j d] of a layer, j = k-1..1, side by side: [batch, (k - 1) R].

        ring: of the layer, a tensor or a TensorArray, in which step t is at t mod its size.
        """
        size, dilation = self.ring_sizes[layer], self.dilations[layer]
        read = ring.read if isinstance(ring, tf.TensorArray) else ring.__getitem__
        steps = range(self.filter_size - 1, 0, -1)
        return tf.concat([read((time - j * dilation) % size) for j in steps], -1)

    def stepper(self) -> Stepper:
        """A function of one step, with the current weights taken apart outside of any loop.

            skip, rings, taps = step(h, biases, rings, taps, time)

        h: [batch, R], the stack's input at `time`.
        biases: [layers, batch or 1, 2 R], those of its frame.
        rings: a TensorArray for each layer.   taps: of each layer at `time`; returned are those of
        time + 1. They are read right after their ring was written, so that no ring is read and
        written by one step: XLA then updates it in place, whatever the batch.
        """
        dtype, last = self.compute_dtype, len(self.dilations) - 1
        dilated = tf.unstack(tf.cast(self.dilated_kernel, dtype))
        residual = tf.unstack(tf.cast(self.residual_kernel, dtype))
        residual_bias = tf.unstack(tf.cast(self.residual_bias, dtype))
        skip_kernel = tf.cast(tf.reshape(self.skip_kernel, [-1, self.skip_channels]), dtype)
        skip_bias = tf.cast(self.skip_bias, dtype)

        def step(h: Any, biases: Any, rings: Any, taps: Any, time: Any) -> tuple[Any, Any, Any]:
            gated, next_rings, next_taps = [], [], []
            for layer, size in enumerate(self.ring_sizes):
                a = tf.matmul(tf.concat([taps[layer], h], -1), dilated[layer]) + biases[layer]
                gated.append(self._gate(a))
                next_rings.append(rings[layer].write(time % size, h))
                next_taps.append(self.taps(layer, next_rings[-1], time + 1))
                if layer < last:
                    h += tf.matmul(gated[-1], residual[layer]) + residual_bias[layer]
            skip = tf.matmul(tf.concat(gated, -1), skip_kernel) + skip_bias
            return skip, next_rings, next_taps

        return step

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "dilations": self.dilations,
            "filter_size": self.filter_size,
            "residual_channels": self.residual_channels,
            "skip_channels": self.skip_channels,
            "context_channels": self.context_channels,
            "frame_size": self.frame_size,
        }


def built_dense(units: int, policy: Any, name: str, inputs: int) -> Any:
    """A dense layer over the last axis of [batch, T, inputs], its weights created."""
    layer = keras.layers.Dense(units, dtype=policy, name=name)
    layer.build((None, None, inputs))
    return layer


def shifted(h: Any, steps: int) -> Any:
    """h[:, t - steps], zeros before the first step: [batch, T, ...] -> the same shape."""
    if steps == 0:
        return h
    padding = [[0, 0], [steps, 0], *([[0, 0]] * (h.shape.rank - 2))]
    return tf.pad(h, padding)[:, : tf.shape(h)[1]]


def _with_frames(a: Any, bias: Any, frame: int) -> Any:
    """a [batch, T, 2 R] plus each frame's bias [batch or 1, frames or 1, 2 R] over its steps."""
    if bias.shape[1] == 1 or frame == 1:
        return a + bias
    steps = tf.shape(a)[1] if a.shape[1] is None else a.shape[1]
    frames = steps // frame
    whole = tf.reshape(a[:, : frames * frame], [-1, frames, frame, a.shape[-1]])
    whole = tf.reshape(whole + bias[:, :frames, None], [-1, frames * frame, a.shape[-1]])
    rest = a[:, frames * frame :] + bias[:, frames : frames + 1]
    return tf.concat([whole, rest], 1)


def _dense(x: Any, kernel: Any) -> Any:
    """x @ kernel over the last axis, as one matrix product: [batch, T, m], [m, n] -> [.., n]."""
    shape = tf.shape(x)
    product = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(product, [shape[0], shape[1], kernel.shape[1]])
