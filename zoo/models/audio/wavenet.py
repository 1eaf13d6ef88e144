"""WaveNet: an autoregressive model of raw audio.

van den Oord et al. 2016, arXiv:1609.03499.

    log p(x | c) = sum_t log P(x_t | x_<t, c)                              (Eq. 1)

x int16 samples; the conditional is a softmax over 256 mu-law classes (Sec. 2.2), a mixture of
logistics over all 65,536 values (arXiv:1711.10433, Sec. 2) or a single Gaussian over them
(ClariNet, arXiv:1807.07281, Sec. 3.1). A causal filter of a few taps leads into stacks of dilated
gated layers (`zoo.networks.causal_conv`), whose skip connections pass through two rectified dense
layers (Fig. 4). What lies before the first sample is silence.

The condition is a label in mixed radix, such as (digit, speaker), or a mel spectrogram.

A 16-bit output's means are a linear prediction from the filter's taps plus what the network says in
units of its scales: gates and rectifiers say with effort that the next sample is nearly where the
last ones point, and scales range over three orders of magnitude.

Deviations: the linear prediction; the past enters as its companded value, not as one of 256
indicators, and as the sample itself if asked for: formants are linear predictions of it, not of its
logarithm; a table of (word, time since the clip's start) joins the label's conditioning
(`LabelConditioner`), in place of the paper's linguistic features, which spoken digits do not come
with.

Sampling computes each step once from cached states (`zoo.models.audio.wavenet_sampling`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.space import Space
from zoo.errors import ConfigError, InvalidInputError
from zoo.kinds.autoregressive import Autoregressive
from zoo.models.audio import clips, wavenet_rows, wavenet_sampling
from zoo.models.audio.clip_conditioning import LabelledClips
from zoo.models.audio.outputs import (
    LINEAR_GAIN,
    AudioOutput,
    GaussianOutput,
    LogisticMixtureOutput,
    MuLawOutput,
)
from zoo.networks.causal_conv import CausalStack, built_dense, receptive_field, shifted
from zoo.networks.conditioning import MelConditioner
from zoo.ops import mu_law

__all__ = ["WaveNet", "WaveNetConfig"]

_SCORING_BYTES = 1e9  # of activations at a time


@dataclass(frozen=True, kw_only=True)
class WaveNetConfig(clips.AudioConfig):
    """Sizes of a WaveNet.

    input_filter: taps of the causal filter in front.   linear_input: a mu-law network sees samples
    themselves beside their companded values, as 16-bit outputs always do.
    mel_bins: of a log-mel spectrogram, one frame every frame_size samples, as the condition in
    place of a label.   log_scale_floor: least log-scale of the 16-bit outputs.
    """

    output: Literal["mu_law", "logistic_mixture", "gaussian"] = "mu_law"
    num_mixtures: int = 10
    num_stacks: int = 2
    layers_per_stack: int = 10
    filter_size: int = 2
    residual_channels: int = 32
    skip_channels: int = 64
    input_filter: int = 2
    linear_input: bool = False
    mel_bins: int = 0
    log_scale_floor: float = -9.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        sizes = ("num_mixtures", "num_stacks", "layers_per_stack", "residual_channels")
        for name in (*sizes, "skip_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("filter_size", "input_filter"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2; got {getattr(self, name)}.")
        if self.mel_bins < 0 or (self.mel_bins and self.context_size):
            raise ConfigError(
                "A WaveNet is conditioned on labels or on mel_bins >= 1, not on both; got "
                f"{self.context_size} and {self.mel_bins}."
            )

    def context_space(self, dtype: str = "float32") -> Space | None:
        """Log-mel frames, or a label."""
        if not self.mel_bins:
            return super().context_space(dtype)
        shape = (self.num_frames, self.mel_bins)
        return Space(shape=shape, dtype=dtype, meaning="log-mel frames")

    @property
    def dilations(self) -> tuple[int, ...]:
        """1, 2, 4, ..., once for each stack."""
        return tuple(2**i for i in range(self.layers_per_stack)) * self.num_stacks

    @property
    def receptive_field(self) -> int:
        """Past samples that one conditional depends on."""
        return receptive_field(self.dilations, self.filter_size) + self.input_filter - 1


@keras.saving.register_keras_serializable("zoo")
class WaveNet(LabelledClips, Autoregressive):
    """Teacher-forced scores in one pass; samples one step after another."""

    config_class: ClassVar[type[ModelConfig]] = WaveNetConfig
    family: ClassVar[str] = "wavenet"
    words: ClassVar[Mapping[str, str]] = {
        "sample": "a clip for each seed: that of model.sample(1, seed, temperature)",
        "sample_step": "the next samples of a clip, and the state after them; zeros start a clip",
    }
    config: WaveNetConfig

    def _create_networks(self) -> None:
        config, policy = self.config, self.network_dtype
        self.output_distribution: AudioOutput = _output(config)
        features = self.output_distribution.num_features
        self._create_conditioner()
        if config.mel_bins:
            self.conditioner = MelConditioner(
                config.mel_bins, config.context_channels, dtype=policy, name="conditioner"
            )
            self.conditioner.build(None)
        self.first_layer = built_dense(
            config.residual_channels, policy, "first", config.input_filter * features
        )
        self.stack = CausalStack(
            config.dilations,
            filter_size=config.filter_size,
            residual_channels=config.residual_channels,
            skip_channels=config.skip_channels,
            context_channels=config.context_channels if self.conditioner is not None else 0,
            frame_size=config.frame_size,
            dtype=policy,
            name="stack",
        )
        self.stack.build(None)
        size = config.skip_channels
        self.hidden_layer = built_dense(size, policy, "hidden", size)
        outputs = self.output_distribution.num_parameters
        self.output_layer = built_dense(outputs, policy, "output", size)
        self.prediction_layer: Any = None
        if config.output != "mu_law":
            self.output_layer.bias.assign(_initial_bias(config))
            self.prediction_layer = keras.layers.Dense(
                1, use_bias=False, dtype=self.compute_dtype, name="prediction"
            )
            self.prediction_layer.build((None, None, config.input_filter))
            self.prediction_layer.kernel.assign(np.eye(config.input_filter)[:, -1:])

    # Scoring.

    def _stepwise(self, x: Any, context: Any) -> Any:
        """log P(x_t | x_<t, c): int16 [batch, T] -> [batch, T] nats, T at most the event's."""
        return self.output_distribution.log_prob(self._parameters(x, context), x)

    def _run(self, name: str, function: Callable[..., Any], **arrays: Any) -> Any:
        """As `ZooModel._run`, a few rows at a time where all would take too much memory."""
        rows = arrays["x"].shape[0]
        at_once = max(1, int(_SCORING_BYTES / self._row_bytes))
        if not tf.executing_eagerly() or rows is None or rows <= at_once:
            return super()._run(name, function, **arrays)
        parts = []
        for start in range(0, rows, at_once):
            part = {
                key: value if value is None or key == "seed" else value[start : start + at_once]
                for key, value in arrays.items()
            }
            parts.append(super()._run(name, function, **part))
        return tf.concat(parts, 0)

    @property
    def _row_bytes(self) -> float:
        """What scoring one clip takes at its peak, about: a few activations of every sample."""
        config = self.config
        channels = 6 * config.residual_channels + 3 * config.skip_channels
        channels += 3 * self.output_distribution.num_parameters
        return 4.0 * channels * config.event_shape[0]

    def stepwise_class_offset(self, x: Any) -> Any:
        """log CLASS_SIZES of each sample's mu-law class: int16 [batch, T] -> [batch, T] nats.

        log P of a sample plus it is the class's log-probability: exactly for the mu-law output; for
        the others, whose mass varies within a class, for a sample that is typical of it.
        """
        return mu_law.log_class_sizes(mu_law.encode(self.checked_data(x)), self.compute_dtype)

    def _parameters(self, x: Any, context: Any) -> Any:
        """The conditionals' parameters, [batch, T, num_parameters], with the samples given."""
        biases = self.stack.context_biases(self._frames(context))
        return self._parameters_given(x, biases, frame_size=self.config.frame_size)

    def _parameters_given(self, x: Any, biases: Any, *, frame_size: int) -> Any:
        features = self.output_distribution.features(x, self.stack.compute_dtype)
        return self._parameters_of_features(features, biases, frame_size=frame_size)

    def _parameters_of_features(self, features: Any, biases: Any, *, frame_size: int) -> Any:
        taps = [shifted(features, j) for j in range(self.config.input_filter, 0, -1)]
        past = tf.concat(taps, -1)
        skip = self.stack.skips(self.first_layer(past), biases, frame_size=frame_size)
        return self._head(skip, past)

    def parameters_of_floats(self, a: Any, context: Any) -> Any:
        """The conditionals' parameters where the samples are real numbers, as a student's are.

        a: floats [batch, T], full scale 1.   context: checked.   returns: [batch, T, n].
        Raises InvalidInputError for the mu-law output, whose classes have no derivative.
        """
        output = self.output_distribution
        if isinstance(output, MuLawOutput):
            raise InvalidInputError(
                "A teacher needs a density of real samples: output='gaussian' or "
                "'logistic_mixture'; this WaveNet has mu-law classes."
            )
        biases = self.stack.context_biases(self._frames(context))
        features = output.features_of_floats(tf.cast(a, self.stack.compute_dtype))
        return self._parameters_of_features(features, biases, frame_size=self.config.frame_size)

    def _head(self, skip: Any, past: Any) -> Any:
        """The conditionals' parameters [..., n].

        skip: of the stack, [..., S].   past: the first layer's inputs, [..., taps * features].
        """
        hidden = tf.nn.relu(self.hidden_layer(tf.nn.relu(skip)))
        parameters = tf.cast(self.output_layer(hidden), self.compute_dtype)
        output = self.output_distribution
        if isinstance(output, MuLawOutput):  # classes have no mean
            return parameters
        samples = tf.cast(past[..., 1::2], self.compute_dtype) / LINEAR_GAIN
        return output.relative_to(self.prediction_layer(samples)[..., 0], parameters)

    def initialize(self, x: Any, context: Any, fit: Any) -> None:
        """Sets the linear prediction by least squares, and what else a model of clips measures."""
        super().initialize(x, context, fit)
        if fit == "all" and self.prediction_layer is not None:
            self.prediction_layer.kernel.assign(
                _least_squares(np.asarray(self.checked_data(x)), self.config.input_filter)
            )

    def _frames(self, context: Any) -> Any:
        return self.conditioner(context) if self.config.mel_bins else super()._frames(context)

    # Sampling.

    def _stream(
        self, num_samples: int, context: Any, seed: Any, temperature: Any, *, chunk_size: int
    ) -> Iterator[Any]:
        state_size = sum(self.stack.ring_sizes) * self.config.residual_channels
        clips.check_memory(
            8.0 * num_samples * (state_size + self.config.event_shape[0]),
            f"drawing {num_samples} clips of {self.config.event_shape[0]} samples",
            "draw fewer at a time",
        )
        return wavenet_sampling.stream(
            self, num_samples, context, seed, temperature, chunk_size=chunk_size
        )

    def _compiled_generator(self, steps: int) -> Any:
        """`wavenet_sampling.generate` of so many steps, compiled by XLA once a batch size."""
        name = f"generate_{steps}"
        if name not in self._compiled_functions:
            generate = functools.partial(wavenet_sampling.generate, self, steps=steps)
            compiled = tf.function(generate, autograph=False, jit_compile=True)
            compiled._omit_frequent_tracing_warning = True
            self._compiled_functions[name] = compiled
        return self._compiled_functions[name]

    @property
    def step_size(self) -> int:
        """The samples of a frame."""
        return self.config.frame_size

    def step_state(self) -> Mapping[str, Space]:
        """`time`, `history` and `rings` (`zoo.models.audio.wavenet_rows`)."""
        return wavenet_rows.state_spaces(self)

    def next_pieces(
        self, state: Mapping[str, Any], seeds: Any, temperature: Any, context: Any, *, count: int
    ) -> dict[str, Any]:
        """The next samples of clips that may each be at another time."""
        return wavenet_rows.next_pieces(self, state, seeds, temperature, context, count=count)

    # Input checks.

    def checked_context(self, context: Any, rows: int | None) -> Any:
        """Log-mel frames, or what other models of clips take."""
        if self.config.mel_bins:
            return self._checked_mel(context, rows)
        return super().checked_context(context, rows)

    def _checked_mel(self, context: Any, rows: int | None) -> Any:
        config = self.config
        expected = f"[batch, {config.num_frames}, {config.mel_bins}]"
        if context is None:
            raise InvalidInputError(f"This model needs log-mel frames {expected} as context.")
        context = tf.cast(tf.convert_to_tensor(context), self.compute_dtype)
        wanted = tf.TensorShape([rows, config.num_frames, config.mel_bins])
        if not context.shape.is_compatible_with(wanted):
            raise InvalidInputError(f"Expected log-mel frames {expected}; got {context.shape}.")
        return context


