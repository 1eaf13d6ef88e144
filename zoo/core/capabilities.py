"""What a model can do: one base class for each thing, with its methods as contracts.

A model's kind (`zoo.kinds`) inherits the capabilities it has; what a model cannot do, it does not
have. Whoever needs something asks `isinstance(model, Scores)`: signatures, laws, metrics, cards.

    Scores      log p(x), or a bound or an estimate of it
    Samples     draws of rows
    Encodes     rows to latents and back
    Bijective   an exact bijection of dequantised data, as a TFP object
    Infers      a posterior over latents
    Steps       a row piece by piece, each given those before
    Imputes     the missing cells of a row, given those that are there
    AnyOrder    any feature of a row given any others, exactly
    Grows       weights that come about in stages, each learnt from what those before leave
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from zoo.core.space import Space
from zoo.core.training import Descent
from zoo.ops.units import bits_per_dim_from_nats

__all__ = [
    "AnyOrder",
    "Bijective",
    "Encodes",
    "Grows",
    "Imputes",
    "Infers",
    "Samples",
    "Scores",
    "Steps",
    "capabilities_of",
]


class Scores(ABC):
    """Rows have a log-probability.

    measure: a density, a mass (of integers), a density of volume on a manifold; "mixed" of rows
    some of whose columns have the one and some the other.
    precision: exact (in the stored rows or, of a density of grey levels, in the rows with noise),
    a lower bound in expectation, or an unbiased estimate.
    """

    precision: ClassVar[Literal["exact", "bound", "estimate"]] = "exact"
    config: Any

    @property
    def measure(self) -> Literal["density", "mass", "volume", "mixed"]:
        """What log_prob is the logarithm of."""
        return "density"

    @abstractmethod
    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log p(x [| context]): [batch] nats of the data as stored.

        A row's number depends on the row, its context and the seed alone.
        """

    @abstractmethod
    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """What `fit` maximises, of checked arguments, in any graph: [batch] nats."""

    def bits_per_dim(self, x: Any, context: Any = None, *, seed: Any = None, **options: Any) -> Any:
        """-log_prob / (D log 2), [batch]; a uniform model over uint8 gives exactly 8.

        options: those of `log_prob`.
        """
        nats = self.log_prob(x, context, seed=seed, **options)
        return bits_per_dim_from_nats(nats, self.config.event_size)


class Samples(ABC):
    """Rows can be drawn. temperature_meaning: words for what the temperature does."""

    temperature_meaning: ClassVar[str] = (
        "factor on the latent: 1 samples the model, 0 gives the image of the base's mode"
    )

    @abstractmethod
    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """Rows of the data's space, [num_samples, *event_shape]; the same under the same seed."""

    @abstractmethod
    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """A row for each seed, in any graph: that of `sample(1, seed, temperature, context)`.

        seeds: int32 [batch, 2].   temperature: [batch].   returns: [batch, *event_shape].
        """


class Encodes(ABC):
    """Rows have latents. lossless: which way round nothing is lost.

    "data": decode(encode(x)) is x.   "latent": encode(decode(z)) is z.   "no": neither.
    """

    lossless: ClassVar[Literal["data", "latent", "no"]] = "data"

    @abstractmethod
    def encode(self, x: Any, context: Any = None) -> Any:
        """The latents of the rows x: [batch, latents]."""

    @abstractmethod
    def decode(self, z: Any, context: Any = None) -> Any:
        """The rows of the latents z, in data units and dtype: [batch, *event_shape]."""


class Bijective(Encodes):
    """Dequantised data are a bijection of the latents, which have a base distribution.

    In any graph, of checked arguments: `chain`, `dequantised` and `encoded_context`.
    """

    @abstractmethod
    def bijector(self, context: Any = None) -> Any:
        """latent -> dequantised data: a `tfb.Bijector` that reads the weights at its calls."""

    @abstractmethod
    def distribution(self, context: Any = None) -> Any:
        """The density of dequantised data: a `tfd.TransformedDistribution`, live as well."""

    @abstractmethod
    def base_distribution(self) -> Any:
        """The latents' distribution: a TFP distribution, event [D]."""

    @abstractmethod
    def chain(self, *, training: bool = False, fit: Any = "nothing", context: Any = None) -> Any:
        """`bijector` of an encoded context; `fit` says which layers set weights as they run."""

    @abstractmethod
    def dequantised(self, x: Any, seed: Any) -> Any:
        """x as real numbers: integers with the noise that the row and the seed name."""

    @abstractmethod
    def encoded_context(self, context: Any) -> Any:
        """The context as the networks take it, or None."""


