"""StableHLO: one `<signature>.jax` for each portable signature and for `sample`, run by JAX.

    <signature>.jax    an artefact of `jax.export`: (weights, *inputs) -> {output: array}, inputs in
                       the manifest's order, for all of `lowering.PLATFORMS`
    weights.npz        the weights by name, the dict that every artefact takes first
    signatures.json    the manifest, with `batch_size`: shapes are fixed
    jax_reader.py      pads rows to whole batches, and calls; it needs JAX and NumPy alone

XLA lowers the graph that TensorFlow traces for so many rows: its shapes are static. What is not
drawn is compared, in JAX, before it is written; `sample` draws the numbers of TensorFlow's XLA,
which are not those of its graphs.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from zoo.errors import MissingExtraError, NotPortableError
from zoo.exporting import jax_reader, portable

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.kinds.model import ZooModel

__all__ = ["BATCH_SIZE", "chosen", "write"]

BATCH_SIZE = 64
READER = Path(jax_reader.__file__)


def chosen(name: str, signatures: Mapping[str, Signature]) -> dict[str, Signature]:
    """The signatures that leave TensorFlow so. Raises NotPortableError where there are none."""
    found = portable.portable_signatures(name, signatures, "stablehlo")
    return {key: value for key, value in signatures.items() if key in (*found, "sample")}


def write(
    model: ZooModel, signatures: Mapping[str, Signature], folder: Path, batch_size: int
) -> None:
    """Writes artefacts, weights and the reader into the folder, after they were compared.

    Raises MissingExtraError without JAX, NotPortableError where two weights have one name, and
    ExportError for what XLA cannot lower, with the reason, and for an artefact that answers
    otherwise than TensorFlow.
    """
    if importlib.util.find_spec("jax") is None:
        raise MissingExtraError(
            "The format stablehlo needs JAX: pip install 'density-zoo[portable]'."
        )
    from zoo.training.portable import lowering

    variables = [v for v in model.variables if not v.path.endswith("seed_generator_state")]
    weights = {variable.path: variable.numpy() for variable in variables}
    if len(weights) < len(variables):
        raise NotPortableError(
            f"Two weights of {model.name} have one name, and stablehlo takes them by it."
        )
    np.savez(folder / jax_reader.WEIGHTS_FILE, **weights)
    for name, signature in signatures.items():
        fields = signature.inputs

        def function(*tensors: Any, signature: Signature = signature) -> dict[str, Any]:
            return dict(signature.function(**dict(zip(signature.inputs, tensors, strict=True))))

        specs = [tf.TensorSpec([batch_size, *f.shape], f.dtype) for f in fields.values()]
        artefact = lowering.lower(
            function,
            specs,
            variables,
            names=list(weights),
            platforms=lowering.PLATFORMS,
            exact_products=True,
            returns_values=False,
        )
        (folder / f"{name}.jax").write_bytes(artefact.content)
    _check(signatures, folder, weights, batch_size)
    shutil.copyfile(READER, folder / READER.name)


def _check(
    signatures: Mapping[str, Signature], folder: Path, weights: Any, batch_size: int
) -> None:
    """Raises ExportError for an artefact that answers otherwise in JAX than in TensorFlow."""
    compared = {name: signature for name, signature in signatures.items() if signature.portable}

    def run(name: str, inputs: portable.Arrays) -> portable.Arrays:
        call = jax_reader.artefact(folder / f"{name}.jax")
        return jax_reader.in_batches(call, weights, list(inputs.values()), batch_size)

    functions = {name: signature.function for name, signature in compared.items()}
    portable.check_agreement(compared, functions, run, "stablehlo")
