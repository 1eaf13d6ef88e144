"""A MADE over the columns of a table, each with a conditional of its own kind.

    log p(x | c) = sum_i log p_i(x_i | x_<i, c)

    p_i   a number: a mixture of logistics in the column's coordinate; an integer: the masses of its
          bins; an angle: a mixture of wrapped Cauchies; a category: a softmax
          (`zoo.bases.columns`)

Real columns have a density and discrete ones a probability, both exact: nothing is dequantised, and
the measure of a row is the product of Lebesgue's and counting measure. MADE: Germain et al. 2015,
arXiv:1502.03509, with a mixture a coordinate as in RNADE (Uria et al. 2013, arXiv:1306.0186).

Missing cells are NaN, in columns that allow them. A network sees an indicator in their place, and
they have no factor: log p is then of the cells that are there, each given those there before it.
That is a density of the observed cells, for each pattern of missing ones; it is the marginal of the
whole row's where the missing columns come last, and else as near to it as training made it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.bases.columns import (
    column_features,
    column_width,
    conditional_of,
    features_of,
)
from zoo.core import checks
from zoo.core.capabilities import Factors, Imputes, Samples, Scores
from zoo.core.columns import Column, column_of
from zoo.core.config import ModelConfig, StoredConfig
from zoo.core.context_checks import of_rows
from zoo.core.space import Space
from zoo.errors import ConfigError, InvalidInputError
from zoo.kinds.model import ZooModel
from zoo.networks.activations import Activation
from zoo.networks.made import ResidualMADE
from zoo.ops.noise import counter_uniform

__all__ = ["TableMADE", "TableMADEConfig"]


@dataclass(frozen=True, kw_only=True)
class TableMADEConfig(StoredConfig):
    """Columns and sizes.

    columns: in the order of the factors.   context_columns: those that the row is conditioned on.
    num_units, num_blocks: of the residual network.   num_components: of every mixture.
    """

    context_columns: tuple[Column, ...] = ()
    num_units: int = 128
    num_blocks: int = 2
    num_components: int = 10
    dropout: float = 0.0
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built, and columns that do not fit."""
        object.__setattr__(self, "context_columns", tuple(map(column_of, self.context_columns)))
        super().__post_init__()
        if not self.columns:
            raise ConfigError("A model of a table needs its columns.")
        names = [column.name for column in (*self.columns, *self.context_columns)]
        if len(set(names)) < len(names):
            raise ConfigError(f"Columns need names that differ; got {names}.")
        if self.context_size:
            raise ConfigError(
                "A table has no context_size of labels: give its context_columns, or leave it out."
            )
        if min(self.num_units, self.num_components) < 1 or self.num_blocks < 0:
            raise ConfigError(
                "Expected num_units and num_components of at least 1 and num_blocks of 0 or more; "
                f"got {self.num_units}, {self.num_components} and {self.num_blocks}."
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must be in [0, 1); got {self.dropout}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output; event_shape may be left out."""
        columns = values.get("columns", ())
        return super().from_dict({"event_shape": (len(columns),), **values})

    @classmethod
    def takes_column(cls, column: Column) -> bool:
        """Any."""
        del column
        return True

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of columns the fields that are not the defaults."""
        return {
            **super().to_dict(),
            "context_columns": [column.to_dict() for column in self.context_columns],
        }

    def data_space(self, dtype: str = "float32") -> Space:
        """A row: a number a column."""
        return Space(
            shape=self.event_shape,
            dtype=dtype,
            meaning="numbers of the columns; of a category its number",
            columns=self.columns,
        )

    def context_space(self, dtype: str = "float32") -> Space | None:
        """The columns that a row is conditioned on; None without any."""
        if not self.context_columns:
            return None
        return Space(
            shape=(len(self.context_columns),),
            dtype=dtype,
            meaning="numbers of the columns that the row is conditioned on",
            columns=self.context_columns,
        )


@keras.saving.register_keras_serializable("zoo")
class TableMADE(ZooModel, Scores, Samples, Imputes, Factors):
    """A masked residual network that gives every column's conditional its parameters."""

    config_class: ClassVar[type[ModelConfig]] = TableMADEConfig
    family: ClassVar[str] = "table_made"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"
    portable: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    words: ClassVar[Mapping[str, str]] = {
        "log_prob": "log-density of the continuous columns and log-probability of the others"
    }
    temperature_meaning: ClassVar[str] = (
        "divides logits, multiplies scales: 1 samples the model, 0 takes the likeliest component "
        "of each column in turn"
    )
    config: TableMADEConfig

    def _create_networks(self) -> None:
        config = self.config
        self._conditionals = [conditional_of(c, config.num_components) for c in config.columns]
        self._conditions = [conditional_of(c, 1) for c in config.context_columns]
        self._sizes = [conditional.num_parameters for conditional in self._conditionals]
        self.network = ResidualMADE(
            len(config.columns),
            config.num_units,
            config.num_blocks,
            max(self._sizes),
            dropout=config.dropout,
            context_size=column_width(self._conditions),
            activation=config.activation,
            output_scale=0.0,
            input_sizes=[features_of(conditional) for conditional in self._conditionals],
            output_sizes=self._sizes,
            dtype=self.network_dtype,
            name="network",
        )
        self.network.build((None, column_width(self._conditionals)))
        fresh = np.concatenate([conditional.fresh() for conditional in self._conditionals])
        self.network.output_layer.bias.assign(fresh)

    @property
    def measure(self) -> Literal["density", "mass", "volume", "mixed"]:
        """A density, a mass, or of some columns the one and of some the other."""
        return self.data.measure

    # Scores.

    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log p(x [| context]), exact: [batch] nats.

        x: [batch, columns], numbers, or a data frame with the columns' names; NaN in columns that
            allow missing cells leaves their factor out.   context: the same of `context_columns`.
        seed: nothing is drawn.
        -inf outside a column's support. Raises InvalidInputError for other shapes, NaN elsewhere,
        infinity, texts that are no category of their column, and a context missing or not expected.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        return self._run("log_prob", self.score, x=x, context=context, seed=seed)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """The sum over the columns: [batch] nats."""
        del seed
        return tf.reduce_sum(self._factors(x, context, training=training), axis=-1)

    def column_log_prob(self, x: Any, context: Any = None) -> Any:
        """log p_i(x_i | x_<i, context) of every column, [batch, columns]: its sum is `log_prob`."""
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("columns", self._factors, x=x, context=context)

    def column_levels(self, x: Any, context: Any = None) -> Any:
        """P(X_i < x_i | x_<i, context) and P(X_i <= x_i | x_<i, context): [batch, columns, 2].

        Of categories in the order of their numbers; of a missing cell NaN.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("levels", self._levels, x=x, context=context)

    def _levels(self, x: Any, context: Any) -> Any:
        x = tf.cast(x, self.compute_dtype)
        found = []
        for i, (conditional, raw) in enumerate(
            zip(self._conditionals, self._parameters(x, context), strict=True)
        ):
            value = x[..., i]
            levels = conditional.levels(raw, value)
            found.append(tf.where(tf.math.is_nan(value)[..., None], value[..., None], levels))
        return tf.stack(found, axis=-2)

    def _parameters(self, x: Any, context: Any, *, training: bool = False) -> Any:
        """The parameters of every column's conditional, a list of [batch, numbers]."""
        bound = self.network.bind(self._condition(context), training=training)
        return tf.split(bound.outputs(column_features(self._conditionals, x)), self._sizes, axis=-1)

    def _factors(self, x: Any, context: Any, *, training: bool = False) -> Any:
        x = tf.cast(x, self.compute_dtype)
        raw = self._parameters(x, context, training=training)
        factors = []
        for i, conditional in enumerate(self._conditionals):
            value = x[..., i]
            nats = conditional.log_prob(raw[i], value)
            if conditional.column.missing:
                nats = tf.where(tf.math.is_nan(value), tf.zeros_like(nats), nats)
            factors.append(nats)
        return tf.stack(factors, axis=-1)

    def _condition(self, context: Any) -> Any:
        if context is None:
            return None
        return column_features(self._conditions, tf.cast(context, self.compute_dtype))

    def checked_data(self, x: Any) -> Any:
        """x, numbers or a data frame, as a tensor of `data`; missing cells are NaN."""
        return checks.checked_columns(x, self.data, "x")

    # Samples.

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """Rows column by column: [num_samples, columns], with no cell missing.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: divides logits and multiplies scales.
        context: [num_samples, context_columns], or one row for all; numbers or a data frame.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, and a
        context missing or not expected.
        """
        checks.checked_sampling(num_samples, temperature)
        rows = int(num_samples)
        context = self.checked_context(of_rows(context, self.context, rows), rows=rows)
        seed = checks.seed_tensor(seed, default=None)
        uniform = counter_uniform(seed, rows, 0, self.config.event_size, 2)
        uniform = tf.cast(tf.transpose(uniform, [1, 0, 2]), self.compute_dtype)
        temperatures = tf.fill([rows], tf.constant(float(temperature), self.compute_dtype))
        return self._run(
            "sample", self._drawn, uniform=uniform, temperature=temperatures, context=context
        )

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """A row for each seed: [batch, columns]."""
        size = self.config.event_size
        uniform = tf.map_fn(
            lambda seed: counter_uniform(seed, 1, 0, size, 2)[:, 0],
            seeds,
            fn_output_signature=tf.TensorSpec([size, 2], tf.float32),
        )
        context = self.checked_context(context, rows=None)
        return self._drawn(tf.cast(uniform, self.compute_dtype), temperature, context)

    def _drawn(self, uniform: Any, temperature: Any, context: Any) -> Any:
        """The rows at the quantiles `uniform` [batch, columns, 2]."""
        given = tf.fill(tf.shape(uniform)[:2], tf.constant(np.nan, uniform.dtype))
        return self._completed(given, uniform, temperature, context)[0]

    def _completed(self, given: Any, uniform: Any, temperature: Any, context: Any) -> Any:
        """(rows, log-weights): NaN in `given` [batch, columns] drawn, each given those before.

        The log-weight is the sum of the factors of the given cells, [batch].
        """
        bound = self.network.bind(self._condition(context))
        unknown = column_width(self._conditionals)
        rows: list[Any] = []
        features: list[Any] = []
        log_weights = tf.zeros(tf.shape(uniform)[:1], uniform.dtype)
        for i, conditional in enumerate(self._conditionals):
            padding = tf.zeros([tf.shape(uniform)[0], unknown], uniform.dtype)
            raw = bound.outputs(tf.concat([*features, padding], axis=-1))
            raw = tf.split(raw, self._sizes, axis=-1)[i]
            missing = tf.math.is_nan(given[:, i])
            value = conditional.draw(raw, uniform[:, i], temperature)
            value = tf.where(missing, value, given[:, i])
            nats = conditional.log_prob(raw, value)
            log_weights += tf.where(missing, tf.zeros_like(nats), nats)
            rows.append(value)
            features.append(column_features([conditional], value[:, None]))
            unknown -= features_of(conditional)
        return tf.stack(rows, axis=-1), log_weights

    def impute(
        self, x: Any, context: Any = None, *, num_particles: int = 200, seed: Any = None
    ) -> np.ndarray:
        """The rows x [batch, columns] with every NaN replaced by a draw given the cells there are.

        A row's missing cells are drawn column by column, each given those before it,
        `num_particles` times; one of these rows is taken with the weight of its observed cells
        (importance resampling, Rubin 1987). That is exact where the missing columns come last, and
        in the limit of many particles.   context, seed: as of `sample`.
        Raises InvalidInputError for what `log_prob` refuses but missing cells, and for
        num_particles < 1.
        """
        if not isinstance(num_particles, int) or num_particles < 1:
            raise InvalidInputError(
                f"num_particles must be an integer of at least 1; got {num_particles!r}."
            )
        columns = tuple(dataclasses.replace(c, missing=True) for c in self.config.columns)
        space = dataclasses.replace(self.data, columns=columns)
        given = checks.checked_columns(x, space, "x")
        context = self.checked_context(context, rows=given.shape[0])
        first, second = np.asarray(tf.random.split(checks.seed_tensor(seed, default=None)))
        filled = given.numpy()
        ones = tf.ones([num_particles], self.compute_dtype)
        for row in np.flatnonzero(np.isnan(filled).any(1)):
            key = tf.constant(first) + tf.constant([0, int(row)], tf.int32)
            uniform = counter_uniform(key, num_particles, 0, len(columns), 2)
            drawn, log_weights = self._run(
                "impute",
                self._completed,
                given=tf.repeat(given[row : row + 1], num_particles, axis=0),
                uniform=tf.cast(tf.transpose(uniform, [1, 0, 2]), self.compute_dtype),
                temperature=ones,
                context=None
                if context is None
                else tf.repeat(context[row : row + 1], num_particles, axis=0),
            )
            key = tf.constant(second) + tf.constant([0, int(row)], tf.int32)
            chosen = tf.random.stateless_categorical(log_weights[None], 1, key)[0, 0]
            filled[row] = drawn[chosen].numpy()
        return filled