class Infers(ABC):
    """Rows have a posterior over latents, and a bound by it."""

    @abstractmethod
    def elbo(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """E_q[log p(x, z) - log q(z | x)] by one draw a row: [batch] nats."""

    @abstractmethod
    def posterior(self, x: Any) -> Any:
        """q(z | x) over the current weights: a TFP distribution, batch [rows]."""

    @abstractmethod
    def reconstruct(self, x: Any, context: Any = None) -> Any:
        """E[x' | z = encode(x)], floats in data units: [batch, *event_shape]."""


class Steps(ABC):
    """A row is made piece by piece, each given those before."""

    @abstractmethod
    def stepwise_log_prob(self, x: Any, context: Any = None) -> Any:
        """log P(x_t | x_<t) of every piece, [batch, T] nats, whose sum is `log_prob`."""

    @abstractmethod
    def sample_stream(
        self,
        num_samples: int,
        *,
        seed: Any = None,
        temperature: float = 1.0,
        context: Any = None,
        chunk_size: int = 800,
    ) -> Iterator[Any]:
        """The rows of `sample`, chunk after chunk of their pieces."""

    @property
    @abstractmethod
    def step_size(self) -> int:
        """Pieces that an exported `sample_step` makes at a time."""

    @abstractmethod
    def step_state(self) -> Mapping[str, Space]:
        """What the next pieces depend on, one row each; zeros before the first."""

    @abstractmethod
    def next_pieces(
        self, state: Mapping[str, Any], seeds: Any, temperature: Any, context: Any, *, count: int
    ) -> dict[str, Any]:
        """{"x": the next `count` pieces [batch, count]} and the state after them, in any graph."""


class Imputes(ABC):
    """Missing cells of a row can be drawn given those that are there."""

    @abstractmethod
    def impute(
        self, x: Any, context: Any = None, *, num_particles: int = 200, seed: Any = None
    ) -> Any:
        """The rows x, NaN where a cell is missing, with draws in those places.

        They are exact in the limit of many particles.
        """


class AnyOrder(ABC):
    """Any feature has an exact conditional given any others: a row can be made in any order.

    One order gives one density, and another order another one: they agree as far as training
    brought it. Whether a feature is observed is said by a mask, which integers need: they have no
    NaN.
    """

    name: str
    data: Any

    @abstractmethod
    def impute(
        self,
        x: Any,
        context: Any = None,
        *,
        observed: Any = None,
        seed: Any = None,
        temperature: float = 1.0,
    ) -> Any:
        """The rows x with exact draws in the place of what is not observed."""

    @abstractmethod
    def ordered_log_prob(self, x: Any, order: Any, context: Any = None) -> Any:
        """log p(x) as the features come in `order`, a permutation [D]: [batch] nats."""

    @abstractmethod
    def conditional(self, x: Any, observed: Any, feature: Any) -> Any:
        """p(x_feature | the observed features of each row), with `log_prob` and `sample`."""

    @abstractmethod
    def complete_rows(self, x: Any, observed: Any, seeds: Any, temperature: Any) -> Any:
        """x where observed, else drawn, in any graph: that of `impute` of a row and its seed."""


class Grows(ABC):
    """Weights come about in stages. The training score, the mean of log_prob, does not fall."""

    @property
    @abstractmethod
    def stages_done(self) -> int:
        """How many stages the model has; saved with its weights."""

    @property
    @abstractmethod
    def most_stages(self) -> int:
        """How many it has room for."""

    @abstractmethod
    def grow(
        self,
        x: Any,
        context: Any = None,
        *,
        seed: int = 0,
        descent: Descent | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> float:
        """Adds the next stage, learnt from the rows x; returns the training score's gain in nats.

        The same weights, rows and seed give the same stage, bit for bit.
        x: [rows, *event_shape], all of them.   seed: of what is drawn, with the stage's number.
        descent: of a stage that follows a gradient, how; the model's own without.
        report: called with (steps done, steps) in between; what it raises ends the stage, and
            the weights are then to be thrown away.
        Raises InvalidInputError where no stage is left.
        """


CAPABILITIES = (Scores, Samples, Encodes, Bijective, Infers, Steps, Imputes, AnyOrder, Grows)


def capabilities_of(model: Any) -> frozenset[str]:
    """The names of the capabilities of a model, or of a class of models."""
    kind = model if isinstance(model, type) else type(model)
    return frozenset(found.__name__ for found in CAPABILITIES if issubclass(kind, found))
