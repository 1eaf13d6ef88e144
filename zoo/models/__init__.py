"""One file per published system, bound together by `ZooModel`."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.core.backend import require_tensorflow
from zoo.errors import ConfigError, UnknownModelError

if TYPE_CHECKING:
    from zoo.core.config import ModelConfig
    from zoo.kinds.model import ZooModel

__all__ = ["FAMILIES", "build", "complete_config", "create", "model_class"]

FAMILIES = {
    "nice": "zoo.models.flows.nice:NICE",
    "realnvp": "zoo.models.flows.realnvp:RealNVP",
    "maf": "zoo.models.flows.maf:MAF",
    "made": "zoo.models.flows.maf:MADEModel",
    "iaf": "zoo.models.flows.iaf:IAF",
    "planar": "zoo.models.flows.planar:PlanarFlow",
    "radial": "zoo.models.flows.radial:RadialFlow",
    "sylvester": "zoo.models.flows.sylvester:SylvesterFlow",
    "vae": "zoo.models.latent.vae:VAE",
    "planar_vae": "zoo.models.latent.flow_posteriors:PlanarVAE",
    "radial_vae": "zoo.models.latent.flow_posteriors:RadialVAE",
    "sylvester_vae": "zoo.models.latent.flow_posteriors:SylvesterVAE",
    "iaf_vae": "zoo.models.latent.flow_posteriors:IAFVAE",
    "coupling_vae": "zoo.models.latent.flow_posteriors:CouplingVAE",
    "nsf": "zoo.models.flows.nsf:NSF",
    "nsf_coupling": "zoo.models.flows.nsf:NSFCoupling",
    "nsf_patches": "zoo.models.flows.patch_nsf:NSFPatches",
    "idf": "zoo.models.discrete.idf:IDF",
    "ddf": "zoo.models.discrete.denoising_flow:DDF",
    "discrete_flow": "zoo.models.discrete.modular_flow:ModularFlow",
    "dtf": "zoo.models.discrete.tree_flow:DiscreteTreeFlow",
    "table_made": "zoo.models.tables.table_made:TableMADE",
    "deformer": "zoo.models.any_order.deformer:DEformer",
    "oamade": "zoo.models.any_order.oamade:OAMADE",
    "wavenet": "zoo.models.audio.wavenet:WaveNet",
    "parallel_wavenet": "zoo.models.audio.parallel_wavenet:ParallelWaveNet",
}


def model_class(family: str) -> type[ZooModel]:
    """The family's class.

    Raises UnknownModelError, with close matches, for no family, and BackendError where Keras is to
    run on another backend than TensorFlow.
    """
    if not isinstance(family, str) or family not in FAMILIES:
        close = difflib.get_close_matches(str(family), FAMILIES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownModelError(
            f"No family named {family!r}.{hint} Families: {', '.join(FAMILIES)}."
        )
    require_tensorflow()
    module, _, name = FAMILIES[family].partition(":")
    return getattr(importlib.import_module(module), name)


def build(family: str, config: Mapping[str, Any], **kwargs: Any) -> ZooModel:
    """The family's model of exactly this config, with fresh weights.

    `kwargs` are the constructor's.
    """
    return model_class(family)(config, **kwargs)


def _event_shape(shape: Any) -> tuple[int, ...]:
    """The shape as a tuple of Python integers; one integer is a vector's size."""
    try:
        sizes = [shape] if not hasattr(shape, "__iter__") else list(shape)
        if isinstance(shape, str | bytes):
            raise TypeError("text")
        return tuple(operator.index(n) for n in sizes)
    except TypeError as error:
        raise ConfigError(
            f"event_shape must hold integers, such as (32, 32, 3) or (10,); got {shape!r}."
        ) from error


def create(family: str, *, dtype: Any = None, name: str | None = None, **config: Any) -> ZooModel:
    """A fresh model of the family for any event shape.

    `zoo.create("realnvp", event_shape=(32, 32, 3))`, `zoo.create("maf", event_shape=(10,),
    hidden_units=(64, 64))`. Fields left out have the family's defaults; for events [h, w, c]
    without `preprocessing` that is the paper's treatment of uint8 images, for all others real
    features, which flows standardise: `fit` takes each column's mean and deviation from the rows,
    and so does `adapt`. `preprocessing={}` takes features as they are.

    Raises UnknownModelError for no family, ConfigError for fields that do not fit.
    """
    return model_class(family)(complete_config(family, **config), dtype=dtype, name=name)


def complete_config(family: str, **config: Any) -> ModelConfig:
    """The config of `create`, its defaults filled in. Raises what `create` raises."""
    cls = model_class(family)
    if "event_shape" not in config:
        raise ConfigError(
            f"zoo.create({family!r}, ...) needs event_shape=, such as (32, 32, 3) or (10,)."
        )
    config["event_shape"] = _event_shape(config["event_shape"])
    if "preprocessing" not in config:
        defaults, is_image = cls.config_class, len(config["event_shape"]) == 3
        config["preprocessing"] = (
            defaults.image_preprocessing() if is_image else defaults.feature_preprocessing()
        )
    if dataclasses.is_dataclass(config.get("preprocessing")):
        config["preprocessing"] = dataclasses.asdict(config["preprocessing"])
    return cls.config_class.from_dict(config)
