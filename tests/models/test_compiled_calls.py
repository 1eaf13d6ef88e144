"""What a call is computed by: the graph, or XLA where that pays; the same numbers either way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import TINY

import zoo
from zoo.errors import InvalidInputError
from zoo.kinds import compiled
from zoo.kinds.compiled import Calls, fit_seconds, suits_xla

SPEC = {"x": tf.TensorSpec([None, 2], tf.float32), "seed": tf.TensorSpec([2], tf.int32)}


@pytest.fixture
def eager_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling costs nothing, and pays from the first call on."""
    monkeypatch.setattr(compiled, "COMPILING_SECONDS", 0.0)
    monkeypatch.setattr(compiled, "COMPILING_SECONDS_AN_OPERATION", 0.0)
    monkeypatch.setattr(compiled, "BLOCK_ROWS", 2)
    monkeypatch.setattr(compiled.os, "sched_getaffinity", lambda _: {0, 1})


def random_model(family: str, **changes: Any) -> Any:
    model = zoo.create(family, **{**TINY[family], **changes})
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) / 3.0)
    return model


def counting(traced: list[int | None]) -> Any:
    def function(x: Any, seed: Any, power: int) -> dict[str, Any]:
        traced.append(x.shape[0])
        return {"y": x**power + tf.cast(seed[1], x.dtype), "rows": x[:, 0]}

    return function


def rows(count: int) -> list[Any]:
    return [tf.reshape(tf.range(2.0 * count), [count, 2]), tf.constant([0, 1])]


def test_a_graph_is_traced_once_for_all_numbers_of_rows() -> None:
    traced: list[int | None] = []
    calls = Calls(counting(traced), SPEC, {"power": 2}, weights=100)
    for count in (1, 2, 3, 50, 5000, 2):
        x, seed = rows(count)
        np.testing.assert_allclose(calls([x, seed])["y"], x**2 + 1.0, rtol=1e-6)
    assert traced == [None]


