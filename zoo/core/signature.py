"""A signature: a function of named batches, with a description of every input and output.

The checks of its inputs inside an exported graph, the manifest beside a SavedModel and the warm-up
requests are all made from that description. All inputs and outputs are batch-first; state (of a
streaming sampler, say) goes in and out as arrays, one row each. Randomness comes from a seed per
row, never from one per batch: an answer must not depend on the rows that share its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.core.space import Space

__all__ = ["Signature"]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A function of batches, `function(**inputs) -> {output: tensor}`, and its description.

    portable: whether it is converted to LiteRT and ONNX as well, which have no seeded randomness.
    """

    description: str
    function: Callable[..., Mapping[str, Any]]
    inputs: Mapping[str, Space]
    outputs: Mapping[str, Space]
    portable: bool = False
