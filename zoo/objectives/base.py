"""What every objective is, and how one is made of its settings."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from zoo.core import objective as settings_of
from zoo.core.capabilities import capabilities_of
from zoo.core.data import Data
from zoo.errors import ConfigError

__all__ = ["Objective", "check_needs", "objective_of"]


class Objective(abc.ABC):
    """A loss in nats per row, whose mean over the global batch training minimises.

    learns_from_rows: whether rows are data, and not the names of random numbers alone.
    """

    learns_from_rows: ClassVar[bool] = True

    @classmethod
    @abc.abstractmethod
    def of(
        cls, settings: Any, model: Any, *, data: Data | None, load: Callable[[str], Any]
    ) -> Objective:
        """The objective of a recipe's settings for this model.

        data: what the recipe learns from.   load: the published model of a name.
        Raises ConfigError where settings, model and data do not go together.
        """

    @abc.abstractmethod
    def __call__(
        self,
        model: Any,
        x: Any,
        context: Any,
        seed: Any,
        *,
        step: Any = None,
        training: bool = False,
    ) -> Any:
        """The loss of each row, [batch] nats.

        x, context: checked rows.   seed: int32 [2], names all noise.   step: int32 scalar, the
        optimisation step, of objectives that change in the course of a run; None for their end.
        training: batch moments, dropout and what else training alone has.
        """

    def start(self, model: Any) -> None:
        """Gives a fresh model what it need not learn; nothing here."""
        del model


def objective_of(
    settings: settings_of.Objective,
    model: Any,
    *,
    data: Data | None = None,
    load: Callable[[str], Any],
) -> Objective:
    """The objective of a recipe's settings for a model. Raises ConfigError as `Objective.of`."""
    check_needs(f"The objective {settings.kind}", settings.needs, model)
    if isinstance(settings, settings_of.Default):
        return model.default_objective()
    module, _, name = settings.implementation.partition(":")
    cls: type[Objective] = getattr(importlib.import_module(module), name)
    return cls.of(settings, model, data=data, load=load)


def check_needs(what: str, needs: Iterable[str], model: Any) -> None:
    """Raises ConfigError where the model lacks a capability (`zoo.core.capabilities`), by name."""
    has = capabilities_of(model)
    if lacking := [need for need in needs if need not in has]:
        raise ConfigError(
            f"{what} needs a model that is {' and '.join(lacking)}; {model.name}, of the family "
            f"{model.family}, is not."
        )
