"""The project's own step and run on two replicas: equal to one, and resumed by one another."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_families
import tiny_runs
import tiny_steps
from numpy.testing import assert_allclose, assert_array_equal

from zoo import loading, models, training
from zoo.core.recipe import Distillation, Flips, Recipe, variant
from zoo.data import sources
from zoo.errors import ConfigError, NonFiniteLossError
from zoo.models import build
from zoo.objectives import distillation
from zoo.ops.noise import replica_seed
from zoo.training import devices
from zoo.training.build import build_model
from zoo.training.replicas import ReplicatedRun, ReplicatedStep, has_collectives

TOTAL_STEPS = 20


@pytest.fixture(autouse=True)
def _tiny_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
    monkeypatch.setattr(loading, "load", tiny_families.teacher)


def steps_of(
    recipe: Recipe, strategy: Any, *, graph: bool = True, count: int = 2
) -> dict[str, Any]:
    """Some steps from the same weights on the same rows: figures of each, variables at the end."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        keras.utils.set_random_seed(1)
        model = build_model(recipe, "tiny")
    tiny_families.randomised(model)
    x, context = tiny_families.rows(recipe)
    context = None if context is None else tf.constant(context)
    nats, norms = [], []
    if strategy is None:
        step = training.TrainingStep(model, recipe, TOTAL_STEPS)
        compiled = tf.function(step, autograph=False, jit_compile=True)
        compiled = compiled if recipe.training.jit_compile else step  # as it is: tracing costs more
    else:
        with strategy.scope():
            step = ReplicatedStep(model, recipe, TOTAL_STEPS)

        def compiled(*values: Any) -> Any:
            return strategy.run(step, args=values)

        if graph:
            compiled = tf.function(compiled, autograph=False)
    for number in range(count):
        if strategy is None:
            result = compiled(tf.constant(x), context, tf.constant(number))
        else:
            parts = [devices.shards(strategy, rows) for rows in (x, context)]
            result = compiled(*parts, tf.constant(number), tf.zeros(2))
            result = {k: devices.local_value(strategy, v) for k, v in result.items()}
        nats.append(float(tf.reduce_mean(result["nats"])))
        norms.append(float(result["gradient_norm"]))
    return {
        "nats": nats,
        "norms": norms,
        "variables": {
            # Position and name: Keras counts objects of a process in the paths.
            (i, v.name): v
            for i, v in enumerate(step.state_variables())
        },
    }


