"""Which SavedModels there are, by name and version; no name reaches another folder."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import tensorflow as tf
import tiny_exports

from zoo.errors import ServingError
from zoo.serving.repository import Repository, check_name, find, find_versions
from zoo.serving.status import RequestError, tensorflow_errors


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    for version in (2, 10):
        tiny_exports.save_adder(tmp_path / "adder" / str(version), version)
    return tmp_path / "adder"


def test_versions_are_the_numbered_folders(adder: Path) -> None:
    for name in (".unfinished-3-x", "latest", "-1", "1.5", "4"):
        (adder / name).mkdir()
    (adder / "7").write_text("a file")
    assert find_versions(adder) == {2: adder / "2", 10: adder / "10"}


def test_models_are_the_folders_with_versions(adder: Path) -> None:
    (adder.parent / "empty").mkdir()
    (adder.parent / "README.md").write_text("an export's")
    assert find(adder.parent) == ["adder"]
    assert find(adder.parent / "nowhere") == []


@pytest.mark.parametrize("name", ["../adder", "a/b", "/etc", "..", ".", ".hidden", "", "a b", "ä"])
def test_names_are_no_paths(name: str, adder: Path) -> None:
    with pytest.raises(ServingError, match="A model's name has letters"):
        check_name(name)
    with pytest.raises(ServingError, match="A model's name has letters"):
        Repository({name: adder}, max_rows=1)


def test_the_highest_version_answers(adder: Path) -> None:
    repository = Repository({"adder": adder}, max_rows=1)
    assert repository.get("adder").version == 10
    assert repository.get("adder", 2).version == 2
    assert repository.versions("adder") == [10, 2]
    with pytest.raises(RequestError, match=r"Specific\(adder, 3\)") as error:
        repository.get("adder", 3)
    assert error.value.code is grpc.StatusCode.NOT_FOUND


class TestWhatCannotBeServed:
    def test_nothing(self) -> None:
        with pytest.raises(ServingError, match="There is no model to serve"):
            Repository({}, max_rows=1)

    def test_a_folder_without_versions(self, tmp_path: Path) -> None:
        with pytest.raises(ServingError, match=r"holds no SavedModel.*zoo export adder"):
            Repository({"adder": tmp_path}, max_rows=1)

    def test_a_damaged_graph(self, adder: Path) -> None:
        (adder / "2" / "saved_model.pb").write_bytes(b"no protobuf")
        with pytest.raises(ServingError, match=r"cannot load .* as a SavedModel"):
            Repository({"adder": adder}, max_rows=1)

    def test_a_graph_that_is_not_for_serving(self, adder: Path) -> None:
        (adder / "2" / "saved_model.pb").write_bytes(b"")
        with pytest.raises(ServingError, match="no graph with the tag 'serve'"):
            Repository({"adder": adder}, max_rows=1)

    def test_missing_variables(self, tmp_path: Path) -> None:
        module = tf.Module()
        module.v = tf.Variable([1.0])
        module.f = tf.function(
            lambda x: {"y": x + module.v}, input_signature=[tf.TensorSpec([None], name="x")]
        )
        folder = tmp_path / "m" / "1"
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.f})
        for file in (folder / "variables").iterdir():
            file.unlink()
        with pytest.raises(ServingError, match=r"cannot load .* as a SavedModel"):
            Repository({"m": tmp_path / "m"}, max_rows=1)

    def test_no_signature(self, tmp_path: Path) -> None:
        tf.saved_model.save(tf.Module(), str(tmp_path / "m" / "1"))
        with pytest.raises(ServingError, match="has no signature to serve"):
            Repository({"m": tmp_path / "m"}, max_rows=1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (tf.errors.InvalidArgumentError, "INVALID_ARGUMENT"),
        (tf.errors.ResourceExhaustedError, "RESOURCE_EXHAUSTED"),
        (tf.errors.InternalError, "INTERNAL"),
    ],
)
def test_errors_of_the_runtime_keep_their_code(error: type[tf.errors.OpError], code: str) -> None:
    with pytest.raises(RequestError, match="too bad") as raised, tensorflow_errors():
        raise error(None, None, "too bad")
    assert raised.value.code is grpc.StatusCode[code]
