"""The MAF paper's tables from small files of the archive's format, by the authors' arithmetic."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from zoo.core.recipe import Rows
from zoo.data import building, maf_tables, sources
from zoo.errors import DataError

pd = pytest.importorskip("pandas", reason="the files are written, and one is read, by pandas")


def _dataset(name: str) -> Rows:
    return Rows(
        name=name,
        version="1.0.0",
        train="train",
        validation="validation",
        test="test",
        feature="features",
    )


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$ZOO_RAW_DATA`, and no prepared datasets."""
    monkeypatch.setenv("ZOO_RAW_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    for name in maf_tables.NAMES:
        (tmp_path / "raw" / name).mkdir(parents=True)
    return tmp_path / "raw"


def test_power_is_shuffled_cut_and_noised(raw: Path, rng: np.random.Generator) -> None:
    rows = np.column_stack([np.arange(100.0), *rng.normal(size=(5, 100)), np.full(100, 7.0)])
    rows = np.column_stack([rows, rng.normal(size=100)])[:, :8]
    np.save(raw / "power" / "data.npy", rows)
    table = maf_tables.read_power(raw / "power")
    assert [len(part) for part in table] == [81, 9, 10]
    # Step by step, as the paper's code does.
    legacy = np.random.RandomState(42)
    data = rows.copy()
    legacy.shuffle(data)
    data = np.delete(np.delete(data, 3, axis=1), 1, axis=1)
    voltage, gap = 0.01 * legacy.rand(100, 1), 0.001 * legacy.rand(100, 1)
    meters = legacy.rand(100, 3)
    data = data + np.hstack((gap, voltage, meters, np.zeros((100, 1))))
    mean, deviation = data[:90].mean(axis=0), data[:90].std(axis=0)
    assert_allclose(np.concatenate(table), (data - mean) / deviation, rtol=1e-12)


def test_miniboone_keeps_its_order(raw: Path, rng: np.random.Generator) -> None:
    rows = rng.normal(3.0, 2.0, size=(200, 43))
    np.save(raw / "miniboone" / "data.npy", rows)
    train, validation, test = maf_tables.read_miniboone(raw / "miniboone")
    assert (len(train), len(validation), len(test)) == (162, 18, 20)
    known = rows[:180]
    assert_allclose(test, (rows[180:] - known.mean(0)) / known.std(0), rtol=1e-12)


def _gas(rng: np.random.Generator) -> pd.DataFrame:
    a, b, c = rng.normal(size=(3, 100))
    return pd.DataFrame(
        {
            "Time": np.arange(100.0),
            "Meth": rng.normal(size=100),
            "Eth": rng.normal(size=100),
            "s1": a,
            "s2": a + 0.01 * b,  # s1 goes, then s2 has no twin
            "s3": b,
            "s4": c,
            "s5": c + 0.001 * a,
            "s6": c - 0.001 * a,  # s4 goes, then s5
        }
    )


def test_gas_drops_the_first_of_correlated_columns(raw: Path, rng: np.random.Generator) -> None:
    frame = _gas(rng)
    frame.to_pickle(raw / "gas" / "ethylene_CO.pickle")
    table = maf_tables.read_gas(raw / "gas")
    assert [part.shape for part in table] == [(81, 3), (9, 3), (10, 3)]
    kept = frame[["s2", "s3", "s6"]]
    assert_allclose(np.concatenate(table), (kept - kept.mean()) / kept.std(), rtol=1e-9)


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("made_by_a_pickle",)


@pytest.mark.parametrize("content", [_Harmful(), {"a": 1}, pd.Series([1.0])])
def test_pickles_of_anything_else_are_refused(
    raw: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw)
    path = raw / "gas" / "ethylene_CO.pickle"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="cannot be read as a pickled table"):
        maf_tables.read_gas(raw / "gas")
    assert not (raw / "made_by_a_pickle").exists()


def test_gas_without_its_columns_is_refused(raw: Path, rng: np.random.Generator) -> None:
    _gas(rng).drop(columns="Meth").to_pickle(raw / "gas" / "ethylene_CO.pickle")
    with pytest.raises(DataError, match=r"Expected the columns.*Meth is not among Time"):
        maf_tables.read_gas(raw / "gas")


def test_hepmass_keeps_signal_and_drops_repeated_columns(
    raw: Path, rng: np.random.Generator
) -> None:
    def write(name: str, rows: np.ndarray, extra: str) -> None:
        lines = [",".join(map(repr, map(float, row))) + extra for row in rows]
        header = "# label," + ",".join(f"f{i}" for i in range(4))
        (raw / "hepmass" / name).write_text("\n".join([header, *lines]) + "\n")

    def rows(count: int) -> np.ndarray:
        values = rng.normal(size=(count, 4))
        values[:, 2] = np.maximum(values[:, 2], 0.0)  # its smallest value occurs often
        return np.column_stack([np.arange(count) % 2, values])

    train, test = rows(80), rows(20)
    write("1000_train.csv", train, "")
    write("1000_test.csv", test, ",9.0")  # the test file's rows have one column more
    table = maf_tables.read_hepmass(raw / "hepmass")
    assert [part.shape for part in table] == [(36, 3), (4, 3), (10, 3)]
    signal = train[train[:, 0] == 1][:, [1, 2, 4]]
    expected = (test[test[:, 0] == 1][:, [1, 2, 4]] - signal.mean(0)) / signal.std(0, ddof=1)
    assert_allclose(table.test, expected, rtol=1e-10)
    assert_allclose(np.concatenate(table[:2]).mean(0), 0.0, atol=1e-12)


def test_a_prepared_table_is_read_as_float32(
    raw: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rng.normal(size=(200, 43))
    np.save(raw / "miniboone" / "data.npy", rows)
    monkeypatch.setitem(maf_tables.SHAPES, "miniboone", (43, 162, 18, 20))
    dataset = _dataset("miniboone")
    assert sources.available(dataset)
    expected = maf_tables.read_miniboone(raw / "miniboone")
    for split, values in zip(sources.SPLITS, expected, strict=True):
        x = sources.load_arrays(dataset, split).x
        assert x.dtype == np.float32
        assert_array_equal(x, values.astype(np.float32))


def test_other_numbers_of_rows_are_refused(raw: Path, rng: np.random.Generator) -> None:
    np.save(raw / "miniboone" / "data.npy", rng.normal(size=(200, 43)))
    with pytest.raises(DataError, match=r"\(43, 29556, 3284, 3648\).*it has \(43, 162, 18, 20\)"):
        maf_tables.prepare("miniboone")


@pytest.mark.parametrize(
    "content",
    [b"", b"no array", None],
)
def test_damaged_arrays_are_refused(raw: Path, content: bytes | None) -> None:
    path = raw / "power" / "data.npy"
    if content is None:
        np.save(path, np.full((5, 8), np.nan))
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npy"):
        maf_tables.read_power(raw / "power")


def test_without_files_the_error_says_where_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOO_RAW_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    assert building.raw_folder("power") is None
    assert not sources.available(_dataset("power"))
    with pytest.raises(DataError, match=r"ZOO_RAW_DATA to a folder.*data/power.*download=True"):
        sources.load_arrays(_dataset("power"), "train")
