"""Parallel WaveNet: inverse autoregressive flows that say a clip in one pass.

van den Oord et al. 2017, arXiv:1711.10433, Sec. 3-4.

    z_t ~ Logistic(0, 1), or Normal(0, 1) (ClariNet, arXiv:1807.07281)
    x^i_t = (x^{i-1}_t - mu^i_t) exp(-alpha^i_t),   (mu^i_t, alpha^i_t) = net_i(x^{i-1}_{<t}, c)

x^0 = z, x = x^N in units of full scale. It is the IAF of arXiv:1606.04934 in MAF's notation, with
dilated causal stacks as networks, and no order reversed between the flows. All flows together are
affine in the noise of the same step,

    p(x_t | z_<t) = Logistic(mu_t, s_t),   ln s_t = -sum_i alpha^i_t,   mu_t = x_t - z_t s_t

which is what distillation compares with the teacher (`zoo.objectives.distillation`). Sampling is
one pass; the density of given audio takes up to T of them.

Deviations: networks of gated layers with skip connections (`zoo.networks.causal_conv`), the paper's
have none; narrower and shallower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb, tfd
from zoo.errors import ConfigError, InvalidInputError
from zoo.kinds.flow import Flow
from zoo.layers.norms import Fit
from zoo.models.audio import clips
from zoo.models.audio.clip_conditioning import LabelledClips
from zoo.networks.causal_conv import CausalStack, built_dense, shifted
from zoo.objectives import Objective
from zoo.ops.noise import hashed_uniform
from zoo.ops.stable import soft_clip

__all__ = ["Draw", "ParallelWaveNet", "ParallelWaveNetConfig"]

FULL_SCALE = 2.0**15


@dataclass(frozen=True, kw_only=True)
class ParallelWaveNetConfig(clips.AudioConfig):
    """Sizes of a student; event_shape is (samples of a clip,).

    layers_per_flow: of each flow, first to last; dilations 1, 2, 4, ... up to 512, then again.
    first_log_scale: log of the scale that a fresh student gives its noise.
    """

    layers_per_flow: tuple[int, ...] = (10, 10, 10, 10)
    filter_size: int = 2
    residual_channels: int = 32
    skip_channels: int = 32
    base: Literal["logistic", "normal"] = "logistic"
    log_scale_limit: float = 8.0
    first_log_scale: float = -4.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if not self.layers_per_flow or min(self.layers_per_flow) < 1:
            raise ConfigError(
                f"layers_per_flow needs a positive number a flow; got {self.layers_per_flow}."
            )
        if min(self.residual_channels, self.skip_channels) < 1 or self.filter_size < 2:
            raise ConfigError(
                "Expected residual_channels and skip_channels >= 1 and filter_size >= 2; got "
                f"{self.residual_channels}, {self.skip_channels} and {self.filter_size}."
            )
        if self.log_scale_limit <= 0.0:
            raise ConfigError(f"log_scale_limit must be positive; got {self.log_scale_limit}.")


class Draw(NamedTuple):
    """A clip of the student with the distribution of each of its samples given those before.

    All float [batch, T], units of full scale: x = mean + exp(log_scale) noise.
    """

    x: Any
    noise: Any
    mean: Any
    log_scale: Any


class _FlowNetwork(keras.layers.Layer):
    """One flow's network: z [batch, T], condition -> (mu, alpha), functions of z_<t."""

    def __init__(self, dilations: tuple[int, ...], config: ParallelWaveNetConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.first_layer = built_dense(config.residual_channels, self.dtype_policy, "first", 2)
        self.stack = CausalStack(
            dilations,
            filter_size=config.filter_size,
            residual_channels=config.residual_channels,
            skip_channels=config.skip_channels,
            context_channels=config.context_channels if config.context_size else 0,
            frame_size=config.frame_size,
            dtype=self.dtype_policy,
            name="stack",
        )
        self.stack.build(None)
        self.output_layer = built_dense(2, self.dtype_policy, "output", config.skip_channels)
        self.output_layer.kernel.assign(0.1 * self.output_layer.kernel)
        share = -config.first_log_scale / len(config.layers_per_flow)
        self.output_layer.bias.assign(np.array([0.0, share]))
        self.built = True

    def call(self, z: Any, frames: Any) -> tuple[Any, Any]:
        """z: [batch, T].   frames: conditioning vectors [batch, frames, C], or None."""
        past = shifted(z[..., None], 1)
        h = self.first_layer(tf.concat([shifted(past, 1), past], -1))
        outputs = self.output_layer(tf.nn.relu(self.stack(h, frames)))
        shift, log_scale = tf.unstack(tf.cast(outputs, z.dtype), axis=-1)
        return shift, soft_clip(log_scale, self.config.log_scale_limit)


@keras.saving.register_keras_serializable("zoo")
class ParallelWaveNet(LabelledClips, Flow):
    """A stack of inverse autoregressive flows from noise to 16-bit audio."""

    config_class: ClassVar[type[ModelConfig]] = ParallelWaveNetConfig
    family: ClassVar[str] = "parallel_wavenet"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "density"
    not_served: ClassVar[Mapping[str, str]] = {
        "log_prob": "scoring would take a pass of the network a sample",
        "encode": "so would the latents of given audio",
    }
    served_first: ClassVar[str] = "sample"
    portable: ClassVar[frozenset[str]] = frozenset()
    config: ParallelWaveNetConfig

    def _create_networks(self) -> None:
        config = self.config
        self._create_conditioner()
        self.networks = [
            _FlowNetwork(
                tuple(2 ** (layer % 10) for layer in range(layers)),
                config,
                dtype=self.network_dtype,
                name=f"flow_{index}",
            )
            for index, layers in enumerate(config.layers_per_flow)
        ]

    def base_distribution(self) -> tfd.Distribution:
        """Logistic or normal, as the config says."""
        zero = tf.zeros([], self.compute_dtype)
        kind = tfd.Logistic if self.config.base == "logistic" else tfd.Normal
        return tfd.Sample(kind(zero, tf.ones_like(zero)), sample_shape=[self.config.event_size])

    def _preprocessing(self) -> list[tfb.Bijector]:
        return [tfb.Scale(tf.constant(FULL_SCALE, self.compute_dtype), name="full_scale")]

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training, fit
        frames = self._frames(context)

        def bound(network: Any) -> Callable[[Any], tuple[Any, Any]]:
            return lambda z: network(z, frames)

        return [
            tfb.Invert(bijectors.AutoregressiveFlow(bound(network), name=network.name))
            for network in reversed(self.networks)
        ]

    def draw(self, noise: Any, context: Any = None) -> Draw:
        """The clip of the noise [batch, T], with each sample's mean and log-scale given the past.

        context: int32 labels [batch], checked.
        """
        frames = self._frames(context)
        x, log_scale = noise, tf.zeros_like(noise)
        for network in self.networks:
            shift, alpha = network(x, frames)
            x = (x - shift) * tf.exp(-alpha)
            log_scale -= alpha
        return Draw(x, noise, x - noise * tf.exp(log_scale), log_scale)

    # Training: by distillation alone, for the density of given audio takes T passes.

    def default_objective(self) -> Objective:
        """None: raises InvalidInputError, since a density by T passes is not trained on."""
        raise InvalidInputError(
            "A ParallelWaveNet learns from a teacher: student.compile(objective="
            "zoo.objectives.distillation.DistillationLoss(settings, teacher)) first."
        )

    def _decode(self, z: Any, context: Any) -> Any:
        return self._quantised(FULL_SCALE * self.draw(z, context).x)

    def _run(self, name: str, function: Callable[..., Any], **arrays: Any) -> Any:
        """As `ZooModel._run`; sampling is compiled by XLA, once a batch size."""
        if name != "decode" or not tf.executing_eagerly():
            return super()._run(name, function, **arrays)
        if name not in self._compiled_functions:
            compiled = tf.function(function, autograph=False, jit_compile=True)
            compiled._omit_frequent_tracing_warning = True
            self._compiled_functions[name] = compiled
        return self._compiled_functions[name](**arrays)

    def dequantised(self, x: Any, seed: Any) -> Any:
        """x + u - 1/2: a 16-bit value is the middle of its bin."""
        noise = hashed_uniform(tf.cast(x, tf.int32), seed)
        return tf.cast(x, self.compute_dtype) + tf.cast(noise, self.compute_dtype) - 0.5

    def _quantised(self, y: Any) -> Any:
        y = tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)
        return tf.cast(tf.clip_by_value(tf.round(y), -FULL_SCALE, FULL_SCALE - 1.0), tf.int16)

    def paper_space_log_det(self, x: Any, *, seed: Any = None) -> Any:
        """Log-det of x / 2**15, the space in which audio papers quote densities: [batch]."""
        del seed
        x = self.checked_data(x)
        value = -self.config.event_size * np.log(FULL_SCALE)
        return tf.fill(tf.shape(x)[:1], tf.constant(value, self.compute_dtype))

    @property
    def paper_space(self) -> str:
        """Words for the space of `paper_space_log_det`."""
        return "nats, samples in [-1, 1)"

    @property
    def _row_bytes(self) -> float:
        """What one clip takes at its peak, about: a few activations of every sample."""
        channels = 8 * self.config.residual_channels + 3 * self.config.skip_channels
        return 4.0 * channels * self.config.event_shape[0]
