"""Folders that somebody else wrote: what is absurd, or leads elsewhere, is refused before it is
read or built.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import zoo
from zoo.errors import FormatError, MissingCheckpointError, WeightsMismatchError, ZooError
from zoo.store import structure
from zoo.store.files import MAX_JSON_BYTES, read_json
from zoo.store.hashes import write_sha256sums

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@pytest.fixture
def folder(master: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(master, tmp_path / "copy"))
    (copy / "SHA256SUMS").unlink()
    return copy


def describe(folder: Path, *, family: str = "nice", **config: object) -> None:
    """Makes config.json that of another model."""
    values = json.loads((folder / CONFIG).read_text())
    old = values["config"] if family == "nice" else {"event_shape": values["config"]["event_shape"]}
    values |= {"family": family, "config": {**old, **config}}
    (folder / CONFIG).write_text(json.dumps(values))


BILLION = 10**9
SIZES: dict[str, tuple[str, dict[str, object]]] = {
    "units": ("nice", {"hidden_units": [BILLION]}),
    "layers": ("nice", {"num_couplings": BILLION}),
    "products of sizes that fit": ("nice", {"hidden_units": [60_000, 60_000]}),
    "masks": ("maf", {"hidden_units": [60_000, 60_000]}),
    "outputs of masks": ("maf", {"num_components": 60_000, "event_shape": [2000]}),
    "many small layers": ("maf", {"num_layers": 60_000, "hidden_units": [1]}),
    "blocks": ("nsf", {"num_blocks": 60_000, "num_units": 1}),
    "bins": ("nsf", {"num_bins": BILLION}),
    "classes": ("maf", {"context_size": BILLION}),
    "planes": ("planar", {"num_layers": BILLION}),
    "latents": ("vae", {"latent_size": BILLION}),
    "audio": ("wavenet", {"residual_channels": 60_000}),
}


@pytest.mark.parametrize(("family", "config"), SIZES.values(), ids=SIZES)
def test_a_model_far_larger_than_its_weights_is_not_built(
    family: str, config: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: no layer is made with a weight that the file has no numbers for."""
    made: list[int] = []
    ones = keras.Variable.__init__

    def counting(self, *args, **kwargs) -> None:
        ones(self, *args, **kwargs)
        made.append(int(np.prod(self.shape)))

    monkeypatch.setattr(keras.Variable, "__init__", counting)
    describe(folder, family=family, **config)
    with pytest.raises(WeightsMismatchError, match=r"far larger model than .* has numbers for"):
        zoo.load(folder)
    assert len(made) < 600
    assert sum(made) < 600_000


def test_rows_of_a_billion_numbers_are_refused(folder: Path) -> None:
    describe(folder, family="planar", event_shape=[BILLION])
    with pytest.raises(FormatError, match=r"rows of 1,000,000,000 numbers; at most"):
        zoo.load(folder)


def test_fresh_weights_have_a_cap(folder: Path) -> None:
    describe(folder, hidden_units=[10 * BILLION])
    with pytest.raises(ZooError, match="a model of more than 2,147,483,648 numbers"):
        zoo.load(folder, weights=False)


def test_a_number_that_is_not_finite_is_no_size(folder: Path) -> None:
    describe(folder, log_scale_factor=float("nan"))
    with pytest.raises(ZooError, match=r"log_scale_factor .*finite number; got nan"):
        zoo.load(folder)


# --- files that are none


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder"])
def test_what_is_no_file_is_not_opened(file: str, kind: str, folder: Path) -> None:
    """A pipe without a writer would be waited for, /dev/zero never ends."""
    path = folder / file
    path.rename(folder / "away")
    if kind == "link":
        path.symlink_to("away")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    expected = "is a link, which is not followed" if kind in ("link", "device") else "is a "
    with pytest.raises(FormatError, match=expected):
        zoo.load(folder)


def test_a_list_of_hashes_that_never_ends(folder: Path) -> None:
    os.mkfifo(folder / "SHA256SUMS")
    with pytest.raises(FormatError, match="is a pipe"):
        zoo.load(folder, sha256="0" * 64)


def test_links_to_a_folder_are_the_users_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    zoo.load(tmp_path / "link")


