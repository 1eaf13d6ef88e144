"""Densities of tables as scikit-learn's estimators, for its pipelines and grid searches.

    density = FlowDensity().fit(frame)         # arrays, or data frames of named columns
    density.score_samples(frame)               # log p of every row, nats
    density.sample(100)                        # a frame of the same columns and dtypes

The density is a `zoo.models.tables.table_made.TableMADE`, trained as `zoo fit` trains it: a share
of the rows is held out, and chooses the weights. An array's columns are real numbers; a frame's are
what `zoo.data.inference` tells of them, and integers and categories then have a probability.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from zoo import extras, loading
from zoo.core.columns import Column
from zoo.core.encoding import encoded
from zoo.core.recipe import SGD, Recipe, Table
from zoo.data import own_rows
from zoo.data.arrays import Arrays
from zoo.data.frames import as_frame, frame_of
from zoo.data.inference import infer_columns
from zoo.errors import InvalidInputError
from zoo.training.own_recipes import recipe_of_table
from zoo.training.train import train

__all__ = ["FlowDensity", "FlowOutlierDetector"]

base = extras.scikit_learn("base")
utils = extras.scikit_learn("utils")
validation = extras.scikit_learn("utils.validation")

BLOCK = 256
"""Rows scored at a time, the last block filled up: a row's score hangs on no other row."""


COMPILED_STEPS = 1000
"""Of a training that XLA is worth its compilation, of some seconds."""


