"""What the audio models share: their config's common part, checks of clips and labels, frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core import advice, checks
from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.space import Space
from zoo.errors import ConfigError, InvalidInputError

__all__ = [
    "AudioConfig",
    "check_memory",
    "checked_clips",
    "held_frames",
    "labels_of_factors",
]


@dataclass(frozen=True, kw_only=True)
class AudioConfig(ModelConfig):
    """Sizes that any model of clips has; event_shape is (samples of a clip,).

    context_factors: sizes of the label's factors, first to last; their product is context_size.
    frame_size: samples that share one conditioning vector.   position_frames: rows of the table of
    (first factor, time); 0 for none, the last row holds on.   num_durations: classes of the clip's
    length, which then are part of the condition (`zoo.models.audio.clip_conditioning`): the table
    is of shares of the clip's length, and its last two rows of what follows. 0 for none.
    """

    context_factors: tuple[int, ...] = ()
    context_channels: int = 32
    frame_size: int = 128
    position_frames: int = 0
    num_durations: int = 0
    sample_rate: int = 8000

    @classmethod
    def feature_preprocessing(cls) -> Preprocessing:
        """None: samples are taken as they are."""
        return Preprocessing()

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if len(self.event_shape) != 1:
            raise ConfigError(
                f"A model of audio has events (samples,) of one channel; got {self.event_shape}."
            )
        if self.preprocessing.num_levels or self.preprocessing.whitening != "none":
            raise ConfigError(
                "A model of audio takes 16-bit samples as they are: no preprocessing."
            )
        for name in ("context_channels", "frame_size", "sample_rate"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if int(np.prod(self.context_factors)) != max(self.context_size, 1):
            raise ConfigError(
                f"context_size must be the product of context_factors {self.context_factors}; got "
                f"{self.context_size}."
            )
        if self.position_frames < 0 or (self.position_frames and not self.context_size):
            raise ConfigError(
                "position_frames must be 0 or more, and 0 without context_factors: the table is by "
                f"label. Got {self.position_frames}."
            )

        if self.num_durations and (self.num_durations < 2 or self.position_frames < 3):
            raise ConfigError(
                "num_durations must be 0, or at least 2 with position_frames of at least 3; got "
                f"{self.num_durations} and {self.position_frames}."
            )

    def data_space(self, dtype: str = "float32") -> Space:
        """A clip of 16-bit samples."""
        del dtype
        return Space(
            shape=self.event_shape,
            dtype="int16",
            meaning=f"samples at {self.sample_rate} Hz, zeros behind the clip's end",
            unit="16-bit sample",
            medium="audio",
            rate=self.sample_rate,
        )

    @property
    def num_frames(self) -> int:
        """Conditioning vectors of a clip."""
        return -(-self.event_shape[0] // self.frame_size)


def held_frames(frames: Any, config: AudioConfig) -> Any:
    """Frames [batch, position_frames, C] with the last one held to the clip's end."""
    held = config.num_frames - config.position_frames
    if not config.position_frames or held <= 0:
        return frames
    return tf.concat([frames, tf.repeat(frames[:, -1:], held, axis=1)], 1)


def checked_clips(x: Any, space: Space, *, row_bytes: float) -> Any:
    """Clips [batch, T] as an int16 tensor.

    row_bytes: of memory that one clip takes to score.
    Raises InvalidInputError for floats, stereo, another length, no rows, values beyond 16 bits, and
    clips that this machine's memory cannot hold.
    """
    size = space.size
    if not tf.is_tensor(x):
        x = checks.as_array(x, "x", None)
        if x.dtype.kind not in "fiu":
            raise InvalidInputError(f"Expected 16-bit samples; got dtype {x.dtype}.")
    expected = f"[batch, {size}]"
    if len(x.shape) == 3 and x.shape[-1] == 1:
        x = x[..., 0]
    if len(x.shape) == 3:
        raise InvalidInputError(
            f"Expected mono clips, samples {expected}; got {list(x.shape)}. Average the channels, "
            "or score each alone."
        )
    if len(x.shape) != 2 or x.shape[1] not in (size, None) or x.shape[0] == 0:
        mend = advice.of_shape(x.shape, (size,), "x")
        raise InvalidInputError(
            f"Expected samples {expected}; got {list(x.shape)}."
            f"{mend or ' Cut or pad clips with zoo.data.spoken_digit.fit_clip.'}"
        )
    check_memory(row_bytes, f"scoring a clip of {size} samples", "use shorter clips")
    dtype = tf.as_dtype(x.dtype)
    if not dtype.is_integer:
        raise InvalidInputError(
            f"Expected 16-bit integer samples, as the dataset stores them; got {dtype.name}. For "
            "floats in [-1, 1): np.clip(np.round(32768 * x), -32768, 32767).astype('int16')."
        )
    eager = not tf.is_tensor(x) or hasattr(x, "numpy")
    if dtype != tf.int16 and eager and _beyond_16_bits(np.asarray(x)):
        raise InvalidInputError("Samples must be in -32768..32767.")
    return tf.cast(tf.convert_to_tensor(x), tf.int16)


def labels_of_factors(context: Any, factors: tuple[int, ...]) -> Any:
    """Rows of factors [batch, factors], such as (digit, speaker), as labels; others unchanged.

    Raises InvalidInputError for rows that are not of the factors; a graph asserts their range.
    """
    if context is None or len(factors) < 2:
        return context
    context = checks.as_tensor(context, "context", None)
    if context.shape.rank != 2:
        return context
    if not context.dtype.is_integer or context.shape[1] != len(factors):
        raise InvalidInputError(
            f"Expected {len(factors)} integers below {factors} in each row of context; got "
            f"{context.dtype.name} {context.shape.as_list()}."
        )
    labels: Any = 0
    for i, (part, size) in enumerate(zip(tf.unstack(context, axis=1), factors, strict=True)):
        checked = checks.with_range(part, size, f"Factor {i} of context")
        labels = labels * size + tf.cast(checked, tf.int32)
    return labels


def _beyond_16_bits(x: np.ndarray) -> bool:
    return bool(x.size and (x.min() < -(2**15) or x.max() >= 2**15))


def check_memory(needed: float, what: str, advice: str) -> None:
    """Raises InvalidInputError where `what` takes more bytes than this machine has."""
    present = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise InvalidInputError(
            f"About {needed / 2**30:.1f} GiB are needed for {what}, and this machine has "
            f"{present / 2**30:.1f} GiB: {advice}."
        )
