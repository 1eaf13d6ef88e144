"""What a recipe minimises, as settings: frozen values that need no TensorFlow.

Each names the class that computes it, `(model, x, context, seed, *, step, training) -> [batch]`
nats, and what that class asks of a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from zoo.core.checked import check_numbers, check_words
from zoo.errors import ConfigError

__all__ = ["Default", "Distillation", "NegativeELBO", "Objective", "ReverseKL"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Settings of an objective.

    implementation: "module:class", made by `class(settings, ...)`.
    needs: the capabilities (`zoo.core.capabilities`) that a model must have.
    """

    kind: ClassVar[str]
    implementation: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that cannot be run."""
        check_words(self)


@dataclass(frozen=True, kw_only=True)
class Default(Objective):
    """The model's own objective: `model.default_objective()`.

    That is the negative log-likelihood of a density or a mass, and -ELBO of a latent variable.
    """

    kind: ClassVar[str] = "Default"
    implementation: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class _Annealed(Objective):
    """An objective with a weight beta that rises to 1 over the first `annealing_steps` steps."""

    annealing_steps: int = 0  # 0: beta is 1 from the start

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, ("annealing_steps",))


@dataclass(frozen=True, kw_only=True)
class NegativeELBO(_Annealed):
    """-ELBO.

    annealing: what beta multiplies, the KL divergence ("kl"), or log p(x, z) ("joint", from 0.01;
        arXiv:1505.05770, Eq. 20).
    """

    kind: ClassVar[str] = "NegativeELBO"
    implementation: ClassVar[str] = "zoo.objectives.bounds:NegativeELBO"
    needs: ClassVar[tuple[str, ...]] = ("Infers",)

    annealing: Literal["kl", "joint"] = "kl"


@dataclass(frozen=True, kw_only=True)
class ReverseKL(_Annealed):
    """KL(model | target), over the model's own draws.

    beta multiplies the target's log-density, from 0.01: a small one spreads the model over the
    plane (arXiv:1505.05770, Eq. 20).
    """

    kind: ClassVar[str] = "ReverseKL"
    implementation: ClassVar[str] = "zoo.objectives.reverse_kl:ReverseKL"
    needs: ClassVar[tuple[str, ...]] = ("Bijective",)


@dataclass(frozen=True, kw_only=True)
class Distillation(Objective):
    """What a student differs in from its teacher.

    A weight of 0 leaves a term out.
    teacher: a registered name.   divergence: "sampled" averages the cross-entropy over
    `num_samples` draws per step; "gaussian" is ClariNet's closed form, log-scales at least
    `log_scale_floor`, with `scale_weight` on the squared difference of log-scales.
    contrastive: gamma of the term that a wrong label has.   power: of the power loss.
    spectral: of the distance of log-spectra.   perceptual: of the style loss on a classifier's
    features.
    """

    kind: ClassVar[str] = "Distillation"
    implementation: ClassVar[str] = "zoo.objectives.distillation:DistillationLoss"
    needs: ClassVar[tuple[str, ...]] = ("Bijective",)

    teacher: str
    divergence: Literal["sampled", "gaussian"] = "sampled"
    num_samples: int = 8
    log_scale_floor: float = -7.0
    scale_weight: float = 4.0
    contrastive: float = 0.0
    power: float = 0.0
    spectral: float = 0.0
    perceptual: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that cannot be run."""
        check_numbers(self, ("scale_weight", "contrastive", "power", "spectral", "perceptual"))
        super().__post_init__()
        if self.num_samples < 1:
            raise ConfigError(f"num_samples must be at least 1; got {self.num_samples}.")
