"""Normalising flows: networks, a bijector and a base distribution.

    data y --dequantise--> y + u --bijector.inverse--> z ~ base        (log_prob, encode)
    z ~ base --bijector.forward--> y + u --floor--> data               (sample, decode)

log p(y) is reported in nats of the data as stored. For grey levels it is the density of y + u, u
uniform in [0, 1): in expectation over u a lower bound on the log-probability of the integers (Theis
et al. 2016, arXiv:1511.01844, Sec. 3.1), and what the flow papers report.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.core.capabilities import Samples, Scores
from zoo.core.checks import EVALUATION_SEED
from zoo.core.lazy import bijectors, tfb, tfd
from zoo.core.space import Space
from zoo.kinds.as_tfp import AsTFP
from zoo.kinds.compiled import traced_once
from zoo.kinds.conditioned import Conditioned
from zoo.kinds.preprocessed import Preprocessed
from zoo.layers.norms import Fit
from zoo.networks.batch_norm import measuring

__all__ = ["Flow"]


class Flow(Conditioned, Preprocessed, AsTFP, Scores, Samples):
    """A normalising flow as a Keras model. Subclasses create networks and say how they chain.

    Subclassing: set `config_class` and `family`; create every layer in `_create_networks`; return
    the flow in `_flow` (latent [D] -> model space [*event_shape]); override `base_distribution` if
    the base is not a standard normal.

    starts_from_data: whether layers behind the whitening set weights from rows (`initialize`). A
    fresh flow that was adapted to rows is a Gaussian fitted to them: its networks say 0.
    """

    portable: ClassVar[frozenset[str]] = frozenset({"log_prob", "encode", "decode"})
    starts_from_data: ClassVar[bool] = True
    by_xla: ClassVar[bool] = True

    # What subclasses provide.

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        """Bijectors from model space (first) to the latent (last), as `tfb.Chain` lists them."""
        raise NotImplementedError

    def base_distribution(self) -> tfd.Distribution:
        """Standard normal, event [D]."""
        zero = tf.zeros([], self.compute_dtype)
        return tfd.Sample(
            tfd.Normal(zero, tf.ones_like(zero)), sample_shape=[self.config.event_size]
        )

    # Construction.

    @property
    def latent(self) -> Space:
        """As many latents as the data have dimensions."""
        return self._latent_space(self.config.event_size)

    def chain(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> tfb.Chain:
        """Preprocessing and flow, data first, over the current weights."""
        members = [
            *self._preprocessing(),
            *self._flow(training=training, fit=fit, context=context),
        ]
        return bijectors.FlowChain(members, name=self.family or "flow")

    # Scoring.

    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log p(x [| context]) in nats of the data as stored.

        log p(x) = log base(z) + log|det dz/d(x+u)|,  z = bijector.inverse(x + u)

        x: [batch, *event_shape]: uint8 grey levels, or real features.
        context: as the model's `context` says, int labels [batch] or rows [batch, ...].
        seed: names the dequantisation noise; the default is one fixed draw a row.
        returns: [batch], the model's float dtype.
        Raises InvalidInputError for other shapes and dtypes, NaN, infinities, empty batches, and a
        context missing or not expected (values are checked in eager mode alone).
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=EVALUATION_SEED)
        return self._run("log_prob", self.score, x=x, context=context, seed=seed)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """log base(z) + log|det dz/d(x+u)|: [batch] nats."""
        event_ndims = len(self.config.event_shape)
        chain = self.chain(training=training, context=self.encoded_context(context))
        z, log_det = bijectors.inverse_and_log_det(chain, self.dequantised(x, seed), event_ndims)
        return self.base_distribution().log_prob(z) + log_det

    # Latents.

    def encode(self, x: Any, context: Any = None) -> Any:
        """z = bijector.inverse(x): x [batch, *event] -> z [batch, D].

        Grey levels are taken at the middle of their bin.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("encode", self._encode, x=x, context=context)

    def _encode(self, x: Any, context: Any) -> Any:
        middle = 0.5 if self.config.preprocessing.num_levels else 0.0
        chain = self.chain(context=self.encoded_context(context))
        return bijectors.inverse_and_log_det(
            chain, tf.cast(x, self.compute_dtype) + middle, len(self.config.event_shape)
        )[0]

    def decode(self, z: Any, context: Any = None) -> Any:
        """x = bijector.forward(z): z [batch, D] -> x [batch, *event_shape].

        In data units and dtype.
        """
        z = self.checked_latents(z)
        context = self.checked_context(context, rows=z.shape[0])
        return self._run("decode", self._decode, z=z, context=context)

    def _decode(self, z: Any, context: Any) -> Any:
        chain = self.chain(context=self.encoded_context(context))
        return self._quantised(bijectors.forward_and_log_det(chain, z, 1)[0])

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """x = bijector.forward(temperature * z), z ~ base: [num_samples, *event_shape].

        In data units and dtype.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: scales the latents; 0 gives the image of the base's mode.
        context: one a draw, int labels [num_samples] or rows [num_samples, ...], or one for all.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, a wrong
        context.
        """
        num_samples, temperature = checks.checked_sampling(num_samples, temperature)
        context = self.drawn_context(context, num_samples)
        seed = checks.seed_tensor(seed, default=None)
        z = self._latents(num_samples, temperature, seed)
        return self._run("decode", self._decode, z=z, context=context)

    def _latents(self, count: Any, temperature: Any, seed: Any) -> Any:
        """temperature * z, z ~ base: [count, D]."""

        def drawn(count: Any, temperature: Any, seed: Any) -> Any:
            return temperature * self.base_distribution().sample(count, seed=seed)

        factor = checks.scalar(temperature, self.compute_dtype)
        if not tf.executing_eagerly():
            return drawn(count, factor, seed)
        if "latents" not in self._compiled_functions:
            specs = [tf.TensorSpec([], tf.int32), tf.TensorSpec([], factor.dtype)]
            self._compiled_functions["latents"] = traced_once(
                drawn, [*specs, tf.TensorSpec([2], tf.int32)]
            )
        return self._compiled_functions["latents"](tf.cast(count, tf.int32), factor, seed)

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """The images of draws of the base: [batch, *event_shape]."""
        base = self.base_distribution()
        specification = tf.TensorSpec(base.event_shape, self.compute_dtype)
        z = tf.map_fn(
            lambda row: base.sample(1, seed=row)[0], seeds, fn_output_signature=specification
        )
        return self.decode(temperature[:, None] * z, context)

    # Fitting.

    def initialize(self, x: Any, context: Any, fit: Fit) -> None:
        """Sends the rows x through the flow, whose layers set the weights that `fit` names."""
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        if not self.starts_from_data:
            return
        y = self.dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        with measuring():
            chain = self.chain(fit=fit, context=self.encoded_context(context))
            bijectors.inverse_and_log_det(chain, y, len(self.config.event_shape))

    @property
    def rows_to_start(self) -> int:
        """More where whitening or batch norm is measured: their errors stay in the density."""
        size, fewest = self.config.event_size, super().rows_to_start
        if self.whitening is None and not self.has_batch_norm:
            return fewest
        return int(np.clip(2**22 // size, fewest, 2**14))

    # Input checks.

    def checked_latents(self, z: Any) -> Any:
        """z as a tensor of `latent`. Raises InvalidInputError for others."""
        return checks.checked_latents(z, self.latent)

    def encoded_context(self, context: Any) -> Any:
        """A checked context as the networks take it, [batch, context_width], or None."""
        return self.seen_context(context)
