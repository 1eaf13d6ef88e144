"""Normalizing flows as Keras 3 models on TensorFlow Probability bijectors, with their weights.

    model = zoo.load("realnvp_cifar")          # a keras.Model with the published weights
    model.bits_per_dim(images)                 # [batch], of uint8 images as the dataset stores them
    model.sample(16, seed=1)                   # uint8 images
    zoo.list_models("*_mnist", pretrained=True)

Importing the package, listing models and reading their facts import no TensorFlow; what needs it
is imported on first use. After `import zoo`, `keras.saving.load_model` knows the zoo's classes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zoo import registration
from zoo.media import startup
from zoo.version import __version__ as __version__

if TYPE_CHECKING:
    from zoo.converting import convert
    from zoo.errors import ZooError
    from zoo.evaluation import evaluate
    from zoo.exporting import export
    from zoo.loading import ModelInfo, create, from_preset, info, list_models, load
    from zoo.store.saving import save
    from zoo.training.own_data import fit

__all__ = [
    "ModelInfo",
    "ZooError",
    "convert",
    "create",
    "evaluate",
    "export",
    "fit",
    "from_preset",
    "info",
    "list_models",
    "load",
    "save",
]

_HOMES = {
    "ModelInfo": "zoo.registry.listing",
    "ZooError": "zoo.errors",
    "convert": "zoo.converting",
    "create": "zoo.loading",
    "evaluate": "zoo.evaluation",
    "export": "zoo.exporting",
    "fit": "zoo.training.own_data",
    "from_preset": "zoo.loading",
    "info": "zoo.loading",
    "list_models": "zoo.loading",
    "load": "zoo.loading",
    "save": "zoo.store.saving",
}

registration.announce()
startup.announce()


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
