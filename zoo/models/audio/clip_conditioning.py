"""What audio models with labels know of a clip: its label and, in classes, how long it is.

A word's sounds come at other times in a long clip than in a short one. Parallel WaveNet's
linguistic features hold the phonemes' durations (arXiv:1711.10433, Sec. 5.1); spoken digits come
without. Here the clip's length stands for them: `num_durations` classes of equal width, one of
which joins the label in the condition. Labels alone mean clips of the length that is typical of
each: the median over the rows that `adapt` saw.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.errors import InvalidInputError
from zoo.kinds.model import ZooModel
from zoo.models.audio import clips
from zoo.networks.conditioning import LabelConditioner

__all__ = ["LabelledClips"]


class LabelledClips(ZooModel):
    """What models of clips under labels have, of any kind: inherit it before the kind.

    Inside, a context is int32 [batch], or with durations rows (label, duration class) [batch, 2].
    """

    config: clips.AudioConfig

    def _create_conditioner(self) -> None:
        config = self.config
        self.conditioner: Any = None
        self.typical_durations: Any = None
        if not config.context_size:
            return
        self.conditioner = LabelConditioner(
            config.context_factors,
            config.context_channels,
            frames=max(config.position_frames, 1),
            durations=config.num_durations,
            clip_frames=config.num_frames,
            dtype=self.network_dtype,
            name="conditioner",
        )
        self.conditioner.build(None)
        if config.num_durations:
            self.typical_durations = self.add_weight(
                shape=(config.context_size,),
                # Until `adapt`: the middle one, for class 0 would be hardly any sound at all.
                initializer=keras.initializers.Constant(config.num_durations // 2),
                dtype="float32",
                trainable=False,
                name="typical_durations",
            )

    def _frames(self, context: Any) -> Any:
        """Conditioning vectors [batch, frames, C] (one frame without a table), or None."""
        config = self.config
        if self.conditioner is None:
            return None
        if not config.num_durations:
            return clips.held_frames(self.conditioner(context), config)
        if context.shape.rank == 1:
            context = self._with_typical_durations(context)
        return self.conditioner(context[:, 0], context[:, 1])

    def _with_typical_durations(self, labels: Any) -> Any:
        typical = tf.gather(tf.convert_to_tensor(self.typical_durations), labels)
        return tf.stack([labels, tf.cast(typical, tf.int32)], -1)

    def _with_durations(self, x: Any, labels: Any) -> Any:
        """Rows of (label, duration class of the clip): x int16 [batch, T], T at most the event's.

        Without durations, or where the rows have them, the labels unchanged.
        """
        config = self.config
        if not config.num_durations or labels.shape.rank == 2:
            return labels
        ends = tf.where(x != 0, tf.range(1, tf.shape(x)[1] + 1), 1)
        durations = (tf.reduce_max(ends, -1) - 1) * config.num_durations // config.event_shape[0]
        return tf.stack([labels, durations], -1)

    def context_of_rows(self, x: Any, context: Any) -> Any:
        """Rows of (label, duration class of the clip), of clips that are learnt from."""
        return self._with_durations(x, context)

    def clip_context(self, x: Any, labels: Any) -> Any:
        """The condition of real clips, as `log_prob` and `sample` take it.

        x: int16 [batch, T].   labels: int [batch].   returns: the labels, or, of a model with
        durations, rows of factors and the clips' duration classes: int32 [batch, factors + 1].
        """
        config = self.config
        if not config.num_durations:
            return labels
        rows = self._with_durations(tf.convert_to_tensor(x), tf.cast(labels, tf.int32)).numpy()
        factors = np.unravel_index(rows[:, 0], config.context_factors)
        return np.stack([*factors, rows[:, 1]], -1).astype(np.int32)

    @property
    def _row_bytes(self) -> float:
        """What one clip takes at its peak, about."""
        raise NotImplementedError

    def checked_data(self, x: Any) -> Any:
        """Clips [batch, T] as an int16 tensor. Raises InvalidInputError for others."""
        return clips.checked_clips(x, self.data, row_bytes=self._row_bytes)

    def context_ndims(self, context: Any) -> int:
        """1 for rows of factors, which are contexts as labels are."""
        config = self.config
        in_rows = len(config.context_factors) > 1 or bool(config.num_durations)
        return int(in_rows and context.shape.rank > 1)

    def checked_context(self, context: Any, rows: int | None) -> Any:
        """Labels, factors, or factors and a duration class, as a context is inside."""
        config, durations = self.config, None
        if context is not None and config.num_durations:
            context = checks.as_tensor(context, "context", None)
            if context.shape.rank == 2 and context.shape[1] == len(config.context_factors) + 1:
                durations = self._checked_durations(context[:, -1])
                context = context[:, :-1] if context.shape[1] > 2 else context[:, 0]
        labels = clips.labels_of_factors(context, config.context_factors)
        labels = super().checked_context(labels, rows)
        if not config.num_durations:
            return labels
        if durations is None:
            return self._with_typical_durations(labels)
        return tf.stack([labels, durations], -1)

    def _checked_durations(self, durations: Any) -> Any:
        size = self.config.num_durations
        fits = durations.dtype.is_integer
        if fits and hasattr(durations, "numpy"):
            values = durations.numpy()
            fits = bool(((values >= 0) & (values < size)).all())
        if not fits:
            raise InvalidInputError(
                f"The last number of a row of context is the clip's duration class, an integer in "
                f"0..{size - 1}; got {durations}."
            )
        return tf.cast(durations, tf.int32)

    def _rows(self, x: Any, given: Any) -> tuple[Any, Any]:
        """Labels alone are those of the clips that `fit` and `evaluate` get, of their own lengths.

        As in `zoo train`; typical ones are for what is yet to be said.
        """
        x, context = self.checked_data(x), self.checked_context(given, rows=None)
        if not self.config.num_durations:
            return x, context
        given = checks.as_tensor(given, "context", None)
        if given.shape.rank == 2 and given.shape[1] == len(self.config.context_factors) + 1:
            return x, context
        return x, self._with_durations(x, context[:, 0])

    def initialize(self, x: Any, context: Any, fit: Any) -> None:
        """Sets the durations that are typical of each label; no other weight is set from data.

        Of labels without rows: those of all rows.
        """
        if fit != "all" or self.typical_durations is None:
            return
        classes = self._durations_of(x, context)[1]
        self.typical_durations.assign(
            np.full(self.config.context_size, np.floor(np.median(classes)))
        )
        self.observe(x, context)

    def observe(self, x: Any, context: Any) -> None:
        """Sets the typical durations of the labels that the rows have, and of no others.

        x: int16 [batch, T].   context: labels [batch], or factors.   Without durations: nothing.
        """
        if self.typical_durations is None:
            return
        labels, classes = self._durations_of(x, context)
        typical = self.typical_durations.numpy()
        for label in np.unique(labels):
            typical[label] = np.floor(np.median(classes[labels == label]))
        self.typical_durations.assign(typical)

    def _durations_of(self, x: Any, context: Any) -> tuple[np.ndarray, np.ndarray]:
        """(labels, duration classes of the clips), [batch] each."""
        x = self.checked_data(x)
        labels = self.checked_context(context, rows=x.shape[0])[:, 0]
        return labels.numpy(), self._with_durations(x, labels).numpy()[:, 1]
