"""How weights come about, as settings: frozen values that need no TensorFlow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from zoo.core.checked import check_numbers, check_words
from zoo.errors import ConfigError

__all__ = [
    "SGD",
    "Augmentation",
    "Binarise",
    "Descent",
    "Flips",
    "Greedy",
    "Optimizer",
    "PatchSymmetries",
    "Shifts",
    "Training",
]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Adam, or its variant with the infinity norm, and its schedule.

    The rate rises linearly over `warmup_steps`, then is constant or falls on a half cosine to
    `final_fraction` of itself at the run's last step.
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    algorithm: Literal["adam", "adamax"] = "adam"
    weight_decay: float = 0.0  # decoupled (AdamW), on matrices and convolution kernels alone
    clip_norm: float = 0.0  # global norm of the gradient; 0 for none
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    final_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that cannot be run."""
        words = check_words(self)
        check_numbers(self, (f.name for f in dataclasses.fields(self) if f.name not in words))
        if self.epsilon == 0.0 or self.beta_1 >= 1.0 or self.beta_2 >= 1.0:
            raise ConfigError(
                "Adam needs epsilon > 0 and beta_1, beta_2 in [0, 1); got "
                f"{self.epsilon}, {self.beta_1}, {self.beta_2}."
            )


# What is done to the rows of a batch before each step. `zoo.training.augmentation` does it.


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A random change of the rows of a batch."""

    kind: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class Flips(Augmentation):
    """Each image is mirrored, left to right, with probability 1/2."""

    kind: ClassVar[str] = "Flips"


@dataclass(frozen=True, kw_only=True)
class Shifts(Augmentation):
    """Half of the images are moved by up to `pixels` pixels each way, zeros behind them.

    It costs a density at most log(2 (2 pixels + 1)**2) nats of its best, and it sees more.
    """

    kind: ClassVar[str] = "Shifts"

    pixels: int

    def __post_init__(self) -> None:
        """Raises ConfigError for less than one pixel."""
        if self.pixels < 1:
            raise ConfigError(f"pixels must be at least 1; got {self.pixels}.")


@dataclass(frozen=True, kw_only=True)
class PatchSymmetries(Augmentation):
    """Every row, a square patch less its mean and last pixel, is turned or mirrored at random."""

    kind: ClassVar[str] = "PatchSymmetries"


@dataclass(frozen=True, kw_only=True)
class Binarise(Augmentation):
    """Grey levels become binary images, 1 with probability x / 255, drawn anew at every step.

    Validation and evaluation draw once.
    """

    kind: ClassVar[str] = "Binarise"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How weights come about.

    runner: "module:class" of the loop, whose constructor and `loop` are those of
        `zoo.training.run.Run`.   needs: the capabilities of a model that it trains.
    unit: what a run counts.
    shares_batches: whether its steps can be taken by several devices, a part of each batch each.
    """

    kind: ClassVar[str]
    runner: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset({"Scores"})
    shares_batches: ClassVar[bool] = False
    unit: ClassVar[str] = "step"

    @property
    def binarises(self) -> bool:
        """Whether rows of grey levels are made binary images."""
        return False

    @property
    def exact_products(self) -> bool:
        """Whether factors of float32 products keep their digits."""
        return True


@dataclass(frozen=True, kw_only=True)
class SGD(Training):
    """Stochastic gradient descent on batches of rows.

    `validate_every`: steps between validations; 0 for once an epoch.   `validation_rows`: rows of
    each; 0 for all.   `patience` counts validations without improvement; 0 means never stop early.
    `ema_decay` 0 means no averaging.   `l2` is the coefficient of the sum of squares of the weights
    that the model lists in `regularized_weights`.
    `initialization_rows`: rows for the data-dependent initialisation; 0 for none.
    `conditioner_dtype` is the precision of the networks; densities and log-dets are float32 always.
    "tensorfloat32" lets an accelerator round the factors of matrix products and convolutions, to
    TF32's 10 bits on a GPU; on a CPU it is float32.
    `bucket_size`, of clips: batches of like lengths, cut at a multiple of it; 0 for whole rows.
    `frozen`: weights whose path this regular expression is found in stay as they are.
    """

    kind: ClassVar[str] = "SGD"
    runner: ClassVar[str] = "zoo.training.run:Run"
    shares_batches: ClassVar[bool] = True

    optimizer: Optimizer = field(default_factory=Optimizer)
    batch_size: int
    max_epochs: int
    validate_every: int = 0
    validation_rows: int = 0
    patience: int = 0
    ema_decay: float = 0.0
    l2: float = 0.0
    augment: tuple[Augmentation, ...] = ()
    conditioner_dtype: Literal["float32", "tensorfloat32", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False
    initialization_rows: int = 0
    bucket_size: int = 0
    seed: int = 0
    frozen: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be run."""
        check_words(self)
        numbers = ("validate_every", "patience", "ema_decay", "l2")
        check_numbers(
            self, (*numbers, "initialization_rows", "validation_rows", "bucket_size", "seed")
        )
        if self.seed >= 2**31:
            raise ConfigError(f"seed must be below 2**31; got {self.seed}.")
        if self.batch_size < 1 or self.max_epochs < 1 or self.ema_decay >= 1.0:
            raise ConfigError(
                "A recipe needs batch_size >= 1, max_epochs >= 1 and ema_decay in [0, 1); got "
                f"{self.batch_size}, {self.max_epochs} and {self.ema_decay}."
            )

    @property
    def binarises(self) -> bool:
        """Whether rows of grey levels are made binary images."""
        return any(isinstance(change, Binarise) for change in self.augment)

    @property
    def exact_products(self) -> bool:
        """Whether the networks' precision is not TF32."""
        return self.conditioner_dtype != "tensorfloat32"


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How a stage follows its gradient: Adam, on all rows in batches, for so many epochs."""

    learning_rate: float = 5e-4
    batch_size: int = 64
    epochs: int = 30

    def __post_init__(self) -> None:
        """Raises ConfigError for settings that cannot be run."""
        check_numbers(self, ("learning_rate",))
        if self.batch_size < 1 or self.epochs < 1:
            raise ConfigError(
                "A descent needs batch_size >= 1 and epochs >= 1; got "
                f"{self.batch_size} and {self.epochs}."
            )


@dataclass(frozen=True, kw_only=True)
class Greedy(Training):
    """Fitting in stages: each is learnt from all rows, given those before it, and then stays.

    layers: stages at most.   patience: stages without gain on the validation rows after which the
    run ends; 0 means never.   descent: of stages that follow a gradient; None for others.
    seed: of what stages draw.
    """

    kind: ClassVar[str] = "Greedy"
    unit: ClassVar[str] = "stage"
    runner: ClassVar[str] = "zoo.training.greedy:GreedyRun"
    needs: ClassVar[frozenset[str]] = frozenset({"Scores", "Grows"})

    layers: int
    patience: int = 0
    descent: Descent | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be run."""
        check_numbers(self, ("layers", "patience", "seed"))
        if self.layers < 1 or self.seed >= 2**31:
            raise ConfigError(
                "Fitting in stages needs layers >= 1 and a seed below 2**31; got "
                f"{self.layers} and {self.seed}."
            )
