"""safetensors: `model.safetensors`, the weights by name, and a reader for PyTorch beside it.

Layout 1 of the file:

    tensors    <layer>/<weight>, such as made_0/hidden_0/kernel: Keras' names of the weights. Those
               of dense layers are [in, out], of convolutions [height, width, in, out]; float32.
               Masked kernels hold 0 where the mask does. <linear>/permutation, int32 [D], says
               which coordinate comes first, second, ... before the matrix. Seeds are left out.
    metadata   format       "density-zoo"
               layout       "1"
               name, version
               family       such as "maf"
               config       the model's config as JSON: every size and constant of the density
               fixed        JSON list of the tensors that are not trained: moments, permutations
               software     JSON: the versions that wrote the file

`torch_reader/` computes densities and samples of the families that it knows, but for flows of a
table's columns; it is copied beside the file, after its answers, over NumPy, were compared with
TensorFlow's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ExportError, MissingExtraError, NotPortableError
from zoo.exporting import portable, torch_reader
from zoo.layers.linear import LUFactors
from zoo.networks.made import MaskedDense
from zoo.store.folder import software_versions

if TYPE_CHECKING:
    from zoo.kinds.model import ZooModel

__all__ = ["TENSORS_FILE", "named_tensors", "write"]

TENSORS_FILE = "model.safetensors"
READER = Path(torch_reader.__file__).parent


def write(model: ZooModel, name: str, version: int, folder: Path) -> None:
    """Writes the file, and the reader where it computes the model, into the folder.

    Raises MissingExtraError without safetensors, NotPortableError where two weights have one name,
    and ExportError where the reader answers otherwise than TensorFlow.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtraError(
            "The format safetensors needs its library: pip install 'density-zoo[safetensors]'."
        ) from error
    tensors, fixed = named_tensors(model)
    metadata = {
        "format": torch_reader.FORMAT,
        "layout": torch_reader.LAYOUT,
        "name": name,
        "version": str(version),
        "family": model.family,
        "config": json.dumps(model.config.to_dict()),
        "fixed": json.dumps(sorted(fixed)),
        "software": json.dumps(software_versions()),
    }
    path = folder / TENSORS_FILE
    save_file(tensors, path, metadata)
    if model.family in torch_reader.FAMILIES and not model.config.columns:
        _check(model, path)
        shutil.copytree(READER, folder / READER.name, ignore=shutil.ignore_patterns("__pycache__"))


def named_tensors(model: ZooModel) -> tuple[dict[str, np.ndarray], set[str]]:
    """(name -> array, the names of those that are not trained).

    Raises NotPortableError where two weights have one name.
    """
    kept = [w for w in model.weights if not w.path.endswith("seed_generator_state")]
    tensors = {weight.path: weight.numpy() for weight in kept}
    if len(tensors) < len(kept):
        names = [weight.path for weight in kept]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise NotPortableError(
            f"Two weights of {model.name} have one name, and safetensors keeps one array a name: "
            f"{', '.join(twice[:3])}."
        )
    fixed = {weight.path for weight in kept if not weight.trainable}
    for layer in model._flatten_layers():
        if isinstance(layer, MaskedDense):
            tensors[layer.kernel.path] = np.asarray(layer.masked_kernel())
        elif isinstance(layer, LUFactors):
            permutation = layer.bias.path.removesuffix("bias") + "permutation"
            tensors[permutation] = np.array(layer.permutation, np.int32)
            fixed.add(permutation)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, fixed


def _check(model: ZooModel, path: Path) -> None:
    """Raises ExportError where the reader's densities are not the model's."""
    signatures = {"log_prob": model.serving_signatures()["log_prob"]}

    def expected(x: Any, context: Any = None) -> dict[str, Any]:
        return {"log_prob": model(x, context)}

    try:
        flow = torch_reader.load(path, library="numpy")
        portable.check_agreement(
            signatures,
            {"log_prob": expected},
            lambda _, inputs: {"log_prob": flow.log_prob(**inputs)},
            "safetensors",
        )
    except ExportError:
        raise
    except ValueError as error:  # the reader's own
        raise ExportError(f"{model.name} cannot be exported to safetensors: {error}") from error
