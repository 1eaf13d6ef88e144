"""Neural spline flows of square patches: one density for all positions of a patch.

The coupling flow of `zoo.models.flows.nsf` with three additions, none of which is in its paper:

    x = S(A(f(T(z)))),   A the preprocessing, f the flow with B behind every step

    S   `SquareEquivariant`: turned and mirrored patches have turned and mirrored latents, and one
        density. The flow learns an eighth of the space, and overfits the sooner.
    B   `ExponentialTails` of slope 1 / `STEP_SLOPE` at least: what a step has carried beyond
        `step_bound`, the next one gets as a logarithm, then as a line.
    T   `ExponentialTails` of the latents, beyond `latent_bound`.

A row unlike all others is carried ever further by every step; without bounds it costs billions of
nats and takes the whole of a clipped gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.layers.norms import Fit
from zoo.models.flows.nsf import NSFCoupling, NSFCouplingConfig
from zoo.ops.symmetries import side_of_rows

__all__ = ["STEP_SLOPE", "NSFPatches", "NSFPatchesConfig"]

STEP_SLOPE = 64.0


@dataclass(frozen=True, kw_only=True)
class NSFPatchesConfig(NSFCouplingConfig):
    """Sizes of a neural spline flow of patches, rows of side**2 - 1 pixels.

    square_positions: how many of a patch's eight positions have the same density.
    slope_softness: of that, in units of the data; the default is half a grey level of `bsds300`.
        An untrained flow has patches out of position, which a small softness maps to its edge.
    step_bound: of what a step hands on; 20 is beyond almost all values. Where its slope has fallen
        to 1 / `STEP_SLOPE` the map goes on as a line: exponentials of exponentials would sample
        infinities.
    latent_bound: of the latents. A normal one is beyond 5 once in two million.
    """

    square_positions: Literal[2, 4, 8] = 8
    slope_softness: float = 0.002
    step_bound: float = 20.0
    latent_bound: float = 5.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        for name in ("slope_softness", "step_bound", "latent_bound"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be positive and finite; got {getattr(self, name)}.")
        if (
            len(self.event_shape) != 1
            or not side_of_rows(self.event_size)
            or self.preprocessing.num_levels
        ):
            raise ConfigError(
                "Patches are rows of side**2 - 1 real pixels; got "
                f"event_shape={self.event_shape}, "
                f"num_levels={self.preprocessing.num_levels}."
            )


@keras.saving.register_keras_serializable("zoo")
class NSFPatches(NSFCoupling):
    """The neural spline flow of couplings, equivariant under the symmetries of the square."""

    config_class: ClassVar[type[ModelConfig]] = NSFPatchesConfig
    family: ClassVar[str] = "nsf_patches"
    config: NSFPatchesConfig

    def _layer(self, index: int, context: Any, *, training: bool) -> list[tfb.Bijector]:
        bounded = bijectors.ExponentialTails(self.config.step_bound, max_slope=STEP_SLOPE)
        return [*super()._layer(index, context, training=training), bounded]

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        members = super()._flow(training=training, fit=fit, context=context)
        return [*members, bijectors.ExponentialTails(self.config.latent_bound)]

    def chain(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> tfb.Chain:
        """The chain of patches in position, made one of all patches."""
        in_position = super().chain(training=training, fit=fit, context=context)
        equivariant = bijectors.SquareEquivariant(
            in_position, self.config.slope_softness, self.config.square_positions
        )
        return bijectors.FlowChain([equivariant], name=in_position.name)

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening to the rows x as it meets them, in position."""
        super().adapt_whitening(self.chain().bijectors[0].into_position(self.checked_data(x)))
