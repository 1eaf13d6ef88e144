"""Weights all or none, and each kind of damage refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from zoo.errors import (
    FormatError,
    InvalidInputError,
    MissingCheckpointError,
    WeightsMismatchError,
)
from zoo.store.weights import FORMAT_VERSION, load_weights, save_weights


class Tiny(keras.Model):
    """Every kind of holder: layers in a list, running statistics, a weight of its own, seeds."""

    def __init__(self, width: int = 70) -> None:
        super().__init__()
        self.blocks = [
            keras.Sequential([keras.layers.Dense(80), keras.layers.Dense(width)]) for _ in range(2)
        ]
        self.norm = keras.layers.BatchNormalization()
        self.dropout = keras.layers.Dropout(0.1, seed=1)
        self.scale = self.add_weight(shape=(3,), name="scale")
        self(np.zeros((2, 64), np.float32))

    def call(self, x):
        return self.dropout(self.norm(sum(block(x) for block in self.blocks))) * self.scale[0]


def values(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.weights]


def randomise(model: keras.Model, seed: int) -> keras.Model:
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(generator.uniform(0.1, 1.0, size=variable.shape))
    return model


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Tiny, Path]:
    model = randomise(Tiny(), seed=1)
    path = tmp_path_factory.mktemp("saved") / "model.weights.h5"
    return model, save_weights(model, path)


@pytest.fixture
def copied(saved, tmp_path: Path) -> Path:
    return Path(shutil.copy(saved[1], tmp_path / "model.weights.h5"))


@pytest.fixture(scope="module")
def other() -> Tiny:
    return Tiny()


class TestWeights:
    def test_come_back_exactly(self, saved, other) -> None:
        model, path = saved
        load_weights(randomise(other, seed=2), path)
        assert_equal(values(other), values(model))

    def test_keras_reads_what_we_write(self, saved, other) -> None:
        model, path = saved
        randomise(other, seed=2).load_weights(path)
        assert_equal(values(other), values(model))

    def test_we_read_what_keras_writes_with_its_optimizer(self, other, tmp_path: Path) -> None:
        model = randomise(Tiny(), seed=3)
        model.compile("adam", "mse")
        model.fit(np.ones((4, 64)), np.ones((4, 70)), verbose=0)
        model.save_weights(tmp_path / "keras.weights.h5")
        load_weights(randomise(other, seed=2), tmp_path / "keras.weights.h5")
        assert_equal(values(other), values(model))

    def test_the_layout_is_that_of_keras(self, saved, tmp_path: Path) -> None:
        model, path = saved
        model.save_weights(tmp_path / "keras.weights.h5")

        def tree(file: Path) -> dict:
            found: dict = {}
            with h5py.File(file) as opened:
                opened.visititems(
                    lambda name, node: found.update(
                        {name: (getattr(node, "shape", None), dict(node.attrs))}
                    )
                )
            return found

        assert tree(path) == tree(tmp_path / "keras.weights.h5")

    def test_equal_weights_give_equal_bytes(self, saved, tmp_path: Path) -> None:
        model, path = saved
        again = save_weights(model, tmp_path / "again.weights.h5")
        assert again.read_bytes() == path.read_bytes()

    def test_half_precision_rounds_large_matrices_alone(self, saved, other, tmp_path: Path) -> None:
        model, full = saved
        half = save_weights(model, tmp_path / "half.weights.h5", storage_dtype="float16")
        load_weights(randomise(other, seed=2), half)
        for variable, stored, exact in zip(
            other.weights, values(other), values(model), strict=True
        ):
            large = exact.ndim >= 2 and exact.size >= 4096
            expected = exact.astype(np.float16).astype(np.float32) if large else exact
            np.testing.assert_array_equal(stored, expected)
            assert variable.dtype == "float32"
        assert half.stat().st_size < 0.7 * full.stat().st_size

    def test_half_precision_refuses_what_it_cannot_hold(self, tmp_path: Path) -> None:
        model = randomise(Tiny(), seed=4)
        kernel = next(v for v in model.weights if v.shape == (80, 70))
        kernel.assign(np.full((80, 70), 1e5))
        with pytest.raises(InvalidInputError, match=r"100000, beyond float16's 65504"):
            save_weights(model, tmp_path / "a.weights.h5", storage_dtype="float16")
        assert list(tmp_path.iterdir()) == []

    def test_bfloat16_variables_come_back_exactly(self, tmp_path: Path) -> None:
        def build(seed: int) -> keras.Model:
            model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, dtype="bfloat16")])
            return randomise(model, seed)

        model = build(1)
        path = save_weights(model, tmp_path / "a.weights.h5")
        model.save_weights(tmp_path / "keras.weights.h5")
        for source in (path, tmp_path / "keras.weights.h5"):  # float32, and marked raw bytes
            load_weights(target := build(2), source)
            for one, two in zip(model.weights, target.weights, strict=True):
                np.testing.assert_array_equal(
                    keras.ops.convert_to_numpy(one).astype("float32"),
                    keras.ops.convert_to_numpy(two).astype("float32"),
                )

    def test_a_layer_that_stores_something_else_than_its_weights_is_refused(
        self, tmp_path: Path
    ) -> None:
        class Doubling(keras.layers.Dense):
            def save_own_variables(self, store) -> None:
                store["0"] = 2.0 * self.kernel

        model = keras.Sequential([keras.Input((3,)), Doubling(2)])
        with pytest.raises(WeightsMismatchError, match=r"lost .*kernel.*bias.*not among.*vars/0"):
            save_weights(model, tmp_path / "a.weights.h5")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"path": "a.h5"}, "ends in .weights.h5"),
            ({"path": "a.weights.h5", "storage_dtype": "int8"}, "float32 or float16; got 'int8'"),
        ],
        ids=["ending", "dtype"],
    )
    def test_bad_arguments(self, saved, tmp_path: Path, arguments, message) -> None:
        path = tmp_path / arguments.pop("path")
        with pytest.raises(InvalidInputError, match=message):
            save_weights(saved[0], path, **arguments)

    def test_an_unbuilt_model_is_refused(self, tmp_path: Path) -> None:
        model = keras.Sequential([keras.layers.Dense(2)])
        with pytest.raises(InvalidInputError, match="not built"):
            save_weights(model, tmp_path / "a.weights.h5")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_hdf5(path: Path) -> None:
    path.write_bytes(b"<html>404</html>" * 100)


def damage_last_chunk(path: Path) -> None:
    """Flips bytes inside the compressed data of the dataset that is read last."""
    with h5py.File(path) as file:
        chunks: list = []

        def note(_name: str, node) -> None:
            if isinstance(node, h5py.Dataset) and node.chunks:
                chunks.append(node.id.get_chunk_info(node.id.get_num_chunks() - 1))

        file.visititems(note)
    chunk = chunks[-1]
    data = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 4] = bytes(byte ^ 0xFF for byte in data[middle : middle + 4])
    path.write_bytes(data)


def newer_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["zoo_format_version"] = FORMAT_VERSION + 1


def not_a_number(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["vars/0"][1] = np.nan


def text_values(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["vars/0"]
        file["vars"].create_dataset("0", data=np.array([b"a", b"b", b"c"]))


def missing_weight(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["vars/0"]


def extra_weight(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["vars/1"] = np.zeros(3)


def other_shape(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["vars/0"]
        file["vars/0"] = np.zeros(4)


def link_instead(path: Path) -> None:
    """Moves a weight into another file and links to it."""
    with h5py.File(path, "r+") as file, h5py.File(path.with_name("elsewhere.h5"), "w") as target:
        file.copy("vars/0", target, name="stolen")
        del file["vars/0"]
        file["vars/0"] = h5py.ExternalLink("elsewhere.h5", "/stolen")


def external_data(path: Path) -> None:
    """Declares a weight whose bytes lie in another file."""
    path.with_name("raw.bin").write_bytes(np.ones(3, np.float32).tobytes())
    with h5py.File(path, "r+") as file:
        del file["vars/0"]
        file["vars"].create_dataset("0", (3,), "f4", external=[("raw.bin", 0, 12)])


def no_values(path: Path) -> None:
    """A dataset without a shape."""
    with h5py.File(path, "r+") as file:
        del file["vars/0"]
        file["vars"].create_dataset("0", data=h5py.Empty("f4"))


def instead(path: Path, *, shape: tuple[int, ...], dtype: Any, value: Any = None) -> None:
    with h5py.File(path, "r+") as file:
        del file["vars/0"]
        stored = file["vars"].create_dataset("0", shape, dtype, data=value)
        if value is None:
            everything, kind = h5py.h5s.ALL, stored.id.get_type()
            stored.id.write(everything, everything, np.zeros(shape, dtype), mtype=kind)


def array_type(path: Path) -> None:
    """Every element of the weight is an array of two numbers."""
    instead(path, shape=(3,), dtype=np.dtype(("<f4", (2,))))


def compound_type(path: Path) -> None:
    instead(path, shape=(3,), dtype=np.dtype([("a", "<f4"), ("b", "<f4")]))


def beyond_float32(path: Path) -> None:
    instead(path, shape=(3,), dtype="f8", value=np.array([1.0, -1e39, 2.0]))


def bytes_of_no_type(path: Path) -> None:
    instead(path, shape=(3,), dtype="V2")


DAMAGES = {
    "truncated": (truncate, FormatError, "truncated or damaged"),
    "empty": (empty, FormatError, "truncated or damaged"),
    "not-hdf5": (no_hdf5, FormatError, "truncated or damaged"),
    "flipped-bytes": (damage_last_chunk, FormatError, "truncated or damaged"),
    "newer-version": (
        newer_version,
        FormatError,
        "format version 2; this version of the zoo reads 1",
    ),
    "nan": (not_a_number, FormatError, "NaN or infinity in /vars/0"),
    "text": (text_values, FormatError, "expected numbers"),
    "no-values": (no_values, FormatError, "expected numbers"),
    "missing-weight": (missing_weight, WeightsMismatchError, "vars/0 is missing"),
    "extra-weight": (extra_weight, WeightsMismatchError, "vars/1 is not in the model"),
    "other-shape": (other_shape, WeightsMismatchError, r"shape \[4\], the model's is \[3\]"),
    "external-link": (link_instead, FormatError, "has a link in the place of vars/0"),
    "array-type": (array_type, FormatError, "expected numbers"),
    "compound-type": (compound_type, FormatError, "expected numbers"),
    "beyond-float32": (beyond_float32, FormatError, r"/vars/0, up to -1e\+39, .* none of float32"),
    "opaque": (bytes_of_no_type, FormatError, "expected numbers"),
    "external-data": (external_data, FormatError, "data in other files"),
}


@pytest.mark.parametrize(("damage", "error", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_weights_are_refused_and_nothing_is_assigned(
    copied: Path, other, damage, error, message
) -> None:
    damage(copied)
    before = values(randomise(other, seed=5))
    with pytest.raises(error, match=message):
        load_weights(other, copied)
    assert_equal(values(other), before)


def test_weights_of_another_width_name_the_first_difference(saved) -> None:
    narrow = Tiny(width=60)
    before = values(narrow)
    with pytest.raises(WeightsMismatchError, match=r"\[80, 70\], the model's is \[80, 60\].*more"):
        load_weights(narrow, saved[1])
    assert_equal(values(narrow), before)


def test_no_file(other, tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match="No weights file"):
        load_weights(other, tmp_path / "a.weights.h5")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.weights.h5"
    path.write_text("old")

    def no_space(*arguments: object, **options: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", no_space)
    with pytest.raises(OSError, match="No space left"):
        save_weights(saved[0], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
