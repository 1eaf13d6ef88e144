"""Conditioning vectors of WaveNet: labels, time within the clip, spectrogram frames.

arXiv:1609.03499, Sec. 2.5: global conditioning is one vector for all steps, local conditioning a
slower series held over its frame. Both end as one series of frames, [batch, frames, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["LabelConditioner", "MelConditioner"]


@keras.saving.register_keras_serializable("zoo")
class LabelConditioner(keras.layers.Layer):
    """Factored labels and the time since the clip's start -> [batch, frames, C].

    A label is a number in mixed radix, label = (f_0 n_1 + f_1) n_2 + ..., f_i < n_i = `factors[i]`.

        c_p = W relu(V (sum_i E_i[f_i] + P[f_0, p]) + v) + w,   p = 0..frames - 1

    P, a table of the first factor and the frame, is local conditioning by time: what the first
    factor (a word) sounds like p frames after its start. frames = 1 leaves it out: one global
    vector.

    With `durations` = K classes of the clip's length, of which class d stands for (d + 1/2) / K of
    `clip_frames`, c has that many frames, D[d] joins the sum, and P is of places within the clip,
    interpolated: frame p lies at (frames - 2) (p + 1/2) / length, at most at the last row.
    """

    def __init__(
        self,
        factors: Sequence[int],
        channels: int,
        *,
        frames: int = 1,
        durations: int = 0,
        clip_frames: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factors = tuple(int(n) for n in factors)
        self.channels = channels
        self.frames = frames
        self.durations = durations
        self.clip_frames = clip_frames
        self.hidden = keras.layers.Dense(
            channels, activation="relu", dtype=self.dtype_policy, name="hidden"
        )
        self.output_layer = keras.layers.Dense(channels, dtype=self.dtype_policy, name="output")

    def build(self, input_shape: Any = None) -> None:
        """Creates the tables and both dense layers."""
        del input_shape
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.tables = [
            self.add_weight(shape=(n, self.channels), initializer=normal, name=f"table_{i}")
            for i, n in enumerate(self.factors)
        ]
        if self.frames > 1:
            self.positions = self.add_weight(
                shape=(self.factors[0], self.frames, self.channels),
                initializer=normal,
                name="positions",
            )
        if self.durations:
            self.duration_table = self.add_weight(
                shape=(self.durations, self.channels), initializer=normal, name="durations"
            )
        for layer in (self.hidden, self.output_layer):
            layer.build((None, None, self.channels))
        self.built = True

    def call(self, labels: Any, durations: Any = None) -> Any:
        """Labels, and duration classes if there are any, int32 [batch] -> [batch, frames, C]."""
        digits = self.split(labels)
        c: Any = sum(
            tf.gather(tf.convert_to_tensor(t), f) for t, f in zip(self.tables, digits, strict=True)
        )
        c = c[:, None]
        if self.durations:
            c += tf.gather(tf.convert_to_tensor(self.duration_table), durations)[:, None]
            c += self._placed(digits[0], durations)
        elif self.frames > 1:
            c += tf.gather(tf.convert_to_tensor(self.positions), digits[0])
        return self.output_layer(self.hidden(c))

    def _placed(self, words: Any, durations: Any) -> Any:
        """P at the places of the frames of clips of these lengths: [batch, clip_frames, C]."""
        length = (tf.cast(durations, tf.float32) + 0.5) * (self.clip_frames / self.durations)
        time = tf.range(self.clip_frames, dtype=tf.float32) + 0.5
        place = tf.minimum((self.frames - 2) * time / length[:, None], self.frames - 1.0)
        row = tf.minimum(tf.cast(place, tf.int32), self.frames - 2)
        table = tf.gather(tf.convert_to_tensor(self.positions), words)
        before = tf.gather(table, row, batch_dims=1)
        after = tf.gather(table, row + 1, batch_dims=1)
        share = tf.cast(place - tf.cast(row, tf.float32), before.dtype)[..., None]
        return before + share * (after - before)

    def split(self, labels: Any) -> list[Any]:
        """The factors of each label, first to last."""
        factors = []
        for n in reversed(self.factors):
            factors.append(labels % n)
            labels = labels // n
        return factors[::-1]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "factors": self.factors,
            "channels": self.channels,
            "frames": self.frames,
            "durations": self.durations,
            "clip_frames": self.clip_frames,
        }


@keras.saving.register_keras_serializable("zoo")
class MelConditioner(keras.layers.Layer):
    """Log-mel frames [batch, frames, bins] -> [batch, frames, C]: a dense layer over 3 frames."""

    def __init__(self, bins: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins
        self.channels = channels

    def build(self, input_shape: Any = None) -> None:
        """Creates the kernel over the frame before, this one and the one after."""
        del input_shape
        initializer = keras.initializers.TruncatedNormal(stddev=1.0 / np.sqrt(3 * self.bins))
        self.kernel = self.add_weight(
            shape=(3 * self.bins, self.channels), initializer=initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.channels,), initializer="zeros", name="bias")
        self.built = True

    def call(self, mel: Any) -> Any:
        """[batch, frames, bins] -> [batch, frames, C]; edge frames are repeated."""
        mel = tf.cast(mel, self.compute_dtype)
        before = tf.concat([mel[:, :1], mel[:, :-1]], 1)
        after = tf.concat([mel[:, 1:], mel[:, -1:]], 1)
        neighbours = tf.concat([before, mel, after], -1)
        kernel = tf.cast(self.kernel, self.compute_dtype)
        return tf.nn.relu(tf.tensordot(neighbours, kernel, 1) + tf.cast(self.bias, mel.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "bins": self.bins, "channels": self.channels}
