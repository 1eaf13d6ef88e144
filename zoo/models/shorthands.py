"""Words of `zoo.create` that stand for parts of a config: of the context, and Keras layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from zoo.core.context import Context
from zoo.errors import ConfigError

__all__ = ["with_shorthands"]

_FIELDS = {"context_shape": "shape", "context_columns": "columns", "context_levels": "num_levels"}


def with_shorthands(config_class: type[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config, `context` and `network` as JSON.

    `context_shape`, `context_levels`, `context_columns` and `embedding` are fields of the context,
    of a config that has one; a Keras layer as `embedding` or `network` becomes JSON. Raises
    ConfigError for layers that cannot be saved.
    """
    found = dict(config)
    fields = {item.name for item in dataclasses.fields(config_class)}
    if "network" in found and not isinstance(found["network"], str | Mapping):
        found["network"] = _layer(found["network"])
    if "context" not in fields:
        return found
    own: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        if name in found and name not in fields:
            own[field] = found.pop(name)
    if "embedding" in found:
        own |= _embedding(found.pop("embedding"))
    if not own:
        return found
    given = found.get("context", {})
    if isinstance(given, Context):
        given = given.to_dict()
    if not isinstance(given, Mapping):
        raise ConfigError(f"context is the fields of a context, such as its shape; got {given!r}.")
    return {**found, "context": {**given, **own}}


def _embedding(embedding: Any) -> dict[str, Any]:
    if embedding is None:
        return {}
    if isinstance(embedding, int | list | tuple):
        return {"units": embedding}
    return {"network": _layer(embedding)}


def _layer(layer: Any) -> dict[str, Any]:
    from zoo.networks import custom

    return dict(layer) if isinstance(layer, Mapping) else custom.layer_values(layer)
