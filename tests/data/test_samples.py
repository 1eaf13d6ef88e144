"""The rows in the package are real, small, and read without TensorFlow."""

import importlib.util
import io
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import zoo.data
from zoo.data.samples import sample_labels, sample_names, samples
from zoo.errors import DataError

EXPECTED = {
    "binarized_mnist": ((64, 28, 28, 1), np.uint8, 0),
    "binarized_mnist14": ((64, 14, 14, 1), np.uint8, 0),
    "cifar10": ((32, 32, 32, 3), np.uint8, 10),
    "digits": ((64, 8, 8, 1), np.uint8, 10),
    "eight_gaussians": ((256, 2), np.uint8, 0),
    **dict.fromkeys(("energy_u1", "energy_u2", "energy_u3", "energy_u4"), ((64, 2), np.float32, 0)),
    "fashion_mnist": ((64, 28, 28, 1), np.uint8, 10),
    "magic": ((256, 10), np.float32, 2),
    "mnist": ((64, 28, 28, 1), np.uint8, 10),
    "mushroom": ((128, 23), np.uint8, 2),
    "optdigits": ((64, 8, 8, 1), np.uint8, 10),
    "spoken_digit": ((8, 6144), np.int16, 50),
}
LARGEST_TOTAL = 200_000


def test_the_names():
    assert sample_names() == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_and_labels(name):
    shape, dtype, classes = EXPECTED[name]
    x = samples(name)
    assert x.shape == shape
    assert x.dtype == dtype
    different = len({row.tobytes() for row in x})
    assert different == (199 if name == "eight_gaussians" else len(x))  # cells of a plane
    if not classes:
        with pytest.raises(DataError, match=f"{name} has no labels"):
            sample_labels(name)
        return
    labels = sample_labels(name)
    assert labels.shape == shape[:1]
    assert labels.dtype == np.int32
    assert set(labels.tolist()) <= set(range(classes))
    assert len(set(labels.tolist())) == min(classes, len(labels))


@pytest.mark.parametrize("name", EXPECTED)
def test_rows_are_the_first_of_the_test_split(name, real_arrays):
    arrays = real_arrays(name, "test")
    x = samples(name)
    np.testing.assert_array_equal(x, arrays.x[: len(x)])
    if EXPECTED[name][2]:
        np.testing.assert_array_equal(sample_labels(name), arrays.context[: len(x)])


def test_they_are_small():
    folder = resources.files("zoo") / "assets"
    sizes = [len(item.read_bytes()) for item in folder.iterdir() if item.name.endswith("_test.npz")]
    assert sum(sizes) <= LARGEST_TOTAL


def test_a_caller_may_change_what_it_got():
    x = samples("magic")
    x[:] = 0
    assert samples("magic").any()


@pytest.mark.parametrize("read", [samples, sample_labels])
def test_unknown_names_are_refused(read):
    with pytest.raises(
        DataError, match=r"no rows of 'minst'. Did you mean 'mnist'\? It has binarized_mnist"
    ):
        read("minst")
    with pytest.raises(DataError, match=r"no rows of '\.\./pins'\. It has"):
        read("../pins")


def test_the_package_offers_the_function():
    assert zoo.data.samples is samples


def test_reading_needs_numpy_alone():
    code = """
import sys
import zoo.data.samples
from zoo.data import samples
assert samples("mnist").shape == (64, 28, 28, 1)
heavy = {"tensorflow", "tensorflow_datasets", "keras", "pandas", "scipy"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_files_depend_on_the_rows_alone():
    path = Path(__file__).parents[2] / "tools" / "make_samples.py"
    spec = importlib.util.spec_from_file_location("make_samples", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    columns = {"x": np.arange(6, dtype=np.uint8).reshape(2, 3), "label": np.array([1, 0])}
    content = tool.npz_bytes(columns)
    assert content == tool.npz_bytes({name: column.copy() for name, column in columns.items()})
    stored = np.load(io.BytesIO(content), allow_pickle=False)
    for name, column in columns.items():
        np.testing.assert_array_equal(stored[name], column)
        assert stored[name].dtype == column.dtype
