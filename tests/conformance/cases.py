"""One tiny row for every family, and several for those with several forms.

The rows stand in a file for each folder of `zoo/models/`: `flow_cases.py`, `latent_cases.py` and so
on. The laws in the files beside this one hang on what a model can do: `having(Bijective)` names the
rows of a law about bijections. Weights are randomised, so that an identity initialisation hides
nothing. What a row cannot do is declared in `cannot` with a reason, and the law then asserts that
declaration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from any_order_cases import ANY_ORDER
from audio_cases import AUDIO
from bijector_cases import BIJECTORS, NO_BIJECTOR_ROW, NUM_ROWS
from context_cases import CONTEXTUAL
from discrete_cases import DISCRETE
from flow_cases import FLOWS
from latent_cases import LATENT
from model_cases import ModelCase, dense, jacobians, randomise, shared_model
from scheduling import in_second_half
from table_cases import TABLES

from zoo.core.capabilities import Bijective

__all__ = [
    "ALL_BIJECTORS",
    "BIJECTORS",
    "FIRST_ROWS",
    "MODELS",
    "NO_BIJECTOR_ROW",
    "NUM_ROWS",
    "ModelCase",
    "costly",
    "dense",
    "group",
    "having",
    "jacobians",
    "randomise",
    "shared_model",
]

MODELS: dict[str, ModelCase] = {
    **FLOWS,
    **LATENT,
    **AUDIO,
    **DISCRETE,
    **TABLES,
    **ANY_ORDER,
    **CONTEXTUAL,
}


def having(*capabilities: type) -> list[str]:
    """The rows of the models that have them all."""
    return [
        name
        for name, case in MODELS.items()
        if all(issubclass(case.model_class, capability) for capability in capabilities)
    ]


# Made of the layers of other families: what takes seconds a row is asked of those.
COMPOSED = frozenset({"converted"})
# Families to which an image is the vector of its pixels.
FLATTENING = ("maf", "made", "nsf", "sylvester")


def _first_rows() -> list[str]:
    """The first row of each family, and of those with networks of images the first with images."""
    firsts: dict[tuple[str, int], str] = {}
    for name, case in MODELS.items():
        if case.family in COMPOSED:
            continue
        rank = 1 if case.family in FLATTENING else len(case.event_shape)
        firsts.setdefault((case.family, rank), name)
    return list(firsts.values())


FIRST_ROWS = _first_rows()


def costly(names: Iterable[str]) -> list[Any]:
    """Parameters of a law that takes seconds a row: rows beyond a family's first ones are slow."""
    return [
        name if name in FIRST_ROWS else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def group(name: str, session: pytest.Session) -> tuple[str, ...]:
    """The rows that one process may answer for: those of this session on the row's worker."""
    rows = {
        getattr(item, "callspec", None) and item.callspec.params.get("name")
        for item in session.items
    }
    half = in_second_half(name)
    return tuple(n for n in MODELS if n in rows and in_second_half(n) == half)


ALL_BIJECTORS: dict[str, Any] = {
    **BIJECTORS,
    **{f"model-{name}": MODELS[name] for name in having(Bijective)},
}
