"""Densities of one column of a table, given some of the others: p(a | b = 3, c = "north").

    p(a | g) = ∫ p(a, u, g) du / ∫∫ p(a, u, g) du da,   u the columns that nothing is said of

Of a model whose log p is a sum over its columns (`zoo.core.capabilities.Factors`) the columns
behind a and g have integral 1 and are left out: p(a | all before) is one factor, as it stands. The
others are summed over where they have a probability, and integrated over by the trapezoid rule in
the column's own coordinate (`zoo.core.columns`) where they have a density. Half as many nodes must
give the same answer to `TOLERANCE`, and no more than that may lie at the ends: else the question is
refused, as is one with more unknowns than `ROWS` rows of the model can sum over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo import extras
from zoo.core.capabilities import Factors, Samples, Scores
from zoo.core.columns import Column
from zoo.core.encoding import decoded, encoded
from zoo.errors import InvalidInputError

__all__ = ["conditional", "marginal"]

ROWS = 1_000_000
"""Of a model, scored at most for one answer."""
TOLERANCE = 1e-3
NUM_SAMPLES = 4000
_BLOCK = 2**14
_FEWEST_NODES = 40
_POINTS = 200


def marginal(model: Any, column: str, *, grid: Any = None, context: Any = None) -> Any:
    """p(column) on a grid: `conditional` given nothing."""
    return conditional(model, column, grid=grid, context=context)


def conditional(
    model: Any,
    column: str,
    given: Mapping[str, Any] | None = None,
    *,
    grid: Any = None,
    context: Any = None,
) -> Any:
    """p(column | given) on a grid, as a data frame of the column and "density" or "probability".

    Args:
        model: Of a table of named columns (`zoo.fit`), or of real features, whose names are those
            of its dataset, else x0, x1, ….
        column: The name of the one that is asked for.
        given: {name: value} of others, as a person writes them.
        grid: Values of the column; without, 200 over its range, or all of a discrete one's.
        context: One row of a conditional model's context.

    Raises InvalidInputError for names and values that are not the model's, for models without an
    exact density of such rows, for values that have none, and, with the reason, for questions that
    can be answered neither by a factor nor by integration.
    """
    table = _Table.of(model, context)
    asked = table.place(column)
    known = {table.place(name): value for name, value in (given or {}).items()}
    if asked in known:
        raise InvalidInputError(f"{column!r} is asked for, and given.")
    fixed = {place: table.number(place, value) for place, value in known.items()}
    values = table.grid(asked, grid)
    last = max([asked, *fixed]) if isinstance(model, Factors) else len(table.columns) - 1
    unknown = [i for i in range(last + 1) if i != asked and i not in fixed]
    if isinstance(model, Factors) and not unknown and asked == last:
        density = np.exp(table.factors(fixed, asked, values)[:, asked])
    else:
        density = table.integrated(fixed, asked, values, unknown, last)
    kind = table.columns[asked]
    word = "probability" if kind.has_mass else "density"
    shown = decoded(values[:, None], [kind])[kind.name]
    return extras.pandas().DataFrame({column: shown, word: density})


@dataclass(frozen=True)
class _Nodes:
    """Values of a column and the logs of their weights: a sum over them is the integral.

    continuous: they are nodes of the trapezoid rule, of which every second one would do as well.
    ends: beyond the first and the last there is more, of which nothing may be left; a circle has
    no ends.
    """

    values: np.ndarray
    log_weights: np.ndarray
    continuous: bool
    ends: bool = False


@dataclass(frozen=True)
class _Table:
    """A model of rows of numbers, with the columns they stand for and draws of them."""

    model: Any
    columns: tuple[Column, ...]
    samples: np.ndarray
    context: Any

    @classmethod
    def of(cls, model: Any, context: Any) -> _Table:
        """Raises InvalidInputError for models without such rows or an exact log p."""
        space = model.data
        able = isinstance(model, Scores) and isinstance(model, Samples)
        if not able or model.precision != "exact" or len(space.shape) != 1 or space.is_integer:
            raise InvalidInputError(
                "Conditional densities are of tables, by models with an exact log-density and "
                f"samples; {model.name} is a {type(model).__name__} of rows "
                f"{list(space.shape)} of {space.dtype}."
            )
        samples = np.asarray(model.sample(NUM_SAMPLES, seed=0, context=context), np.float64)
        if space.columns:
            return cls(model, space.columns, samples, context)
        names = model.column_names or tuple(f"x{i}" for i in range(space.size))
        scales = np.maximum(samples.std(0), 1e-12)
        columns = tuple(
            Column(name=name, kind="real", location=float(mean), scale=float(scale))
            for name, mean, scale in zip(names, samples.mean(0), scales, strict=True)
        )
        return cls(model, columns, samples, context)

    def place(self, name: str) -> int:
        """Of the column with that name. Raises InvalidInputError where there is none."""
        names = [column.name for column in self.columns]
        if name not in names:
            raise InvalidInputError(f"No column {name!r}; the model has {', '.join(names)}.")
        return names.index(name)

    def number(self, place: int, value: Any) -> float:
        """A value of a column, as a person writes it, as the model's number."""
        column = self.columns[place]
        return float(encoded({column.name: np.array([value])}, [column], "given")[0, 0])

    def grid(self, place: int, grid: Any) -> np.ndarray:
        """The values that the density is asked at, float64 [points]."""
        column = self.columns[place]
        if grid is not None:
            values = np.asarray(grid)
            if values.ndim != 1 or not len(values):
                raise InvalidInputError(
                    f"grid must hold values of {column.name!r}, [points]; got {list(values.shape)}."
                )
            return encoded({column.name: values}, [column], "grid")[:, 0]
        if column.has_mass or column.kind == "circular":
            return self.nodes(place, _POINTS).values
        drawn = self.samples[:, place]
        low, high = np.quantile(drawn, [0.001, 0.999])
        return np.linspace(low, high, _POINTS)

    def nodes(self, place: int, count: int) -> _Nodes:
        """Values that a sum over is the integral over the column."""
        column, drawn = self.columns[place], self.samples[:, place]
        if column.is_categorical:
            values = np.arange(len(column.categories), dtype=np.float64)
            return _Nodes(values, np.zeros(len(values)), continuous=False)
        if column.is_whole:
            spread = np.ptp(drawn) + 10.0
            low = max(drawn.min() - spread, -np.inf if column.minimum is None else column.minimum)
            high = min(drawn.max() + spread, np.inf if column.maximum is None else column.maximum)
            values = np.arange(low, high + 1.0)
            return _Nodes(values, np.zeros(len(values)), continuous=False)
        count += 1 - count % 2  # odd: half of them begin and end as all do
        if column.kind == "circular":
            period, start = float(column.period or 1.0), float(column.minimum or 0.0)
            count -= 1  # a circle has no ends
            values = start + period * np.arange(count) / count
            return _Nodes(values, np.full(count, math.log(period / count)), continuous=True)
        y = _coordinate(column, drawn)
        margin = 0.5 * np.ptp(y)
        places = np.linspace(y.min() - margin, y.max() + margin, count)
        values, slopes = _value(column, places)
        return _Nodes(values, np.log(slopes * (places[1] - places[0])), continuous=True, ends=True)

    def factors(self, fixed: Mapping[int, float], place: int, values: np.ndarray) -> np.ndarray:
        """log p_i of every column, [points, columns], of rows that differ in one of them."""
        rows = self._rows(fixed, len(values))
        rows[:, place] = values
        return self._scored(rows, by_column=True)

    def integrated(
        self,
        fixed: Mapping[int, float],
        asked: int,
        values: np.ndarray,
        unknown: list[int],
        last: int,
    ) -> np.ndarray:
        """p(values | fixed), [points], by sums over the unknown columns and the one asked for."""
        own = self.nodes(asked, _POINTS)
        everywhere = np.concatenate([values, own.values])
        inner = self._nodes_of(unknown, len(everywhere))
        log_joint = self._log_joint(fixed, asked, everywhere, unknown, inner, last)
        fine = _summed(log_joint, inner, step=1)
        answer = self._normalised(fine, own, len(values), step=1)
        if (inner and any(nodes.continuous for nodes in inner)) or own.continuous:
            coarse = self._normalised(_summed(log_joint, inner, step=2), own, len(values), step=2)
            error = np.abs(answer - coarse).max() / max(answer.max(), 1e-300)
            if error > TOLERANCE:
                raise InvalidInputError(
                    f"The density is too narrow to be integrated over "
                    f"{self._names(unknown) or self.columns[asked].name}: with half the nodes the "
                    f"answer changes by {100 * error:.2g} %. Give more of these columns."
                )
        return answer

    def _normalised(
        self, log_density: np.ndarray, own: _Nodes, count: int, step: int
    ) -> np.ndarray:
        """The density of the first `count` values; the others are the nodes of its integral."""
        step = step if own.continuous else 1
        terms = log_density[count:][::step] + own.log_weights[::step] + math.log(step)
        total = np.logaddexp.reduce(terms)
        if not np.isfinite(total):
            raise InvalidInputError(
                "What is given has no density under the model: values outside of a column's "
                "support, or too far from any row."
            )
        ends = np.logaddexp(terms[0], terms[-1])
        if own.ends and ends - total > math.log(TOLERANCE):
            raise InvalidInputError(
                "Given these values, the density lies at the edge of what the model draws without "
                "them, and cannot be integrated."
            )
        return np.exp(log_density[:count] - total)

    def _nodes_of(self, unknown: list[int], points: int) -> list[_Nodes]:
        """Nodes of the unknown columns, as many as `ROWS` rows allow."""
        discrete = {i: self.nodes(i, 1) for i in unknown if self.columns[i].has_mass}
        rows = points * math.prod(len(nodes.values) for nodes in discrete.values())
        number = len(unknown) - len(discrete)
        most = (ROWS / rows) ** (1.0 / max(number, 1))
        if rows > ROWS or (number and most < _FEWEST_NODES):
            raise InvalidInputError(
                f"The answer is an integral over {self._names(unknown)}, too many columns for a "
                f"sum of {ROWS:,} rows. Give values of some of them, ask for a column that comes "
                "earlier in the table, or look at samples: model.sample, or "
                "zoo.tasks.imputation.impute of rows that hold what is given."
            )
        count = int(min(most, _POINTS + 1)) - 1
        return [discrete[i] if i in discrete else self.nodes(i, count) for i in unknown]

    def _names(self, places: list[int]) -> str:
        return ", ".join(self.columns[i].name for i in places)

    def _log_joint(
        self,
        fixed: Mapping[int, float],
        asked: int,
        values: np.ndarray,
        unknown: list[int],
        inner: list[_Nodes],
        last: int,
    ) -> np.ndarray:
        """log p of every value and every choice of the nodes, [points, *nodes], up to `last`."""
        shape = (len(values), *(len(nodes.values) for nodes in inner))
        rows = self._rows(fixed, math.prod(shape))
        axes = np.meshgrid(values, *(nodes.values for nodes in inner), indexing="ij")
        for place, axis in zip([asked, *unknown], axes, strict=True):
            rows[:, place] = axis.ravel()
        if isinstance(self.model, Factors):
            return self._scored(rows, by_column=True)[:, : last + 1].sum(1).reshape(shape)
        return self._scored(rows, by_column=False).reshape(shape)

    def _rows(self, fixed: Mapping[int, float], count: int) -> np.ndarray:
        """Rows of a sample's values, and those that are given."""
        rows = np.repeat(self.samples[:1], count, axis=0)
        for place, value in fixed.items():
            rows[:, place] = value
        return rows

    def _scored(self, rows: np.ndarray, *, by_column: bool) -> np.ndarray:
        call = self.model.column_log_prob if by_column else self.model.log_prob
        found = []
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK].astype(self.model.data.dtype)
            context = self.context
            if context is not None:
                context = np.repeat(np.reshape(context, [1, *np.shape(context)[1:]]), len(block), 0)
            found.append(np.asarray(call(block, context), np.float64))
        return np.concatenate(found)


