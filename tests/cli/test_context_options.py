"""`--context`: numbers, columns by name, and files, of models whose context is no label."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import refused, run_ok
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo.cli.contexts import context_of, for_rows
from zoo.errors import InvalidInputError
from zoo.store.folder import save_checkpoint

COLUMNS = [
    {"name": "year", "kind": "real", "location": 2000.0, "scale": 10.0},
    {"name": "place", "kind": "category", "categories": ["here", "there"]},
]
X = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.5]], "float32")


@functools.cache
def made() -> Any:
    """A model of two numbers given two numbers."""
    return created(context_shape=(2,))


def created(**context: Any) -> Any:
    model = zoo.create("made", event_shape=(2,), hidden_units=(6,), **context)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    return model


def test_numbers_and_files_are_contexts(tmp_path: Path) -> None:
    model, c = made(), np.array([[1.0, -2.5], [0.0, 3.0], [4.0, 5.0]], "float32")
    assert_array_equal(context_of(model, "1,-2.5"), c[:1])
    np.save(tmp_path / "c.npy", c)
    np.savez(tmp_path / "c.npz", x=X, context=c)
    pd.DataFrame(c, columns=["a", "b"]).to_csv(tmp_path / "c.csv", index=False)
    for suffix in ("npy", "npz", "csv"):
        assert_array_equal(context_of(model, str(tmp_path / f"c.{suffix}")), c)
    np.save(tmp_path / "one.npy", c[0])
    assert_array_equal(for_rows(context_of(model, str(tmp_path / "one.npy")), 2), c[[0, 0]])
    with pytest.raises(InvalidInputError, match=r"2 numbers with commas.*got 3"):
        context_of(model, "1,2,3")
    with pytest.raises(InvalidInputError, match=r"or a file of such rows; got 'north'"):
        context_of(model, "north")
    with pytest.raises(InvalidInputError, match="no such file"):
        context_of(model, "absent.npy")
    with pytest.raises(InvalidInputError, match="unconditional"):
        context_of(created(), "1")


def test_commands_take_them(tmp_path: Path) -> None:
    model = made()
    save_checkpoint(tmp_path / "numbers", model, family="made")
    Path("given.csv").write_text("a,b\n1.0,-2.5\n0.0,3.0\n4.0,5.0\n")
    np.save("x.npy", X)
    c = np.loadtxt("given.csv", delimiter=",", skiprows=1, dtype="float32")
    run_ok("sample", tmp_path / "numbers", "-n", 3, "--seed", 1, "--context", "given.csv",
           "-o", "drawn.npy")  # fmt: skip
    assert_allclose(np.load("drawn.npy"), model.sample(3, seed=1, context=c), rtol=1e-5)
    found = run_ok("score", tmp_path / "numbers", "x.npy", "--context", "given.csv")
    assert f"{float(model.log_prob(X, c).numpy().mean()):.3f}"[:5] in found
    for options in ((), ("--all-contexts",)):
        text = refused(2, "sample", tmp_path / "numbers", "-o", "x.npy", *options)
        assert "numbers of shape [batch, 2]" in text or "no labels" in text


def test_columns_stand_beside_the_rows_of_a_table(tmp_path: Path) -> None:
    model = created(context_columns=COLUMNS)
    save_checkpoint(tmp_path / "columns", model, family="made")
    frame = pd.DataFrame(
        {"year": [1999, 2000, 2010], "p": X[:, 0], "place": ["here", "there", "here"], "q": X[:, 1]}
    )
    frame.to_csv("rows.csv", index=False)
    found = run_ok("score", tmp_path / "columns", "rows.csv", "--json")
    expected = float(model.log_prob(X, frame).numpy()[0])
    assert f"{expected:.4f}"[:6] in found
    named = context_of(model, "place=there,year=2005")
    assert_array_equal(named, [[2005.0, 1.0]])
    with pytest.raises(InvalidInputError, match="year=VALUE,place=VALUE"):
        context_of(model, "there")
    frame.drop(columns="q").to_csv("fewer.csv", index=False)
    assert "Expected 2 columns of data" in refused(2, "score", tmp_path / "columns", "fewer.csv")
