"""Recipes: a training run as a frozen value. Importable without TensorFlow.

A recipe names everything that decides the weights: dataset and version, model config, optimiser,
schedule, batch, precision, seed. Each system has one recipe that is the paper's; a variant is a
`dataclasses.replace` of it. The values live in `zoo.registry`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zoo.errors import ConfigError

__all__ = ["Dataset", "Distillation", "Optimizer", "Recipe", "from_dict", "override", "to_dict"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A TFDS dataset by name and pinned version, and how its rows are split.

    `validation` is always carved from the dataset's own train rows, never from its test rows.
    `labels`: the classes whose rows are kept, by `context`, or by the feature `label` where nothing
    conditions the model; () for all.
    `more_train`: another dataset of the same version and features, whose rows of the split "train"
    are trained on besides; "" for none.
    """

    name: str
    version: str
    train: str
    validation: str
    test: str
    feature: str = "image"
    context: str = ""  # the feature that conditions the model; "" for none
    labels: tuple[int, ...] = ()
    more_train: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for labels that are not integers."""
        labels = tuple(self.labels) if isinstance(self.labels, list | tuple) else (None,)
        if any(type(label) is not int for label in labels):
            raise ConfigError(f"labels must be integers, as [3, 5]; got {self.labels!r}.")
        object.__setattr__(self, "labels", labels)  # a JSON list is a tuple here


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
        words = _check_words(self)
        _check_numbers(self, (f.name for f in dataclasses.fields(self) if f.name not in words))
        if self.epsilon == 0.0 or self.beta_1 >= 1.0 or self.beta_2 >= 1.0:
            raise ConfigError(
                "Adam needs epsilon > 0 and beta_1, beta_2 in [0, 1); got "
                f"{self.epsilon}, {self.beta_1}, {self.beta_2}."
            )


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """How a student learns from a teacher: the settings of `zoo.objectives.distillation`.

    A weight of 0 leaves a term out.

    teacher: a registered name.   divergence: "sampled" averages the cross-entropy over
    `num_samples` draws a step; "gaussian" is ClariNet's closed form, log-scales at least
    `log_scale_floor`, with `scale_weight` on the squared difference of log-scales.
    contrastive: gamma of the term that a wrong label has.   power: of the power loss.
    spectral: of the distance of log-spectra.   perceptual: of the style loss on a classifier's
    features.
    """

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
        _check_numbers(self, ("scale_weight", "contrastive", "power", "spectral", "perceptual"))
        _check_words(self)
        if self.num_samples < 1:
            raise ConfigError(f"num_samples must be at least 1; got {self.num_samples}.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    `family` and `config` build the model (`zoo.create(family, **config)`); `l2` is the coefficient
    of the sum of squares of the weights the model lists in `regularized_weights`; `ema_decay` 0
    means no averaging; `patience` counts validations without improvement, 0 means never stop early.
    `conditioner_dtype` is the precision of the networks; densities and log-dets are float32 always.
    "tensorfloat32" lets an accelerator round the factors of matrix products and convolutions, to
    TF32's 10 bits on a GPU; on a CPU it is float32.
    `shift_pixels`: half of the images are moved by up to so many pixels each way in training, zeros
    behind them. It costs a density at most log(2 (2 n + 1)**2) nats of its best, and it sees more.
    `patch_symmetries`: in training every row, a square patch less its mean and last pixel, is
    turned or mirrored at random.
    `start`: a registered model from whose published weights the run starts. The recipe's own of the
    same names and shapes take their values; further layers are fresh, and so is an output layer of
    another size.
    `annealing_steps` of a VAE: the weight beta of its KL divergence ("kl"), or of log p(x, z)
    ("joint", from 0.01; arXiv:1505.05770, Eq. 20), rises linearly to 1 over so many steps. An
    `energy` is annealed likewise, "joint".
    `dynamic_binarization`: grey levels become binary images, 1 with probability x / 255, drawn
    anew at every step; validation and evaluation draw once.
    """

    family: str
    config: Mapping[str, Any]
    dataset: Dataset
    optimizer: Optimizer = field(default_factory=Optimizer)
    distillation: Distillation | None = None
    energy: str = ""  # of `zoo.data.targets.plane`, fitted by reverse KL; "" for maximum likelihood
    batch_size: int
    max_epochs: int
    validate_every: int = 0  # steps between validations; 0 for once an epoch
    patience: int = 0
    ema_decay: float = 0.0
    l2: float = 0.0
    horizontal_flips: bool = False
    shift_pixels: int = 0
    patch_symmetries: bool = False
    start: str = ""
    annealing: Literal["kl", "joint"] = "kl"
    annealing_steps: int = 0
    dynamic_binarization: bool = False
    conditioner_dtype: Literal["float32", "tensorfloat32", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False
    initialization_rows: int = 0  # rows for the data-dependent initialisation; 0 for none
    validation_rows: int = 0  # rows used by each validation; 0 for all
    bucket_size: int = 0  # clips: batches of like lengths, cut at a multiple of this; 0: whole rows
    seed: int = 0
    frozen: str = ""  # weights whose path this regular expression is found in stay as they are
    paper: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be run."""
        _check_words(self)
        _check_numbers(
            self,
            (
                "validate_every",
                "patience",
                "ema_decay",
                "l2",
                "annealing_steps",
                "shift_pixels",
                "initialization_rows",
                "validation_rows",
                "bucket_size",
                "seed",
            ),
        )
        if self.seed >= 2**31:
            raise ConfigError(f"seed must be below 2**31; got {self.seed}.")
        if self.batch_size < 1 or self.max_epochs < 1 or self.ema_decay >= 1.0:
            raise ConfigError(
                "A recipe needs batch_size >= 1, max_epochs >= 1 and ema_decay in [0, 1); got "
                f"{self.batch_size}, {self.max_epochs} and {self.ema_decay}."
            )


@functools.cache
def _words(owner: Any) -> dict[str, tuple[str, ...]]:
    """The words that each field of a dataclass takes which is declared as one of several."""
    hints = typing.get_type_hints(owner)
    return {k: typing.get_args(h) for k, h in hints.items() if typing.get_origin(h) is Literal}


def _check_words(owner: Any) -> Mapping[str, tuple[str, ...]]:
    words: dict[str, tuple[str, ...]] = _words(owner.__class__)
    for name, allowed in words.items():
        if getattr(owner, name) not in allowed:
            raise ConfigError(f"{name} must be one of {allowed}; got {getattr(owner, name)!r}.")
    return words


def _check_numbers(owner: Any, names: typing.Iterable[str]) -> None:
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a finite number of 0 or more; got {value}.")


def to_dict(value: Any) -> dict[str, Any]:
    """A recipe as plain JSON values (tuples become lists)."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(value))))


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe of `to_dict`'s output. Raises ConfigError for unknown or missing fields."""
    values = dict(values)
    try:
        values["dataset"] = Dataset(**values["dataset"])
        values["optimizer"] = Optimizer(**values.get("optimizer", {}))
        if values.get("distillation") is not None:
            values["distillation"] = Distillation(**values["distillation"])
        return Recipe(**values)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"Not a recipe of this version: {error}.") from error