def assert_equal_steps(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert_allclose(two["nats"], one["nats"], rtol=1e-5)
    assert_allclose(two["norms"], one["norms"], rtol=1e-5)
    assert [i for i, _ in two["variables"]] == [i for i, _ in one["variables"]]
    for (key, ours), theirs in zip(
        two["variables"].items(), one["variables"].values(), strict=True
    ):
        scale = max(1.0, float(np.abs(theirs.numpy()).max()))
        close = {"rtol": 1e-4, "atol": 1e-5 * scale, "err_msg": str(key)}
        assert_allclose(ours.numpy(), theirs.numpy(), **close)
        copies = ours.value.values if hasattr(ours.value, "values") else ours.values
        assert len(copies) == 2
        assert_array_equal(copies[0].numpy(), copies[1].numpy(), err_msg=str(key))


def test_every_family_has_a_tiny_recipe() -> None:
    assert set(tiny_families.RECIPES) | tiny_steps.SAME_STEP == (
        set(models.FAMILIES) - tiny_steps.NO_STEP
    )


@pytest.mark.parametrize("family", tiny_families.RECIPES)
def test_the_step_of_two_replicas_is_the_step_of_one(
    family: str, two_replicas: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, gradient, clipping, Adam, decay, averages and moments; dequantised, without dropout."""
    if family == "parallel_wavenet":  # its noise is drawn by the place in the batch
        monkeypatch.setattr(
            distillation, "base_noise", lambda base, shape, seed, dtype: 0.3 * tf.ones(shape, dtype)
        )
    recipe = tiny_families.without_dropout(tiny_families.RECIPES[family])
    recipe = variant(
        recipe,
        objective=(
            dataclasses.replace(recipe.objective, contrastive=0.0)
            if isinstance(recipe.objective, Distillation)
            else recipe.objective
        ),
        l2=1e-3,
        ema_decay=0.9,
        jit_compile=False,
        optimizer=dataclasses.replace(recipe.training.optimizer, weight_decay=0.1, epsilon=0.1),
    )
    graph = family in ("nice", "realnvp")  # which takes seconds to trace for each replica
    two = steps_of(recipe, two_replicas, graph=graph)
    assert_equal_steps(steps_of(recipe, None), two)


def test_xla_compiles_the_gradient_inside_each_replica(two_replicas: Any) -> None:
    recipe = variant(
        tiny_families.without_dropout(tiny_families.RECIPES["nice"]),
        jit_compile=True,
        augment=(Flips(),),
    )
    assert not has_collectives(build(recipe.family, recipe.config))
    assert_equal_steps(steps_of(recipe, None), steps_of(recipe, two_replicas))


@pytest.mark.parametrize("family", ["maf", "realnvp"])
def test_batch_norm_is_known_to_need_the_other_replicas(family: str) -> None:
    recipe = tiny_families.RECIPES[family]
    assert has_collectives(build(recipe.family, recipe.config))


def test_free_bits_are_of_the_global_batch(two_replicas: Any) -> None:
    """The divergences of the replicas are 1 and 5, of the batch 3: under 3.5 all of it is free."""
    model = models.create(
        "vae", event_shape=(4, 4, 1), latent_size=2, free_bits=3.5, dtype="float32"
    )
    assert has_collectives(model)
    assert not has_collectives(models.create("vae", event_shape=(4, 4, 1), latent_size=2))

    def loss(divergence: Any) -> Any:
        model.elbo_terms = lambda x, seed, context: (0.0, 0.0, -divergence)
        return model.default_objective()(model, None, None, None, training=True)

    whole = loss(tf.constant([1.0, 1.0, 5.0, 5.0]))
    assert_array_equal(whole, 3.5)
    parts = devices.shards(two_replicas, np.array([1.0, 1.0, 5.0, 5.0], np.float32))
    found = two_replicas.run(tf.function(loss), args=(parts,))
    for part in two_replicas.experimental_local_results(found):
        assert_array_equal(part, 3.5)


def lowbias32(x: int) -> int:
    """Wellons' hash, in Python's integers."""
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def test_seeds_of_replicas_are_distinct_and_the_first_is_the_one_of_one(two_replicas: Any) -> None:
    assert_array_equal(replica_seed(tf.constant([3, 4])), [3, 4])
    seeds = two_replicas.run(lambda: replica_seed(tf.constant([3, 4])))
    first, second = (s.numpy() for s in two_replicas.experimental_local_results(seeds))
    assert_array_equal(first, [3, 4])
    assert second[0] == 3
    assert int(second[1]) & 0xFFFFFFFF == 4 ^ lowbias32(1)


def test_replicas_draw_other_dropout_masks_and_the_same_ones_again(two_replicas: Any) -> None:
    recipe = dataclasses.replace(
        tiny_families.RECIPES["nice"],
        config={**tiny_families.RECIPES["nice"].config, "dropout": 0.5},
    )
    with two_replicas.scope():
        step = ReplicatedStep(build_model(recipe, "tiny"), recipe, TOTAL_STEPS)
    tiny_families.randomised(step.model)
    x, _ = tiny_families.rows(recipe, BATCH := 4)
    same = devices.shards(two_replicas, np.concatenate([x, x]))  # the same rows on both

    @tf.function(autograph=False)
    def nats(number: Any) -> Any:
        run = two_replicas.run(lambda rows: step._gradients(rows, None, number)[2], args=(same,))
        return two_replicas.gather(run, axis=0)

    drawn = [nats(tf.constant(n)).numpy() for n in (0, 1, 0)]
    assert not np.allclose(drawn[0][:BATCH], drawn[0][BATCH:], rtol=1e-4)
    assert not np.allclose(drawn[0], drawn[1], rtol=1e-4)
    assert_array_equal(drawn[0], drawn[2])


# Whole runs.


def curve(folder: Path, column: str = "validation_nats") -> list[float]:
    with (folder / "history.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


SHORT = variant(tiny_runs.RECIPES["realnvp"], max_epochs=2)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`SHORT` on one device, undisturbed."""
    folder = tmp_path_factory.mktemp("one") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
        training.train(SHORT, folder)
    return folder


@pytest.mark.parametrize("first", ["one", pytest.param("two", marks=pytest.mark.slow)])
def test_a_state_of_one_strategy_resumes_under_another(
    first: str,
    one: Path,
    two_replicas: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strategies = [None, two_replicas] if first == "one" else [two_replicas, None]

    def stop(step: int, *_: Any) -> None:
        if step == 8:
            raise InterruptedError

    monkeypatch.setattr("zoo.training.run.SAVE_SECONDS", 0.0)
    with pytest.raises(InterruptedError):
        training.train(SHORT, tmp_path, progress=stop, strategy=strategies[0])
    result = training.train(SHORT, tmp_path, resume=True, strategy=strategies[1])
    assert (result.reason, result.step) == ("finished", 12)
    for column in ("validation_nats", "train_nats", "learning_rate"):
        assert_allclose(curve(tmp_path, column), curve(one, column), rtol=1e-5)


@pytest.mark.slow
def test_curves_with_dropout_agree_within_its_noise(two_replicas: Any, tmp_path: Path) -> None:
    recipe = variant(tiny_runs.RECIPES["nice"], max_epochs=12)
    training.train(recipe, tmp_path / "one")
    training.train(recipe, tmp_path / "two", strategy=two_replicas)
    ours, theirs = curve(tmp_path / "two"), curve(tmp_path / "one")
    assert ours != theirs  # other masks
    assert theirs[-1] < theirs[0] - 2.0
    # Measured: within 0.1 %.
    assert_allclose(ours, theirs, rtol=0.01)


def test_the_culprit_is_named_on_replicas_too(two_replicas: Any, tmp_path: Path) -> None:
    recipe = variant(
        tiny_runs.RECIPES["maf"],
        optimizer=dataclasses.replace(
            tiny_runs.RECIPES["maf"].training.optimizer, learning_rate=1e25
        ),
    )
    with pytest.raises(NonFiniteLossError, match=r"Step [1-9]\d*: .*bijector 'made_0'"):
        training.train(recipe, tmp_path, strategy=two_replicas)


def test_a_batch_that_replicas_do_not_divide_is_refused(two_replicas: Any, tmp_path: Path) -> None:
    recipe = variant(SHORT, batch_size=15)
    with pytest.raises(ConfigError, match=r"15 is no multiple of 2 replicas. Set batch_size to 16"):
        training.train(recipe, tmp_path, strategy=two_replicas)


def test_validation_is_the_mean_over_all_rows_whatever_the_replicas(
    two_replicas: Any, tmp_path: Path
) -> None:
    """31 rows in batches of 10: none is counted twice, though batches are filled up."""
    recipe = variant(SHORT, validation_rows=31)
    run = ReplicatedRun(two_replicas, recipe, tmp_path, "tiny", resume=False, initial_weights="")
    rows = run.validation_rows
    expected = -np.mean(run.model.log_prob(rows.x).numpy(), dtype=np.float64)
    for size in (10, 31, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ReplicatedRun, "evaluation_batch_size", size)
            assert run._mean_nats() == pytest.approx(expected, rel=1e-6)