def _least_squares(x: np.ndarray, taps: int) -> np.ndarray:
    """w that minimises the mean of (x_t - sum_j w_j x_{t-j})^2, j = taps..1: [taps, 1]."""
    past = np.pad(x / 2.0**15, [[0, 0], [taps, 0]])
    lags = [past[:, j : j + x.shape[1]] for j in range(taps + 1)]  # the last one is x itself
    products = np.array([[float(np.vdot(a, b)) for b in lags] for a in lags])
    ridge = 1e-6 * products[-1, -1] + 1e-12
    return np.linalg.solve(products[:-1, :-1] + ridge * np.eye(taps), products[:-1, -1:])


def _output(config: WaveNetConfig) -> AudioOutput:
    if config.output == "mu_law":
        return MuLawOutput(linear=config.linear_input)
    if config.output == "gaussian":
        return GaussianOutput(config.log_scale_floor)
    return LogisticMixtureOutput(config.num_mixtures, config.log_scale_floor)


def _initial_bias(config: WaveNetConfig) -> np.ndarray:
    """Log-scales near that of speech, e**-4 of full scale; mixture means within +-1 of them."""
    if config.output == "gaussian":
        return np.array([0.0, -4.0])
    k = config.num_mixtures
    means = np.linspace(-1.0, 1.0, k) if k > 1 else np.zeros(1)
    return np.concatenate([np.zeros(k), means, np.full(k, -4.0)])
