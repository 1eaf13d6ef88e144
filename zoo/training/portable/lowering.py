"""A TensorFlow function over variables as a `jax.export` artefact: the one module that knows JAX.

    f(*arguments), which reads and assigns variables   ->   g(values, *arguments)

XLA turns every variable that `f` touches into a parameter of the HLO that TensorFlow lowers it to,
so nothing has to be rewritten: Keras layers and optimisers, TFP bijectors and their gradients go
through as they are. HLO becomes StableHLO, and `jax.export` gives it its stable serialised form.
Random numbers come out equal to those of `tf.function(jit_compile=True)`; graph mode draws others.

JAX is the optional extra `portable`. Lowering uses three names private to the pinned version:
`jaxlib._jax.mlir.hlo_to_stablehlo`, `jaxlib.mlir` and `jax.interpreters.mlir`'s module merging;
they are those that JAX's own `call_tf` uses, which itself cannot take variables as parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np
import tensorflow as tf
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxlib import _jax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import func

from zoo.errors import ExportError
from zoo.ops.precision import float32_products

__all__ = ["JAX_VERSION", "PLATFORMS", "Artefact", "lower"]

JAX_VERSION = jax.__version__
PLATFORMS = ("cuda", "rocm", "tpu", "cpu")

_STATEFUL_RANDOM = ("stablehlo.rng",)
_LARGE_CONSTANT = 16  # elements: larger constants are left out of the text that is searched


@dataclass(frozen=True)
class Artefact:
    """A serialised `jax.export.Exported`, and the version of its calling convention."""

    content: bytes
    calling_convention: int


def lower(
    function: Callable[..., Any],
    arguments: Sequence[tf.TensorSpec],
    variables: Sequence[Any],
    *,
    platforms: Sequence[str],
    exact_products: bool,
    returns_values: bool,
    names: Sequence[str] = (),
) -> Artefact:
    """`function(*arguments)` over `variables` as an artefact.

    The artefact is called with (tuple of the variables' values, *arguments). It returns what the
    function returns, a dict or a list of tensors; with `returns_values` the pair of it and the
    tuple of the variables' values after the call.

    function: Reads and assigns any of `variables`, and no other variable.
    arguments: Static shapes.
    platforms: Out of `PLATFORMS`.
    exact_products: Whether float32 matrix products and convolutions keep float32's precision
        wherever the artefact runs; otherwise the accelerator may round their factors (TF32 on a
        GPU, bfloat16 on a TPU).
    names: Of the variables, in their order: the artefact then takes a dict of values by these
        names in place of the tuple, and returns no values.

    Raises ExportError for a stateful random op, a shape that depends on values, a variable that is
    not listed, and whatever else XLA cannot compile, each with the reason.
    """
    unknown = [p for p in platforms if p not in PLATFORMS]
    if unknown or not platforms:
        raise ExportError(
            f"Expected platforms out of {', '.join(PLATFORMS)}; got {', '.join(unknown) or 'none'}."
        )
    with float32_products(exact=exact_products):
        traced = _traced(function, arguments, variables, returns_values=returns_values)

    def call(values: Any, *given: Any) -> Any:
        values = tuple(values[name] for name in names) if names else values
        captured = [values[p] if isinstance(p, int) else p for p in traced.parameters]
        results = _call.bind(*given, *captured, module=traced.module, outputs=traced.outputs)
        count = len(results) - (len(values) if returns_values else 0)
        result = tf.nest.pack_sequence_as(traced.structure, results[:count])
        return (result, tuple(results[count:])) if returns_values else result

    with jax.enable_x64(True):  # noqa: FBT003  # the optimiser counts its steps in int64
        shapes = [jax.ShapeDtypeStruct(tuple(a.shape), a.dtype.as_numpy_dtype) for a in arguments]
        listed = tuple(
            jax.ShapeDtypeStruct(tuple(v.shape), tf.as_dtype(v.dtype).as_numpy_dtype)
            for v in variables
        )
        values = dict(zip(names, listed, strict=True)) if names else listed
        try:
            exported = jax.export.export(jax.jit(call), platforms=list(platforms))(values, *shapes)
        except ValueError as error:  # custom calls without a promise of stability
            raise ExportError(f"JAX cannot export the step: {_one_line(error)}") from error
        return Artefact(bytes(exported.serialize()), exported.calling_convention_version)


# --- TensorFlow -> StableHLO


@dataclass(frozen=True)
class _Traced:
    """A function in StableHLO.

    module: Its parameters are the function's arguments and then `parameters`; its results are
        `outputs`, and then XLA's own updates of resources.
    parameters: The position of a variable, or the array of a constant that was captured.
    outputs: Shapes and dtypes of the function's result, and of the variables if they are returned.
    structure: Of the function's result.
    """

    module: bytes
    parameters: Sequence[Any]
    outputs: tuple[tuple[tuple[int, ...], Any], ...]
    structure: Any


def _traced(
    function: Callable[..., Any],
    arguments: Sequence[tf.TensorSpec],
    variables: Sequence[Any],
    *,
    returns_values: bool,
) -> _Traced:
    # Keras keeps a TensorFlow variable in each of its own.
    tensors = [v.value if isinstance(v, keras.Variable) else v for v in variables]
    structure: Any = None

    def flat(*given: Any) -> list[Any]:
        nonlocal structure
        structure = function(*given)
        results = [tf.identity(result) for result in tf.nest.flatten(structure)]
        if returns_values:
            with tf.control_dependencies(results):
                results += [v.read_value() for v in tensors]
        return results

    compiled = tf.function(flat, autograph=False, jit_compile=True)
    concrete = compiled.get_concrete_function(*arguments)
    positions = {id(v.handle): i for i, v in enumerate(tensors)}
    parameters: list[Any] = []
    for captured in concrete.captured_inputs:
        if captured.dtype != tf.resource:
            parameters.append(captured.numpy())
        elif id(captured) in positions:
            parameters.append(positions[id(captured)])
        else:
            raise ExportError(
                f"The step touches {_name_of(captured, concrete)}, which is none of its state: "
                "what it holds would be lost. List it in `state_variables()`."
            )
    try:
        with warnings.catch_warnings():
            # The other way to name the device, platform_name, takes no functions over variables.
            warnings.filterwarnings("ignore", "device_name is being deprecated")
            hlo = compiled.experimental_get_compiler_ir(*arguments)(
                stage="hlo_serialized", device_name="/device:CPU:0"
            )
    except (ValueError, tf.errors.OpError) as error:
        raise ExportError(f"XLA cannot compile the step: {_one_line(error)}") from error
    outputs = tuple((tuple(t.shape), t.dtype.as_numpy_dtype) for t in concrete.outputs)
    module = _checked(_jax.mlir.hlo_to_stablehlo(hlo), concrete)
    return _Traced(module, parameters, outputs, structure)


def _checked(bytecode: bytes, concrete: Any) -> bytes:
    """The module without HLO's `copy`, an identity that portable artefacts have no op for.

    Raises ExportError for stateful random ops and for shapes that depend on values.
    """
    copies: list[Any] = []
    random: set[str] = set()

    def visit(op: Any) -> Any:
        if op.name == "mhlo.copy":
            copies.append(op)
        elif op.name in _STATEFUL_RANDOM:
            random.add(op.name)
        return ir.WalkResult.ADVANCE

    with mlir.make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(bytecode)
        module.operation.walk(visit)
        if random:
            raise ExportError(
                f"The step draws unseeded random numbers ({', '.join(_random_ops(concrete))}): "
                "each machine would draw its own. Use tf.random.stateless_*, or keras.random with "
                "a SeedGenerator."
            )
        text = module.operation.get_asm(large_elements_limit=_LARGE_CONSTANT)
        if "stablehlo.bounds" in text or "?x" in text:
            raise ExportError(
                "A shape in the step depends on values (tf.boolean_mask, one-argument tf.where, "
                "tf.unique, ...): accelerators compile static shapes alone. Use tf.where(c, a, b)."
            )
        for op in copies:
            op.results[0].replace_all_uses_with(op.operands[0])
            op.erase()
        return mlir.module_to_bytecode(module)


def _random_ops(concrete: Any) -> list[str]:
    """The types of the stateful random ops in a traced function and in all that it calls."""
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return sorted({n.op for n in nodes if "Random" in n.op and "Stateless" not in n.op})


def _name_of(captured: Any, concrete: Any) -> str:
    names = [v.name for v in concrete.graph.variables if v.handle is captured]
    return f"the variable {names[0]!r}" if names else "a resource that is no variable"


def _one_line(error: Exception, limit: int = 500) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[:limit] + " …"


# --- StableHLO -> JAX


def _abstract(*_: Any, module: bytes, outputs: Sequence[Any]) -> list[Any]:
    del module
    return [jax.core.ShapedArray(shape, np.dtype(dtype)) for shape, dtype in outputs]


def _merge(context: Any, *parameters: Any, module: bytes, outputs: Sequence[Any]) -> list[Any]:
    """Calls the module from the one that JAX is building; the same on every platform."""
    inner = ir.Module.parse(module)
    main = ir.SymbolTable(inner.operation)["main"]
    expected = [str(mlir.aval_to_ir_type(context.module_context, a)) for a in context.avals_in]
    found = [str(t) for t in main.type.inputs]
    if expected != found:
        raise ExportError(f"XLA's parameters are {found}; expected {expected}.")
    name = mlir.merge_mlir_modules(
        context.module_context.module,
        "tensorflow_step",
        inner,
        dst_symtab=context.module_context.symbol_table,
    )
    call = func.CallOp(main.type.results, ir.FlatSymbolRefAttr.get(name), parameters)
    return list(call.results)[: len(outputs)]


_call = Primitive("tensorflow_step")
_call.multiple_results = True
_call.def_abstract_eval(_abstract)
mlir.register_lowering(_call, _merge)
