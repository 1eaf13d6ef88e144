"""By name, from wherever the files are, checked on every load, and each failure by its own name.

The registry gets an entry of a tiny NICE with published weights, and one without.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hosts import Host

import zoo
from zoo import loading, registry
from zoo.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    OfflineError,
    UnknownModelError,
    WeightsMismatchError,
)
from zoo.store.files import write_json_atomic, write_text_atomic
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import sha256_of, write_sha256sums
from zoo.store.weights import save_weights

NAME = "nice_tiny"
CONFIG = {"event_shape": [6], "num_couplings": 2, "hidden_units": [64, 65]}
METRICS = {
    "name": NAME,
    "metrics": {"bits_per_dim": {"value": 4.3625, "two_standard_errors": 0.0123}},
}
X = np.linspace(-2.0, 2.0, 18, dtype=np.float32).reshape(3, 6)


@pytest.fixture(scope="session")
def trained() -> keras.Model:
    """Weights that no initialisation gives."""
    model = zoo.create("nice", **CONFIG)
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(0.3 * generator.normal(size=variable.shape))
    return model


@pytest.fixture(scope="session")
def master(trained, tmp_path_factory) -> Path:
    """The published folder; tests work on copies."""
    recipe = dataclasses.replace(registry.get("nice_mnist").recipe, config=CONFIG)
    folder = tmp_path_factory.mktemp("master") / NAME
    save_checkpoint(folder, trained, family="nice", recipe=recipe)
    write_json_atomic(folder / "metrics.json", METRICS)
    write_text_atomic(folder / "card.md", "# A tiny NICE\n")
    write_sha256sums(folder)
    return folder


@pytest.fixture
def pins(master: Path) -> dict:
    files = {
        path.name: {"sha256": sha256_of(path), "size": path.stat().st_size}
        for path in sorted(master.iterdir())
    }
    return {"version": 1, "files": files}


@pytest.fixture(autouse=True)
def entries(master: Path, pins: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry with the tiny models, in an installation that holds no checkpoints."""
    original = registry.get("nice_mnist")
    recipe = dataclasses.replace(original.recipe, config=CONFIG)
    for name in (NAME, "nice_untrained"):
        entry = dataclasses.replace(original, name=name, recipe=recipe)
        monkeypatch.setitem(registry.ENTRIES, name, entry)
    monkeypatch.setattr(registry, "pins", lambda: {NAME: pins})
    package = tmp_path / "install" / "zoo"
    package.mkdir(parents=True)
    monkeypatch.setattr(loading, "__file__", str(package / "loading.py"))


