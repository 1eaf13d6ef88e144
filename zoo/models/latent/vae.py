"""Variational autoencoders, and what those with flow posteriors share.

Kingma & Welling 2014, arXiv:1312.6114; Rezende & Mohamed 2015, arXiv:1505.05770.

    z_0 ~ Normal(mu(x), sigma(x)),   z_K = f_K o ... o f_1 (z_0),   p(z) = Normal(0, 1)
    log q(z_K | x) = log Normal(z_0; mu, sigma) - sum_k log|det df_k|          (1505.05770, Eq. 13)
    ELBO(x) = E[log p(x | z_K) + log p(z_K) + sum_k log|det df_k|] + H(Normal(mu, sigma))   (Eq. 15)
    log p(x) >= log 1/K sum_k p(x, z^k) / q(z^k | x)     (importance-weighted; 1509.00519, Eq. 8)

The posterior here has no flow: the diagonal Gaussian that the others are compared with. Those with
flows (`zoo.models.latent.flow_posteriors`) override `_posterior_flow` alone.

The entropy of z_0 is in closed form, the rest one draw. The draws of a row are named by the row and
the seed, so that an ELBO is reproducible and independent of the batch. Data are binary images,
grey levels or real features; each has its likelihood (`zoo.models.latent.likelihoods`).

A conditional VAE (Sohn et al. 2015) has p(x | z, c) and q(z | x, c): the decoder sees c beside z,
and a gated layer joins c to what the encoder makes of x. Where the likelihood has a learned scale,
a linear map of c adds to its logarithm. The prior does not depend on c.

Deviation: sigma is exp of a soft-clipped log-scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.context import ConditionedConfig
from zoo.core.lazy import bijectors, tfb, tfd
from zoo.errors import ConfigError, InvalidInputError
from zoo.kinds.latent_variable import LatentVariable
from zoo.models.latent.likelihoods import likelihood_of
from zoo.networks import gated
from zoo.networks.joined import joined
from zoo.ops.noise import hashed_draws
from zoo.ops.stable import soft_clip

__all__ = ["VAE", "VAEConfig"]

_LOG_SCALE_LIMIT = 8.0


@dataclass(frozen=True, kw_only=True)
class VAEConfig(ConditionedConfig):
    """Sizes of a VAE. `preprocessing.num_levels` of 2 means binary images, 0 real features.

    network: "dense" (gated layers of `hidden_units`, mirrored in the decoder), "gated_conv" (that
        of arXiv:1803.05649, of width `filters`) or "patch_conv" (`num_blocks` residual blocks of
        `filters` maps on patches of 4 x 4 pixels).
    features: size of the encoder's output, from which the posterior's parameters are read.
    free_bits: nats of the KL, averaged over a batch, that training does not push below
        (arXiv:1606.04934, Appendix C.8, with one group of latents).
    """

    latent_size: int = 32
    network: Literal["dense", "gated_conv", "patch_conv"] = "dense"
    hidden_units: tuple[int, ...] = (300,)
    filters: int = 32
    num_blocks: int = 2
    features: int = 256
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        sizes = ("latent_size", "filters", "features")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.num_blocks < 0 or not 0.0 <= self.free_bits < math.inf:
            raise ConfigError(
                "Expected num_blocks and finite free_bits of 0 or more; got "
                f"{self.num_blocks} and {self.free_bits}."
            )
        if self.network != "dense" and (
            len(self.event_shape) != 3 or self.event_shape[0] % 4 or self.event_shape[1] % 4
        ):
            raise ConfigError(
                f"A {self.network} network needs images [h, w, channels] with h and w multiples of "
                f"4; got {self.event_shape}. Use network='dense'."
            )
        if self.preprocessing.transform not in ("none", "unit"):
            raise ConfigError(
                "A VAE models grey levels (transform 'unit') or features ('none') as they are; got "
                f"{self.preprocessing.transform!r}."
            )
        if self.preprocessing.whitening != "none":
            raise ConfigError("A VAE has no whitening.")

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """256 grey levels; `{"num_levels": 2, "transform": "unit"}` for binary images."""
        return Preprocessing(num_levels=256, transform="unit")

    @classmethod
    def feature_preprocessing(cls) -> Preprocessing:
        """Features as they are."""
        return Preprocessing()


class _Posterior(NamedTuple):
    """q(z_0 | x) and the flow: mean and log_scale [batch, latent_size], bijectors z_0 -> z_K."""

    mean: Any
    log_scale: Any
    chain: Any


@keras.saving.register_keras_serializable("zoo")
class VAE(LatentVariable):
    """A variational autoencoder with a diagonal Gaussian posterior."""

    config_class: ClassVar[type[ModelConfig]] = VAEConfig
    family: ClassVar[str] = "vae"
    config: VAEConfig

    def _create_networks(self) -> None:
        config, policy = self.config, self.network_dtype
        self.likelihood = likelihood_of(config.preprocessing.num_levels)
        shape, outputs = config.event_shape, self.likelihood.num_parameters
        seen = config.latent_size + self.context_width  # by the decoder
        names = {"encoder": {"dtype": policy, "name": "encoder"}}
        names["decoder"] = {"dtype": policy, "name": "decoder"}
        if config.network == "dense":
            units = config.hidden_units
            self.encoder = gated.DenseEncoder(shape, units, config.features, **names["encoder"])
            self.decoder = gated.DenseDecoder(seen, units[::-1], shape, outputs, **names["decoder"])
        elif config.network == "gated_conv":
            self.encoder = gated.ConvEncoder(
                shape, config.filters, config.features, **names["encoder"]
            )
            self.decoder = gated.ConvDecoder(
                seen, config.filters, shape, outputs, **names["decoder"]
            )
        else:
            sizes = (config.filters, config.num_blocks)
            self.encoder = gated.PatchEncoder(shape, *sizes, config.features, **names["encoder"])
            self.decoder = gated.PatchDecoder(seen, *sizes, shape, outputs, **names["decoder"])
        self.posterior_layer = self._head(2 * config.latent_size, "posterior")
        self.log_scale: Any = None
        if self.likelihood.learned_scale:
            self.log_scale = self.add_weight(
                shape=(config.event_shape[-1],),
                initializer=keras.initializers.Constant(self.likelihood.initial_log_scale),
                name="log_scale",
            )
        self._create_conditioning()
        self._create_posterior()

    def _create_conditioning(self) -> None:
        """Creates the layers that see the context alone, where there is one."""
        self.joint_layer: Any = None
        self.scale_layer: Any = None
        if not self.context_width:
            return
        features, width = self.config.features, self.context_width
        self.joint_layer = gated.GatedDense(features, dtype=self.network_dtype, name="joint")
        self.joint_layer.build((None, features + width))
        if self.likelihood.learned_scale:
            self.scale_layer = keras.layers.Dense(
                self.config.event_shape[-1],
                kernel_initializer="zeros",
                dtype=self.network_dtype,
                name="context_scale",
            )
            self.scale_layer.build((None, width))

    def _head(self, units: int, name: str, *, scale: float = 0.1) -> Any:
        """A dense layer from the encoder's features to parameters of the posterior."""
        layer = keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.VarianceScaling(scale),
            dtype=self.network_dtype,
            name=name,
        )
        layer.build((None, self.config.features))
        return layer

    # What a flow posterior overrides.

    def _create_posterior(self) -> None:
        """Creates the layers of the flow; none here."""

    def _posterior_flow(self, features: Any) -> list[tfb.Bijector]:
        """Bijectors z_0 -> z_K, first to last, with parameters of the rows of `features`."""
        del features
        return []

    # The posterior.

    def _posterior(self, x: Any, seen: Any = None) -> _Posterior:
        """Of checked rows and the encoded contexts `seen` [batch, context_width], or None."""
        features = self.encoder(self.likelihood.scaled(x, self.compute_dtype))
        if seen is not None:
            features = self.joint_layer(joined(features, seen))
        parameters = tf.cast(self.posterior_layer(features), self.compute_dtype)
        mean, log_scale = tf.split(parameters, 2, -1)
        flow = self._posterior_flow(features)
        chain = bijectors.FlowChain(flow[::-1], name="posterior_flow") if flow else None
        return _Posterior(mean, soft_clip(log_scale, _LOG_SCALE_LIMIT), chain)

    def posterior(self, x: Any, context: Any = None) -> tfd.Distribution:
        """q(z | x [, context]) over the current weights, batch [rows], event [latent_size].

        A `tfd.TransformedDistribution` where there is a flow. Raises InvalidInputError as `elbo`.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        q = self._posterior(x, self.seen_context(context))
        base = tfd.Independent(tfd.Normal(q.mean, tf.exp(q.log_scale)), 1)
        return base if q.chain is None else tfd.TransformedDistribution(base, q.chain)

    def _draw(self, q: _Posterior, noise: Any) -> tuple[Any, Any]:
        """(z_K, log|det dz_K/dz_0|) of standard normal noise [..., batch, latent_size]."""
        z = q.mean + tf.exp(q.log_scale) * noise
        if q.chain is None:
            return z, tf.zeros(tf.shape(z)[:-1], z.dtype)
        return bijectors.forward_and_log_det(q.chain, z, 1)

    def _noise(self, x: Any, seed: Any, first: Any, count: int) -> Any:
        """Standard normal noise of draws `first`, ... of every row: [batch, count, latent_size]."""
        size = self.config.latent_size
        uniform = hashed_draws(x, seed, first * size, count * size)
        return tf.reshape(tf.math.ndtri(tf.cast(uniform, self.compute_dtype)), [-1, count, size])

    def _log_prior(self, z: Any) -> Any:
        size = self.config.latent_size
        return -0.5 * (tf.reduce_sum(tf.square(z), -1) + size * math.log(2.0 * math.pi))

    def _log_likelihood(self, x: Any, z: Any, seen: Any) -> Any:
        """log p(x | z): x [rows, *event], z [rows, latent_size] -> [rows]."""
        elements = self.likelihood.log_prob(x, self._parameters(z, seen), self._scale(seen))
        return tf.reduce_sum(tf.reshape(elements, [-1, self.config.event_size]), -1)

    def _parameters(self, z: Any, seen: Any) -> Any:
        """What the decoder gives: [rows, *event, num_parameters]."""
        return tf.cast(self.decoder(joined(z, seen)), self.compute_dtype)

    def _scale(self, seen: Any) -> Any:
        """The log-scale of the likelihood, [channels], or [rows, 1, ..., channels] of contexts."""
        if self.log_scale is None:
            return None
        log_scale = tf.cast(self.log_scale, self.compute_dtype)
        if seen is None:
            return log_scale
        own = tf.cast(self.scale_layer(seen), self.compute_dtype)
        ones = [1] * (len(self.config.event_shape) - 1)
        return log_scale + tf.reshape(own, [-1, *ones, own.shape[-1]])

    # Scores.

    def elbo_terms(self, x: Any, seed: Any, context: Any = None) -> tuple[Any, Any, Any]:
        """(log p(x | z_K), log p(z_K), H(q_0) + log|det|), one draw per row: [batch] nats each.

        Their sum is the ELBO. x, context: checked rows.   seed: int32 [2].
        """
        seen = self.seen_context(context)
        q = self._posterior(x, seen)
        z, log_det = self._draw(q, self._noise(x, seed, tf.constant(0), 1)[:, 0])
        size = self.config.latent_size
        entropy = tf.reduce_sum(q.log_scale, -1) + 0.5 * size * (1.0 + math.log(2.0 * math.pi))
        return self._log_likelihood(x, z, seen), self._log_prior(z), entropy + log_det

    def _log_weights(self, x: Any, context: Any, seed: Any, count: int) -> Callable[[Any], Any]:
        seen = self.seen_context(context)
        q, size = self._posterior(x, seen), self.config.latent_size
        of_all = None if seen is None else tf.tile(seen, [count, 1])
        rows = tf.shape(x)[0]
        repeated = tf.repeat(tf.expand_dims(x, 0), count, 0)
        repeated = tf.reshape(repeated, [-1, *self.config.event_shape])

        def log_weights(first: Any) -> Any:
            noise = tf.transpose(self._noise(x, seed, first, count), [1, 0, 2])
            z, log_det = self._draw(q, noise)  # [count, batch, latent_size]
            log_base = self._log_prior(noise) - tf.reduce_sum(q.log_scale, -1)
            likelihood = self._log_likelihood(repeated, tf.reshape(z, [-1, size]), of_all)
            likelihood = tf.reshape(likelihood, [count, rows])
            return likelihood + self._log_prior(z) - (log_base - log_det)

        return log_weights

    # Latents.

    def _encode(self, x: Any, context: Any) -> Any:
        """z_K of the posterior's z_0 = mu(x): [batch, latent_size]."""
        q = self._posterior(x, self.seen_context(context))
        return self._draw(q, tf.zeros_like(q.mean))[0]

    def _decode(self, z: Any, context: Any) -> Any:
        """The data that p(x | z) finds likeliest, as stored."""
        return self.likelihood.stored(self._mean(z, context))

    def _mean(self, z: Any, context: Any) -> Any:
        return self.likelihood.mean(self._parameters(z, self.seen_context(context)))

    def _reconstruct(self, x: Any, context: Any) -> Any:
        return self._mean(self._encode(x, context), context)

    def _drawn(self, uniform: Any, temperature: Any, context: Any = None) -> Any:
        """Data of uniform numbers [batch, latent_size + D] and temperatures [batch]."""
        uniform = tf.cast(uniform, self.compute_dtype)
        size = self.config.latent_size
        z = temperature[:, None] * tf.math.ndtri(uniform[:, :size])
        noise = tf.reshape(uniform[:, size:], [-1, *self.config.event_shape])
        seen = self.seen_context(context)
        parameters = self._parameters(z, seen)
        return self.likelihood.stored(self.likelihood.draw(noise, parameters, self._scale(seen)))

    # Input checks.

    def checked_data(self, x: Any) -> Any:
        """x as a tensor of `data`. Raises InvalidInputError for others."""
        try:
            return super().checked_data(x)
        except InvalidInputError as error:
            if self.data.levels != 2 or "0..1" not in str(error):
                raise
            raise InvalidInputError(
                "This model is one of binary images, whose pixels are the integers 0 and 1; "
                f"{error} To binarise grey levels: (x > 127).astype('uint8'), or by chance: "
                "(rng.random(x.shape) < x / 255).astype('uint8')."
            ) from error