def _summed(log_joint: np.ndarray, inner: list[_Nodes], *, step: int) -> np.ndarray:
    """The log of the sum over the nodes, every `step`-th of continuous ones: [points]."""
    for nodes in reversed(inner):
        stride = step if nodes.continuous else 1
        terms = log_joint[..., ::stride] + nodes.log_weights[::stride] + math.log(stride)
        log_joint = np.logaddexp.reduce(terms, axis=-1)
    return log_joint


def _coordinate(column: Column, x: np.ndarray) -> np.ndarray:
    """y of values of a real, positive or bounded column, or of a moment."""
    if column.kind == "positive":
        x = np.log(x)
    elif column.kind == "bounded":
        low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
        x = np.log(x - low) - np.log(high - x)
    y = (x - column.location) / column.scale
    return np.arcsinh(y) if column.heavy else y


def _value(column: Column, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, dx/dy) of coordinates: `_coordinate` backwards."""
    slope = np.cosh(y) if column.heavy else np.ones_like(y)
    v = (np.sinh(y) if column.heavy else y) * column.scale + column.location
    slope = slope * column.scale
    if column.kind == "positive":
        return np.exp(v), slope * np.exp(v)
    if column.kind == "bounded":
        low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
        share = 1.0 / (1.0 + np.exp(-v))
        return low + (high - low) * share, slope * (high - low) * share * (1.0 - share)
    return v, slope
