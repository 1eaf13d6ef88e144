"""Networks of a user's own in the place of a family's: a Keras layer, kept in the config as JSON.

A layer gives features, of which a linear map that starts at 0 makes the parameters of a bijector:
a fresh flow is then the identity, whatever the network. Each step of a flow has a copy of the layer
with weights of its own.

    couplings         [batch, ..., inputs] -> [batch, ..., features]; any network, which sees the
                      coordinates that stay, and the context behind them
    autoregressive    [batch, D] -> [batch, D, features], those of coordinate i functions of x_<i,
                      which is tried on random rows; `call(x, context)` in a conditional flow

A config is data: nothing is imported or run on its word but layers of Keras and classes that this
process has registered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError

__all__ = ["Coupled", "Masked", "layer_of", "layer_values"]

_TRIED_ROWS = 3
_TRIED_SCALE = 0.3  # of what is added to a layer's weights while it is tried
_SHAPES = ("build_config", "build_input_shape", "compile_config")
_KERAS = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
_REFUSED = (
    *("Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"),
    *("FlaxLayer", "StringLookup", "IntegerLookup", "TextVectorization", "FeatureSpace"),
)


def layer_values(layer: Any) -> dict[str, Any]:
    """A Keras layer as plain JSON values, without its weights.

    Raises ConfigError for what is no layer, for classes that are not registered, with the line to
    add, and for functions.
    """
    if not isinstance(layer, keras.layers.Layer):
        raise ConfigError(
            f"Expected a Keras layer, such as keras.Sequential([...]); got {layer!r:.60}."
        )
    values: dict[str, Any] = _without_shapes(keras.saving.serialize_keras_object(layer))
    _check_classes(values)
    try:
        return dict(json.loads(json.dumps(values)))
    except TypeError as error:
        raise ConfigError(
            f"The config of {type(layer).__name__} is not JSON: {error}. get_config gives plain "
            "values, or objects of keras.saving.serialize_keras_object."
        ) from error


def layer_of(values: Mapping[str, Any], name: str, dtype: Any) -> Any:
    """A new layer of `layer_values`, called `name`, its weights fresh.

    Raises ConfigError where this process does not know a class, and for functions.
    """
    _check_classes(values)
    config = _in_dtype(dict(values.get("config") or {}), keras.dtype_policies.get(dtype))
    config["name"] = name
    try:
        layer = keras.saving.deserialize_keras_object({**values, "config": config}, safe_mode=True)
    except (TypeError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"{values.get('class_name')} cannot be built from its config: {error}"
        ) from error
    if not isinstance(layer, keras.layers.Layer):
        raise ConfigError(f"Expected a Keras layer as JSON; got {values.get('class_name')!r}.")
    return layer


def _without_shapes(value: Any) -> Any:
    """A layer's values without the shapes that it was built for: the flow has its own."""
    if isinstance(value, list | tuple):
        return [_without_shapes(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _without_shapes(item) for key, item in value.items() if key not in _SHAPES}


def _in_dtype(value: Any, policy: Any) -> Any:
    """A layer's config with the policy in the place of every one within."""
    if isinstance(value, list | tuple):
        return [_in_dtype(item, policy) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: _in_dtype(item, policy) for key, item in value.items()}
    if isinstance(value.get("dtype"), Mapping):
        found["dtype"] = keras.saving.serialize_keras_object(policy)
    elif "float" in str(value.get("dtype")):  # of inputs, which have no policy
        found["dtype"] = policy.compute_dtype
    return found


def _check_classes(values: Mapping[str, Any]) -> None:
    """Raises ConfigError for a class within that is neither Keras' nor registered."""
    for found in _objects(values):
        name, module = str(found["class_name"]), found.get("module") or ""
        registered = found.get("registered_name") or name
        if name in _REFUSED:
            raise ConfigError(
                f"A network of the zoo holds no code and no files, and {name} does: write a layer "
                "of your own in its place, and register it."
            )
        known = keras.saving.get_registered_object(registered) is not None
        if not known and module not in _KERAS:
            raise ConfigError(
                f"{name} is not registered with Keras, and a config could not be loaded again. "
                f'Add the line @keras.saving.register_keras_serializable("mine") above class '
                f"{name}, with a get_config; where a model is loaded, import the module first."
            )


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The serialised objects in a value, itself among them."""
    if isinstance(value, Mapping):
        if "class_name" in value and "config" in value:
            yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _objects(item)


class Coupled(keras.layers.Layer):
    """A user's layer under a linear map: [batch, ..., inputs] -> [batch, ..., output_size]."""

    def __init__(self, values: Mapping[str, Any], output_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer_of(values, "layer", self.dtype_policy)
        self.output_layer = keras.layers.Dense(
            output_size, kernel_initializer="zeros", dtype=self.dtype_policy, name="output"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights, by a row of zeros of the shape."""
        row = tf.zeros([1, *input_shape[1:]], self.compute_dtype)
        features = _called(self.layer, row)
        if features.shape.rank != row.shape.rank or features.shape[1:-1] != row.shape[1:-1]:
            raise ConfigError(
                f"The network of a coupling maps {[None, *row.shape[1:]]} to "
                f"{[None, *row.shape[1:-1], 'features']}; got {[None, *features.shape[1:]]}."
            )
        self.output_layer.build(features.shape)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[batch, ..., inputs] -> [batch, ..., output_size]."""
        training = training and bool(self.trainable_variables)  # else frozen
        features = self.layer(tf.cast(x, self.compute_dtype), training=training)
        return self.output_layer(features)


class Masked(keras.layers.Layer):
    """A user's autoregressive layer under a linear map of each coordinate's features.

    x [..., D] -> parameters [..., D, num_parameters], those of coordinate i functions of x_<i.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        event_size: int,
        num_parameters: int,
        *,
        context_size: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.num_parameters = num_parameters
        self.context_size = context_size
        self.layer = layer_of(values, "layer", self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights. Raises ConfigError for a layer that is not autoregressive."""
        del input_shape
        features = self._features(tf.zeros([1, self.event_size], self.compute_dtype), self._none())
        if features.shape.rank != 3 or features.shape[1] != self.event_size:
            raise ConfigError(
                f"The network of an autoregressive flow maps [batch, {self.event_size}] to "
                f"[batch, {self.event_size}, features], those of each coordinate; got "
                f"{[None, *features.shape[1:]]}."
            )
        self._check_order()
        shape = (self.event_size, int(features.shape[-1]), self.num_parameters)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(shape[0], shape[2]), initializer="zeros", name="bias")
        self.built = True

    def _none(self) -> Any:
        """A context of zeros, or None."""
        return tf.zeros([1, self.context_size], self.compute_dtype) if self.context_size else None

    def _features(self, x: Any, context: Any, *, training: bool = False) -> Any:
        if context is None:
            return _called(self.layer, x, training=training)
        return _called(self.layer, x, context, training=training)

    def _check_order(self) -> None:
        """Tries on random rows, with random weights, which coordinates the features depend on."""
        rng = np.random.default_rng(0)
        kept = [variable.numpy() for variable in self.layer.trainable_variables]
        for variable, value in zip(self.layer.trainable_variables, kept, strict=True):
            variable.assign(value + _TRIED_SCALE * rng.normal(size=value.shape))
        x = tf.constant(rng.normal(size=[_TRIED_ROWS, self.event_size]), self.compute_dtype)
        context = self._none()
        context = None if context is None else tf.repeat(context, _TRIED_ROWS, 0)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            sums = tf.unstack(tf.reduce_sum(self._features(x, context), -1), axis=-1)
        for i, total in enumerate(sums):
            gradient = tape.gradient(total, x, unconnected_gradients="zero").numpy()
            seen = np.flatnonzero((gradient[:, i:] != 0.0).any(0))
            if seen.size:
                break
        for variable, value in zip(self.layer.trainable_variables, kept, strict=True):
            variable.assign(value)
        if seen.size:
            raise ConfigError(
                f"The network is not autoregressive: the features of coordinate {i} depend on "
                f"coordinate {i + seen[0]} (counted from 0), and may depend on those before {i} "
                "alone. Mask its matrices (zoo.networks.made.MADE), or give it to couplings, which "
                "take any network: realnvp, nice, nsf_coupling."
            )

    def bind(self, context: Any = None, *, training: bool = False) -> Callable[[Any], Any]:
        """The network with the context [batch, C], or [1, C] for all rows."""
        training = training and bool(self.trainable_variables)

        def apply(x: Any) -> Any:
            rows = tf.reshape(tf.cast(x, self.compute_dtype), [-1, self.event_size])
            given = context
            if given is not None:
                size = [tf.shape(rows)[0], self.context_size]
                given = tf.broadcast_to(tf.cast(given, rows.dtype), size)
            features = self._features(rows, given, training=training)
            kernel = tf.cast(self.kernel, features.dtype)
            raw = tf.einsum("ndf,dfp->ndp", features, kernel) + tf.cast(self.bias, features.dtype)
            shape = tf.concat([tf.shape(x), [self.num_parameters]], 0)
            return tf.cast(tf.reshape(raw, shape), x.dtype)

        return apply

    def call(self, x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[..., D] (and context [batch, C]) -> [..., D, num_parameters], in the dtype of x."""
        return self.bind(context, training=training)(x)


def _called(layer: Any, *inputs: Any, training: bool = False) -> Any:
    """layer(*inputs). Raises ConfigError where it does not take them."""
    try:
        return layer(*inputs, training=training)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        shapes = ", ".join(str([None, *x.shape[1:]]) for x in inputs)
        hint = " In a conditional flow that is call(x, context)." if len(inputs) > 1 else ""
        raise ConfigError(
            f"{type(layer).__name__} cannot be called with inputs of shape {shapes}: "
            f"{str(error)[:300]}{hint}"
        ) from error
