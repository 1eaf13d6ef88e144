"""What every density model of the zoo is: a config, networks, a bijector and a base distribution.

    data y --dequantise--> y + u --bijector.inverse--> z ~ base        (log_prob, encode)
    z ~ base --bijector.forward--> y + u --floor--> data               (sample, decode)

log p(y) is reported in nats of the data as stored. For grey levels it is the density of y + u, u
uniform in [0, 1): in expectation over u a lower bound on the log-probability of the integers (Theis
et al. 2016, arXiv:1511.01844, Sec. 3.1), and what the flow papers report.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import FlowChain, OnePassBijector, forward_and_log_det, inverse_and_log_det
from zoo.bijectors.elementwise import BatchNorm, DiagonalAffine
from zoo.bijectors.preprocessing import PixelScaling, ZCAWhitening
from zoo.errors import ConfigError, InvalidInputError
from zoo.networks.normalization import AffineParameters, RunningMoments, WhiteningMatrix
from zoo.ops.noise import hashed_uniform
from zoo.ops.units import bits_per_dim_from_nats

tfb = tfp.bijectors
tfd = tfp.distributions

__all__ = [
    "DensityModel",
    "ModelConfig",
    "Preprocessing",
    "activation_norm_bijector",
    "batch_norm_bijector",
]

EVALUATION_SEED = (0, 0)
MAX_TEMPERATURE = 1e6  # beyond it latents of any flow leave float32

# What evaluating a chain's inverse also sets from the data: nothing; every data-dependent weight;
# or the moments of batch norm alone.
Fit = Literal["nothing", "all", "moments"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How data become real vectors; part of the model, with its log-det.

    num_levels: grey levels of integer data, dequantised by uniform noise; 0 for real features.
    transform: `zoo.bijectors.preprocessing.PixelScaling`'s, for integer data; "none" for features.
    alpha: the logit's margin.
    whitening: "standardise" (one mean and deviation a dimension) or "zca", fitted by `adapt`.
    """

    num_levels: int = 0
    transform: Literal["none", "unit", "symmetric", "logit"] = "none"
    alpha: float = 0.05
    whitening: Literal["none", "standardise", "zca"] = "none"

    def __post_init__(self) -> None:
        """Raises ConfigError for a combination that is no preprocessing."""
        if (self.num_levels == 0) != (self.transform == "none"):
            raise ConfigError(
                "Integer data need num_levels >= 2 and a transform, real features neither; got "
                f"num_levels={self.num_levels}, transform={self.transform!r}."
            )
        if self.num_levels and not 2 <= self.num_levels <= 256:
            raise ConfigError(f"num_levels must be 0 or in [2, 256]; got {self.num_levels}.")
        if not 0.0 < self.alpha < 0.5:
            raise ConfigError(f"alpha must be in (0, 0.5); got {self.alpha}.")
        if self.transform not in ("none", "unit", "symmetric", "logit"):
            raise ConfigError(
                f"transform must be none, unit, symmetric or logit; got {self.transform!r}."
            )
        if self.whitening not in ("none", "standardise", "zca"):
            raise ConfigError(
                f"whitening must be none, standardise or zca; got {self.whitening!r}."
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model's config has; subclasses add the sizes of their system.

    event_shape: of one row of data.   context_size: classes of the conditioning label, 0 for none.
    """

    event_shape: tuple[int, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    context_size: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that are no sizes."""
        _check_types(self)
        if not self.event_shape or any(n < 1 for n in self.event_shape):
            raise ConfigError(f"event_shape must hold positive integers; got {self.event_shape!r}.")
        if self.context_size < 0:
            raise ConfigError(f"context_size must be 0 or more; got {self.context_size}.")
        if any(n < 1 for n in getattr(self, "hidden_units", ())):
            raise ConfigError("hidden_units must be positive integers.")

    @property
    def event_size(self) -> int:
        """Number of dimensions D."""
        return int(np.prod(self.event_shape))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output. Raises ConfigError for fields that do not fit."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"{cls.__name__} has no {', '.join(unknown)}; its fields: "
                f"{', '.join(sorted(known))}."
            )
        converted = {name: _tuples(value) for name, value in values.items()}
        preprocessing = converted.get("preprocessing")
        try:
            if isinstance(preprocessing, Mapping):
                converted["preprocessing"] = Preprocessing(**preprocessing)
            return cls(**converted)
        except TypeError as error:
            raise ConfigError(f"{cls.__name__} cannot be built: {error}.") from error

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """What the system's paper does to uint8 images.

        The default of `zoo.create` for [h, w, c] events.
        """
        return Preprocessing(num_levels=256, transform="logit")


