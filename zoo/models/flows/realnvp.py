"""RealNVP: density estimation using real-valued non-volume-preserving transformations.

Dinh, Sohl-Dickstein & Bengio 2016, arXiv:1605.08803.

    affine coupling (Eq. 7-9):  z_b = (x_b - t(x_a)) * exp(-s(x_a))     log|det dz/dx| = -sum s(x_a)
    s = scale * tanh(.), with a learned scale (Sec. 4.1)

Images, at every scale (Sec. 3.6): `num_checkerboard` couplings with alternating checkerboard masks;
squeeze 2 x 2 pixels into channels; `num_channelwise` couplings on halves of the channels; half of
the channels factored out as latents (Eq. 14-16). The last scale has `num_final` checkerboard
couplings alone. Vectors: `num_couplings` couplings on alternating halves of the odd/even partition.

Conditional, which the paper is not: conditioners see the context beside x_a; those of images see it
as `CONTEXT_MAPS` maps more, every pixel of which is a linear function of it.

Direction: the paper's f maps data to latents, `inverse` here.
Deviations: normalization="activation_norm" replaces batch norm between the couplings (Sec. 3.7) by
per-channel affine maps that start from the data (arXiv:1807.03039, Sec. 3.1): evaluation with
running statistics is known to explode, and a row's density then does not depend on its batch.
Conditioners are pre-activation residual networks; input concat(x, -x) without the mask as a
channel. `conditioner_stride` 2 runs the checkerboard conditioners on squeezed pixels. Factored-out
channels are the lower rows of the squares.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.context import ConditionerConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.flattening import flattening
from zoo.layers.norms import Fit, norm_layer
from zoo.networks.activations import Activation
from zoo.networks.custom import Coupled
from zoo.networks.joined import joined
from zoo.networks.mlp import MLP
from zoo.networks.resnet import ConvResNet
from zoo.ops.masks import checkerboard

__all__ = ["CONTEXT_MAPS", "RealNVP", "RealNVPConfig"]

CONTEXT_MAPS = 4


@dataclass(frozen=True, kw_only=True)
class RealNVPConfig(ConditionerConfig):
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


@dataclass(frozen=True)
class Coupling:
    """The `index`-th coupling of a RealNVP, of events [*shape]; its layers have that number.

    on_first: whether the first half of the last axis conditions the second or, of a checkerboard,
        whether the even pixels condition the odd.
    filters, stride: of its convolutions.
    """

    index: int
    shape: tuple[int, ...]
    on_first: bool
    is_checkerboard: bool = False
    filters: int = 0
    stride: int = 1

    @property
    def sizes(self) -> tuple[int, int]:
        """(channels that condition, channels that are moved)."""
        channels = self.shape[-1]
        if self.is_checkerboard:
            return channels, channels
        first = (channels + 1) // 2
        return (first, channels - first) if self.on_first else (channels - first, first)


Scale = tuple[list[Coupling], list[Coupling]]  # before the squeeze and after it


def layout(config: RealNVPConfig) -> list[Scale]:
    """The couplings of every scale, from the data on; the last scale has none after a squeeze."""
    numbers = itertools.count()

    def couplings(how_many: int, shape: tuple[int, ...], **sizes: Any) -> list[Coupling]:
        return [Coupling(next(numbers), shape, i % 2 == 0, **sizes) for i in range(how_many)]

    if not config.is_image:
        return [(couplings(config.num_couplings, (config.event_size,)), [])]
    height, width, channels = config.event_shape
    filters, stride = config.filters, config.conditioner_stride
    scales = []
    for scale in range(config.num_scales):
        last = scale == config.num_scales - 1
        checkerboards = couplings(
            config.num_final if last else config.num_checkerboard,
            (height, width, channels),
            is_checkerboard=True,
            filters=filters * stride,
            stride=stride,
        )
        height, width, filters = height // 2, width // 2, 2 * filters
        squeezed = (height, width, 4 * channels)
        channelwise = couplings(0 if last else config.num_channelwise, squeezed, filters=filters)
        scales.append((checkerboards, channelwise))
        channels *= 2
    return scales


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

    def _create_networks(self) -> None:
        self.conditioners: list[Any] = []
        self.log_scales: list[Any] = []
        self.norms: list[Any] = []
        self.context_maps: list[Any] = []
        for coupling in itertools.chain(*itertools.chain(*layout(self.config))):
            dtype, number = self.dtype_policy, coupling.index
            log_scale = ScaledTanh(coupling.sizes[1], dtype=dtype, name=f"log_scale_{number}")
            log_scale.build(None)
            self.conditioners.append(self._conditioner(coupling))
            self.log_scales.append(log_scale)
            if self.context_width and self.config.is_image:
                self.context_maps.append(self._context_map(coupling))
            self.norms.append(
                norm_layer(self.config.normalization, coupling.shape[-1], dtype, f"norm_{number}")
            )

    def _conditioner(self, coupling: Coupling) -> Any:
        """The built network: [..., kept] -> [..., 2 moved], shifts and raw log-scales."""
        config, (kept, moved) = self.config, coupling.sizes
        shared: dict[str, Any] = {
            "activation": config.activation,
            "dtype": self.network_dtype,
            "name": f"coupling_{coupling.index}",
        }
        network: Any
        extra = CONTEXT_MAPS if config.is_image and self.context_width else self.context_width
        if config.network:
            del shared["activation"]
            network = Coupled(config.network, 2 * moved, **shared)
        elif config.is_image:
            network = ConvResNet(
                2 * moved,
                filters=coupling.filters,
                num_blocks=config.num_blocks,
                stride=coupling.stride,
                weight_norm=config.weight_norm,
                batch_norm=config.conditioner_batch_norm,
                skip_connections=config.skip_connections,
                **shared,
            )
        else:
            network = MLP(config.hidden_units, 2 * moved, **shared)
        network.build((None, *coupling.shape[:-1], kept + extra))
        return network

    def _context_map(self, coupling: Coupling) -> Any:
        """The built layer of a coupling of images: context -> [h, w, CONTEXT_MAPS], flat."""
        layer = keras.layers.Dense(
            math.prod(coupling.shape[:2]) * CONTEXT_MAPS,
            dtype=self.network_dtype,
            name=f"context_{coupling.index}",
        )
        layer.build((None, self.context_width))
        return layer

    def _seen(self, coupling: Coupling, x: Any, context: Any) -> Any:
        """What the coupling's network sees: x, and behind it the context, of images as maps."""
        if context is None or not self.config.is_image:
            return joined(x, context)
        shape = (*coupling.shape[:2], CONTEXT_MAPS)
        maps = tf.cast(self.context_maps[coupling.index](context), x.dtype)
        maps = tf.reshape(maps, [-1, *shape])
        return tf.concat([x, tf.broadcast_to(maps, [tf.shape(x)[0], *shape])], -1)

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        def steps(couplings: list[Coupling]) -> list[tfb.Bijector]:
            pairs = [self._step(c, context, training=training, fit=fit) for c in couplings]
            return list(itertools.chain(*pairs))

        scales = layout(self.config)
        if not self.config.is_image:
            return [*flattening(self.config), bijectors.Interleave(), *steps(scales[0][0])]
        height, width, channels = self.config.event_shape
        shape = (height, width, channels)  # of the latents
        chain = steps(scales[-1][0])
        for scale in reversed(range(len(scales) - 1)):
            checkerboards, channelwise = scales[scale]
            rest = bijectors.FactorOut(tfb.Chain(chain), num_kept=channels * 2 ** (scale + 1))
            chain = [*steps(checkerboards), bijectors.Unsqueeze(), *steps(channelwise), rest]
            if scale:  # a kept half gives latents of the shape that it has
                chain.append(tfb.Invert(bijectors.Unsqueeze()))
            else:
                shape = (height // 2, width // 2, 4 * channels)
        return [
            *chain,
            tfb.Reshape(event_shape_out=shape, event_shape_in=[self.config.event_size]),
        ]

    def _step(
        self, coupling: Coupling, context: Any, *, training: bool, fit: Fit
    ) -> list[tfb.Bijector]:
        """The coupling, conditioned, and the normalisation of what it gives."""
        network, scaled_tanh, norm = (
            layers[coupling.index] for layers in (self.conditioners, self.log_scales, self.norms)
        )

        def shift_and_log_scale(x: Any) -> tuple[Any, Any]:
            raw = tf.cast(network(self._seen(coupling, x, context), training=training), x.dtype)
            shift, raw_log_scale = tf.split(raw, 2, -1)
            return shift, scaled_tanh(raw_log_scale)

        moving: tfb.Bijector
        if coupling.is_checkerboard:
            mask = checkerboard(*coupling.shape[:2], even_first=coupling.on_first)
            moving = bijectors.CheckerboardCoupling(mask, shift_and_log_scale)
        else:
            moving = bijectors.SplitCoupling(
                (coupling.shape[-1] + 1) // 2,
                shift_and_log_scale,
                condition_on_first=coupling.on_first,
                event_ndims=len(coupling.shape),
            )
        return [moving, norm.bijector(coupling.shape, training=training, fit=fit)]
