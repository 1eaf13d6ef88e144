"""Inverse autoregressive flow as a density model.

Kingma et al. 2016, arXiv:1606.04934, Eq. 10-14 (`zoo.bijectors.inverse_autoregressive`):

    z' = sigmoid(s) z + (1 - sigmoid(s)) m,   (m_i, s_i) = MADE(z_<i)
    x = shift + exp(log_scale) * z_K

K of these, the order of the variables reversed from one to the next. Sampling is one pass of the
networks; the density of given rows takes up to D of them for every layer, the mirror image of MAF
(arXiv:1705.07057, Sec. 3.4).

Deviations: the paper's is a posterior, which is never inverted; gates only contract, so a trainable
scaling of the data ends the flow; raw gates pass through limit * tanh(./limit) before their bias;
hidden degrees are sorted, not random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.layers.flattening import flattening
from zoo.layers.norms import AffineParameters, Fit
from zoo.models.flows.maf import AutoregressiveConfig, _Autoregressive

__all__ = ["IAF", "IAFConfig"]

GATE_BIAS = 1.5  # of s, so that a fresh layer keeps most of z (the authors' code)


def _sigmoid(s: float) -> float:
    return 1.0 / (1.0 + math.exp(-s))


@dataclass(frozen=True, kw_only=True)
class IAFConfig(AutoregressiveConfig):
    """Sizes of an IAF; `log_scale_limit` bounds the raw gates."""

    num_layers: int = 4

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_layers < 1:
            raise ConfigError(f"num_layers must be at least 1; got {self.num_layers}.")


@keras.saving.register_keras_serializable("zoo")
class IAF(_Autoregressive):
    """A stack of gated MADEs with reversed orders, and one scaling of the data."""

    config_class: ClassVar[type[ModelConfig]] = IAFConfig
    family: ClassVar[str] = "iaf"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "density"
    config: IAFConfig

    def _create_networks(self) -> None:
        config = self.config
        self.networks = [self._made(f"made_{i}", 2) for i in range(config.num_layers)]
        self.scaling = AffineParameters(
            (config.event_size,),
            deviation=_sigmoid(GATE_BIAS) ** config.num_layers,  # of what the fresh gates keep
            dtype=self.dtype_policy,
            name="scaling",
        )
        self.scaling.build(None)

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training  # no noise
        chain = flattening(self.config)
        chain.append(self.scaling.bijector((self.config.event_size,), fit=fit))
        if fit != "nothing":  # the gates take nothing from the rows, in D passes each
            return chain
        gated = bijectors.Gated(GATE_BIAS, self.config.log_scale_limit)
        for i, network in enumerate(reversed(self.networks)):
            if i:
                chain.append(bijectors.Reverse())
            conditioner = network.bind(context)
            chain.append(bijectors.InverseAutoregressive(conditioner, gated, name=network.name))
        return chain
