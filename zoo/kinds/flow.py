"""What every density model of the zoo is: networks, a bijector and a base distribution.

    data y --dequantise--> y + u --bijector.inverse--> z ~ base        (log_prob, encode)
    z ~ base --bijector.forward--> y + u --floor--> data               (sample, decode)

log p(y) is reported in nats of the data as stored. For grey levels it is the density of y + u, u
uniform in [0, 1): in expectation over u a lower bound on the log-probability of the integers (Theis
et al. 2016, arXiv:1511.01844, Sec. 3.1), and what the flow papers report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tensorflow as tf

from zoo.core import checks
from zoo.core.checks import EVALUATION_SEED
from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb, tfd
from zoo.errors import ConfigError
from zoo.kinds.model import MaximumLikelihood
from zoo.layers.norms import Fit, RunningMoments
from zoo.layers.whitening import whitening_layer
from zoo.ops.noise import hashed_uniform
from zoo.ops.units import bits_per_dim_from_nats

if TYPE_CHECKING:
    from zoo.core.signature import Signature

__all__ = ["DensityModel"]


class DensityModel(MaximumLikelihood):
    """A normalising flow as a Keras model. Subclasses create networks and say how they chain.

    Subclassing: set `config_class` and `family`; create every layer in `_create_networks`; return
    the flow in `_flow` (latent [D] -> model space [*event_shape]); override `base_distribution` if
    the base is not a standard normal.

    All randomness comes from seeds: `log_prob` without a seed uses a fixed one, and the noise of a
    row depends on the row and the seed alone, so that scores are reproducible and independent of
    the batch.
    """

    config_class: ClassVar[type[ModelConfig]] = ModelConfig
    family: ClassVar[str] = ""
    # The direction that takes up to D network passes, in place of one.
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "none"

    def __init__(
        self, config: ModelConfig | Mapping[str, Any], *, conditioner_dtype: str = "", **kwargs: Any
    ) -> None:
        """config: the system's dataclass, or its plain values.

        conditioner_dtype: dtype policy of the conditioner networks, such as "mixed_bfloat16"; empty
            for the model's own. Densities and log-dets keep the model's dtype.
        """
        super().__init__(**kwargs)
        if self.compute_dtype != self.variable_dtype:
            raise ConfigError(
                f"A density is computed in one dtype; got the policy {self.dtype_policy.name}, by "
                "dtype or keras.config.set_dtype_policy. For its networks alone give "
                f"conditioner_dtype={self.dtype_policy.name!r}."
            )
        if isinstance(config, Mapping):
            config = self.config_class.from_dict(config)
        if not isinstance(config, self.config_class):
            raise ConfigError(
                f"{type(self).__name__} needs a {self.config_class.__name__}; "
                f"got {type(config).__name__}."
            )
        self.config = config
        self.conditioner_dtype = conditioner_dtype
        self._compiled_functions: dict[str, Any] = {}
        self.whitening: Any = whitening_layer(
            self.config.preprocessing.whitening, self.config.event_shape, self.dtype_policy
        )
        self._create_networks()
        self._create_training_state()
        self.built = True

    # What subclasses provide.

    def _create_networks(self) -> None:
        raise NotImplementedError

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        """Bijectors from model space (first) to the latent (last), as `tfb.Chain` lists them."""
        raise NotImplementedError

    def base_distribution(self) -> tfd.Distribution:
        zero = tf.zeros([], self.compute_dtype)
        return tfd.Sample(
            tfd.Normal(zero, tf.ones_like(zero)), sample_shape=[self.config.event_size]
        )

    @property
    def regularized_weights(self) -> list[Any]:
        """The weights whose squares a recipe's `l2` adds up: all trainable ones by default."""
        return list(self.trainable_weights)

    # Construction.

    @property
    def network_dtype(self) -> Any:
        """The dtype policy that conditioner networks are created with."""
        return self.conditioner_dtype or self.dtype_policy

    @property
    def data_dtype(self) -> str:
        """What the dataset stores: "uint8" for grey levels, the model's dtype for features."""
        return "uint8" if self.config.preprocessing.num_levels else str(self.compute_dtype)

    def _preprocessing(self) -> list[tfb.Bijector]:
        """Bijectors from data (first) to model space (last)."""
        preprocessing, shape = self.config.preprocessing, self.config.event_shape
        chain: list[tfb.Bijector] = []
        if preprocessing.transform != "none":
            chain.append(
                bijectors.PixelScaling(
                    num_levels=preprocessing.num_levels,
                    transform=preprocessing.transform,
                    alpha=preprocessing.alpha,
                    event_ndims=len(shape),
                )
            )
        if self.whitening is not None:
            chain.append(self.whitening.bijector(shape))
        return chain

    def get_config(self) -> dict[str, Any]:
        """Keras' own fields and the config's plain values."""
        return {
            **super().get_config(),
            "config": self.config.to_dict(),
            "conditioner_dtype": self.conditioner_dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> DensityModel:
        """The model of `get_config`'s output."""
        del custom_objects
        return cls(**config)

    def build(self, input_shape: Any = None) -> None:
        """Nothing to do: every weight exists after construction."""
        del input_shape
        self.built = True

    # The live TFP objects.

    def bijector(self, context: Any = None) -> tfb.Chain:
        """latent [D] -> dequantised data [*event_shape].

        A `tfb.Chain` over the current weights.
        """
        context = self.checked_context(context, rows=None)
        return self.chain(context=self.encoded_context(context))

    def distribution(self, context: Any = None) -> tfd.TransformedDistribution:
        """The density of dequantised data.

        A `tfd.TransformedDistribution` over the current weights.
        """
        return tfd.TransformedDistribution(self.base_distribution(), self.bijector(context))

    def chain(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> tfb.Chain:
        members = [
            *self._preprocessing(),
            *self._flow(training=training, fit=fit, context=context),
        ]
        return bijectors.FlowChain(members, name=self.family or "flow")

    # Scoring.

    def call(self, x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras)
        """`log_prob(x, context)`; in training with new dequantisation noise at every call."""
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = self._next_noise_seed() if training else tf.constant(EVALUATION_SEED, tf.int32)
        return self.score(x, context, seed, training=training)

    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log p(x [| context]) in nats of the data as stored.

        log p(x) = log base(z) + log|det dz/d(x+u)|,  z = bijector.inverse(x + u)

        x: [batch, *event_shape]: uint8 grey levels, or real features.
        context: int labels [batch].
        seed: names the dequantisation noise; the default is one fixed draw a row.
        returns: [batch], the model's float dtype.
        Raises InvalidInputError for other shapes and dtypes, NaN, infinities, empty batches, and a
        context missing or not expected (values are checked in eager mode alone).
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=EVALUATION_SEED)
        return self._run("log_prob", self.score, x, context, seed)

    def bits_per_dim(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """-log_prob / (D log 2), [batch]; a uniform model over uint8 gives exactly 8."""
        return bits_per_dim_from_nats(self.log_prob(x, context, seed=seed), self.config.event_size)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        event_ndims = len(self.config.event_shape)
        chain = self.chain(training=training, context=self.encoded_context(context))
        z, log_det = bijectors.inverse_and_log_det(chain, self.dequantised(x, seed), event_ndims)
        return self.base_distribution().log_prob(z) + log_det

    def paper_space_log_det(self, x: Any, *, seed: Any = None) -> Any:
        """log|det dv/d(x+u)|, v the data in the space in which papers quote nats.

        That is after pixel scaling (NICE: pixels in [0, 1] or [-1, 1]; MAF: logit space), without
        whitening; for features it is after standardisation. log_prob minus it is the density of v.
        x: [batch, *event_shape].   returns: [batch].
        """
        x = self.checked_data(x)
        y = self.dequantised(x, checks.seed_tensor(seed, default=EVALUATION_SEED))
        members = self._preprocessing()[:1]
        if not members:
            return tf.zeros(tf.shape(x)[:1], self.compute_dtype)
        return bijectors.inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[1]

    @property
    def paper_space(self) -> str:
        """Words for the space of `paper_space_log_det`."""
        preprocessing = self.config.preprocessing
        if preprocessing.transform == "none":
            kind = preprocessing.whitening
            return {"none": "nats, raw features", "standardise": "nats, standardised features"}.get(
                kind, "nats, whitened features"
            )
        return {
            "unit": "nats, pixels in [0, 1]",
            "symmetric": "nats, pixels in [-1, 1]",
            "logit": f"nats, logit space (alpha = {preprocessing.alpha:g})",
        }[preprocessing.transform]

    def dequantised(self, x: Any, seed: Any) -> Any:
        if not self.config.preprocessing.num_levels:
            return tf.cast(x, self.compute_dtype)
        noise = hashed_uniform(tf.cast(x, tf.int32), seed)
        return tf.cast(x, self.compute_dtype) + tf.cast(noise, self.compute_dtype)

    # Latents.

    def encode(self, x: Any, context: Any = None) -> Any:
        """z = bijector.inverse(x): x [batch, *event] -> z [batch, D].

        Grey levels are taken at the middle of their bin.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("encode", self._encode, x, context)

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
        return self._run("decode", self._decode, z, context)

    def _decode(self, z: Any, context: Any) -> Any:
        chain = self.chain(context=self.encoded_context(context))
        return self._quantised(bijectors.forward_and_log_det(chain, z, 1)[0])

    def _quantised(self, y: Any) -> Any:
        levels = self.config.preprocessing.num_levels
        if not levels:
            return y
        y = tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)
        return tf.cast(tf.clip_by_value(tf.floor(y), 0.0, levels - 1.0), tf.uint8)

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """x = bijector.forward(temperature * z), z ~ base: [num_samples, *event_shape].

        In data units and dtype.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: scales the latents; 0 gives the image of the base's mode.
        context: int labels [num_samples], or one label for all.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, a wrong
        context.
        """
        checks.checked_sampling(num_samples, temperature)
        if context is not None:
            context = checks.as_tensor(context, "context", None)
            if context.shape.rank == 0:
                context = tf.fill([int(num_samples)], context)
        context = self.checked_context(context, rows=num_samples)
        seed = checks.seed_tensor(seed, default=None)
        z = self.base_distribution().sample(int(num_samples), seed=seed)
        return self._run(
            "decode", self._decode, tf.constant(float(temperature), z.dtype) * z, context
        )

    # Serving.

    def serving_signatures(self) -> dict[str, Signature]:
        """What an export of the model answers, the server's default first.

        Families that answer more, or other things, override it (`zoo.models.signatures`).
        """
        from zoo.kinds.signatures import flow_signatures

        return flow_signatures(self)

    # Fitting.

    def adapt(self, x: Any, context: Any = None) -> None:
        """Fits whitening, and the data-dependent start of normalising layers, to the rows x.

        For fresh models, before training; a few hundred rows do for initialisation, whitening wants
        the whole training set (`adapt_whitening`).   x: [batch, *event_shape] as for `log_prob`.
        """
        self.adapt_whitening(x)
        self.initialize(x, context, "all")

    def adapt_batch_norm(self, x: Any, context: Any = None) -> None:
        """Sets the running moments of every batch norm bijector to those of the rows x.

        This goes layer by layer. The MAF paper evaluates with the moments of the whole training set
        (Sec. 4.1); without batch norm this does nothing.   x: [batch, *event_shape].
        """
        if self.has_batch_norm:
            self.initialize(x, context, "moments")

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening alone to the rows x [batch, *event_shape], typically all of them."""
        if self.whitening is None:
            return
        x = self.checked_data(x)
        y = self.dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        members = self._preprocessing()[:-1]
        if members:
            y = bijectors.inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[
                0
            ]
        self.whitening.initialize(y)

    @property
    def has_batch_norm(self) -> bool:
        """Whether a bijector of the flow normalises by batch moments."""
        return any(isinstance(layer, RunningMoments) for layer in self._flatten_layers())

    def initialize(self, x: Any, context: Any, fit: Fit) -> None:
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        y = self.dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        chain = self.chain(fit=fit, context=self.encoded_context(context))
        bijectors.inverse_and_log_det(chain, y, len(self.config.event_shape))

    # Input checks.

    def checked_data(self, x: Any) -> Any:
        return checks.checked_data(x, self.config, self.compute_dtype)

    def checked_latents(self, z: Any) -> Any:
        return checks.checked_latents(z, self.config.event_size, self.compute_dtype)

    def checked_context(self, context: Any, rows: int | None) -> Any:
        return checks.checked_context(context, self.config.context_size, rows)

    def encoded_context(self, context: Any) -> Any:
        if context is None:
            return None
        return tf.one_hot(context, self.config.context_size, dtype=self.compute_dtype)

    def _run(self, name: str, function: Any, *args: Any) -> Any:
        """The function, as a graph over batches of any size when called eagerly.

        The arguments are x or z, a context or None, and for scores a seed; all but the seed have a
        batch.
        """
        if not tf.executing_eagerly():
            return function(*args)
        if name not in self._compiled_functions:
            signature = [
                None
                if a is None
                else tf.TensorSpec([2] if i == 2 else [None, *a.shape[1:]], a.dtype)
                for i, a in enumerate(args)
            ]
            present = [s for s in signature if s is not None]
            missing = [i for i, s in enumerate(signature) if s is None]

            def with_missing(*tensors: Any) -> Any:
                values = list(tensors)
                for i in missing:
                    values.insert(i, None)
                return function(*values)

            compiled = tf.function(with_missing, input_signature=present, autograph=False)
            # One trace a model: TensorFlow counts those of all models together and would warn.
            compiled._omit_frequent_tracing_warning = True
            self._compiled_functions[name] = compiled
        return self._compiled_functions[name](*[a for a in args if a is not None])
