"""Tables of a study's results: means over seeds, and what was expected of them beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.core.metric import metric
from zoo.core.study import Beats, Expectation, Reaches, Study
from zoo.media.console import figure

__all__ = ["Compared", "compared", "expectation_text", "markdown", "rows_of", "spread"]

Results = Mapping[str, Any]
_ARROWS = {"higher": "↑", "lower": "↓"}


def markdown(study: Study, results: Results) -> str:
    """Both tables, with a line on what they are made of."""
    parts = [_table(rows_of(study, results)), _note(study, results)]
    if study.expectations:
        parts.append(_table(_expected_rows(study, results)))
    return "\n\n".join(parts)


def rows_of(study: Study, results: Results) -> list[list[str]]:
    """The header, a row an arm, a row a floor: means ± deviations over the seeds."""
    names = study.metrics
    header = [f"{name} ({metric(name).unit}) {_ARROWS[metric(name).better]}" for name in names]
    lines = [["arm", *header, "runs"]]
    for arm in study.arms:
        done = [run for run in _runs(results, arm.name) if run["status"] == "done"]
        cells = [_cell(study, [run["metrics"][name] for run in done]) for name in names]
        lines.append([arm.name, *cells, _count(results, arm.name)])
    for floor in study.floors:
        found = [row["metrics"] for row in results["floors"] if row["floor"] == floor.name]
        cells = [_cell(study, [f[name] for f in found if name in f]) for name in names]
        lines.append([floor.name, *cells, "no model"])
    return lines


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, to two digits of the latter: "-138.3 ± 1.4"."""
    if not values:
        return ""
    mean = statistics.fmean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    if not deviation:  # one value, or a floor of one dataset
        return f"{mean:.4g}"
    return figure({"value": mean, "two_standard_errors": deviation})


def _cell(study: Study, figures: Sequence[Mapping[str, Any]]) -> str:
    if study.published and figures:
        return figure(figures[0])
    return spread([float(f["value"]) for f in figures])


def _count(results: Results, arm: str) -> str:
    statuses = [run["status"] for run in _runs(results, arm)]
    others = [s for s in ("failed", "stopped", "missing") if s in statuses]
    return ", ".join([str(statuses.count("done")), *(f"{statuses.count(s)} {s}" for s in others)])


def _runs(results: Results, arm: str) -> list[Mapping[str, Any]]:
    return [run for run in results["runs"] if run["arm"] == arm]


def _note(study: Study, results: Results) -> str:
    if study.published:
        return (
            "One run an arm, ± two standard errors over the test rows; of differences, the root of "
            "the sum of both squares."
        )
    failed = sum(run["status"] == "failed" for run in results["runs"])
    seeds = ", ".join(map(str, results["seeds"]))
    text = f"Mean ± standard deviation over the seeds {seeds}, of test rows; no run is left out."
    if failed:
        text += f" {failed} of {len(results['runs'])} runs failed, and have no figure."
    return text


class Compared(list[float]):
    """Differences by seed, above 0 where the expectation holds; `seeds`: as many as there are."""

    @property
    def in_favour(self) -> int:
        """How many are above 0."""
        return sum(difference > 0.0 for difference in self)


def compared(expectation: Beats, results: Results) -> Compared:
    """What the arm is better by than the other, for every seed in which both have a figure."""
    name = expectation.metric
    sign = 1.0 if metric(name).better == "higher" else -1.0
    ours, others = (_by_seed(results, who, name) for who in (expectation.arm, expectation.other))
    return Compared(
        sign * (ours[seed] - others[seed])
        for seed in results["seeds"]
        if seed in ours and seed in others
    )


def _by_seed(results: Results, who: str, name: str) -> dict[int, float]:
    runs = [run for run in _runs(results, who) if run["status"] == "done"]
    floors = [row for row in results["floors"] if row["floor"] == who]
    found = [*runs, *floors]
    return {row["seed"]: row["metrics"][name]["value"] for row in found if name in row["metrics"]}


def expectation_text(expectation: Expectation) -> str:
    """What was expected, in words."""
    name = expectation.metric
    if isinstance(expectation, Beats):
        return f"{expectation.arm} better than {expectation.other} by {name}"
    return f"{expectation.arm}: mean {name} of {expectation.value:g} or better"


def _expected_rows(study: Study, results: Results) -> list[list[str]]:
    lines = [["expected", "better by", "seeds in favour", "found"]]
    done = all(run["status"] in ("done", "failed") for run in results["runs"])
    for expectation in study.expectations:
        if isinstance(expectation, Reaches):
            by, favour, verdict = _reached(expectation, results)
        elif study.published:
            by, favour, verdict = _beaten_once(expectation, results)
        else:
            found = compared(expectation, results)
            favour = f"{found.in_favour} of {len(study.seeds)} (wanted {expectation.seeds})"
            by, verdict = spread(found), _verdict(found.in_favour >= expectation.seeds)
        lines.append([expectation_text(expectation), by, favour, verdict if done else "not yet"])
    return lines


def _verdict(holds: bool) -> str:  # noqa: FBT001
    return "yes" if holds else "not reproduced here"


def _reached(expectation: Reaches, results: Results) -> tuple[str, str, str]:
    values = _by_seed(results, expectation.arm, expectation.metric).values()
    sign = 1.0 if metric(expectation.metric).better == "higher" else -1.0
    better = [sign * (value - expectation.value) for value in values]
    return spread(better), "", _verdict(bool(better) and statistics.fmean(better) >= 0.0)


def _beaten_once(expectation: Beats, results: Results) -> tuple[str, str, str]:
    """Of one run an arm, whose errors are those of the rows."""
    found = compared(expectation, results)
    if not found:
        return "", "", "not yet"
    errors = [
        run["metrics"][expectation.metric].get("two_standard_errors", 0.0)
        for arm in (expectation.arm, expectation.other)
        for run in _runs(results, arm)
    ]
    error = math.hypot(*errors)
    verdict = "within the error" if abs(found[0]) <= error else _verdict(found[0] > 0.0)
    return figure({"value": found[0], "two_standard_errors": error}), "one run", verdict


def _table(lines: Sequence[Sequence[str]]) -> str:
    header, *rows = lines
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
