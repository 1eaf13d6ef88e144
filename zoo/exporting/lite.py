"""LiteRT (TensorFlow Lite): one `model.tflite` with a signature for each portable one.

Converted to LiteRT's own operations, none of TensorFlow's ("Flex"), so that the bare runtime runs
it; then loaded in that runtime and compared. The package `ai-edge-litert` is needed, and no other.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from zoo.errors import ExportError, MissingExtraError
from zoo.exporting import portable, savedmodel

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.kinds.model import ZooModel

__all__ = ["LITE_FILE", "write"]

LITE_FILE = "model.tflite"


def write(model: ZooModel, signatures: Mapping[str, Signature], folder: Path) -> None:
    """Writes `model.tflite` into the folder, after it has answered as TensorFlow does.

    Raises ExportError for a signature that cannot be converted, with the reason, and for one that
    answers otherwise; MissingExtraError without LiteRT.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtraError(
            "The format tflite needs LiteRT's runtime: pip install 'density-zoo[tflite]'."
        ) from error
    functions = savedmodel.concrete_functions(signatures, checks=False)
    content = _converted(model, functions)
    interpreter = Interpreter(model_content=content)

    def run(name: str, inputs: portable.Arrays) -> portable.Arrays:
        answers: portable.Arrays = interpreter.get_signature_runner(name)(**inputs)
        return answers

    portable.check_agreement(signatures, functions, run, "tflite")
    (folder / LITE_FILE).write_bytes(content)


def _converted(model: ZooModel, functions: Mapping[str, Any]) -> bytes:
    """The FlatBuffer. By way of a SavedModel: converting functions directly gives NaN."""
    root = tf.train.Checkpoint()
    root.variables = [variable.value for variable in model.variables]
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(root, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        try:
            content: bytes = converter.convert()
        except Exception as error:  # the converter's own kind, private to TensorFlow
            raise ExportError(
                f"{model.name} cannot be converted to tflite: {_reason(str(error))}"
            ) from error
    return content


def _reason(text: str) -> str:
    """The operations that LiteRT lacks, or the last line of the converter's pages of text."""
    lacking = re.findall(r"(?:TF Select|Custom) ops: (.+)", text)
    if lacking:
        return f"LiteRT has no operation for TensorFlow's {', '.join(lacking)}."
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given."
