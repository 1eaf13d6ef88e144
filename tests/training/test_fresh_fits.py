"""A fresh model starts from the rows that `fit` is given, as a Gaussian of their scales."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import zoo
from zoo import models
from zoo.errors import InvalidInputError
from zoo.objectives.reverse_kl import ReverseKL

SCALES, MEANS = np.array([1.0, 1e3, 1e5]), np.array([0.0, 5e3, -2e5])
TRUTH = float(np.log(SCALES).sum() + 1.5 * np.log(2.0 * np.pi * np.e))  # 22.66 nats

SIZES: dict[str, dict[str, Any]] = {
    "nice": {"num_couplings": 2, "hidden_units": (8,), "base": "normal"},
    "realnvp": {"num_couplings": 2, "hidden_units": (8,)},
    "maf": {"num_layers": 2, "hidden_units": (8,)},
    "made": {"hidden_units": (8,)},
    "iaf": {"num_layers": 2, "hidden_units": (8,)},
    "planar": {"num_layers": 2},
    "radial": {"num_layers": 2},
    "sylvester": {"num_layers": 2},
    "nsf": {"num_layers": 2, "num_units": 8, "num_blocks": 1},
    "nsf_coupling": {"num_layers": 2, "num_units": 8, "num_blocks": 1},
}


def rows(count: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 3))
    values[:, 1] = 0.6 * values[:, 0] + 0.8 * values[:, 1]
    return (MEANS + SCALES * values).astype(np.float32)


def fresh(family: str = "maf", **changes: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = models.create(family, event_shape=(3,), **{**SIZES[family], **changes})
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def standardisation(model: Any) -> np.ndarray:
    return np.stack([model.whitening.shift, np.exp(model.whitening.log_scale)])


def moments(x: np.ndarray) -> np.ndarray:
    return np.stack([x.mean(0, np.float64), x.std(0, dtype=np.float64)])


def test_every_flow_of_vectors_is_here() -> None:
    of_vectors = {
        family
        for family in models.FAMILIES
        if hasattr(models.model_class(family), "starts_from_data")
    }
    # Those of patches have eight positions, and are no one Gaussian; clips are int16.
    # A converted flow has weights of its own.
    assert of_vectors - {"nsf_patches", "parallel_wavenet", "converted"} == SIZES.keys()


@pytest.mark.parametrize("family", SIZES)
def test_an_adapted_model_is_the_fitted_gaussian(family: str) -> None:
    model, x = fresh(family), rows(400)
    model.adapt(x)
    mean, deviation = moments(x)
    z = (x - mean) / deviation
    correlations = np.corrcoef(z.T) if family == "radial" else np.eye(3)
    expected = scipy.stats.multivariate_normal(np.zeros(3), correlations).logpdf(z)
    np.testing.assert_allclose(
        model.log_prob(x), expected - np.log(deviation).sum(), rtol=2e-4, atol=2e-4
    )


def test_a_logistic_base_is_fitted_by_its_deviation() -> None:
    model, x = fresh("nice", base="logistic"), rows(400)
    model.adapt(x)
    mean, deviation = moments(x)
    fitted = scipy.stats.logistic(mean, deviation * np.sqrt(3.0) / np.pi)
    np.testing.assert_allclose(model.log_prob(x), fitted.logpdf(x).sum(-1), rtol=2e-4)


@pytest.mark.parametrize("family", ["maf", "nsf"])
def test_columns_of_any_scale_are_learnt_with_no_option_given(family: str) -> None:
    x, unseen = rows(1000), rows(2000, seed=1)
    model = models.create(family, event_shape=(3,), **SIZES[family])
    model.compile()
    seen = model.fit(x, epochs=4, validation_data=(unseen, None), verbose=0).history
    truth = TRUTH + np.log(0.8)
    assert max(seen["val_loss"]) < TRUTH + 0.1  # never worse than the Gaussian it starts at
    assert seen["val_loss"][-1] == pytest.approx(truth, abs=0.15)


def test_validation_sees_the_moments_of_these_weights() -> None:
    """Running ones are those of weights long gone, and a callback would choose by them."""

    class Notes(keras.callbacks.Callback):
        scores: list[float] = []  # noqa: RUF012

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.scores.append(-float(np.mean(self.model.log_prob(unseen))))

    x, unseen = rows(256), rows(256, seed=1)
    model = fresh()
    model.compile(keras.optimizers.Adam(2e-2), run_eagerly=True)
    notes = Notes()
    seen = model.fit(x, epochs=2, validation_data=unseen, callbacks=notes, verbose=0).history
    np.testing.assert_allclose(seen["val_loss"], notes.scores, rtol=1e-5)
    after = model.log_prob(unseen).numpy()
    model.adapt_batch_norm(x)
    np.testing.assert_allclose(model.log_prob(unseen), after, rtol=1e-5)


def test_few_rows_do_not_replace_the_moments_of_many() -> None:
    x = rows(400)
    model = fresh()
    model.fit(x, batch_size=100, verbose=0)
    mean = model.norms[0].mean.numpy()
    model.fit(x[:8], batch_size=8, verbose=0)
    moved = np.abs(model.norms[0].mean.numpy() - mean).max()
    assert 0.0 < moved < 0.02  # a hundredth of the way to the means of the eight


def test_batch_norm_inside_networks_is_measured_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1)).astype(np.uint8)
    config = {"num_scales": 1, "num_final": 2, "filters": 4, "num_blocks": 1}
    model = models.create("realnvp", event_shape=(4, 4, 1), conditioner_batch_norm=True, **config)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    model.fit(x, batch_size=32, verbose=0)
    nats = model.log_prob(x).numpy()
    moving = [v for v in model.non_trainable_variables if "moving" in v.path]
    assert moving
    for variable in moving:
        variable.assign(tf.ones_like(variable))
    model.adapt_batch_norm(x)
    np.testing.assert_allclose(model.log_prob(x), nats, rtol=1e-5)


def loaded(model: Any, tmp_path: Path) -> Any:
    model.adapt(rows(100))
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


def adapted(model: Any, _: Path) -> Any:
    model.adapt(rows(100))
    return model


def trained(model: Any, _: Path) -> Any:
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.fit(rows(100), verbose=0)
    return model


def given(model: Any, _: Path) -> Any:
    model.set_weights([w + 0.25 for w in model.get_weights()])
    return model


@pytest.mark.parametrize("how", [loaded, adapted, trained, given])
def test_only_a_fresh_model_is_adapted(how: Any, tmp_path: Path) -> None:
    model = fresh()
    assert model.is_fresh
    model = how(model, tmp_path)
    assert not model.is_fresh
    before = standardisation(model)
    model.fit(3.0 * rows(100), verbose=0)
    np.testing.assert_array_equal(standardisation(model), before)


def test_the_start_can_be_switched_off_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = fresh("realnvp")
    model.fit(rows(100), adapt=False, verbose=0)
    np.testing.assert_array_equal(standardisation(model), [[0.0] * 3, [1.0] * 3])
    assert model.is_fresh  # the rate is 0
    with caplog.at_level(logging.INFO, "zoo"):
        model.fit(rows(100), verbose=0)
    assert "starts from its data: whitening and norms fitted to 100 rows." in caplog.text


def test_rows_that_only_name_noise_are_nothing_to_start_from() -> None:
    model = models.create("planar", event_shape=(2,), num_layers=2)
    model.compile("sgd", objective=ReverseKL("u1"), run_eagerly=True)
    model.fit(np.full((8, 2), 50.0, np.float32), verbose=0)
    np.testing.assert_array_equal(standardisation(model), [[0.0] * 2, [1.0] * 2])


def test_after_a_refused_fit_the_corrected_one_starts_anew() -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("no room")

    model, x = fresh(), rows(100)
    refusing = keras.callbacks.LambdaCallback(on_train_begin=refuse)
    with pytest.raises(RuntimeError, match="no room"):
        model.fit(7.0 * x, callbacks=[refusing], verbose=0)
    assert model.is_fresh
    model.fit(x, verbose=0)
    np.testing.assert_allclose(standardisation(model), moments(x), rtol=1e-5)


class Batches(keras.utils.PyDataset):
    """Rows and weights in batches of ten."""

    def __init__(self, x: np.ndarray, weights: np.ndarray) -> None:
        super().__init__()
        self.x, self.weights = x, weights

    def __len__(self) -> int:
        return len(self.x) // 10

    def __getitem__(self, index: int) -> Any:
        part = slice(10 * index, 10 * index + 10)
        return self.x[part], None, self.weights[part]


@pytest.mark.parametrize("form", ["arrays", "split", "dataset", "generator", "batches"])
def test_rows_count_by_their_weights_in_every_form(form: str) -> None:
    x = rows(100)
    weights = np.tile([0.0, 1.0, 3.0, 1.0], 25).astype(np.float32)
    x[weights == 0.0] = 1e30
    model, arguments = fresh(), {"epochs": 1, "verbose": 0, "shuffle": False}
    seen = []
    if form == "arrays":
        model.fit(x, sample_weight=weights, **arguments)
    elif form == "split":  # the last half is not learnt from
        twice = np.concatenate([x, np.full_like(x, 9.0)])
        model.fit(twice, sample_weight=np.tile(weights, 2), validation_split=0.5, **arguments)
    elif form == "dataset":
        pairs = tf.data.Dataset.from_tensor_slices((x, weights)).batch(10)
        model.fit(pairs.map(lambda x, w: (x, None, w)), **arguments)
    elif form == "generator":

        def elements() -> Any:
            for part in np.split(np.arange(100), 10):
                seen.append(part[0])
                yield x[part], None, weights[part]

        model.fit(elements(), steps_per_epoch=10, **arguments)
        assert seen == list(range(0, 100, 10))  # each once
        assert int(model.optimizer.iterations) == 10
    else:
        model.fit(Batches(x, weights), **arguments)
    repeated = np.repeat(x, weights.astype(int), 0)
    np.testing.assert_allclose(standardisation(model), moments(repeated), rtol=1e-5)


def test_conditional_models_start_too_and_under_a_strategy(
    two_replicas: tf.distribute.MirroredStrategy,
) -> None:
    x, labels = rows(64), np.arange(64) % 2
    with two_replicas.scope():
        model = models.create("maf", event_shape=(3,), context_size=2, **SIZES["maf"])
        model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    elements = tf.data.Dataset.from_tensor_slices((x, labels)).batch(16)
    seen = model.fit(elements, shuffle=False, verbose=0).history["loss"][0]
    np.testing.assert_allclose(standardisation(model), moments(x), rtol=1e-5)
    assert seen == pytest.approx(-np.mean(model.log_prob(x, labels)), abs=0.5)


def test_rows_that_are_not_finite_are_named() -> None:
    x = rows(100)
    x[17, 2] = np.nan
    model = fresh()
    with pytest.raises(InvalidInputError, match=r"row 17, column 2 of the rows .* holds nan"):
        model.fit(x, verbose=0)
    with pytest.raises(InvalidInputError, match=r"row 17, column 2 of the validation rows"):
        model.fit(rows(100), validation_data=(x, None), verbose=0)
    with pytest.raises(InvalidInputError, match=r"row 17, column 2 of the rows"):
        model.evaluate(x, verbose=0)
    assert model.is_fresh


def test_columns_without_a_density_are_named() -> None:
    x = rows(100)
    x[:, 1] = 7.0
    with pytest.warns(RuntimeWarning, match=r"100 rows to fit have constant columns: 1 \(counted"):
        fresh().fit(x, verbose=0)
    assert np.isfinite(fresh().log_prob(x)).all()
    with pytest.warns(RuntimeWarning, match=r"The only row of the rows to fit has constant .*0, 1"):
        fresh("nsf").fit(x[:1], verbose=0)

    class Table(np.ndarray):
        columns = ("age", "income", "pressure")

    x = rows(100)
    x[:, 2] = x[:, 0]
    with pytest.warns(RuntimeWarning, match=r"have equal columns: pressure equals age\. "):
        fresh().fit(x.view(Table), verbose=0)


def test_a_batch_larger_than_the_data_is_told() -> None:
    with pytest.warns(RuntimeWarning, match="batch_size 1,000 is larger than the 20 rows"):
        fresh("nsf").fit(rows(20), batch_size=1000, verbose=0)


def test_defaults_are_of_create_alone() -> None:
    """Configs that say nothing of preprocessing, as published ones, have none."""
    assert zoo.create("maf", event_shape=3).config.preprocessing.whitening == "standardise"
    assert zoo.create("radial", event_shape=3).config.preprocessing.whitening == "zca_cor"
    assert zoo.create("maf", event_shape=3, preprocessing={}).whitening is None
    assert models.build("maf", {"event_shape": [3]}).whitening is None
    assert zoo.load("planar_u1", weights=False).whitening is None


def test_the_tutorials_table_is_fitted_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs/tutorials/own-table.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    exec(text.partition("<!-- own-table -->\n```python\n")[2].partition("```")[0], space)
    ages, incomes = space["table"].T
    gaussian = 0.5 * np.linalg.slogdet(np.cov(ages, incomes))[1] + np.log(2.0 * np.pi * np.e)
    assert space["history"]["val_loss"][-1] < gaussian + 0.1
    assert "val_loss" not in capsys.readouterr().out
