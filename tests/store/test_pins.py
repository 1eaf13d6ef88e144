"""What is published is written down with the hashes of its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.store import pins
from zoo.store.hashes import SUMS_FILE, verify_files, verify_sha256sums


def test_a_pin_holds_the_hashes_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "PINS_FILE", tmp_path / "pins.json")
    other = {"version": 3, "files": {}}
    pins.PINS_FILE.write_text(json.dumps({"other": other}))
    pins.pins.cache_clear()
    folder = tmp_path / "a_model"
    folder.mkdir()
    (folder / "card.md").write_text("# A model\n")
    try:
        assert pins.pins() == {"other": other}
        pins.pin("a_model", folder, 2)
        found = pins.pins()
    finally:
        pins.pins.cache_clear()
    assert list(found) == ["a_model", "other"]
    assert found["other"] == other
    assert found["a_model"]["version"] == 2
    assert set(found["a_model"]["files"]) == {"card.md"}
    verify_files(folder, found["a_model"]["files"])
    assert verify_sha256sums(folder)
    assert (folder / SUMS_FILE).is_file()
