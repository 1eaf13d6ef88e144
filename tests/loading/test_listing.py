"""What there is, and what is known of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hosts import Host
from nice_tiny import METRICS, NAME

import zoo
from zoo.errors import (
    IntegrityError,
)


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
