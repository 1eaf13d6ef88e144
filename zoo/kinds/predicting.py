"""What Keras asks of a model beside training: predictions, shapes, exports."""

from __future__ import annotations

from typing import Any, NoReturn

import keras

from zoo.core.checks import as_array, checked_arrays
from zoo.core.encoding import frames_encoded
from zoo.errors import InvalidInputError
from zoo.kinds.weighting import named

__all__ = ["Predicting"]


class Predicting(keras.Model):
    """A Keras model of one number a row, what `call` returns of x, or of x and its context."""

    data: Any
    context: Any
    column_names: tuple[str, ...]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Keras' predict: `call` of x, batch by batch, as NumPy.

        x: rows, of a conditional model (rows, context), or a dataset of either.
        Raises InvalidInputError for masked arrays and for a context missing or not expected; warns
        of digits that x loses.
        """
        arguments = self._checked(named(keras.Model.predict, args, kwargs))
        return super().predict(**arguments)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Keras' predict_on_batch of one batch, as `predict` takes it."""
        arguments = self._checked(named(keras.Model.predict_on_batch, args, kwargs))
        return super().predict_on_batch(**arguments)

    def _checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        arguments = frames_encoded(arguments, self.data, self.context, self.column_names)
        x = arguments.get("x")
        if isinstance(x, list):
            inputs = self.context is not None and len(x) == 2 and hasattr(x[0], "dtype")
            arguments["x"] = x = tuple(x) if inputs else as_array(x, "x", None)
        parts = x if isinstance(x, tuple) else (x,)
        if len(parts) > 1 and self.context is None:
            raise InvalidInputError(
                f"This model is unconditional: predict takes x alone; got {len(parts)} arrays."
            )
        checked_arrays(self.data.dtype, *parts)
        return arguments

    def predict_step(self, data: Any) -> Any:
        """`call` of a batch: x, (x, context), or more, of which Keras drops the rest."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, tuple | list):  # both in the place of x
            x, y = x
        return self(x, y if self.context is not None else None, training=False)

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> tuple[int | None]:
        """[batch] of x [batch, *event_shape]. Raises InvalidInputError for another rank."""
        shape = tuple(input_shape)
        if len(shape) != len(self.data.shape) + 1:
            expected = ", ".join(map(str, ("batch", *self.data.shape)))
            raise InvalidInputError(f"Expected x of shape [{expected}]; got {list(shape)}.")
        return (shape[0],)

    def compute_output_spec(self, x: Any, *_: Any, **__: Any) -> Any:
        """Of the float dtype: what a functional Keras model around this one is told."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), dtype=self.compute_dtype)

    def export(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InvalidInputError: Keras would export `call` alone."""
        raise InvalidInputError(
            "Keras would export the call alone, without checks and signatures. Use "
            "zoo.export(model, path), for TF Serving, or model.save('m.keras') to go on in Keras."
        )

    def quantize(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InvalidInputError: a density of rounded weights is another density."""
        raise InvalidInputError(
            "A density of quantised weights is another density, which nobody has evaluated. For "
            "networks in lower precision: zoo.create(family, conditioner_dtype='mixed_bfloat16', "
            "...); for a small file: zoo export --format tflite."
        )
