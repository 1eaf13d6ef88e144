"""ONNX: one `<signature>.onnx` for each portable signature, opset 18.

Converted by tf2onnx, then loaded in ONNX Runtime and compared: an invalid graph converts without
complaint. Two operations that tf2onnx does not know are spelled out here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ExportError, MissingExtraError
from zoo.exporting import graph, portable

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.kinds.model import ZooModel

__all__ = ["write"]

OPSET = 18  # the newest of tf2onnx; bitwise operations came with it


def write(model: ZooModel, signatures: Mapping[str, Signature], folder: Path) -> None:
    """Writes `<signature>.onnx` files into the folder, after they have answered as TensorFlow does.

    Raises ExportError for a signature that cannot be converted, with the reason, and for one that
    answers otherwise; MissingExtraError without tf2onnx or ONNX Runtime.
    """
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise MissingExtraError(
            "The format onnx needs tf2onnx and onnxruntime: pip install 'density-zoo[onnx]'."
        ) from error
    functions = {name: graph.traced(name, s, checks=False) for name, s in signatures.items()}
    sessions = {}
    for name, signature in signatures.items():
        try:
            proto, _ = tf2onnx.convert.from_function(
                functions[name],
                graph.specifications(signature.inputs),
                opset=OPSET,
                custom_op_handlers={"Log1p": (_log1p, []), "BroadcastArgs": (_broadcast_args, [])},
            )
            content = proto.SerializeToString()
            sessions[name] = onnxruntime.InferenceSession(
                content, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # tf2onnx raises any kind, ONNX Runtime its own
            raise ExportError(
                f"{name} of {model.name} cannot be converted to onnx: {_reason(str(error))}"
            ) from error
        (folder / f"{name}.onnx").write_bytes(content)

    def run(name: str, inputs: portable.Arrays) -> portable.Arrays:
        outputs = list(signatures[name].outputs)
        return dict(zip(outputs, sessions[name].run(outputs, dict(inputs)), strict=True))

    concrete = {name: function.get_concrete_function() for name, function in functions.items()}
    portable.check_agreement(signatures, concrete, run, "onnx")


def _reason(text: str) -> str:
    """The operation that ONNX lacks, or the converter's first line."""
    lacking = re.search(r"No Op registered for (\w+)", text)
    if lacking:
        return f"ONNX has no operation for TensorFlow's {lacking[1]}."
    return text.strip().partition("\n")[0] or "no reason given."


def _log1p(ctx: Any, node: Any, name: str, _: Any) -> None:
    """log(1 + x) = x log(u) / (u - 1), u = 1 + x rounded; x where u = 1 (Kahan)."""
    x, (output, shape) = node.input[0], _removed(ctx, node)
    dtype = ctx.get_dtype(x)
    one = _constant(ctx, name, np.ones([], np.float32))
    u = ctx.make_node("Add", [x, one]).output[0]
    small = ctx.make_node("Equal", [u, one]).output[0]
    rounded = ctx.make_node("Sub", [u, one]).output[0]
    divisor = ctx.make_node("Where", [small, one, rounded]).output[0]
    product = ctx.make_node("Mul", [ctx.make_node("Log", [u]).output[0], x]).output[0]
    quotient = ctx.make_node("Div", [product, divisor]).output[0]
    ctx.make_node(
        "Where", [small, x, quotient], name=name, outputs=[output], shapes=[shape], dtypes=[dtype]
    )


def _broadcast_args(ctx: Any, node: Any, name: str, _: Any) -> None:
    """The shape that two shapes broadcast to: ones in front of the shorter, then the one not 1."""
    from onnx import TensorProto, helper

    int64 = TensorProto.INT64
    dtype = ctx.get_dtype(node.output[0])
    inputs, (output, shape) = node.input, _removed(ctx, node)

    def make(kind: str, operands: list[str], **attributes: Any) -> str:
        made: str = ctx.make_node(kind, operands, attr=attributes, dtypes=[int64]).output[0]
        return made

    shapes = [make("Cast", [given], to=int64) for given in inputs]
    ranks = [make("Shape", [given]) for given in shapes]
    rank = make("Max", ranks)
    fill = helper.make_tensor("value", int64, [1], [1])
    padded = []
    for given, own in zip(shapes, ranks, strict=True):
        missing = make("ConstantOfShape", [make("Sub", [rank, own])], value=fill)
        padded.append(make("Concat", [missing, given], axis=0))
    one = _constant(ctx, name, np.ones([], np.int64))
    is_one = ctx.make_node("Equal", [padded[0], one]).output[0]
    merged = make("Where", [is_one, padded[1], padded[0]])
    ctx.make_node(
        "Cast",
        [merged],
        attr={"to": dtype},
        name=name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
    )


def _removed(ctx: Any, node: Any) -> tuple[str, Any]:
    """(name, shape) of the output of a node that is taken out of the graph."""
    output = node.output[0]
    shape = ctx.get_shape(output)
    ctx.remove_node(node.name)
    return output, shape


def _constant(ctx: Any, name: str, value: np.ndarray) -> str:
    output: str = ctx.make_const(f"{name}__one", value).output[0]
    return output
