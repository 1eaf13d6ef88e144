"""By name, by folder, by file: checked on every load, and each failure by its own name."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edits import edit_json
from nice_tiny import CONFIG, NAME, X, assert_same

import zoo
from zoo import loading, models
from zoo.errors import (
    ConfigError,
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    UnknownModelError,
    WeightsMismatchError,
)
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import sha256_of
from zoo.store.weights import save_weights


class TestLoad:
    def test_published_weights(self, published: Path, trained) -> None:
        assert_same(zoo.load(NAME), trained)

    def test_the_model_is_that_of_the_file_and_not_of_the_recipe(
        self, published: Path, pins: dict
    ) -> None:
        path = published / "config.json"
        edit_json(path, config={**CONFIG, "base": "normal"})  # fields left out have their defaults
        pins["files"]["config.json"] = {"sha256": sha256_of(path), "size": path.stat().st_size}
        assert zoo.load(NAME).config.base == "normal"
        assert zoo.load(NAME, weights=False).config.base == "logistic"

    def test_no_file_is_hashed_twice(self, published: Path, pins: dict, hashed) -> None:
        hashed.clear()
        zoo.load(NAME)
        assert hashed == dict.fromkeys(pins["files"], 1)
        hashed.clear()
        listed = dict.fromkeys(pins["files"].keys() - {"SHA256SUMS"}, 1)
        zoo.load(published)
        assert hashed == listed
        hashed.clear()
        zoo.load(NAME, weights=published)
        assert hashed == listed
        digest = sha256_of(published / "SHA256SUMS")
        hashed.clear()
        zoo.load(published, sha256=digest)
        assert hashed == {**listed, "SHA256SUMS": 1}

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

    def test_a_config_that_differs_in_no_shape(self, published: Path) -> None:
        """Another base distribution fits every weight, and would score wrongly without a word."""
        (published / "SHA256SUMS").unlink()
        edit_json(published / "config.json", config={**CONFIG, "base": "normal"})
        with pytest.raises(WeightsMismatchError, match="differs in base "):
            zoo.load(NAME, weights=published)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"family": "maf"}, "differs in family (family is maf, expected nice)"),
            ({"later": 1}, "differs in later (later is 1, expected absent)"),
            ({"base": "cauchy"}, "differs in base (base is cauchy, expected logistic)"),
        ],
        ids=["family", "unknown-field", "unknown-value"],
    )
    def test_a_config_of_another_kind(self, published: Path, change: dict, message: str) -> None:
        (published / "SHA256SUMS").unlink()
        path = published / "config.json"
        if "family" not in change:
            change = {"config": {**json.loads(path.read_text())["config"], **change}}
        edit_json(path, **change)
        with pytest.raises(WeightsMismatchError, match=re.escape(message)):
            zoo.load(NAME, weights=published)

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        wide = models.build("nice", {**CONFIG, "hidden_units": [64, 70]})
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
