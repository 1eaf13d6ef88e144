"""What shares a worker, begins, and is left out of `make test-fast`."""

from __future__ import annotations

from pathlib import Path

import pytest
import scheduling

ROOT = Path(__file__).resolve().parent.parent
LAW = f"{scheduling.LAWS}test_rows.py::test_law"


@pytest.mark.parametrize("name", [*scheduling.LONG, *scheduling.SLOWER])
def test_every_unit_is_there(name: str) -> None:
    path = ROOT / (scheduling.LAWS if name.startswith(scheduling.LAWS) else name)
    assert path.exists()


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/ops/test_noise.py::test_bits", "tests/ops/test_noise.py"),
        ("tests/serving/test_rest.py::TestRest::test_it[a::b]", "tests/serving/"),
        (
            f"{LAW}[float32-maf-2d]",
            "tests/conformance/first half",
        ),
        (f"{LAW}[iaf-vae]", "tests/conformance/second half"),
        (LAW, "tests/conformance/first half"),
    ],
)
def test_units(nodeid: str, unit: str) -> None:
    assert scheduling.unit(nodeid) == unit


def test_long_units_begin_and_each_keeps_its_order() -> None:
    first, last = scheduling.LONG[0], scheduling.LONG[-1]
    nodeids = [
        "tests/a.py::b",
        "tests/a.py::a",
        f"{last}::b",
        f"{last}::a",
        f"{scheduling.LAWS}x::a",
    ]
    assert scheduling.unit(nodeids[4]) == first
    assert scheduling.longest_first(nodeids) == [4, 2, 3, 0, 1]


def test_a_row_of_each_kind_is_fast() -> None:
    assert scheduling.is_fast(LAW)
    assert scheduling.is_fast(f"{LAW}[float32-nice-vector]")
    assert scheduling.is_fast(f"{LAW}[idf]")
    assert not scheduling.is_fast(f"{LAW}[idf-image]")
    assert not scheduling.is_fast(f"{LAW}[wavenet]")
    assert scheduling.is_fast("tests/ops/test_noise.py::test_bits")
    assert not scheduling.is_fast("tests/test_workers.py::test_killed")
    assert not scheduling.is_fast("tests/serving/test_rest.py::test_it")
