"""Studies: comparisons over seeds, as frozen values. Importable without TensorFlow.

    arms x seeds -> runs;   figures of the test rows;   per seed, differences between arms

A study says beforehand which arms are run, from which seeds, what is measured and what is expected;
every run is reported, also one that failed. `zoo.studies` runs it and makes tables of it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from zoo.core.metric import metric
from zoo.errors import ConfigError

__all__ = ["SEED", "Arm", "Beats", "Expectation", "Floor", "Reaches", "Study"]

SEED = "{seed}"
"""Stands for a run's seed in an arm's changes."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to make a model: the recipe of a registered entry, with changes.

    changes: PATH=VALUE, as of `zoo train --set`; `{seed}` in them is the run's seed. The seed of
    the training is always it.
    """

    name: str
    entry: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a function says of an arm's test rows, from its train rows and without a model.

    where: "module:function", a function Rows -> {metric: figure} of the recipe's dataset; it is
    called once for each dataset that the runs have.
    """

    name: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Beats:
    """`arm` is better than `other` by a metric in at least `seeds` seeds.

    other: an arm or a floor.
    """

    arm: str
    other: str
    metric: str
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Reaches:
    """The mean of `arm` over its seeds is `value` or better."""

    arm: str
    metric: str
    value: float


Expectation = Beats | Reaches


@dataclass(frozen=True, kw_only=True)
class Study:
    """A comparison.

    claim: what is asked, in a sentence.   protocol: how it is answered.
    metrics: names of `zoo.core.metric`, the first one the headline.
    expectations: what was expected before the runs; a table says of each whether it was found.
    published: the runs are the published weights of the arms' entries, one each, and their figures
        those of metrics.json; nothing is trained.
    """

    name: str
    title: str
    claim: str
    protocol: str
    arms: tuple[Arm, ...]
    metrics: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    floors: tuple[Floor, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    published: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for names that are no arm's, no metric's, or given twice."""
        names = [*(arm.name for arm in self.arms), *(floor.name for floor in self.floors)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice or not self.arms or not self.metrics or not self.seeds:
            raise ConfigError(
                f"The study {self.name} needs arms, metrics and seeds, each name once; "
                f"twice: {', '.join(twice) or 'none'}."
            )
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"Seeds of {self.name} must differ and be 0 or more: {self.seeds}.")
        for name in (*self.metrics, *(e.metric for e in self.expectations)):
            metric(name)
        arms = [arm.name for arm in self.arms]
        for found in self.expectations:
            other = found.other if isinstance(found, Beats) else found.arm
            if found.arm not in arms or other not in names or found.metric not in self.metrics:
                raise ConfigError(
                    f"{found} of the study {self.name}: expected arms out of {', '.join(arms)}, "
                    f"floors, and metrics out of {', '.join(self.metrics)}."
                )
            if isinstance(found, Beats) and not 1 <= found.seeds <= len(self.seeds):
                raise ConfigError(f"{found}: the study {self.name} has {len(self.seeds)} seeds.")
            if isinstance(found, Reaches) and not math.isfinite(found.value):
                raise ConfigError(f"{found}: expected a finite value.")
        if self.published and (len(self.seeds) > 1 or any(arm.changes for arm in self.arms)):
            raise ConfigError(
                f"{self.name} is of published weights: one seed, and recipes without changes."
            )

    def arm(self, name: str) -> Arm:
        """The arm of that name. Raises ConfigError for none."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        known = ", ".join(arm.name for arm in self.arms)
        raise ConfigError(f"The study {self.name} has no arm {name!r}; its arms: {known}.")
