"""The figures that a model can have: one literal table. Importable without TensorFlow.

A figure in `metrics.json`, on a card or in a table has its name here. `where` computes all of the
names that share it in one pass: `function(task, names) -> Measured` (`zoo.evaluation.task`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from zoo.errors import ConfigError

__all__ = ["CUSTOMARY", "METRICS", "Metric", "customary", "metric", "unmet"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure.

    unit: as cards print it.   better: which way.   where: "module:function" that computes it.
    needs: capabilities of the model ("Scores", "Infers", …) and things of its recipe: "target", a
        density that it was fitted to; "teacher", a model that it was distilled from.
    tolerance: the part of its two standard errors within which `zoo verify` wants it again.
    digits: behind the point in `metrics.json`.
    """

    unit: str
    better: Literal["higher", "lower"]
    where: str
    needs: frozenset[str]
    description: str
    # The rows and the noise are the same, and machines differ in rounding alone.
    tolerance: float = 0.05
    digits: int = 6


# Of clips that a model speaks the noise is the same, too, but one sample that rounding moves to the
# next value changes all that follow: elsewhere these are other clips. Two independent draws of them
# differ by more than this part at one time in 200.
_DRAWN = 2.0

METRICS: dict[str, Metric] = {
    "bits_per_dim": Metric(
        unit="bits/dim",
        better="lower",
        where="zoo.evaluation.density:density_metrics",
        needs=frozenset({"Scores"}),
        description="-log p(x) / (D log 2), x the data as stored; one draw of noise a row",
    ),
    "log_prob": Metric(
        unit="nats",
        better="higher",
        where="zoo.evaluation.density:density_metrics",
        needs=frozenset({"Scores"}),
        description="log p(x) of the data as stored",
    ),
    "log_prob_paper": Metric(
        unit="nats",
        better="higher",
        where="zoo.evaluation.density:density_metrics",
        needs=frozenset({"Scores", "Bijective"}),
        description="log p in the space in which the paper quotes it; `space` says which",
    ),
    "log_prob_symmetrised": Metric(
        unit="nats, mixture over 8 symmetries",
        better="higher",
        where="zoo.evaluation.density:density_metrics",
        needs=frozenset({"Scores"}),
        description="log p of the model's mixture over the eight symmetries of square patches",
    ),
    "log_prob_orders": Metric(
        unit="nats, mean over 10 orders",
        better="higher",
        where="zoo.evaluation.orders:order_metrics",
        needs=frozenset({"AnyOrder"}),
        description="log p of one order of the features, the mean over 10 uniform orders",
    ),
    "log_prob_mixture": Metric(
        unit="nats, mixture of 10 orders",
        better="higher",
        where="zoo.evaluation.orders:order_metrics",
        needs=frozenset({"AnyOrder"}),
        description="log p of the equal mixture of 10 uniform orders of the features",
    ),
    "order_spread": Metric(
        unit="nats, deviation over 10 orders",
        better="lower",
        where="zoo.evaluation.orders:order_metrics",
        needs=frozenset({"AnyOrder"}),
        description="standard deviation over 10 uniform orders of the mean log p of the rows",
    ),
    "mass_outside": Metric(
        unit="share of the mass",
        better="lower",
        where="zoo.evaluation.outside:outside_metrics",
        needs=frozenset({"Scores", "Encodes"}),
        description="mass of integers that are no data, by draws of a flow of integers",
    ),
    "compressed_bits_per_dim": Metric(
        unit="bits/dim",
        better="lower",
        where="zoo.evaluation.coding:coding_metrics",
        needs=frozenset({"Scores", "Encodes"}),
        description="bits of the file that `zoo compress` makes of the rows, header and all",
    ),
    "reverse_kl": Metric(
        unit="nats",
        better="lower",
        where="zoo.evaluation.targets:target_metrics",
        needs=frozenset({"Scores", "Bijective", "target"}),
        description="E_q[log q + U] + log Z over the model's own draws; 0 is perfect",
    ),
    "forward_kl": Metric(
        unit="nats",
        better="lower",
        where="zoo.evaluation.targets:target_metrics",
        needs=frozenset({"Scores", "Bijective", "target"}),
        description="E_p[log p - log q] over rows of the target: large where q leaves some out",
    ),
    "bits_per_sample": Metric(
        unit="bits a 16-bit sample",
        better="lower",
        where="zoo.evaluation.audio:bits_metrics",
        needs=frozenset({"Steps"}),
        description="-log2 P(x_t | x_<t) of 16-bit samples, the silence behind clips left out",
    ),
    "bits_per_sample_mu_law": Metric(
        unit="bits a mu-law class",
        better="lower",
        where="zoo.evaluation.audio:bits_metrics",
        needs=frozenset({"Steps"}),
        description="the same of the 8-bit mu-law classes",
    ),
    "distillation_kl": Metric(
        unit="nats a sample",
        better="lower",
        where="zoo.evaluation.audio:distillation_metrics",
        needs=frozenset({"Samples", "teacher"}),
        description="KL(student | teacher) along the student's own clips",
    ),
    "recognised": Metric(
        unit="share of clips, by the listener",
        better="higher",
        where="zoo.evaluation.audio:spoken_metrics",
        needs=frozenset({"Samples"}),
        description="share of generated clips whose digit the listener names; Wilson's interval",
        tolerance=_DRAWN,
        digits=4,
    ),
    "silence_excess_db": Metric(
        unit="dB",
        better="lower",
        where="zoo.evaluation.audio:spoken_metrics",
        needs=frozenset({"Samples"}),
        description="level of the quietest tenth of speech, of generated clips minus of real ones",
        tolerance=_DRAWN,
        digits=3,
    ),
    "negative_elbo": Metric(
        unit="nats",
        better="lower",
        where="zoo.evaluation.bounds:bound_metrics",
        needs=frozenset({"Infers"}),
        description="-ELBO(x), one draw of the posterior a row",
    ),
    "negative_log_prob": Metric(
        unit="nats",
        better="lower",
        where="zoo.evaluation.bounds:bound_metrics",
        needs=frozenset({"Infers"}),
        description="-log p(x) by importance samples: in expectation above the truth",
    ),
    "active_units": Metric(
        unit="latents",
        better="higher",
        where="zoo.evaluation.bounds:bound_metrics",
        needs=frozenset({"Infers"}),
        description="latents whose posterior mean varies over the rows by more than 0.01",
    ),
}

# What a model is judged by where no entry of the registry says it: the first line that it meets.
CUSTOMARY: tuple[tuple[str, ...], ...] = (
    ("reverse_kl", "forward_kl"),
    ("distillation_kl",),
    ("bits_per_sample",),
    ("negative_elbo", "negative_log_prob", "active_units"),
    ("log_prob", "log_prob_orders", "order_spread"),
    ("bits_per_dim", "log_prob"),
)


def metric(name: str) -> Metric:
    """The metric of that name. Raises ConfigError for none."""
    try:
        return METRICS[name]
    except KeyError:
        raise ConfigError(f"No metric named {name!r}; there are {', '.join(METRICS)}.") from None


def unmet(names: Iterable[str], have: Collection[str]) -> dict[str, list[str]]:
    """{name: what it needs beside `have`} of the metrics that need more."""
    missing = {name: sorted(metric(name).needs.difference(have)) for name in names}
    return {name: needs for name, needs in missing.items() if needs}


def customary(have: Collection[str]) -> tuple[str, ...]:
    """The metrics of `CUSTOMARY` for a model that has these capabilities; () for none."""
    return next((names for names in CUSTOMARY if not unmet(names, have)), ())
