"""Latent-variable models: a prior, a likelihood and a posterior that is learned beside them.

z ~ p(z),  x ~ p(x | z),  q(z | x) near p(z | x)
ELBO(x) = E_q[log p(x | z) + log p(z) - log q(z | x)]
log p(x) >= log 1/K sum_k p(x, z^k) / q(z^k | x)     (importance-weighted; 1509.00519, Eq. 8)
"""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar, Literal

import tensorflow as tf

from zoo.core import checks
from zoo.core.capabilities import Encodes, Infers, Samples, Scores
from zoo.core.lazy import tfd
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.kinds.conditioned import Conditioned
from zoo.objectives import NegativeELBO, Objective
from zoo.ops.noise import counter_uniform

__all__ = ["DEFAULT_IMPORTANCE_SAMPLES", "LatentVariable"]

DEFAULT_IMPORTANCE_SAMPLES = 64
MAX_IMPORTANCE_SAMPLES = 1_000_000
_SAMPLES_AT_ONCE = 10


class LatentVariable(Conditioned, Scores, Samples, Encodes, Infers):
    """A model of z and x given z. Subclasses give the terms of the bound and the two directions.

    In any graph, of checked arguments: `elbo_terms`, `_log_weights`, `_encode`, `_decode`,
    `_reconstruct` and `_drawn`; `config.latent_size` is the size of z. Given a context c, they are
    of p(x | z, c) and q(z | x, c); the prior is the same for all.
    """

    precision: ClassVar[Literal["exact", "bound", "estimate"]] = "bound"
    lossless: ClassVar[Literal["data", "latent", "no"]] = "no"
    portable: ClassVar[frozenset[str]] = frozenset({"encode", "decode", "reconstruct"})
    words: ClassVar[dict[str, str]] = {
        "log_prob": f"log p(x) by {DEFAULT_IMPORTANCE_SAMPLES} importance samples a row"
    }

    # What subclasses provide.

    def elbo_terms(self, x: Any, seed: Any, context: Any = None) -> tuple[Any, Any, Any]:
        """Three numbers a row whose sum is the ELBO, by one draw: [batch] each.

        Of the likelihood, the prior, and the entropy of the posterior.
        """
        raise NotImplementedError

    def _log_weights(self, x: Any, context: Any, seed: Any, count: int) -> Any:
        """A function of `first`: log p(x, z) - log q(z | x) of draws first.. : [count, batch]."""
        raise NotImplementedError

    def _encode(self, x: Any, context: Any) -> Any:
        """The latents [batch, latent_size] that stand for x."""
        raise NotImplementedError

    def _decode(self, z: Any, context: Any) -> Any:
        """The data that p(x | z) finds likeliest, as stored."""
        raise NotImplementedError

    def _reconstruct(self, x: Any, context: Any) -> Any:
        """E[x' | z = encode(x)]: floats [batch, *event_shape]."""
        raise NotImplementedError

    def _drawn(self, uniform: Any, temperature: Any, context: Any = None) -> Any:
        """Data of uniform numbers [batch, latent_size + D] and temperatures [batch]."""
        raise NotImplementedError

    def default_objective(self) -> Objective:
        """-ELBO."""
        return NegativeELBO()

    # Scores.

    @property
    def latent(self) -> Space:
        """`config.latent_size` numbers."""
        return self._latent_space(self.config.latent_size)

    @property
    def measure(self) -> Literal["density", "mass", "volume"]:
        """Of integers a mass, for the likelihood gives each level one."""
        return "mass" if self.data.is_integer else "density"

    def prior(self) -> tfd.Distribution:
        """p(z): standard normal, event [latent_size]."""
        zero = tf.zeros([], self.compute_dtype)
        return tfd.Sample(tfd.Normal(zero, tf.ones_like(zero)), [self.config.latent_size])

    def elbo(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """E_q[log p(x | z) + log p(z) - log q(z | x)] by one draw a row: [batch] nats.

        x: [batch, *event_shape] as the dataset stores it.   seed: of the draw; the default is one
        fixed draw a row.   Raises InvalidInputError for other shapes and dtypes, for values that
        are no levels (of binary images: none but 0 and 1), NaN, infinities and empty batches.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        return self._run("elbo", self.score, x=x, context=context, seed=seed)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """The ELBO: what `call` returns and `fit` maximises."""
        del training
        return tf.add_n(list(self.elbo_terms(x, seed, context)))

    def log_prob(
        self,
        x: Any,
        context: Any = None,
        *,
        seed: Any = None,
        num_importance_samples: int = DEFAULT_IMPORTANCE_SAMPLES,
    ) -> Any:
        """log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q: [batch] nats.

        In expectation a lower bound of log p(x) that rises with K = `num_importance_samples`
        (arXiv:1509.00519, Theorem 1). Arguments and errors are those of `elbo`.
        """
        count = num_importance_samples
        if not checks.is_real(count) or not 1 <= count <= MAX_IMPORTANCE_SAMPLES or count % 1:
            raise InvalidInputError(
                "num_importance_samples must be an integer of at least 1 and at most "
                f"{MAX_IMPORTANCE_SAMPLES:,}; got {count!r}."
            )
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        function = functools.partial(self._importance_weighted, count=int(count))
        return self._run(f"log_prob_{int(count)}", function, x=x, context=context, seed=seed)

    def _importance_weighted(self, x: Any, context: Any, seed: Any, *, count: int) -> Any:
        at_once = min(count, _SAMPLES_AT_ONCE)
        of_draws = self._log_weights(x, context, seed, at_once)

        def log_weights(first: Any) -> Any:
            weights, number = of_draws(first), first + tf.range(at_once)[:, None]
            return tf.where(number < count, weights, tf.constant(-math.inf, weights.dtype))

        def update(first: Any, total: Any) -> tuple[Any, Any]:
            parts = tf.concat([total[None], log_weights(first)], 0)
            return first + at_once, tf.reduce_logsumexp(parts, 0)

        start = tf.reduce_logsumexp(log_weights(tf.constant(0)), 0)
        if count > at_once:
            start = tf.while_loop(
                lambda first, _: first < count,
                update,
                (tf.constant(at_once), start),
                maximum_iterations=-(-count // at_once) - 1,
            )[1]
        return start - math.log(count)

    # Latents.

    def encode(self, x: Any, context: Any = None) -> Any:
        """z_K of the posterior's z_0 = mu(x): x [batch, *event_shape] -> z [batch, latent_size]."""
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("encode", self._encode, x=x, context=context)

    def decode(self, z: Any, context: Any = None) -> Any:
        """The data that p(x | z) finds likeliest, as stored: [batch, *event_shape]."""
        z = checks.checked_latents(z, self.latent)
        context = self.checked_context(context, rows=z.shape[0])
        return self._run("decode", self._decode, z=z, context=context)

    def reconstruct(self, x: Any, context: Any = None) -> Any:
        """E[x' | z = encode(x)] in data units, floats [batch, *event_shape].

        Of binary images the probability of a 1. Arguments and errors are those of `elbo`.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("reconstruct", self._reconstruct, x=x, context=context)

    # Samples.

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """x ~ p(x | z), z ~ temperature * prior: [num_samples, *event_shape], as stored.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: scales the latents; the draw of x given z is that of the likelihood.
        context: one a draw, [num_samples, ...], or one for all.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature.
        """
        num_samples, temperature = checks.checked_sampling(num_samples, temperature)
        context = self.drawn_context(context, num_samples)
        seed = checks.seed_tensor(seed, default=None)
        count = self.config.latent_size + self.config.event_size
        uniform = counter_uniform(seed, num_samples, tf.constant(0), 1, count)[0]
        factor = tf.fill([num_samples], checks.scalar(temperature, self.compute_dtype))
        return self._run(
            "sample", self._drawn, uniform=uniform, temperature=factor, context=context
        )

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """Data of uniform numbers, those of each row named by its own seed."""
        context = self.checked_context(context, rows=None)
        count = self.config.latent_size + self.config.event_size
        uniform = tf.map_fn(
            lambda row: counter_uniform(row, 1, tf.constant(0), 1, count)[0, 0],
            seeds,
            fn_output_signature=tf.TensorSpec([count], tf.float32),
        )
        return self._drawn(uniform, temperature, context)
