"""Fitting in stages: what `fit` and `zoo train` do with models that grow.

Each stage is learnt from all rows, given those before it, and then stays. The model is scored
before the first stage and after each, on the rows it learns from and on those held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import keras
import numpy as np

from zoo.core.capabilities import Grows
from zoo.core.checks import checked_arrays
from zoo.core.encoding import encoded, is_frame
from zoo.core.training import Descent
from zoo.errors import InvalidInputError
from zoo.kinds.model import ZooModel

__all__ = ["Growing", "Stage", "Stages"]

_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Scores of a model with so many stages, in nats a row: lower is better.

    gain: by which the last stage raised the training score.
    """

    number: int
    train_nats: float
    validation_nats: float
    gain: float


class Stages:
    """The loop. Iterating scores the model as it is, then adds stage after stage.

    layers: stages that the model has in the end, at most.   patience: stages without gain on the
    rows held out after which it ends; 0 for never.   The first rows of each are those of `grow`.
    best, without_gain: the stage of the best score so far, and how many came after it.
    """

    def __init__(
        self,
        model: Any,
        rows: tuple[Any, Any],
        held_out: tuple[Any, Any] | None,
        *,
        layers: int,
        patience: int = 0,
        seed: int = 0,
        descent: Descent | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        self.model, self.rows, self.held_out = model, rows, held_out
        self.layers = min(layers, model.most_stages)
        self.patience, self.seed, self.descent, self.report = patience, seed, descent, report
        self.best, self.best_nats, self.without_gain = 0, math.inf, 0

    def __iter__(self) -> Iterator[Stage]:
        if not self.best and math.isinf(self.best_nats):
            if not self.model.stages_done:
                self.model.adapt(*self.rows)
            yield self._scored(0.0)
        while not self.over:
            gain = self.model.grow(
                *self.rows, seed=self.seed, descent=self.descent, report=self.report
            )
            yield self._scored(gain)

    @property
    def over(self) -> bool:
        """Whether no stage is to follow."""
        return self.model.stages_done >= self.layers or self.out_of_patience

    @property
    def out_of_patience(self) -> bool:
        """Whether enough stages brought nothing."""
        return bool(self.patience) and self.without_gain >= self.patience

    def _scored(self, gain: float) -> Stage:
        train = mean_nats(self.model, *self.rows)
        held_out = math.nan if self.held_out is None else mean_nats(self.model, *self.held_out)
        number = self.model.stages_done
        judged = train if self.held_out is None else held_out
        if judged < self.best_nats:
            self.best, self.best_nats, self.without_gain = number, judged, 0
        else:
            self.without_gain += 1
        return Stage(number=number, train_nats=train, validation_nats=held_out, gain=gain)


def mean_nats(model: Any, x: Any, context: Any = None) -> float:
    """The mean of -log_prob over rows."""
    total = 0.0
    for start in range(0, len(x), _BATCH):
        rows = slice(start, start + _BATCH)
        nats = model.log_prob(x[rows], None if context is None else context[rows])
        total -= float(np.sum(np.asarray(nats), dtype=np.float64))
    return total / len(x)


class Growing(ZooModel, Grows):
    """A model that is fitted in stages, by `fit` or by a recipe with `Greedy` training.

    Subclassing: provide `grow`, `most_stages` and `default_descent`; count in `_grown`, an int32
    weight, which is there before `_create_networks`.
    """

    default_descent: ClassVar[Descent | None] = None

    def _create_preprocessing(self) -> None:
        super()._create_preprocessing()
        self._grown = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="stages_done"
        )

    @property
    def stages_done(self) -> int:
        """How many stages the model has."""
        return int(self._grown.numpy())

    def _check_room(self) -> int:
        """The next stage's number, from 0. Raises InvalidInputError where there is none."""
        if self.stages_done >= self.most_stages:
            raise InvalidInputError(
                f"{self.name} has all of its {self.most_stages} stages: create one with room for "
                "more to go on."
            )
        return self.stages_done

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        *,
        validation_data: Any = None,
        layers: int | None = None,
        patience: int = 0,
        descent: Descent | None = None,
        seed: int = 0,
        verbose: Any = "auto",
        **unused: Any,
    ) -> Any:
        """Adds stages, learnt from the rows x, up to `layers`; returns a history, a row a stage.

        validation_data: rows held out; the model keeps the stages up to the best score on them.
        layers: stages in the end; all that the model has room for without.
        patience: stages without gain on the rows held out after which to stop; 0 for never.
        descent: of stages that follow a gradient.   seed: of what stages draw.
        The history's first row is the model before: "loss", "val_loss" in nats a row, "gain".
        Raises InvalidInputError for labels, weights, datasets and whatever belongs to gradient
        steps, and where there is no room for a stage.
        """
        if unused or y is not None:
            raise InvalidInputError(
                f"{type(self).__name__} is fitted in stages, each on all rows: fit takes x, "
                "validation_data, layers, patience, descent, seed and verbose; got "
                f"{', '.join(unused) or 'y'}."
            )
        self._check_room()
        rows = (self._rows_to_grow(x), None)
        held_out = self._held_out(validation_data)
        self._train_on()
        stages = Stages(
            self,
            rows,
            held_out,
            layers=self.most_stages if layers is None else layers,
            patience=patience,
            seed=seed,
            descent=descent,
        )
        history = keras.callbacks.History()
        history.set_model(self)
        history.on_train_begin()
        best = self.get_weights()
        for stage in stages:
            logs = {"loss": stage.train_nats, "gain": stage.gain}
            if held_out is not None:
                logs["val_loss"] = stage.validation_nats
            history.on_epoch_end(stage.number, logs)
            if verbose:
                told = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
                print(f"stage {stage.number} of {stages.layers}: {told}", flush=True)
            if stages.best == stage.number:
                best = self.get_weights()
        if held_out is not None:
            self.set_weights(best)
        return history

    def _rows_to_grow(self, x: Any) -> Any:
        if is_frame(x) and self.data.columns:
            x = encoded(x, self.data.columns, "x").astype(self.data.dtype)
        checked_arrays(self.data.dtype, x)
        if not hasattr(x, "shape") and not isinstance(x, list | tuple):
            raise InvalidInputError(
                "A model that is fitted in stages looks at all rows at once: give x as an array or "
                f"a table; got {type(x).__name__}."
            )
        return self.checked_data(x).numpy()

    def _held_out(self, given: Any) -> tuple[Any, Any] | None:
        if given is None:
            return None
        rows = given[0] if isinstance(given, tuple) else given
        if isinstance(given, tuple) and any(part is not None for part in given[1:]):
            raise InvalidInputError("validation_data of rows alone, x or (x, None), is expected.")
        return self._rows_to_grow(rows), None

    def train_on_batch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: there is no step on a batch."""
        del args, kwargs
        raise InvalidInputError(
            f"{type(self).__name__} is fitted in stages, each on all rows: call fit(x)."
        )