@pytest.fixture
def published(master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder under `$ZOO_CHECKPOINTS`."""
    root = tmp_path / "published"
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(root))
    return Path(shutil.copytree(master, root / NAME))


def assert_same(model: keras.Model, expected: keras.Model) -> None:
    np.testing.assert_array_equal(model.log_prob(X), expected.log_prob(X))


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestLoad:
    def test_published_weights(self, published: Path, trained) -> None:
        assert_same(zoo.load(NAME), trained)

    def test_fresh_weights_need_no_files(self, trained) -> None:
        model = zoo.load(NAME, weights=False)
        assert model.config == trained.config
        shapes = [tuple(v.shape) for v in model.weights]
        assert shapes == [tuple(v.shape) for v in trained.weights]
        assert not np.array_equal(model.log_prob(X), trained.log_prob(X))

    def test_weights_of_a_folder_and_of_a_file(self, published: Path, trained) -> None:
        assert_same(zoo.load("nice_untrained", weights=published), trained)
        assert_same(zoo.load("nice_untrained", weights=str(published)), trained)
        file = published / "model.weights.h5"
        assert_same(zoo.load("nice_untrained", weights=file), trained)

    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_folder_in_place_of_a_name(self, published: Path, trained, kind) -> None:
        assert_same(zoo.load(kind(published)), trained)

    def test_a_folder_beside_us_in_place_of_a_name(
        self, published: Path, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published.rename(published.with_name("my_run"))
        monkeypatch.chdir(published.parent)
        assert_same(zoo.load("my_run"), trained)

    def test_a_folder_with_fresh_or_other_weights(self, published: Path, trained) -> None:
        fresh = zoo.load(published, weights=False)
        assert fresh.config == trained.config
        assert not np.array_equal(fresh.log_prob(X), trained.log_prob(X))
        assert_same(zoo.load(published, weights=published / "model.weights.h5"), trained)

    def test_a_half_precision_checkpoint(self, trained, tmp_path: Path) -> None:
        save_checkpoint(tmp_path / "half", trained, family="nice", storage_dtype="float16")
        model = zoo.load(tmp_path / "half")
        np.testing.assert_allclose(model.log_prob(X), trained.log_prob(X), rtol=1e-3)
        assert not np.array_equal(model.log_prob(X), trained.log_prob(X))

    def test_loaded_models_train(self, published: Path, trained) -> None:
        model = zoo.load(NAME)
        model.compile(optimizer="adam")
        model.fit(X, epochs=1, batch_size=3, verbose=0)
        assert not np.array_equal(model.log_prob(X), trained.log_prob(X))


class TestRefusals:
    @pytest.mark.parametrize("name", ["nice_tinny", "nice-tiny", "Nice_tiny"])
    def test_an_unknown_name_gets_close_matches(self, name: str) -> None:
        for function in (zoo.load, zoo.info, loading.resolve, loading.local_folder):
            with pytest.raises(UnknownModelError, match=f"No model named '{name}'.*'{NAME}'"):
                function(name)

    def test_a_path_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingCheckpointError, match=r"config\.json is missing"):
            zoo.load(tmp_path / "absent")
        with pytest.raises(MissingCheckpointError, match=r"config\.json is missing"):
            zoo.load(str(tmp_path / "absent"))

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            (None, "name is a name, a path or an address; got None"),
            (Path(__file__), "is a file: give its folder, or zoo.load"),
            ("https://[bad/x", "is no address: Invalid IPv6 URL"),
        ],
    )
    def test_what_is_no_name(self, name: Any, message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            zoo.load(name, sha256="0" * 64)

    def test_a_folder_at_home(
        self, published: Path, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(published.parent))
        assert zoo.load(f"~/{published.name}").config == trained.config

    def test_an_unknown_family_gets_close_matches(self) -> None:
        with pytest.raises(UnknownModelError, match=r"'nise'.*'nice'"):
            zoo.create("nise", event_shape=(4,))

    def test_an_unknown_field_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="hidden_unit"):
            zoo.create("nice", event_shape=(4,), hidden_unit=(8,))

    def test_no_published_weights(self) -> None:
        with pytest.raises(MissingCheckpointError) as caught:
            zoo.load("nice_untrained")
        for part in ("no published weights", "weights=False", "zoo train nice_untrained"):
            assert part in str(caught.value)

    @pytest.mark.parametrize(
        "file", ["model.weights.h5", "config.json", "recipe.json", "metrics.json", "card.md"]
    )
    @pytest.mark.parametrize("where", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
    def test_a_flipped_byte_of_any_file(self, published: Path, file: str, where: float) -> None:
        data = bytearray((published / file).read_bytes())
        data[int(where * (len(data) - 1))] ^= 0x01
        (published / file).write_bytes(data)
        with pytest.raises(IntegrityError, match=f"{file} has the SHA-256 .* is pinned"):
            zoo.load(NAME)
        with pytest.raises(IntegrityError, match=f"{file} is not the file that SHA256SUMS lists"):
            zoo.load(NAME, weights=published)
        with pytest.raises(IntegrityError, match=f"{file} is not the file that SHA256SUMS lists"):
            zoo.load(published)

    @pytest.mark.parametrize("file", ["model.weights.h5", "config.json", "recipe.json", "card.md"])
    def test_a_missing_file(self, published: Path, file: str) -> None:
        (published / file).unlink()
        with pytest.raises(MissingCheckpointError, match=f"{file} is missing in"):
            zoo.load(NAME)
        with pytest.raises(MissingCheckpointError, match=f"{file} is missing in"):
            zoo.load(published)

    def test_truncated_weights(self, published: Path, pins: dict) -> None:
        path = published / "model.weights.h5"
        os.truncate(path, path.stat().st_size - 7)
        with pytest.raises(IntegrityError, match=r"bytes; [\d,]+ are pinned"):
            zoo.load(NAME)
        (published / "SHA256SUMS").unlink()
        for load in (
            functools.partial(zoo.load, NAME, weights=path),
            functools.partial(zoo.load, NAME, weights=published),
            functools.partial(zoo.load, published),
        ):
            with pytest.raises(FormatError, match="truncated or damaged"):
                load()

    def test_a_newer_format_version(self, published: Path) -> None:
        (published / "SHA256SUMS").unlink()
        edit_json(published / "config.json", format_version=2)
        for load in (
            functools.partial(zoo.load, NAME, weights=published),
            functools.partial(zoo.load, published),
        ):
            with pytest.raises(
                FormatError, match="format version 2; this version of the zoo reads"
            ):
                load()

    def test_a_pinned_folder_of_a_newer_format_version(self, published: Path, pins: dict) -> None:
        config = published / "config.json"
        edit_json(config, format_version=2)
        pins["files"]["config.json"] = {
            "sha256": sha256_of(config),
            "size": config.stat().st_size,
        }
        with pytest.raises(FormatError, match="format version 2"):
            zoo.load(NAME)

    def test_a_config_of_another_shape(self, published: Path) -> None:
        (published / "SHA256SUMS").unlink()
        config = json.loads((published / "config.json").read_text())["config"]
        edit_json(published / "config.json", config={**config, "hidden_units": [64, 66]})
        with pytest.raises(WeightsMismatchError) as caught:
            zoo.load(NAME, weights=published)
        assert "differs in hidden_units (hidden_units is [64, 66], expected [64, 65])" in str(
            caught.value
        )
        with pytest.raises(WeightsMismatchError, match="does not fit the model"):
            zoo.load(published)

    def test_a_config_that_differs_in_no_shape(self, published: Path, pins: dict) -> None:
        """Another base distribution fits every weight, and would score wrongly without a word."""
        path = published / "config.json"
        config = json.loads(path.read_text())["config"]
        other = "normal" if config["base"] == "logistic" else "logistic"
        edit_json(path, config={**config, "base": other})
        pins["files"]["config.json"] = {
            "sha256": sha256_of(path),
            "size": path.stat().st_size,
        }
        with pytest.raises(WeightsMismatchError, match="differs in base "):
            zoo.load(NAME)

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        wide = zoo.create("nice", **{**CONFIG, "hidden_units": [64, 70]})
        path = save_weights(wide, tmp_path / "wide.weights.h5")
        with pytest.raises(WeightsMismatchError, match="Nothing was loaded"):
            zoo.load(NAME, weights=path)

    @pytest.mark.parametrize("weights", [None, 1, 3.5, ["a"]])
    def test_weights_of_no_kind(self, weights) -> None:
        with pytest.raises(InvalidInputError, match="weights is True, False or a path"):
            zoo.load(NAME, weights=weights)

    def test_a_weights_path_that_is_not_there(self, tmp_path: Path) -> None:
        for path in (tmp_path / "absent", tmp_path / "absent.weights.h5"):
            with pytest.raises(MissingCheckpointError, match="No weights"):
                zoo.load(NAME, weights=path)

    def test_a_weights_path_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "weights.pkl").write_bytes(b"\x80\x04.")
        with pytest.raises(InvalidInputError, match=r"or a \.weights\.h5 file"):
            zoo.load(NAME, weights=tmp_path / "weights.pkl")


@pytest.fixture
def host(master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(master, tmp_path / "host" / NAME)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Host(tmp_path / "host") as host:
        monkeypatch.setenv("ZOO_BASE_URL", host.url + "/")
        yield host


def cached() -> Path:
    return loading.cache_dir() / NAME


class TestDownload:
    def test_fills_the_cache_once(self, host: Host, trained, pins: dict) -> None:
        assert loading.local_folder(NAME) is None
        assert_same(zoo.load(NAME), trained)
        assert_same(zoo.load(NAME), trained)
        assert host.requests == {f"/{NAME}/{file}": 1 for file in pins["files"]}
        assert loading.local_folder(NAME) == cached()
        assert {path.name for path in cached().iterdir()} == set(pins["files"])

    def test_another_file_of_the_same_size_is_refused_and_not_kept(self, host: Host) -> None:
        path = host.root / NAME / "model.weights.h5"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match=r"model\.weights\.h5 is not the pinned file"):
            zoo.load(NAME)
        assert not (cached() / "model.weights.h5").exists()
        assert not list(cached().glob("*tmp*"))
        assert loading.local_folder(NAME) is None

    def test_goes_on_where_it_stopped(self, host: Host, master: Path, trained) -> None:
        away = host.root / "away"
        (host.root / NAME / "recipe.json").rename(away)
        with pytest.raises(MissingCheckpointError, match=r"recipe\.json answered 404"):
            zoo.load(NAME)
        away.rename(host.root / NAME / "recipe.json")
        before = host.requests[f"/{NAME}/config.json"]
        assert_same(zoo.load(NAME), trained)
        assert host.requests[f"/{NAME}/config.json"] == before == 1

    def test_damage_in_the_cache_is_refused(self, host: Host) -> None:
        zoo.load(NAME)
        with (cached() / "card.md").open("a") as card:
            card.write("x")
        with pytest.raises(IntegrityError, match=r"card\.md has"):
            zoo.load(NAME)

    def test_a_later_version_has_its_own_folder(
        self, host: Host, master: Path, pins: dict, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo.load(NAME)
        later = {"version": 2, "files": pins["files"]}
        monkeypatch.setattr(registry, "pins", lambda: {NAME: later})
        with pytest.raises(MissingCheckpointError, match=f"{NAME}.v2/.* answered 404"):
            zoo.load(NAME)
        shutil.copytree(master, host.root / f"{NAME}.v2")
        assert_same(zoo.load(NAME), trained)
        assert loading.local_folder(NAME) == cached().with_name(f"{NAME}.v2")

    def test_two_at_once_fetch_each_file_once(self, host: Host, pins: dict) -> None:
        threads = [threading.Thread(target=loading.resolve, args=(NAME,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert host.requests == {f"/{NAME}/{file}": 1 for file in pins["files"]}

    @pytest.mark.parametrize("value", ["1", "on", "YES", "True"])
    def test_offline_forbids_it(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("ZOO_OFFLINE", value)
        with pytest.raises(OfflineError, match="ZOO_OFFLINE forbids a download"):
            zoo.load(NAME)
        assert not host.requests
        assert not cached().exists()

    def test_offline_reads_the_cache(
        self, host: Host, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo.load(NAME)
        host.requests.clear()
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        assert_same(zoo.load(NAME), trained)
        assert not host.requests

    def test_a_read_only_cache_is_read(
        self, host: Host, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo.load(NAME)
        host.requests.clear()
        cache = loading.cache_dir()
        for lock in cache.glob("*.lock"):
            lock.unlink()
        before = sorted(cache.rglob("*"))
        folders = [cache, cached()]
        for folder in folders:
            folder.chmod(0o555)
        try:
            assert_same(zoo.load(NAME), trained)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert sorted(cache.rglob("*")) == before
        assert not host.requests

    def test_a_cache_that_cannot_be_written(
        self, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(MissingCheckpointError, match=r"cannot be written .* Set ZOO_CACHE"):
            zoo.load(NAME)
        assert not host.requests

    def test_no_network(self, host: Host) -> None:
        host.close()
        with pytest.raises(OfflineError, match="cannot be reached"):
            zoo.load(NAME)

    def test_nowhere_to_download_from(self) -> None:
        with pytest.raises(MissingCheckpointError) as caught:
            zoo.load(NAME)
        for part in ("Looked in", str(cached()), "ZOO_CHECKPOINTS", "ZOO_BASE_URL"):
            assert part in str(caught.value)


class TestLookUp:
    def test_order(
        self, host: Host, master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install = tmp_path / "install"
        (install / "pyproject.toml").touch()
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "chosen"))
        places = [
            tmp_path / "chosen" / NAME,
            install / "checkpoints" / NAME,
            install / "zoo" / "_checkpoints" / NAME,
            cached(),
        ]
        for place in places:
            shutil.copytree(master, place)
        for place in places:
            assert loading.resolve(NAME) == place
            assert not host.requests
            shutil.rmtree(place)
        assert loading.resolve(NAME) == cached()
        assert host.requests

    def test_damage_is_not_passed_over_for_the_next_place(
        self, master: Path, published: Path
    ) -> None:
        shutil.copytree(master, cached())
        (published / "card.md").write_text("changed")
        with pytest.raises(IntegrityError, match=str(published)):
            zoo.load(NAME)

    def test_checkpoints_beside_an_installed_package_are_not_ours(
        self, master: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(master, tmp_path / "install" / "checkpoints" / NAME)
        assert loading.local_folder(NAME) is None

    def test_chosen_checkpoints_have_to_exist(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "typo"))
        with pytest.raises(MissingCheckpointError, match=r"ZOO_CHECKPOINTS is .*not a folder"):
            zoo.load(NAME)

    def test_the_cache_is_where_its_variables_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ZOO_CACHE", "/a")
        monkeypatch.setenv("XDG_CACHE_HOME", "/b")
        monkeypatch.setenv("HOME", "/c")
        assert loading.cache_dir() == Path("/a")
        monkeypatch.delenv("ZOO_CACHE")
        assert loading.cache_dir() == Path("/b/zoo")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert loading.cache_dir() == Path("/c/.cache/zoo")


class TestListModels:
    @pytest.mark.parametrize(
        ("filters", "inside", "outside"),
        [
            ({}, {NAME, "nice_untrained", "nice_mnist"}, set()),
            ({"pattern": "*_tiny"}, {NAME}, {"nice_untrained", "nice_mnist"}),
            ({"pattern": "NICE*"}, set(), {NAME}),
            ({"pretrained": True}, {NAME}, {"nice_untrained"}),
            ({"pretrained": False}, {"nice_untrained"}, {NAME}),
            ({"family": "nice"}, {NAME, "nice_untrained"}, set()),
            ({"family": "maf"}, set(), {NAME}),
            ({"dataset": "mnist"}, {NAME}, set()),
            ({"dataset": "mnist:3.0.1"}, {NAME}, set()),
            ({"dataset": "mnist:1.0.0"}, set(), {NAME}),
            ({"dataset": "mni"}, set(), {NAME}),
            (
                {"pattern": "nice_*", "family": "nice", "pretrained": True},
                {NAME},
                {"nice_untrained"},
            ),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_filters(self, filters: dict, inside: set, outside: set) -> None:
        names = zoo.list_models(**filters)
        assert names == sorted(names)
        assert inside <= set(names)
        assert not outside & set(names)


class TestInfo:
    def test_of_a_model_with_files(self, published: Path, trained) -> None:
        info = zoo.info(NAME)
        assert info.name == NAME
        assert info.family == "nice"
        assert info.dataset == "mnist:3.0.1"
        assert info.event_shape == (6,)
        assert info.num_parameters == trained.count_params()
        assert info.metrics == METRICS
        assert info.pretrained
        assert info.version == 1
        assert info.card == "# A tiny NICE\n"

    def test_of_a_model_without_files_downloads_nothing(self, host: Host) -> None:
        info = zoo.info(NAME)
        assert info.pretrained
        assert info.event_shape == (6,)
        assert (info.num_parameters, info.metrics, info.card) == (None, {}, "")
        assert not host.requests

    def test_of_a_model_without_weights(self) -> None:
        info = zoo.info("nice_untrained")
        assert not info.pretrained
        assert info.version == 0
        assert "none published" in str(info)

    def test_is_readable(self, published: Path, trained) -> None:
        text = str(zoo.info(NAME))
        assert text.startswith(NAME)
        for part in ("mnist:3.0.1", "[6]", f"{trained.count_params():,}", "4.3625 ± 0.012"):
            assert part in text

    def test_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            zoo.info(NAME).version = 3

    @pytest.mark.parametrize("file", ["metrics.json", "card.md", "config.json"])
    def test_shows_no_changed_file(self, published: Path, file: str) -> None:
        data = bytearray((published / file).read_bytes())
        data[-2] ^= 1
        (published / file).write_bytes(data)
        with pytest.raises(IntegrityError, match=file):
            zoo.info(NAME)
