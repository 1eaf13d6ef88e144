"""`config.json`: what it needs, and what of it is refused."""

from __future__ import annotations

import json
import types
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from zoo.errors import (
    FormatError,
)
from zoo.store.files import write_json_atomic
from zoo.store.folder import read_config, software_versions


class TestConfigFile:
    CONFIG = types.MappingProxyType(
        {"format_version": 1, "family": "nice", "config": {"event_shape": [4]}}
    )

    def test_is_read(self, tmp_path: Path) -> None:
        write_json_atomic(tmp_path / "config.json", dict(self.CONFIG))
        assert read_config(tmp_path) == self.CONFIG

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format_version": 2}, "format version 2; this version of the zoo reads 1 to 1"),
            ({"format_version": 0}, "format version 0"),
            ({"format_version": "new"}, "not a number"),
            ({"family": None}, "needs 'family' as a str; got None"),
            ({"config": [4]}, r"needs 'config' as a dict; got \[4\]"),
        ],
    )
    def test_what_it_refuses(self, tmp_path: Path, change, message) -> None:
        write_json_atomic(tmp_path / "config.json", {**self.CONFIG, **change})
        with pytest.raises(FormatError, match=message):
            read_config(tmp_path)

    @pytest.mark.parametrize("value", [[], {}, {"family": "nice"}])
    def test_json_that_is_no_config(self, tmp_path: Path, value) -> None:
        write_json_atomic(tmp_path / "config.json", value)
        with pytest.raises(FormatError, match=r"no format_version|holds no JSON object"):
            read_config(tmp_path)

    def test_software_versions_name_what_computes(self) -> None:
        versions = software_versions()
        assert versions["keras"] == keras.__version__
        assert versions["numpy"] == np.__version__
        assert versions["h5py"] == h5py.__version__
        assert {"zoo", "python", "tensorflow", "tensorflow-probability"} <= versions.keys()
        assert json.dumps(versions)
