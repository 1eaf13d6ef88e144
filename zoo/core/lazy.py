"""TensorFlow Probability, and the bijectors built on it, imported on first use.

Its import takes seconds. A model's weights need none of it: bijectors and distributions are built
when a density is evaluated, so that `zoo.load` is as fast as its weights are read.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["bijectors", "tfb", "tfd"]


def _import_probability() -> None:
    """Imports TFP with all of its parts on first use, which is its own way before TensorFlow's.

    After it, TFP imports its Keras 2 layers and its experimental parts at once, a third of its time
    in all: it looks for TensorFlow's names.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or "tensorflow_probability" in sys.modules:
        return
    names = vars(tensorflow)
    known = {"__dir__": names["__dir__"]} if "__dir__" in names else {}
    names["__dir__"] = list
    try:
        importlib.import_module("tensorflow_probability")
    finally:
        del names["__dir__"]
        names.update(known)


class _LazyModule:
    """Stands for a module that is imported when an attribute is first asked for."""

    def __init__(self, module: str, attribute: str = "") -> None:
        self._module, self._attribute = module, attribute

    def __getattr__(self, name: str) -> Any:
        _import_probability()
        module: Any = importlib.import_module(self._module)
        if self._attribute:
            module = getattr(module, self._attribute)
        value = getattr(module, name)
        setattr(self, name, value)  # the next time costs nothing
        return value


if TYPE_CHECKING:
    import tensorflow_probability as _tfp

    from zoo import bijectors

    tfb = _tfp.bijectors
    tfd = _tfp.distributions
else:
    bijectors = _LazyModule("zoo.bijectors")
    tfb = _LazyModule("tensorflow_probability", "bijectors")
    tfd = _LazyModule("tensorflow_probability", "distributions")