class FlowDensity(base.DensityMixin, base.BaseEstimator):
    """A density of the rows of a table.

    kinds: of some columns, {name: "positive", "bounded:0:1", "circular:24", "category", …}
        (`zoo.data.inference`); an array's columns are named x0, x1, ….
    num_units, num_blocks, num_components, dropout: of the model; of None, by the number of rows.
    learning_rate, weight_decay, batch_size: of AdamW; of None, by the number of rows.
    max_steps, patience: the training ends after so many steps, or after so many validations without
        gain, one every 100 steps.
    max_minutes: and after this time.
    validation_fraction: the share of the rows that are held out of the training.
    random_state: of the held-out rows and of the training.

    model_: the Keras model.   n_steps_: taken.   validation_score_: mean nats of the held-out rows.
    n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    def __init__(
        self,
        *,
        kinds: Mapping[str, str] | None = None,
        num_units: int | None = None,
        num_blocks: int = 2,
        num_components: int = 10,
        dropout: float | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        max_steps: int = 8000,
        patience: int = 20,
        max_minutes: float | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.kinds = kinds
        self.num_units = num_units
        self.num_blocks = num_blocks
        self.num_components = num_components
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.patience = patience
        self.max_minutes = max_minutes
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 (scikit-learn)
        """Learns the density of the rows X [rows, columns], an array or a data frame.

        Raises InvalidInputError for parameters that cannot be, and for columns that have no
        density (constant ones, names of rows; `zoo.data.inference`).
        """
        del y
        self._check_parameters()
        frame, kinds = self._table(X)
        columns = infer_columns(frame, kinds)
        rows = encoded(frame, columns, "X").astype(np.float32)
        generator = utils.check_random_state(self.random_state)
        parts = _held_out(len(rows), self.validation_fraction, generator)
        learnt = len(parts["train"])
        seed = int(generator.randint(2**31 - 1))
        minutes = math.inf if self.max_minutes is None else self.max_minutes
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder, _seeds_kept():
            table = Table(name="X", version="0", folder=folder)
            table = own_rows.write(Path(folder, "rows"), table, Arrays(rows), parts, {})
            recipe = self._recipe(recipe_of_table(table, columns, (), learnt, seed=seed), learnt)
            with warnings.catch_warnings():  # what TensorBoard would show is not kept here
                warnings.filterwarnings("ignore", "TensorBoard logs", UserWarning)
                result = train(recipe, Path(folder, "run"), max_seconds=60.0 * minutes)
            self.model_ = loading.loaded(Path(folder, "run"))
        self.n_steps_ = result.step
        self.validation_score_ = -result.best_validation_nats
        return self

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """log p of every row of X, [rows] nats: -inf outside of the columns' support."""
        validation.check_is_fitted(self)
        rows = self._rows(X)
        filled = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % BLOCK, axis=0)])
        blocks = np.split(filled, len(filled) // BLOCK)
        nats = np.concatenate([self.model_.log_prob(block).numpy() for block in blocks])
        return nats[: len(rows)].astype(np.float64)

    def score(self, X: Any, y: Any = None) -> float:  # noqa: N803
        """The mean of `score_samples`, nats per row."""
        del y
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Rows drawn from the density: a frame with the columns of `fit`'s frame, else an array.

        random_state: without one, of the estimator's.
        """
        validation.check_is_fitted(self)
        chosen = self.random_state if random_state is None else random_state
        seed = int(utils.check_random_state(chosen).randint(2**31 - 1))
        rows = self.model_.sample(n_samples, seed=seed).numpy()
        if self._dtypes is None:
            return rows.astype(np.float64)
        return frame_of(rows, self.model_.data.columns, dtypes=self._dtypes)

    # Rows.

    def _table(self, X: Any) -> tuple[Any, dict[str, str]]:  # noqa: N803
        """X as a frame, and the kinds of its columns that are not to be told from them."""
        given = dict(self.kinds or {})
        if not _is_frame(X):
            X = validation.validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
            self._dtypes: dict[str, Any] | None = None
            frame = as_frame(X)
            return frame, {**dict.fromkeys(frame.columns, "real"), **given}
        validation.validate_data(self, X, skip_check_array=True)
        frame = as_frame(X)
        if len(frame) < 2:
            raise InvalidInputError(f"Expected at least 2 rows; got {len(frame)} sample.")
        self._dtypes = dict(frame.dtypes)
        return frame, given

    def _rows(self, X: Any) -> np.ndarray:  # noqa: N803
        """The rows of X as the model's numbers, by the names of `fit`'s columns."""
        if _is_frame(X):
            validation.validate_data(self, X, skip_check_array=True, reset=False)
            columns: tuple[Column, ...] = self.model_.data.columns
            return encoded(as_frame(X), columns, "X").astype(np.float32)
        X = validation.validate_data(self, X, dtype=np.float64, reset=False)
        if texts := [c.name for c in self.model_.data.columns if c.kind == "category"]:
            raise InvalidInputError(
                f"Column {texts[0]!r} holds texts: give X as a data frame, as to fit."
            )
        return np.asarray(X, np.float32)

    # The recipe.

    def _check_parameters(self) -> None:
        """Raises InvalidInputError for the first parameter that cannot be."""
        least = {"num_units": 1, "num_blocks": 0, "num_components": 1, "batch_size": 1}
        for name, low in {**least, "max_steps": 1, "patience": 0}.items():
            value = getattr(self, name)
            optional = value is None and name in ("num_units", "batch_size")
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not optional and not (whole and value >= low):
                raise InvalidInputError(f"{name} must be an integer >= {low}; got {value!r}.")
        if not 0.0 < self.validation_fraction < 1.0:
            raise InvalidInputError(
                f"validation_fraction must be in (0, 1); got {self.validation_fraction!r}."
            )

    def _recipe(self, recipe: Recipe, rows: int) -> Recipe:
        """The recipe for a table of so many train rows, with the estimator's parameters."""
        training = recipe.training
        assert isinstance(training, SGD)  # noqa: S101 (for mypy)
        sizes = {
            "num_units": self.num_units,
            "num_blocks": self.num_blocks,
            "num_components": self.num_components,
            "dropout": self.dropout,
        }
        chosen = {name: value for name, value in sizes.items() if value is not None}
        optimizer = dataclasses.replace(training.optimizer, learning_rate=self.learning_rate)
        if self.weight_decay is not None:
            optimizer = dataclasses.replace(optimizer, weight_decay=self.weight_decay)
        batch_size = min(self.batch_size or training.batch_size, rows)
        epochs = max(1, math.ceil(self.max_steps / (rows // batch_size)))
        return dataclasses.replace(
            recipe,
            config={**recipe.config, **chosen},
            training=dataclasses.replace(
                training,
                optimizer=optimizer,
                batch_size=int(batch_size),
                max_epochs=epochs,
                patience=int(self.patience),
                jit_compile=training.jit_compile and self.max_steps >= COMPILED_STEPS,
            ),
        )


class FlowOutlierDetector(base.OutlierMixin, FlowDensity):
    """Rows of a low density are outliers: -1, and the others 1.

    contamination: the share of `fit`'s rows that lie below the threshold.
    offset_: the threshold, nats.   The other parameters are those of `FlowDensity`.

    For a bound on false alarms among rows that were not fitted, see `zoo.tasks.anomalies`.
    """

    def __init__(
        self,
        *,
        contamination: float = 0.05,
        kinds: Mapping[str, str] | None = None,
        num_units: int | None = None,
        num_blocks: int = 2,
        num_components: int = 10,
        dropout: float | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        max_steps: int = 8000,
        patience: int = 20,
        max_minutes: float | None = None,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            kinds=kinds,
            num_units=num_units,
            num_blocks=num_blocks,
            num_components=num_components,
            dropout=dropout,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_steps=max_steps,
            patience=patience,
            max_minutes=max_minutes,
            validation_fraction=validation_fraction,
            random_state=random_state,
        )
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Learns the density, and the threshold. Raises what `FlowDensity.fit` raises."""
        if not 0.0 < self.contamination <= 0.5:
            raise InvalidInputError(
                f"contamination must be in (0, 0.5]; got {self.contamination!r}."
            )
        super().fit(X, y)
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """log p - offset_ of every row, [rows]: negative of outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """-1 of outliers, 1 of the others: int [rows]."""
        return np.where(self.decision_function(X) < 0.0, -1, 1)


def _is_frame(X: Any) -> bool:  # noqa: N803
    """Whether X is a data frame; a sparse array may be a mapping."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def _held_out(rows: int, fraction: float, generator: Any) -> dict[str, np.ndarray]:
    """The rows' places in two parts at random; a table wants test rows: the held-out ones again."""
    count = min(max(1, round(fraction * rows)), rows - 1)
    order = generator.permutation(rows)
    return {"train": order[count:], "validation": order[:count], "test": order[:count]}


@contextlib.contextmanager
def _seeds_kept() -> Iterator[None]:
    """Training sets the seeds of Python and NumPy; afterwards they are the caller's again."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (theirs)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
