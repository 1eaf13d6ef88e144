"""Tables and arrays whose form says more than their numbers: nothing of that is lost in silence."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import commands
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import zoo
from zoo.cli.use import read_rows
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.media.tables import read_csv
from zoo.tasks.imputation import impute

FEATURES = Space(shape=(2,), dtype="float32", meaning="features")
IMAGE = Space(shape=(1, 2, 1), dtype="uint8", meaning="grey", minimum=0, maximum=15, medium="image")
SCORES = ("log_prob", "encode", "bits_per_dim", "adapt")
ROWS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    return zoo.create("realnvp", event_shape=(2,), hidden_units=(4,), num_couplings=2)


@pytest.fixture(scope="module")
def images() -> Any:
    return zoo.create("nice", event_shape=(1, 2, 1), hidden_units=(4,), num_couplings=2)


def rows_of(path: Path, space: Space) -> tuple[Any, Any]:
    """`read_rows` for a model of such rows, without a context."""
    return read_rows(path, SimpleNamespace(data=space, context=None))


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Cells.


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1_000", r"row 1, column x0 .*got '1_000'\. Write 1000\."),
        ("１２", "got '１２'"),
        ("٣", "got '٣'"),
        ("1e3_0", "got '1e3_0'"),
        ("0x10", "got '0x10'"),
        ("1.5D3", "got '1.5D3'"),
        ('"1,5"', r"got '1,5'\. Write decimals with a point, 1\.5"),
        ("5%", "got '5%'"),
        ("-inf", "got '-inf'"),
    ],
)
def test_texts_that_are_no_numbers(tmp_path: Path, cell: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_csv(table(tmp_path, f"1,2\n{cell},4\n"), 2)


def test_every_way_to_write_a_number(tmp_path: Path) -> None:
    path = table(tmp_path, "+1, -.5\n2.,1E3\n 1e-3 ,007\n")
    np.testing.assert_array_equal(
        read_csv(path, 2)[0], np.array([[1, -0.5], [2, 1000], [1e-3, 7]], np.float32)
    )


@pytest.mark.parametrize("cell", ["", "NaN", "-nan", "NA", "N/A", "#N/A", "<NA>", "NULL", "None"])
def test_every_way_to_write_a_missing_value(tmp_path: Path, cell: str) -> None:
    """In the first line too, where it is no name of a column."""
    rows, header = read_csv(table(tmp_path, f"{cell},{cell}\n1,2\n"), 2, allow_missing=True)
    assert header == ["x0", "x1"]
    np.testing.assert_array_equal(rows, np.array([[np.nan, np.nan], [1, 2]], np.float32))


@pytest.mark.parametrize("cell", ["16777217", "-20261129", "1700000001", "1700000001.0"])
def test_cells_that_lose_digits_are_told_by_row_and_column(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path, f"a,b\n1,16777216\n2,{cell}\n")
    becomes = int(np.float32(cell))
    with pytest.warns(
        UserWarning, match=rf"{float(cell):.0f} in row 1, column b becomes {becomes}"
    ):
        read_csv(path, 2)


def test_integers_of_tables_have_all_their_digits(tmp_path: Path) -> None:
    space = Space(shape=(2,), dtype="int32", meaning="integers")
    rows, _ = rows_of(table(tmp_path, "1,16777217\n2,-2147483647\n"), space)
    np.testing.assert_array_equal(rows, [[1, 16777217], [2, -2147483647]])


# The first line.


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", ["a", "b"]),
        ("\ufeffa,b\n1,2\n", ["a", "b"]),
        ("a,\n1,2\n", ["a", ""]),
        ("Größe,x_1\n1,2\n", ["Größe", "x_1"]),
        ("0,1\n1,2\n", None),  # integers above integers
        ("0.5,1.5\n1,2\n", None),
        ("3,7\n0.5,1.5\n", None),  # that do not count up
        ("\ufeff1,2\n3,4\n", None),
    ],
)
def test_names_and_rows(tmp_path: Path, text: str, header: list[str] | None) -> None:
    rows, found = read_csv(table(tmp_path, text), 2)
    assert found == (header or ["x0", "x1"])
    assert len(rows) == (1 if header else 2)


class TestColumnsThatAreNamed:
    NAMES = ("width", "Height")

    def test_stand_in_any_order(self, tmp_path: Path) -> None:
        path = table(tmp_path, "HEIGHT, width\n1,2\n3,4\n")
        with pytest.warns(UserWarning, match="in another order than the model"):
            rows, header = read_csv(path, 2, names=self.NAMES)
        np.testing.assert_array_equal(rows, [[2, 1], [4, 3]])
        assert [cell.strip() for cell in header] == ["width", "HEIGHT"]

    @pytest.mark.parametrize("first", ["width,height\n", "x0,x1\n", "a,b\n", ""])
    def test_stay_where_they_are(self, tmp_path: Path, first: str) -> None:
        rows, _ = read_csv(table(tmp_path, f"{first}1,2\n3,4\n"), 2, names=self.NAMES)
        np.testing.assert_array_equal(rows, [[1, 2], [3, 4]])

    def test_are_all_there_or_none(self, tmp_path: Path) -> None:
        message = "Expected the columns width, Height in .*lacks width and has depth"
        with pytest.raises(InvalidInputError, match=message):
            read_csv(table(tmp_path, "height,depth\n1,2\n"), 2, names=self.NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # As pandas writes a table without names, and years.
        ("0,1\n0.5,1.5\n2.5,3.0\n", "0, 1, may be names or a row"),
        ("2019,2020\n0.5,1\n", "2019, 2020, may be names or a row.*sed"),
        # Not names: a row that could not be measured.
        ("-,-\n1,2\n", "names that differ and have letters.*got -, -"),
        ("error,error\n1,2\n", "names that differ"),
        ("1_0,2_0\n1,2\n", "have letters.*got 1_0, 2_0"),
        ('"1,5","2,5"\n1,2\n', "have letters.*got 1,5, 2,5"),
        ("a,b\nkg,mm\n1,2\n", "row 0, column a .*'kg'"),
        ("a,b\n1,2\na,b\n3,4\n", "row 1, column a .*'a'"),
        ("a;b\n1,5;2,5\n", "parted by semicolons"),
        ("1\t2\n3\t4\n", "parted by tabs"),
    ],
)
def test_first_lines_that_may_be_either_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_csv(table(tmp_path, text), 2)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InvalidInputError, match=r"in UTF-8 .*iconv"):
        read_csv(table(tmp_path, "Größe,b\n1,2\n".encode(encoding)), 2)


# Arrays.


MASKED = np.ma.array(ROWS, mask=[[False, False], [True, False]])


@pytest.mark.parametrize("method", SCORES)
@pytest.mark.parametrize("x", [MASKED, [MASKED[0], MASKED[1]]], ids=["array", "list"])
def test_masks_are_refused_where_they_would_be_ignored(model: Any, method: str, x: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"masked \(1 values, row 1, column 0 the first"):
        getattr(model, method)(x)


def test_masks_are_refused_in_every_argument(model: Any, images: Any) -> None:
    grey = np.ma.array(np.zeros((2, 1, 2, 1), np.uint8), mask=[[[[0], [0]]], [[[0], [1]]]])
    labelled = zoo.create("made", event_shape=(2,), hidden_units=(8,), context_size=3)
    clips = zoo.create("wavenet", event_shape=(16,), residual_channels=4)
    labels = np.ma.array([0, 1], mask=[False, True])
    model.compile("adam")
    for call in (
        lambda: images.log_prob(grey),
        lambda: model.decode(MASKED),
        lambda: labelled.log_prob(ROWS, labels),
        lambda: clips.log_prob(np.ma.masked_equal(np.eye(2, 16, dtype=np.int16), 1)),
        lambda: model.fit(MASKED, verbose=0),
        lambda: model.fit(ROWS, validation_data=(MASKED, None), verbose=0),
        lambda: model.evaluate(MASKED, verbose=0),
        lambda: model.predict(MASKED, verbose=0),
    ):
        with pytest.raises(InvalidInputError, match="is masked"):
            call()


def test_a_mask_of_nothing_is_none(model: Any) -> None:
    np.testing.assert_array_equal(
        model.log_prob(np.ma.array(ROWS, mask=False)), model.log_prob(ROWS)
    )


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">i2", "<f8", "i8", "f2", "O"])
def test_rows_are_the_same_in_every_dtype(model: Any, dtype: str) -> None:
    rows = ROWS.astype(dtype)
    if dtype == "O":
        with pytest.raises(InvalidInputError, match=r"got dtype object.*x\.astype\('float64'\)"):
            model.log_prob(rows)
        return
    np.testing.assert_array_equal(model.log_prob(rows), model.log_prob(ROWS))
    for strange in (np.asfortranarray(rows), np.repeat(rows, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(model.log_prob(strange), model.log_prob(ROWS))


@pytest.mark.parametrize("dtype", [">u2", ">i8", "u1"])
def test_grey_levels_are_the_same_in_every_order_of_bytes(images: Any, dtype: str) -> None:
    x = np.array([[[[3], [200]]]], np.uint8)
    np.testing.assert_array_equal(images.log_prob(x.astype(dtype)), images.log_prob(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (ROWS + 1j, "Expected numbers in x; got dtype complex"),
        (tf.constant(ROWS + 1j), "Expected numbers in x; got dtype complex"),
        (tf.constant([["1", "2"]]), "Expected numbers in x; got dtype string"),
        (tf.sparse.from_dense(ROWS), "dense array in x; got SparseTensor.*to_dense"),
        (tf.ragged.constant([[1.0, 2.0]]), "dense array in x; got RaggedTensor"),
        (ROWS.astype("datetime64[s]"), "Expected numbers in x; got dtype datetime64"),
        (ROWS.view([("a", "f4"), ("b", "f4")]), "structured_to_unstructured"),
        (np.array([[1.0, 1e39]]), r"x holds 1e\+39 in row 0, column 1, beyond float32"),
        (tf.constant([[1.0, 1e39]], tf.float64), r"x holds 1e\+39 in row 0, column 1"),
    ],
)
def test_what_is_no_number_of_float32_is_refused(model: Any, x: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model.log_prob(x)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint64", "float64"])
@pytest.mark.parametrize("form", [np.asarray, tf.constant], ids=["numpy", "tensor"])
def test_integers_that_lose_digits_are_told(model: Any, dtype: str, form: Any) -> None:
    x = form(np.array([[0, 1], [2**24, 2**24 + 1], [0, 2**25 + 1]], dtype))
    message = "16777217 in row 1, column 1 becomes 16777216 and 1 more"
    with pytest.warns(UserWarning, match=message):
        model.log_prob(x)


def test_tensors_of_float64_have_gradients(model: Any) -> None:
    x = tf.constant(ROWS, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(model.log_prob(x))
    assert tape.gradient(total, x).dtype == tf.float64


def test_integers_that_lose_digits_are_told_in_fit(model: Any) -> None:
    model.compile("adam")
    with pytest.warns(UserWarning, match="x lose digits in float32: 16777217 in row 0, column 1"):
        model.fit(np.array([[0, 2**24 + 1], [1, 3]]), verbose=0)


def test_seconds_that_become_one_are_told_and_large_numbers_are_not(model: Any) -> None:
    seconds = 1.7e9 + np.arange(20.0).reshape(10, 2) / 8 + 0.1
    with pytest.warns(UserWarning, match="in row 0, column 0 becomes 1700000000 and"):
        model.log_prob(seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.log_prob(1e9 + 1e8 * np.random.default_rng(0).normal(size=(100, 2)))
        model.log_prob(np.array([[2**24, -(2**24)], [2**30, 3 * 2**40]]))
        model.log_prob(np.array([[0.1, 1 / 3]]))


# What arrays in files hold besides.


def test_further_arrays_of_an_archive_are_told_and_masks_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=ROWS, mask=ROWS > 1)
    with pytest.raises(InvalidInputError, match=r"x\.npz holds mask beside x: a mask"):
        rows_of(path, FEATURES)
    np.savez(path, x=ROWS, y=ROWS)
    with pytest.warns(UserWarning, match=r"x\.npz holds y beside x, of which nothing is used"):
        rows_of(path, FEATURES)
    np.savez(path, rows=ROWS, y=ROWS)
    with pytest.raises(InvalidInputError, match="needs its rows under the key x"):
        rows_of(path, FEATURES)
    np.savez(path, x=ROWS.astype(">f8"), context=[0, 1])
    rows, labels = rows_of(path, FEATURES)
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(labels, [0, 1])


def test_rows_of_files_that_lose_digits_are_told_by_their_place(tmp_path: Path) -> None:
    x = np.zeros([400, 2], np.int64)
    x[300, 1] = 2**24 + 1
    np.save(tmp_path / "x.npy", x)
    with pytest.warns(UserWarning, match=r"x\.npy lose digits .* in row 300, column 1"):
        rows_of(tmp_path / "x.npy", FEATURES)


def test_images_of_few_levels_are_read_as_they_are_written(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.array([[17, 255]], np.uint8)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(rows_of(tmp_path / "x.png", IMAGE)[0], [[[[1], [15]]]])


# Missing values.


@pytest.fixture
def gaussian() -> Any:
    normal = tfp.distributions.MultivariateNormalDiag([0.0, 0.0])
    return SimpleNamespace(
        name="gaussian",
        data=FEATURES,
        context=None,
        log_prob=lambda x, context=None: normal.log_prob(x),
        sample=lambda count, seed=None, context=None: normal.sample(count, seed=seed),
    )


NONE = np.array([[1.0, 2.0], [None, 4.0]], object)
UNDER = np.ma.array([[1, 2], [10**9 + 1, 4]], mask=[[0, 0], [1, 0]])
INFINITE = np.ma.masked_invalid(np.array([[1.0, 2.0], [np.inf, 4.0]]))


@pytest.mark.parametrize(
    "x",
    [MASKED, [MASKED[0], MASKED[1]], UNDER, INFINITE, NONE, NONE.tolist()],
    ids=["mask", "list of masks", "integers", "infinity under a mask", "None", "list"],
)
def test_masked_values_and_none_are_missing(
    gaussian: Any, monkeypatch: pytest.MonkeyPatch, x: Any
) -> None:
    monkeypatch.setattr(
        "zoo.tasks.imputation._drawn",
        lambda model, rows, *_, **__: (np.full_like(rows, 7.0), np.ones(len(rows), bool)),
    )
    found = impute(gaussian, x)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, np.array([[1, 2], [7, 4]], np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([["1_000", "2"]]), "Expected numbers in x"),
        (np.array([["1", 2.0]], object), "Expected numbers in x"),
        (ROWS + 1j, "Expected numbers in x; got dtype complex"),
        ([[1.0, {}]], "x is not an array of numbers"),
        ([[1.0, 2.0], [3.0]], "x is not an array of numbers"),
        (np.array([[1e39, np.nan]]), r"x holds 1e\+39 in row 0, column 0, beyond float32"),
    ],
)
def test_rows_of_no_numbers_are_refused(gaussian: Any, x: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        impute(gaussian, x)


def test_observed_integers_that_lose_digits_are_told(gaussian: Any) -> None:
    with pytest.warns(UserWarning, match="16777217 in row 0, column 0 becomes 16777216"):
        impute(gaussian, np.array([[2**24 + 1, 2]]))


# Commands.


def test_commands_say_which_cells_lose_digits(
    monkeypatch: pytest.MonkeyPatch, model: Any, tmp_path: Path
) -> None:
    from zoo.cli import use

    monkeypatch.setattr(use, "loaded", lambda name: model)
    path = table(tmp_path, "a,b\n1,16777217\n")
    result = commands.run("score", "m", path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["files"][0]["count"] == 1
    assert result.stderr.startswith(f"zoo: Numbers in {path} lose digits in float32: 16777217 in ")
    assert result.stderr.count("\n") == 1