def override(recipe: Recipe, assignments: typing.Iterable[str]) -> Recipe:
    """The recipe with `path=value` assignments applied.

    `optimizer.learning_rate=3e-4`, `max_epochs=5`, `config.num_couplings=6`,
    `horizontal_flips=false`: values are JSON where they parse as JSON, else text. Raises
    ConfigError for a path that does not exist, or a value of another type.
    """
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"Expected PATH=VALUE, such as max_epochs=5; got {assignment!r}.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        recipe = _assign(recipe, path.strip().split("."), value, path)
    return recipe


def _assign(node: Any, keys: list[str], value: Any, path: str) -> Any:
    head, *rest = keys
    if isinstance(node, Mapping):
        inner = _assign(node.get(head, {}), rest, value, path) if rest else value
        return {**node, head: inner}
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        raise ConfigError(
            f"No field {path!r} in a recipe: {node!r} is a plain value and has no fields."
        )
    names = [f.name for f in dataclasses.fields(node)]
    if head not in names:
        raise ConfigError(f"No field {path!r} in a recipe: {head!r} is none of {', '.join(names)}.")
    old = getattr(node, head)
    if rest:
        return dataclasses.replace(node, **{head: _assign(old, rest, value, path)})
    return dataclasses.replace(node, **{head: _checked(type(node), head, value, path)})


def _checked(owner: type, name: str, value: Any, path: str) -> Any:
    """`value` if it has the type that `owner` declares for `name`, an int widened to float."""
    hint = typing.get_type_hints(owner)[name]
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(f"{path} must be one of {typing.get_args(hint)}; got {value!r}.")
    kind = origin if origin not in (None, types.UnionType) else hint
    if kind is tuple:
        kind = list  # in JSON
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        name_of_kind = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"{path} must be of type {name_of_kind}; got {value!r}.")
    return value
