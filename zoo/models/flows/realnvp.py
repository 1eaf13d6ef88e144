"""RealNVP: density estimation using real-valued non-volume-preserving transformations.

Dinh, Sohl-Dickstein & Bengio 2016, arXiv:1605.08803.

    affine coupling (Eq. 7-9):  z_b = (x_b - t(x_a)) * exp(-s(x_a))     log|det dz/dx| = -sum s(x_a)
    s = scale * tanh(.), with a learned scale (Sec. 4.1)

Images, at every scale (Sec. 3.6): `num_checkerboard` couplings with alternating checkerboard masks;
squeeze 2 x 2 pixels into channels; `num_channelwise` couplings on halves of the channels; half of
the channels factored out as latents (Eq. 14-16). The last scale has `num_final` checkerboard
couplings alone. Vectors: `num_couplings` couplings on alternating halves of the odd/even partition.

Direction: the paper's f maps data to latents, `inverse` here.
Deviations: normalization="activation_norm" replaces batch norm between the couplings (Sec. 3.7) by
per-channel affine maps that start from the data (arXiv:1807.03039, Sec. 3.1): evaluation with
running statistics is known to explode, and a row's density then does not depend on its batch.
Conditioners are pre-activation residual networks; input concat(x, -x) without the mask as a
channel. `conditioner_stride` 2 runs the checkerboard conditioners on squeezed pixels. Factored-out
channels are the lower rows of the squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.norms import Fit, activation_norm_bijector, batch_norm_bijector
from zoo.layers.steps import flattening
from zoo.networks.activations import Activation
from zoo.networks.mlp import MLP
from zoo.networks.normalization import AffineParameters, RunningMoments
from zoo.networks.resnet import ConvResNet
from zoo.ops.masks import checkerboard

__all__ = ["RealNVP", "RealNVPConfig"]


@dataclass(frozen=True, kw_only=True)
class RealNVPConfig(ModelConfig):
    """Sizes of RealNVP; the image defaults are the paper's for CIFAR-10.

    filters: maps at the full resolution; they double wherever the resolution halves.
    vector: images are flattened, and treated as vectors (as in arXiv:1705.07057).
    """

    num_scales: int = 2
    num_checkerboard: int = 3
    num_channelwise: int = 3
    num_final: int = 4
    filters: int = 64
    num_blocks: int = 8
    conditioner_stride: Literal[1, 2] = 1
    weight_norm: bool = True
    conditioner_batch_norm: bool = False
    skip_connections: bool = False
    activation: Activation = "relu"
    normalization: Literal["activation_norm", "batch_norm"] = "activation_norm"
    num_couplings: int = 6
    hidden_units: tuple[int, ...] = (256, 256)
    vector: bool = False

    @property
    def is_image(self) -> bool:
        """Whether events are treated as images [h, w, c]."""
        return len(self.event_shape) == 3 and not self.vector

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if len(self.event_shape) not in (1, 3):
            raise ConfigError(
                f"RealNVP takes events [h, w, c] or [d]; got event_shape={self.event_shape}."
            )
        if self.context_size:
            raise ConfigError("RealNVP has no conditional form: context_size must be 0.")
        if self.normalization not in ("activation_norm", "batch_norm"):
            raise ConfigError(
                "normalization must be 'activation_norm' or 'batch_norm'; "
                f"got {self.normalization!r}."
            )
        if self.event_size < 2:
            raise ConfigError("RealNVP needs at least 2 dimensions to couple.")
        needed = ("num_scales", "num_final", "filters") if self.is_image else ("num_couplings",)
        optional = ("num_checkerboard", "num_channelwise", "num_blocks")
        for names, least in ((needed, 1), (optional, 0)):
            sizes = {name: getattr(self, name) for name in names}
            if min(sizes.values()) < least:
                raise ConfigError(f"RealNVP needs sizes of at least {least}; got {sizes}.")
        if self.is_image:
            squares = 2 ** (self.num_scales - 1 + (self.conditioner_stride == 2))
            height, width, _ = self.event_shape
            if height % squares or width % squares:
                raise ConfigError(
                    f"Height and width must be multiples of {squares} for "
                    f"num_scales={self.num_scales} and "
                    f"conditioner_stride={self.conditioner_stride}; got {height} x {width}."
                )
            if height * width == 4 ** (self.num_scales - 1):
                raise ConfigError(
                    f"The last of num_scales={self.num_scales} scales of {height} x {width} images "
                    "is one pixel, which has no checkerboard: use fewer scales."
                )


@keras.saving.register_keras_serializable("zoo")
class ScaledTanh(keras.layers.Layer):
    """log_scale = factor * tanh(raw), one learned factor a channel.

    |log_scale| is bounded by the factor.
    """

    def __init__(self, num_channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_channels = num_channels

    def build(self, input_shape: Any = None) -> None:
        """Creates the factor [num_channels]."""
        del input_shape
        self.factor = self.add_weight(shape=(self.num_channels,), initializer="ones", name="factor")
        self.built = True

    def call(self, raw: Any) -> Any:
        """[..., num_channels] -> the same shape."""
        return tf.convert_to_tensor(self.factor) * tf.tanh(raw)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "num_channels": self.num_channels}


@keras.saving.register_keras_serializable("zoo")
class RealNVP(Flow):
    """Affine couplings: multi-scale with convolutions for images, with perceptrons for vectors."""

    config_class: ClassVar[type[ModelConfig]] = RealNVPConfig
    family: ClassVar[str] = "realnvp"
    config: RealNVPConfig

    @property
    def regularized_weights(self) -> list[Any]:
        """The weight-norm magnitudes and the factors of tanh.

        They are what the paper's L2 of 5e-5 acts on.
        """
        magnitudes = [
            m for net in self.conditioners if isinstance(net, ConvResNet) for m in net.magnitudes
        ]
        return [*magnitudes, *(layer.factor for layer in self.log_scales)]

    # Construction.

    def _create_networks(self) -> None:
        self.conditioners: list[Any] = []
        self.log_scales: list[Any] = []
        self.norms: list[Any] = []
        if not self.config.is_image:
            size = self.config.event_size
            for i in range(self.config.num_couplings):
                kept = (size + 1) // 2 if i % 2 == 0 else size // 2
                self._add_coupling(kept, size - kept, (size,), vector=True)
            return
        height, width, channels = self.config.event_shape
        filters = self.config.filters
        for scale in range(self.config.num_scales):
            last = scale == self.config.num_scales - 1
            for _ in range(self.config.num_final if last else self.config.num_checkerboard):
                self._add_coupling(
                    channels,
                    channels,
                    (height, width, channels),
                    filters=filters * self.config.conditioner_stride,
                    stride=self.config.conditioner_stride,
                )
            if last:
                break
            height, width, channels, filters = height // 2, width // 2, 4 * channels, 2 * filters
            for _ in range(self.config.num_channelwise):
                self._add_coupling(
                    channels // 2, channels // 2, (height, width, channels), filters=filters
                )
            channels //= 2

    def _add_coupling(
        self,
        in_channels: int,
        out_channels: int,
        event_shape: tuple[int, ...],
        *,
        filters: int = 0,
        stride: int = 1,
        vector: bool = False,
    ) -> None:
        config, index = self.config, len(self.conditioners)
        if vector:
            network: Any = MLP(
                config.hidden_units,
                2 * out_channels,
                activation=config.activation,
                dtype=self.network_dtype,
                name=f"coupling_{index}",
            )
        else:
            network = ConvResNet(
                2 * out_channels,
                filters=filters,
                num_blocks=config.num_blocks,
                stride=stride,
                weight_norm=config.weight_norm,
                batch_norm=config.conditioner_batch_norm,
                skip_connections=config.skip_connections,
                activation=config.activation,
                dtype=self.network_dtype,
                name=f"coupling_{index}",
            )
        network.build((None, *event_shape[:-1], in_channels))
        log_scale = ScaledTanh(out_channels, dtype=self.dtype_policy, name=f"log_scale_{index}")
        log_scale.build(None)
        if config.normalization == "batch_norm":
            norm: Any = RunningMoments(
                event_shape[-1], dtype=self.dtype_policy, name=f"norm_{index}"
            )
        else:
            norm = AffineParameters(
                (event_shape[-1],), dtype=self.dtype_policy, name=f"norm_{index}"
            )
        norm.build(None)
        self.conditioners.append(network)
        self.log_scales.append(log_scale)
        self.norms.append(norm)

    # The flow.

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del context  # unconditional by construction
        steps = _Steps(self, training=training, fit=fit)
        if not self.config.is_image:
            size = self.config.event_size
            chain = [*flattening(self.config), bijectors.Interleave()]
            for i in range(self.config.num_couplings):
                chain += steps.vector(size, condition_on_first=i % 2 == 0)
            return chain
        height, width, channels = self.config.event_shape
        return [
            *self._scale(steps, 0, (height, width, channels)),
            tfb.Reshape(
                event_shape_out=self._latent_shape(), event_shape_in=[self.config.event_size]
            ),
        ]

    def _latent_shape(self) -> tuple[int, int, int]:
        """Of the first scale's latents: squeezed once, unless there is one scale alone."""
        height, width, channels = self.config.event_shape
        if self.config.num_scales == 1:
            return height, width, channels
        return height // 2, width // 2, 4 * channels

    def _scale(self, steps: _Steps, scale: int, shape: tuple[int, int, int]) -> list[tfb.Bijector]:
        """Bijectors of this scale and, on the kept half of its channels, of all that follow."""
        config = self.config
        height, width, channels = shape
        chain: list[tfb.Bijector] = []
        if scale == config.num_scales - 1:
            for i in range(config.num_final):
                chain += steps.checkerboard(shape, even_first=i % 2 == 0)
            return chain
        for i in range(config.num_checkerboard):
            chain += steps.checkerboard(shape, even_first=i % 2 == 0)
        chain.append(bijectors.Unsqueeze())
        squeezed = (height // 2, width // 2, 4 * channels)
        for i in range(config.num_channelwise):
            chain += steps.channelwise(squeezed, condition_on_first=i % 2 == 0)
        inner = self._scale(steps, scale + 1, (height // 2, width // 2, 2 * channels))
        if scale + 1 < config.num_scales - 1:
            # The next scale's latents are squeezed once more; they come from this scale's shape.
            inner.append(tfb.Invert(bijectors.Unsqueeze()))
        chain.append(bijectors.FactorOut(tfb.Chain(inner), num_kept=2 * channels))
        return chain


class _Steps:
    """Binds the model's next coupling networks, in order of creation, to coupling bijectors."""

    def __init__(self, model: RealNVP, *, training: bool, fit: Fit) -> None:
        self._layers = iter(zip(model.conditioners, model.log_scales, model.norms, strict=True))
        self._training = training
        self._fit = fit

    def _next(self, event_shape: tuple[int, ...]) -> tuple[Any, tfb.Bijector]:
        network, scaled_tanh, norm = next(self._layers)

        def shift_and_log_scale(x: Any) -> tuple[Any, Any]:
            raw = tf.cast(network(x, training=self._training), x.dtype)
            shift, raw_log_scale = tf.split(raw, 2, -1)
            return shift, scaled_tanh(raw_log_scale)

        if isinstance(norm, RunningMoments):
            bijector = batch_norm_bijector(
                norm, event_shape, training=self._training, fit=self._fit
            )
        else:
            bijector = activation_norm_bijector(norm, event_shape, fit=self._fit)
        return shift_and_log_scale, bijector

    def checkerboard(self, shape: tuple[int, int, int], *, even_first: bool) -> list[tfb.Bijector]:
        conditioner, norm = self._next(shape)
        mask = checkerboard(shape[0], shape[1], even_first=even_first)
        return [bijectors.CheckerboardCoupling(mask, conditioner), norm]

    def channelwise(
        self, shape: tuple[int, int, int], *, condition_on_first: bool
    ) -> list[tfb.Bijector]:
        conditioner, norm = self._next(shape)
        coupling = bijectors.SplitCoupling(
            shape[-1] // 2, conditioner, condition_on_first=condition_on_first, event_ndims=3
        )
        return [coupling, norm]

    def vector(self, size: int, *, condition_on_first: bool) -> list[tfb.Bijector]:
        conditioner, norm = self._next((size,))
        coupling = bijectors.SplitCoupling(
            (size + 1) // 2, conditioner, condition_on_first=condition_on_first
        )
        return [coupling, norm]