@pytest.mark.usefixtures("eager_compiler")
def test_xla_gives_the_rows_of_the_graph_for_every_number_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In blocks that are filled up, in chunks, and beyond the sizes that are compiled for."""
    monkeypatch.setattr(compiled, "CHUNK", 8)
    monkeypatch.setattr(compiled, "LARGEST", 10)
    traced: list[int | None] = []
    calls = Calls(counting(traced), SPEC, {"power": 2}, weights=100)
    for _ in range(2):
        for count in (1, 7, 4, 21, 10, 9, 5, 3):
            x, seed = rows(count)
            outputs = calls([x, seed])
            np.testing.assert_allclose(outputs["y"], x**2 + 1.0, rtol=1e-6)
            np.testing.assert_array_equal(outputs["rows"], x[:, 0])
    assert calls._compiled == {1, 7, 4, 8}
    assert traced == [None] * 3  # the graph; one block; two blocks


def test_xla_comes_after_as_much_time_as_it_costs() -> None:
    calls = Calls(counting([]), SPEC, {"power": 2}, weights=10**9)
    operations = compiled._operations(calls._graph)
    assert 5 < operations < 30
    assert [calls._pays(100) for _ in range(3)] == [False, True, True]  # of two seconds each
    calls = Calls(counting([]), SPEC, {"power": 2}, weights=10**6)
    paid = [calls._pays(1000) for _ in range(30)]
    assert paid.index(True) == pytest.approx(0.51 / 0.02, abs=2)
    assert all(paid[paid.index(True) :])
    assert not calls._pays(999)
    assert not Calls(counting([]), SPEC, {"power": 2}, weights=0)._weights


def test_large_batches_are_compiled_for_at_once() -> None:
    calls = Calls(counting([]), SPEC, {"power": 2}, weights=10**6)
    assert calls._pays(compiled.CHUNK, times=30)
    assert not Calls(counting([]), SPEC, {"power": 2}, weights=10**3)._pays(2048, times=30)


@pytest.mark.usefixtures("eager_compiler")
@pytest.mark.parametrize("family", ["maf", "nsf", "nice", "iaf"])
def test_every_capability_is_the_same_by_xla(family: str, rng: np.random.Generator) -> None:
    fast, slow = random_model(family), random_model(family)
    slow.by_xla = False
    size, classes = fast.config.event_size, fast.config.context_size
    shape = (5, *fast.config.event_shape)
    x: Any = rng.normal(size=shape).astype("float32")
    if fast.config.preprocessing.num_levels:
        x = rng.integers(0, 256, shape).astype("uint8")
    labels = {"context": np.arange(5) % classes} if classes else {}
    z = rng.normal(size=(5, size)).astype("float32")
    calls: dict[str, Any] = {
        "log_prob": lambda model: model.log_prob(x, seed=3, **labels),
        "encode": lambda model: model.encode(x, **labels),
        "decode": lambda model: model.decode(z, **labels),
        "sample": lambda model: model.sample(5, seed=7, temperature=0.5, **labels),
    }
    for name, call in calls.items():
        expected = call(slow)
        tolerance = 1.0 if expected.dtype == tf.uint8 else 1e-5  # rounding may move a grey level
        np.testing.assert_allclose(
            tf.cast(call(fast), tf.float32),
            tf.cast(expected, tf.float32),
            rtol=1e-5,
            atol=tolerance,
            err_msg=name,
        )
        function = "decode" if name == "sample" else name
        assert fast._compiled_functions[function]._compiled == {5}
        assert not slow._compiled_functions[function]._compiled


@pytest.mark.usefixtures("eager_compiler")
def test_integers_that_hang_on_the_last_digit_stay_with_the_graph() -> None:
    model = random_model("idf")
    x = np.zeros((4, *model.config.event_shape), "uint8")
    model.log_prob(x)
    assert not model.by_xla
    assert not model._compiled_functions["log_prob"]._compiled


def test_dense_networks_alone_suit_xla() -> None:
    assert suits_xla(random_model("maf").weights, "")
    assert not suits_xla(random_model("maf").weights, "mixed_bfloat16")
    assert not suits_xla(random_model("realnvp").weights, "")


def test_fits_are_estimated_by_their_steps() -> None:
    x = np.zeros((1000, 2), np.float32)
    step = fit_seconds({"x": x, "batch_size": 1000}, 10**6)
    assert step == pytest.approx(3e-3 + 1e6 * (3.0 * 2e-11 * 1000 + 4e-9))
    some = tf.data.Dataset.from_tensor_slices(x).batch(1000, drop_remainder=True)
    same: list[dict[str, Any]] = [
        {"x": np.zeros((4000, 2)), "batch_size": 1000},
        {"x": x, "batch_size": 1000, "epochs": 6, "initial_epoch": 2},
        {"x": some, "epochs": 4},
        {"x": some.repeat(), "steps_per_epoch": 4},
    ]
    assert [fit_seconds(each, 10**6) for each in same] == pytest.approx([4 * step] * 4)
    unknown = some.unbatch().filter(lambda _: True).batch(7)
    assert fit_seconds({"x": unknown}, 0) == pytest.approx(1000 * 3e-3)
    assert fit_seconds({"x": x, "initial_epoch": 5}, 10**6) == 0.0


def test_fit_decides_what_auto_means(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph for little work and XLA for much, counted over all fits, with equal weights."""
    x = rng.normal(size=(40, 3)).astype("float32")

    def fitted(jit_compile: Any) -> Any:
        model = random_model("maf", context_size=0)
        model.compile(keras.optimizers.SGD(1e-2), jit_compile=jit_compile)
        model.fit(x, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model

    little = fitted("auto")
    assert not little.jit_compile
    monkeypatch.setattr("zoo.kinds.fitting.FIT_COMPILING_SECONDS", 0.03)
    much = fitted("auto")
    assert not much.jit_compile  # 6 steps of 3 ms
    little.fit(x, batch_size=16, epochs=2, shuffle=False, verbose=0)
    much.fit(x, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert much.jit_compile
    for ours, theirs in zip(much.weights, little.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr("zoo.kinds.fitting.FIT_COMPILING_SECONDS", 0.0)
    assert not fitted(False).jit_compile


def test_what_xla_would_not_say_is_said_before(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN and labels out of range, in arrays and in datasets: XLA drops a step's assertions."""
    monkeypatch.setattr("zoo.kinds.fitting.FIT_COMPILING_SECONDS", 0.0)
    model = random_model("maf")
    model.compile(keras.optimizers.SGD(1e-2))
    x, labels = rng.normal(size=(8, 3)).astype("float32"), np.arange(8) % 2
    gap = x.copy()
    gap[5, 1] = np.nan
    with pytest.raises(InvalidInputError, match=r"(?i)nan"):
        model.fit(gap, labels, verbose=0)
    with pytest.raises(InvalidInputError, match=r"Labels must be in 0\.\.1"):
        model.fit(x, labels + 1, verbose=0)
    with pytest.raises(InvalidInputError, match=r"(?i)nan"):
        model.fit(x, labels, validation_data=(gap, labels), verbose=0)
    for rows, classes, message in ((gap, labels, r"(?i)nan"), (x, labels + 1, "Labels must")):
        some = tf.data.Dataset.from_tensor_slices((rows, classes)).batch(4)
        with pytest.raises((tf.errors.InvalidArgumentError, InvalidInputError), match=message):
            model.fit(some, shuffle=False, verbose=0)
    assert model.jit_compile
    assert int(model.optimizer.iterations) <= 1  # of the dataset's first batch
