"""Which published weights a model has, for a person to read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["Release"]


@dataclass(frozen=True)
class Release:
    """name: "nice_mnist, version 1", or a path.   figure: of its card; "" where there is none."""

    name: str
    figure: str = ""

    def trained_on(self) -> Release:
        """That of weights which were these and have been trained since: without the figure."""
        if not self.figure and self.name.endswith(_SINCE):
            return self
        return dataclasses.replace(self, name=self.name + _SINCE, figure="")


_SINCE = ", trained since"