def _check_types(config: ModelConfig) -> None:
    """Raises ConfigError for a field that is not of its declared type."""
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        hint, value = hints[item.name], getattr(config, item.name)
        origin = typing.get_origin(hint)
        if origin is tuple:
            integers = isinstance(value, tuple) and all(_is_integer(n) for n in value)
            fits, expected = integers, "a tuple of integers"
        elif origin is Literal:
            fits, expected = value in typing.get_args(hint), f"one of {typing.get_args(hint)}"
        elif hint is int:
            fits, expected = _is_integer(value), "an integer"
        elif hint is float:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
            expected = "a number"
        else:
            fits, expected = isinstance(value, hint), f"a {hint.__name__}"
        if not fits:
            raise ConfigError(f"{item.name} must be {expected}; got {value!r}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value


class _InitializingAffine(OnePassBijector):
    """Initialises an `AffineParameters` from the first tensor that it inverts, then acts as it."""

    def __init__(self, parameters_layer: AffineParameters, event_shape: tuple[int, ...]) -> None:
        super().__init__(
            event_ndims=len(event_shape), parameters=dict(locals()), name="initializing_affine"
        )
        self._layer = parameters_layer
        self._event_shape = event_shape

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        self._layer.initialize(x)
        return activation_norm_bijector(self._layer, self._event_shape).inverse_and_log_det(x)


def activation_norm_bijector(
    layer: AffineParameters, event_shape: tuple[int, ...], *, fit: Fit = "nothing"
) -> OnePassBijector:
    """x = z exp(log_scale) + shift with the layer's weights.

    `fit="all"` sets them from the data first.
    """
    if fit == "all":
        return _InitializingAffine(layer, event_shape)
    return DiagonalAffine(layer.shift, layer.log_scale, event_shape=event_shape, name=layer.name)


def batch_norm_bijector(
    layer: RunningMoments,
    event_shape: tuple[int, ...],
    *,
    training: bool = False,
    fit: Fit = "nothing",
) -> BatchNorm:
    """The layer's batch norm: batch moments in training, else running ones.

    `fit` sets the running ones first.
    """

    def initializing_moments(x: Any) -> tuple[Any, Any]:
        layer.initialize(x)
        return layer.running_moments()

    moments: Callable[[Any], tuple[Any, Any]]
    if fit != "nothing":
        moments = initializing_moments
    else:
        moments = layer.batch_moments if training else layer.running_moments
    return BatchNorm(
        moments,
        log_gamma=tf.convert_to_tensor(layer.log_gamma),
        beta=tf.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
        event_shape=event_shape,
        name=layer.name,
    )


class DensityModel(keras.Model):
    """A normalising flow as a Keras model. Subclasses create networks and say how they chain.

    Subclassing: set `config_class` and `family`; create every layer in `_create_networks`; return
    the flow in `_flow` (latent [D] -> model space [*event_shape]); override `_base_distribution` if
    the base is not a standard normal.

    All randomness comes from seeds: `log_prob` without a seed uses a fixed one, and the noise of a
    row depends on the row and the seed alone, so that scores are reproducible and independent of
    the batch.
    """

    config_class: ClassVar[type[ModelConfig]] = ModelConfig
    family: ClassVar[str] = ""

    def __init__(
        self, config: ModelConfig | Mapping[str, Any], *, conditioner_dtype: str = "", **kwargs: Any
    ) -> None:
        """config: the system's dataclass, or its plain values.

        conditioner_dtype: dtype policy of the conditioner networks, such as "mixed_bfloat16"; empty
            for the model's own. Densities and log-dets keep the model's dtype.
        """
        super().__init__(**kwargs)
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
        self._create_preprocessing()
        self._create_networks()
        self._loss_tracker_nats = keras.metrics.Mean(name="loss")
        self.noise_seed = keras.random.SeedGenerator(seed=0, name="noise_seed")
        self.built = True

    # What subclasses provide.

    def _create_networks(self) -> None:
        raise NotImplementedError

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        """Bijectors from model space (first) to the latent (last), as `tfb.Chain` lists them."""
        raise NotImplementedError

    def _base_distribution(self) -> tfd.Distribution:
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

    def _create_preprocessing(self) -> None:
        self.whitening: Any = None
        kind, shape = self.config.preprocessing.whitening, self.config.event_shape
        if kind == "standardise":
            self.whitening = AffineParameters(
                shape,
                trainable=False,
                min_deviation=1e-6,
                dtype=self.dtype_policy,
                name="standardisation",
            )
        elif kind == "zca":
            self.whitening = WhiteningMatrix(
                self.config.event_size, dtype=self.dtype_policy, name="zca"
            )
        if self.whitening is not None:
            self.whitening.build(None)

    def _preprocessing(self) -> list[tfb.Bijector]:
        """Bijectors from data (first) to model space (last)."""
        preprocessing, shape = self.config.preprocessing, self.config.event_shape
        chain: list[tfb.Bijector] = []
        if preprocessing.transform != "none":
            chain.append(
                PixelScaling(
                    num_levels=preprocessing.num_levels,
                    transform=preprocessing.transform,
                    alpha=preprocessing.alpha,
                    event_ndims=len(shape),
                )
            )
        if preprocessing.whitening == "standardise":
            chain.append(activation_norm_bijector(self.whitening, shape))
        elif preprocessing.whitening == "zca":
            weights = self.whitening
            chain.append(
                ZCAWhitening(
                    mean=tf.convert_to_tensor(weights.mean),
                    matrix=tf.convert_to_tensor(weights.matrix),
                    inverse_matrix=tf.convert_to_tensor(weights.inverse_matrix),
                    log_det=tf.convert_to_tensor(weights.log_det),
                    event_shape=shape,
                )
            )
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
        context = self._checked_context(context, rows=None)
        return self._chain(context=self._encoded_context(context))

    def distribution(self, context: Any = None) -> tfd.TransformedDistribution:
        """The density of dequantised data.

        A `tfd.TransformedDistribution` over the current weights.
        """
        return tfd.TransformedDistribution(self._base_distribution(), self.bijector(context))

    def _chain(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> tfb.Chain:
        members = [
            *self._preprocessing(),
            *self._flow(training=training, fit=fit, context=context),
        ]
        return FlowChain(members, name=self.family or "flow")

    # Scoring.

    def call(self, x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras)
        """`log_prob(x, context)`."""
        x = self._checked_data(x)
        context = self._checked_context(context, rows=x.shape[0])
        return self._log_prob(x, context, tf.constant(EVALUATION_SEED, tf.int32), training=training)

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
        x = self._checked_data(x)
        context = self._checked_context(context, rows=x.shape[0])
        seed = _as_seed(seed, default=EVALUATION_SEED)
        return self._run("log_prob", self._log_prob, x, context, seed)

    def bits_per_dim(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """-log_prob / (D log 2), [batch]; a uniform model over uint8 gives exactly 8."""
        return bits_per_dim_from_nats(self.log_prob(x, context, seed=seed), self.config.event_size)

    def _log_prob(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        event_ndims = len(self.config.event_shape)
        chain = self._chain(training=training, context=self._encoded_context(context))
        z, log_det = inverse_and_log_det(chain, self._dequantised(x, seed), event_ndims)
        return self._base_distribution().log_prob(z) + log_det

    def paper_space_log_det(self, x: Any, *, seed: Any = None) -> Any:
        """log|det dv/d(x+u)|, v the data in the space in which papers quote nats.

        That is after pixel scaling (NICE: pixels in [0, 1] or [-1, 1]; MAF: logit space), without
        whitening; for features it is after standardisation. log_prob minus it is the density of v.
        x: [batch, *event_shape].   returns: [batch].
        """
        x = self._checked_data(x)
        y = self._dequantised(x, _as_seed(seed, default=EVALUATION_SEED))
        members = self._preprocessing()[:1]
        if not members:
            return tf.zeros(tf.shape(x)[:1], self.compute_dtype)
        return inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[1]

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

    def _dequantised(self, x: Any, seed: Any) -> Any:
        if not self.config.preprocessing.num_levels:
            return tf.cast(x, self.compute_dtype)
        noise = hashed_uniform(tf.cast(x, tf.int32), seed)
        return tf.cast(x, self.compute_dtype) + tf.cast(noise, self.compute_dtype)

    # Latents.

    def encode(self, x: Any, context: Any = None) -> Any:
        """z = bijector.inverse(x): x [batch, *event] -> z [batch, D].

        Grey levels are taken at the middle of their bin.
        """
        x = self._checked_data(x)
        context = self._checked_context(context, rows=x.shape[0])
        return self._run("encode", self._encode, x, context)

    def _encode(self, x: Any, context: Any) -> Any:
        middle = 0.5 if self.config.preprocessing.num_levels else 0.0
        chain = self._chain(context=self._encoded_context(context))
        return inverse_and_log_det(
            chain, tf.cast(x, self.compute_dtype) + middle, len(self.config.event_shape)
        )[0]

    def decode(self, z: Any, context: Any = None) -> Any:
        """x = bijector.forward(z): z [batch, D] -> x [batch, *event_shape].

        In data units and dtype.
        """
        z = self._checked_latents(z)
        context = self._checked_context(context, rows=z.shape[0])
        return self._run("decode", self._decode, z, context)

    def _decode(self, z: Any, context: Any) -> Any:
        chain = self._chain(context=self._encoded_context(context))
        return self._quantised(forward_and_log_det(chain, z, 1)[0])

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
        if not _is_real(num_samples) or num_samples < 1 or int(num_samples) != num_samples:
            raise InvalidInputError(
                f"num_samples must be an integer of at least 1; got {num_samples!r}."
            )
        if not _is_real(temperature) or not 0.0 <= temperature <= MAX_TEMPERATURE:
            raise InvalidInputError(
                f"temperature must be a finite number >= 0, at most {MAX_TEMPERATURE:g}; got "
                f"{temperature!r}."
            )
        if context is not None:
            context = _as_tensor(context, "context", None)
            if context.shape.rank == 0:
                context = tf.fill([int(num_samples)], context)
        context = self._checked_context(context, rows=num_samples)
        seed = _as_seed(seed, default=None)
        z = self._base_distribution().sample(int(num_samples), seed=seed)
        return self._run(
            "decode", self._decode, tf.constant(float(temperature), z.dtype) * z, context
        )

    # Fitting.

    def adapt(self, x: Any, context: Any = None) -> None:
        """Fits whitening, and the data-dependent start of normalising layers, to the rows x.

        For fresh models, before training; a few hundred rows do for initialisation, whitening wants
        the whole training set (`adapt_whitening`).   x: [batch, *event_shape] as for `log_prob`.
        """
        self.adapt_whitening(x)
        self._fit(x, context, "all")

    def adapt_batch_norm(self, x: Any, context: Any = None) -> None:
        """Sets the running moments of every batch norm bijector to those of the rows x.

        This goes layer by layer. The MAF paper evaluates with the moments of the whole training set
        (Sec. 4.1); without batch norm this does nothing.   x: [batch, *event_shape].
        """
        if self.has_batch_norm:
            self._fit(x, context, "moments")

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening alone to the rows x [batch, *event_shape], typically all of them."""
        if self.whitening is None:
            return
        x = self._checked_data(x)
        y = self._dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        members = self._preprocessing()[:-1]
        if members:
            y = inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[0]
        if isinstance(self.whitening, WhiteningMatrix):
            y = tf.reshape(y, [-1, self.config.event_size])
        self.whitening.initialize(y)

    @property
    def has_batch_norm(self) -> bool:
        """Whether a bijector of the flow normalises by batch moments."""
        return any(isinstance(layer, RunningMoments) for layer in self._flatten_layers())

    def _fit(self, x: Any, context: Any, fit: Fit) -> None:
        x = self._checked_data(x)
        context = self._checked_context(context, rows=x.shape[0])
        y = self._dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        chain = self._chain(fit=fit, context=self._encoded_context(context))
        inverse_and_log_det(chain, y, len(self.config.event_shape))

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was called with, for Keras' saving."""
        optimizer = getattr(self, "optimizer", None)
        return (
            {}
            if optimizer is None
            else {"optimizer": keras.saving.serialize_keras_object(optimizer)}
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with `get_compile_config`'s output."""
        if config:
            self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))
            self.optimizer.build(self.trainable_variables)

    def compile(self, optimizer: Any = "adam", *, loss: Any = None, **kwargs: Any) -> None:
        """Keras' compile; `loss` must stay None.

        The loss is the model's own, -log_prob in nats.
        """
        if loss is not None:
            raise InvalidInputError(
                f"{type(self).__name__} trains by maximum likelihood, -log_prob, and takes no "
                f"loss; got {loss!r}."
            )
        super().compile(optimizer=optimizer, **kwargs)

    @property
    def metrics(self) -> list[Any]:
        """The loss in nats; Keras resets it every epoch."""
        return [self._loss_tracker_nats]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of maximum likelihood on x, or (x, context)."""
        x, context = self._unpacked(data)
        seed = tf.cast(tf.reshape(self.noise_seed.next(), [-1])[:2], tf.int64)
        seed = tf.cast(tf.bitwise.bitwise_and(seed, 0x7FFFFFFF), tf.int32)
        with tf.GradientTape() as tape:
            nats = -self._log_prob(x, context, seed, training=True)  # [batch]
            loss = tf.reduce_mean(nats) / tf.distribute.get_strategy().num_replicas_in_sync
            loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        # A loss that is not finite shows in the history and leaves the weights as they are.
        finite = tf.math.is_finite(loss)
        gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in tape.gradient(loss, variables)]
        self.optimizer.apply(gradients, variables)
        self._loss_tracker_nats.update_state(nats)
        return self._results()

    def test_step(self, data: Any) -> dict[str, Any]:
        """The mean of -log_prob in nats."""
        x, context = self._unpacked(data)
        self._loss_tracker_nats.update_state(
            -self._log_prob(x, context, tf.constant(EVALUATION_SEED, tf.int32))
        )
        return self._results()

    def _results(self) -> dict[str, Any]:
        loss = self._loss_tracker_nats.result()
        return {"loss": loss, "bits_per_dim": bits_per_dim_from_nats(-loss, self.config.event_size)}

    def _unpacked(self, data: Any) -> tuple[Any, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise InvalidInputError(
                "Elements must be x, or (x, context); sample weights are not supported."
            )
        if isinstance(x, Mapping):
            raise InvalidInputError(
                "Elements must be x, or (x, context); got a dictionary with "
                f"{sorted(x)}. Map it first: dataset.map(lambda row: row['image'])."
            )
        if y is not None and not self.config.context_size:
            raise InvalidInputError(
                "This model is unconditional, and the dataset yields pairs. "
                "Drop the second element: dataset.map(lambda x, y: x)."
            )
        return self._checked_data(x), self._checked_context(y, rows=None)

    # Input checks: types and shapes always, values in eager mode.

    def _checked_data(self, x: Any) -> Any:
        shape, levels = self.config.event_shape, self.config.preprocessing.num_levels
        x = _as_tensor(x, "x", None if levels else self.compute_dtype)
        expected = f"[batch, {', '.join(map(str, shape))}]"
        if x.shape.rank != len(shape) + 1 or not x.shape[1:].is_compatible_with(shape):
            raise InvalidInputError(f"Expected x of shape {expected}; got {_shape_text(x)}.")
        if x.shape[0] == 0:
            raise InvalidInputError(
                f"Expected x of shape {expected} with at least one row; got an empty batch."
            )
        if levels:
            if not x.dtype.is_integer:
                raise InvalidInputError(
                    f"This model takes grey levels 0..{levels - 1} as integers (uint8), as the "
                    f"dataset stores them; got {x.dtype.name}. For floats in [0, 1]: "
                    "np.round(255 * x).astype('uint8')."
                )
            if x.dtype != tf.uint8 or levels < 256:
                x = _with_range(x, levels, "Grey levels")
            return tf.cast(x, tf.uint8)
        message = "x holds NaN or infinity; the density is defined for finite features."
        if not _is_eager(x):
            return _asserting(x, tf.reduce_all(tf.math.is_finite(x)), message)
        if not np.isfinite(x.numpy()).all():
            raise InvalidInputError(message)
        return x

    def _checked_latents(self, z: Any) -> Any:
        z = _as_tensor(z, "z", self.compute_dtype)
        size = self.config.event_size
        if z.shape.rank != 2 or z.shape[1] not in (size, None) or z.shape[0] == 0:
            raise InvalidInputError(
                f"Expected latents z of shape [batch, {size}]; got {_shape_text(z)}."
            )
        if _is_eager(z) and not np.isfinite(z.numpy()).all():
            raise InvalidInputError("z holds NaN or infinity.")
        return z

    def _checked_context(self, context: Any, rows: int | None) -> Any:
        size = self.config.context_size
        if not size:
            if context is not None:
                raise InvalidInputError("This model is unconditional: leave out context.")
            return None
        if context is None:
            raise InvalidInputError(
                f"This model is conditional: give context, labels 0..{size - 1}, [batch]."
            )
        context = _as_tensor(context, "context", None)
        if not context.dtype.is_integer or context.shape.rank != 1:
            raise InvalidInputError(
                "Expected context as integer labels of shape [batch]; got "
                f"{context.dtype.name} {_shape_text(context)}."
            )
        if rows is not None and context.shape[0] not in (rows, None):
            raise InvalidInputError(f"Expected one label a row: {rows}; got {context.shape[0]}.")
        return tf.cast(_with_range(context, size, "Labels"), tf.int32)

    def _encoded_context(self, context: Any) -> Any:
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


def _as_tensor(value: Any, name: str, dtype: Any) -> Any:
    """A tensor of the value.

    NumPy arrays and lists of floats are cast to `dtype`, if one is given.
    """
    try:
        if not tf.is_tensor(value):
            value = np.asarray(value)
            if dtype is not None and value.dtype.kind in "fiub":
                value = value.astype(dtype)
            elif dtype is not None and value.dtype.kind not in "fiub":
                raise InvalidInputError(f"Expected numbers in {name}; got dtype {value.dtype}.")
            return tf.convert_to_tensor(value)
        return tf.cast(value, dtype) if dtype is not None and value.dtype != dtype else value
    except (ValueError, TypeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{name} is not an array of numbers: {error}") from error


def _is_real(value: Any) -> bool:
    """Whether the value is one finite number, and no truth value."""
    number = np.asarray(value)
    return number.ndim == 0 and number.dtype.kind in "iuf" and bool(np.isfinite(number))


def _is_eager(x: Any) -> bool:
    return hasattr(x, "numpy")


def _shape_text(x: Any) -> str:
    return (
        str([None if n is None else int(n) for n in x.shape])
        if x.shape.rank is not None
        else "unknown rank"
    )


def _with_range(x: Any, size: int, what: str) -> Any:
    """x, whose values must be in 0..size-1: raises eagerly, asserts in a graph."""
    if not _is_eager(x):
        inside = tf.reduce_all((x >= tf.zeros_like(x)) & (tf.cast(x, tf.int64) < size))
        return _asserting(x, inside, f"{what} must be in 0..{size - 1}.")
    values = x.numpy()
    if values.size and (values.min() < 0 or values.max() >= size):
        raise InvalidInputError(
            f"{what} must be in 0..{size - 1}; got {values.min()}..{values.max()}."
        )
    return x


def _asserting(x: Any, condition: Any, message: str) -> Any:
    """x, after an assertion in the graph (XLA drops assertions)."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(x)


def _as_seed(seed: Any, default: tuple[int, int] | None) -> Any:
    """int32 [2] from an int of up to 64 bits, a pair, a tensor, or the default.

    Where both are None it is a fresh draw, at every execution inside a graph too.
    """
    if seed is None and default is None:
        if not tf.executing_eagerly():
            return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        seed = np.random.SeedSequence().generate_state(2)
    elif seed is None:
        seed = default
    message = f"seed must be an integer or a pair of integers; got {seed!r}."
    if tf.is_tensor(seed):
        if not seed.dtype.is_integer or seed.shape.rank not in (0, 1):
            raise InvalidInputError(message)
        seed = tf.cast(seed, tf.int32)
        if seed.shape.rank == 0:
            seed = tf.stack([tf.zeros_like(seed), seed])
        if seed.shape[0] not in (2, None):
            raise InvalidInputError(message)
        return tf.ensure_shape(seed, [2])
    values = np.asarray(seed)
    if values.dtype.kind not in "iu" or values.shape not in ((), (2,)):
        raise InvalidInputError(message)
    words = values.astype(np.int64).reshape(-1)
    if words.size == 1:  # the high and the low half of the integer
        words = np.array([words[0] >> 32, words[0]])
    return tf.constant((words & 0xFFFFFFFF).astype(np.uint32).astype(np.int32))
