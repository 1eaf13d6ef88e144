"""The arithmetic of `tools/scaling.py`, and that CONTRIBUTING's table is what it says today."""

from __future__ import annotations

from pathlib import Path

import pytest
import scaling

import zoo

TEXT = (Path(zoo.__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_ring_sends_each_part_twice_but_for_its_own() -> None:
    """3 replicas, 9 bytes in 3 chunks: 2 chunks to sum, 2 to share, 3 bytes each."""
    assert scaling.ring_bytes(9.0, 3) == pytest.approx(12.0)
    assert scaling.ring_bytes(9.0, 1) == 0.0


def test_flop_come_from_the_accelerators_table() -> None:
    line = "| `some_recipe` | float32 | 64 | 2.56 | 6.3 |"
    assert scaling.counted_flop("some_recipe", line) == pytest.approx(4e10)
    with pytest.raises(SystemExit, match="no row of other: run tools/aot_check"):
        scaling.counted_flop("other", line)


def test_the_plan_in_contributing_is_the_one_of_today() -> None:
    written = TEXT.partition("<!-- plan:begin -->\n")[2].partition("\n<!-- plan:end -->")[0]
    assert written.splitlines() == scaling.plan(scaling.NAME, TEXT)


def test_a_machines_part_is_measured_for_every_number_of_machines(monkeypatch) -> None:
    monkeypatch.setattr(scaling, "TRAIN_ROWS", 4096)
    lines = scaling.weak_scaling(batches=2, repeats=1)
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1", "2", "8", "64"]


def test_tables_go_between_their_markers() -> None:
    text = "a\n<!-- plan:begin -->\nold\n<!-- plan:end -->\nb"
    assert scaling._between(text, "plan", "new") == text.replace("old", "new")
    with pytest.raises(SystemExit, match="has no <!-- plan:begin"):
        scaling._between("nothing", "plan", "new")
