"""Flows of categories: a relabelling of finitely many rows, and independent categories behind it.

    data x --to_latent--> z,  z_j in 0..K_j - 1          log P(X = x) = sum_j log P(Z_j = z_j)

The map is a bijection of the rows that there can be, so that exp(log_prob) adds up to 1 over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from zoo.bases.categorical import Categoricals
from zoo.core.categorical_config import CategoricalConfig
from zoo.core.encoding import encoded, is_frame
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.kinds.discrete_flow import DiscreteFlow

__all__ = ["CategoricalFlow"]


class CategoricalFlow(DiscreteFlow):
    """A flow of categories as a Keras model.

    Subclassing: in `_create_networks` create what the map needs; `self.base` is there. Provide
    `to_latent` and `to_data`, exact inverses of each other, of int32 [batch, D]; and `relabelled`
    where scores compute the map in another precision.
    """

    temperature_meaning: ClassVar[str] = (
        "divides the logits of the base: 1 samples the model, 0 gives the image of its mode"
    )
    words: ClassVar[Mapping[str, str]] = {
        "log_prob": "log-probability of data",
        "encode": "data to latents, from which decode gives the same data",
    }
    config: CategoricalConfig  # type: ignore[assignment]

    def _create_preprocessing(self) -> None:
        self.base = Categoricals(self.config.class_counts, dtype=self.dtype_policy, name="base")
        self.base.build()

    def relabelled(self, x: Any) -> Any:
        """`to_latent` as scores compute it: int32 [batch, D]."""
        return self.to_latent(x)

    @property
    def latent(self) -> Space:
        """As many integers as the data have, each in the range of its feature."""
        return Space(
            shape=(self.config.event_size,),
            dtype="int32",
            meaning="latent categories; distributed as the base where the data are the model's",
            minimum=0,
            maximum=self.config.most_classes - 1,
        )

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """`log_prob` of checked rows, in any graph."""
        del context, seed, training
        return self.base.log_prob(self.relabelled(self._flat(x)))

    def _flat(self, x: Any) -> Any:
        return tf.cast(tf.reshape(x, [-1, self.config.event_size]), tf.int32)

    # Checks.

    def checked_data(self, x: Any) -> Any:
        """x as a tensor of `data`, from integers, or a table by its columns' names.

        Raises InvalidInputError for other shapes, numbers that are no integers, and values that
        their feature does not have (in eager mode alone; in a graph it asserts).
        """
        if self.config.columns:
            x = self._whole(encoded(x, self.config.columns, "x") if is_frame(x) else x)
        x = super().checked_data(x)
        self._check_classes(self._flat(x), "x")
        return x

    def _whole(self, x: Any) -> Any:
        """Numbers of a table's cells as integers, where they are."""
        values = x.numpy() if hasattr(x, "numpy") else x
        if tf.is_tensor(values) or not hasattr(values, "dtype") or values.dtype.kind != "f":
            return x
        odd = ~np.isfinite(values) | (values != np.floor(values))
        if odd.any():
            where = tuple(int(i) for i in np.argwhere(odd)[0])
            raise InvalidInputError(
                f"Expected the places of categories, which are integers; got {values[where]} in "
                f"row {where[0]} of x (counted from 0). A missing cell has no category."
            )
        return values.astype(np.int64)

    def checked_latents(self, z: Any) -> Any:
        """z as int32 [batch, D]. Raises InvalidInputError for what is no latent row."""
        z = super().checked_latents(z)
        self._check_classes(z, "z")
        return z

    def _check_classes(self, rows: Any, name: str) -> None:
        """rows: int32 [batch, D], at least as eager as what is checked."""
        counts = np.array(self.config.class_counts, np.int32)
        if not hasattr(rows, "numpy"):
            inside = tf.reduce_all((rows >= 0) & (rows < counts))
            tf.debugging.Assert(inside, [f"{name} holds a value that its feature does not have."])
            return
        values = rows.numpy()
        if (bad := (values < 0) | (values >= counts)).any():
            row, feature = np.argwhere(bad)[0]
            columns = self.config.columns
            called = f"column {columns[feature].name!r}" if columns else f"feature {feature}"
            raise InvalidInputError(
                f"Expected 0..{counts[feature] - 1} in {called}; got {values[row, feature]} in row "
                f"{row} of {name} (counted from 0)."
            )
