"""`zoo impute`, `score`, `sample` and `anomalies` of models in any order: texts in, texts out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import plain
from typer.testing import CliRunner

from zoo import cli, models
from zoo.core.recipe import SGD, Recipe, Rows
from zoo.store.folder import save_checkpoint

COLUMNS = [
    {"name": "cap", "kind": "category", "categories": ["bell", "flat"]},
    {"name": "odour", "kind": "category", "categories": ["almond", "foul", "none"]},
]


def _folder(path: Path, family: str, **config: Any) -> str:
    config = plain(family, **config)
    model = models.build(family, config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    rows = Rows(name="mine", version="1.0.0", train="a", validation="b", test="c")
    recipe = Recipe(
        family=family, config=config, data=rows, training=SGD(batch_size=8, max_epochs=2)
    )
    save_checkpoint(path, model, family=family, recipe=recipe)
    return str(path)


def _run(*args: Any, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.output


def _read(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_texts_go_in_and_come_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "zoo.tasks.imputation._drawn", lambda *_, **__: pytest.fail("a Markov chain was run")
    )
    run = _folder(tmp_path / "run", "oamade", event_shape=[2], num_classes=0, columns=COLUMNS)
    gaps, whole = tmp_path / "gaps.csv", tmp_path / "whole.csv"
    gaps.write_text("odour,cap\nfoul,\n,bell\nnone,flat\n")
    _run("impute", run, gaps, "-o", whole, "--seed", 1)
    header, *rows = _read(whole)
    assert header == ["cap", "odour"]
    assert rows[2] == ["flat", "none"]
    assert (rows[0][1], rows[1][0]) == ("foul", "bell")
    assert rows[0][0] in COLUMNS[0]["categories"]
    assert rows[1][1] in COLUMNS[1]["categories"]
    _run("impute", run, gaps, "-o", tmp_path / "again.csv", "--seed", 1)
    assert _read(tmp_path / "again.csv") == [header, *rows]
    assert "mean" in _run("score", run, whole)
    drawn = _run("sample", run, "-n", 3, "--csv", "--seed", 1).split()
    assert drawn[0] == "cap,odour"
    assert all(line.split(",")[1] in COLUMNS[1]["categories"] for line in drawn[1:])
    assert "of 3 rows" in _run("anomalies", run, whole, "--reference", whole, "--level", 0.5)
    whole.write_text("cap,odour\nbell,sweet\n")
    assert "one of almond, foul, none" in " ".join(_run("score", run, whole, code=2).split())


def test_gaps_between_integers_are_filled(tmp_path: Path) -> None:
    run = _folder(tmp_path / "run", "oamade")
    gaps, whole = tmp_path / "gaps.csv", tmp_path / "whole.csv"
    gaps.write_text("a,b,c\n2,,0\n1,1,1\n")
    _run("impute", run, gaps, "-o", whole, "--seed", 3)
    _, first, second = _read(whole)
    assert second == ["1", "1", "1"]
    assert (first[0], first[2]) == ("2", "0")
    assert first[1] in ("0", "1", "2")
