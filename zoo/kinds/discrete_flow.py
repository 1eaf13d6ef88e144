"""Flows of integers: a bijection of Z^D with no log-determinant, and a base with a mass.

    data x --integer_chain.inverse--> z ~ base       log P(X = x) = log base(z)

`log_prob` is the log of a probability, exact: nothing is dequantised, and exp(log_prob) adds up to
1 over all integers. `encode` and `decode` undo each other bit for bit (`zoo.kinds.exact_map`);
`log_prob` and training compute in the model's own dtype.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import tensorflow as tf

from zoo.bijectors.integer import IntegerChain, IntegerCoupling
from zoo.core import checks
from zoo.core.capabilities import Encodes, Samples, Scores
from zoo.core.discrete_config import DiscreteConfig
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.kinds.exact_map import TO_DATA, TO_LATENT, Prepare, exact_map
from zoo.kinds.model import ZooModel

__all__ = ["DiscreteFlow"]


class DiscreteFlow(ZooModel, Scores, Samples, Encodes):
    """A flow of integers as a Keras model.

    Subclassing: set `config_class` and `family`; in `_create_networks` create every network, and
    `self.base` (a layer of `zoo.bases` with `log_prob`, `sample` and `adapt` and, where its
    dimensions are independent, `log_masses`); return the couplings in `_flow`.
    """

    measure: ClassVar[Literal["density", "mass", "volume"]] = "mass"
    lossless: ClassVar[Literal["data", "latent", "no"]] = "data"
    temperature_meaning: ClassVar[str] = (
        "factor on the scales of the base: 1 samples the model, 0 gives the image of its mode"
    )
    # Other formats' kernels round in other ways: what they encode, they would not decode.
    portable: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    words: ClassVar[Mapping[str, str]] = {
        "log_prob": "log-probability of data",
        "encode": "data to latents, from which decode gives the same data",
    }
    config: DiscreteConfig
    base: Any

    def _flow(self, prepare: Prepare) -> list[IntegerCoupling]:
        """Couplings from data (first) to latent (last).

        prepare: network -> the function [batch, in] -> [batch, out] that is its shift: it decides
        the precision.
        """
        raise NotImplementedError

    def flat(self, x: Any) -> Any:
        """Rows [batch, *event_shape] as vectors [batch, D], in the order of the couplings."""
        return tf.reshape(x, [-1, self.config.event_size])

    def unflat(self, x: Any) -> Any:
        """The rows of `flat`'s vectors."""
        return tf.reshape(x, [-1, *self.config.event_shape])

    @property
    def latent(self) -> Space:
        """As many integers as the data have, of any size."""
        meaning = "latent integers; distributed as the base where the data are the model's"
        return Space(shape=(self.config.event_size,), dtype="int32", meaning=meaning)

    def integer_chain(self, *, training: bool = False) -> IntegerChain:
        """The bijection, its networks in the model's precision: data -> latent is `inverse`."""

        def prepare(network: Any) -> Callable[[Any], Any]:
            return lambda x: tf.cast(network(x, training=training), x.dtype)

        return IntegerChain(self._flow(prepare), self.compute_dtype)

    # Scoring.

    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log P(X = x), exact: [batch] nats, in the model's float dtype.

        x: [batch, *event_shape], integers 0..num_classes - 1.   seed: nothing is drawn.
        Raises InvalidInputError for other shapes, for floats, for integers that are no class
        (checked in eager mode alone), and for a context.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        return self._run("log_prob", self.score, x=x, context=context, seed=seed)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """`log_prob` of any integers, of those that are no class too."""
        del context, seed
        flat = tf.cast(self.flat(x), self.compute_dtype)
        return self.base.log_prob(self.integer_chain(training=training).inverse(flat))

    # Latents.

    def encode(self, x: Any, context: Any = None) -> Any:
        """x [batch, *event_shape] -> z, int32 [batch, D]; `decode` gives x back, bit for bit."""
        x = self.checked_data(x)
        self.checked_context(context, rows=x.shape[0])
        return self.to_latent(self.flat(tf.cast(x, tf.int32)))

    def decode(self, z: Any, context: Any = None) -> Any:
        """z, integers [batch, D] -> x [batch, *event_shape], in the data's dtype.

        Latents of what is no data are brought into the classes' range.
        """
        z = self.checked_latents(z)
        self.checked_context(context, rows=z.shape[0])
        return tf.cast(self.unflat(self.to_data(z)), self.data.dtype)

    def to_latent(self, x: Any) -> Any:
        """Exactly, int32 [batch, D] of rows that are checked."""
        return self._exact_map(x, tf.constant(TO_LATENT))

    def to_data(self, z: Any) -> Any:
        """What `to_latent` undoes, brought into the classes' range: int32 [batch, D]."""
        x = self._exact_map(z, tf.constant(TO_DATA))
        return tf.clip_by_value(x, 0, tf.constant(self.config.largest, x.dtype))

    def checked_latents(self, z: Any) -> Any:
        """z as int32 [batch, D]. Raises InvalidInputError for floats and for other shapes."""
        z = checks.as_tensor(z, "z", None)
        if not z.dtype.is_integer:
            raise InvalidInputError(f"Expected integer latents z; got {z.dtype.name}.")
        return checks.checked_latents(z, self.latent)

    @functools.cached_property
    def _exact_map(self) -> Any:
        return exact_map(self._flow, self.config.event_size)

    # Sampling.

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """decode(z), z ~ base: [num_samples, *event_shape], in the data's dtype.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: scales the base; 0 gives the image of its mode.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, and a
        context.
        """
        num_samples, temperature = checks.checked_sampling(num_samples, temperature)
        self.checked_context(context, rows=num_samples)
        seed = checks.seed_tensor(seed, default=None)
        return self.decode(self.base.sample(num_samples, seed, temperature))

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """The image of a draw of the base for each seed: [batch, *event_shape]."""
        self.checked_context(context, rows=None)
        z = tf.map_fn(
            lambda row: self.base.sample(1, row[0], row[1])[0],
            (seeds, temperature),
            fn_output_signature=tf.TensorSpec([self.config.event_size], tf.int32),
        )
        return self.decode(z)

    # Fitting.

    def initialize(self, x: Any, context: Any, fit: Any) -> None:
        """Starts the base at the rows x, as the flow encodes them."""
        if fit == "all":
            self.base.adapt(self.encode(x, context))
