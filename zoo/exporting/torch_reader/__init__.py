"""Flows of the zoo in PyTorch, from the file that `zoo export NAME --format safetensors` writes.

    from torch_reader import load           # this folder lies beside the file

    flow = load("model.safetensors")        # a torch.nn.Module; its parameters are the weights
    flow.log_prob(x)                        # [batch] nats of rows as stored, with gradients
    flow.sample(16, seed=0)                 # rows in the data's units

The folder stands alone: it needs NumPy, safetensors and PyTorch, and neither TensorFlow nor the
zoo. `load(path, library="numpy")` computes the same without PyTorch and without gradients.

Families: maf, made, nsf, nsf_coupling, realnvp, nice (arXiv:1705.07057, 1502.03509, 1906.04032,
1605.08803, 1410.8516), of numbers and grey levels, not of a table's columns. A flow is a list of
steps from data to latents (`families.py`). Samples of the autoregressive ones, the first three,
take D passes of every network.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .families import FAMILIES
from .flow import Flow

__all__ = ["FAMILIES", "FORMAT", "LAYOUT", "Flow", "load", "read"]

FORMAT = "density-zoo"
LAYOUT = "1"  # of the names and shapes in the file


def load(path: Any, library: str = "torch") -> Any:
    """The flow in a file: a `torch.nn.Module`, or with library="numpy" a plain `Flow`.

    Raises ValueError for a file of another kind or layout, and for a family without a reader.
    """
    tensors, metadata = read(path, library)
    found = (metadata.get("format"), metadata.get("layout"))
    if found != (FORMAT, LAYOUT):
        raise ValueError(
            f"{path} is not for this reader: expected the format {FORMAT!r} of layout {LAYOUT!r} "
            f"in its metadata, got {found}. Take the torch_reader that lies beside it."
        )
    family, config = metadata["family"], json.loads(metadata["config"])
    if family not in FAMILIES:
        raise ValueError(
            f"{path} is of the family {family!r}; this reader computes {', '.join(FAMILIES)}. "
            "`read` gives its tensors."
        )
    if config.get("columns"):
        raise ValueError(
            f"{path} is of a table's columns, whose coordinates are not computed here."
        )
    if library == "numpy":
        flow = Flow()
        flow.start(np, family, config, tensors.__getitem__)
        return flow
    return _module(family, config, tensors, set(json.loads(metadata["fixed"])))


def read(path: Any, library: str = "torch") -> tuple[dict[str, Any], dict[str, str]]:
    """(name -> array, metadata) of a file of any family."""
    from safetensors import safe_open

    with safe_open(path, framework="np" if library == "numpy" else "pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})


def _module(family: str, config: Any, tensors: Any, fixed: set[str]) -> Any:
    """The flow as a module: `fixed` tensors are its buffers, all others its parameters."""
    import torch

    class TorchFlow(Flow, torch.nn.Module):
        """A flow whose state_dict has the names of the file; called, it scores."""

        def forward(self, x: Any, context: Any = None) -> Any:
            return self.log_prob(x, context)

    flow: Any = TorchFlow()
    for name, tensor in tensors.items():
        if name in fixed:
            flow.register_buffer(name, tensor)
        else:
            flow.register_parameter(name, torch.nn.Parameter(tensor))
    flow.start(torch, family, config, lambda name: getattr(flow, name))
    return flow