DOCUMENTS = {
    "deep": ("[" * 200_000, "more than 32 levels"),
    "deep and whole": ("[" * 40 + "]" * 40, "more than 32 levels"),
    "large": ("[" + "0," * (MAX_JSON_BYTES // 2) + "0]", "larger than 16,777,216 bytes"),
    "no object": ("[1, 2]", "holds no JSON object, but list"),
}


@pytest.mark.parametrize(("text", "message"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_is_bounded(text: str, message: str, folder: Path) -> None:
    (folder / CONFIG).write_text(text)
    with pytest.raises(FormatError, match=message):
        zoo.load(folder)


def test_brackets_in_text_are_no_depth(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a": "[" * 1000, "b": '"\\"[[['}))
    assert read_json(tmp_path / "a.json")["a"] == "[" * 1000


# --- HDF5


def replaced(path: Path, make: Callable[[h5py.Group, str, np.ndarray], None]) -> None:
    """The largest array of the file, made again by `make(group, name, values)`."""
    with h5py.File(path, "r+") as file:
        found: dict[str, int] = {}
        file.visititems(
            lambda name, node: (
                found.update({name: node.size}) if isinstance(node, h5py.Dataset) else None
            )
        )
        name = max(found, key=lambda key: found[key])
        values = file[name][()]
        del file[name]
        make(file, name, values)


def chunked(group: h5py.Group, name: str, values: np.ndarray) -> None:
    free, chunks = (None,) * values.ndim, (2**26, *(1 for _ in values.shape[1:]))
    group.create_dataset(name, values.shape, "f4", maxshape=free, chunks=chunks, compression="gzip")


def unwritten(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, values.shape, "f4", fillvalue=1.0)


def huge(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, (10**12,), "f4", chunks=(2**20,), compression="gzip")


def packed_twice(group: h5py.Group, name: str, values: np.ndarray) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(values.shape)
    properties.set_deflate(9)
    properties.set_deflate(9)
    space = h5py.h5s.create_simple(values.shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space, properties)
    group[name][...] = values


def otherwise_packed(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, data=values, compression="lzf")


def soft_link(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group["elsewhere"] = values
    group[name] = h5py.SoftLink("/elsewhere")


def outer_link(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group[name] = h5py.ExternalLink("/etc/passwd", "/data")


def outer_data(group: h5py.Group, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, values.shape, "f4", external=[("/etc/passwd", 0, values.nbytes)])


def virtual(group: h5py.Group, name: str, values: np.ndarray) -> None:
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", values.shape)
    group.create_virtual_dataset(name, layout)


def no_numpy(group: h5py.Group, name: str, values: np.ndarray) -> None:
    space = h5py.h5s.create_simple(values.shape)
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.STD_B8LE, space)


FORGED = {
    "chunks": (chunked, "larger than its shape"),
    "unwritten": (unwritten, "holds 0 bytes of them"),
    "huge": (huge, r"declares 1,000,000,000,000 numbers .* holds 0 bytes"),
    "packed twice": (packed_twice, "other filters than gzip"),
    "other filter": (otherwise_packed, "other filters than gzip"),
    "soft link": (soft_link, "has a link in the place of"),
    "outer link": (outer_link, "has a link in the place of"),
    "outer data": (outer_data, "data in other files"),
    "virtual": (virtual, "data in other files"),
    "no NumPy type": (no_numpy, "cannot be read as HDF5|holds 0 bytes"),
}


@pytest.mark.parametrize(("make", "message"), FORGED.values(), ids=FORGED)
def test_forged_arrays_are_refused(make: Callable, message: str, folder: Path) -> None:
    replaced(folder / WEIGHTS, make)
    with pytest.raises(FormatError, match=message):
        zoo.load(folder)


def test_more_numbers_than_any_model_has(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "MAX_VALUES", 10)
    with pytest.raises(FormatError, match="at most 10 are read"):
        zoo.load(folder)


def test_shapes_are_those_of_the_file(folder: Path) -> None:
    found = structure.shapes(folder / WEIGHTS)
    model = zoo.load(folder)
    assert sorted(found.values()) == sorted(tuple(v.shape) for v in model.weights)
    with pytest.raises(MissingCheckpointError):
        structure.shapes(folder / "absent")


def test_zeros_pack_well_and_are_taken(folder: Path, trained: keras.Model) -> None:
    """A fresh layer of zeros is a thousand times smaller than its array."""

    def zeros(group: h5py.Group, name: str, values: np.ndarray) -> None:
        group.create_dataset(
            name, data=np.zeros_like(values), compression="gzip", compression_opts=9, shuffle=True
        )

    replaced(folder / WEIGHTS, zeros)
    zoo.load(folder)


def test_published_bytes_are_no_stranger_than_before(folder: Path) -> None:
    write_sha256sums(folder)
    zoo.load(folder)
