"""The cold start tool: its medians, its table, its file, and its failures."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOL, REPORT = ROOT / "tools" / "cold_start.py", ROOT / "benchmarks" / "cold_start.json"
pytestmark = pytest.mark.skipif(not TOOL.is_file(), reason="tools/ is not part of an installation")


@pytest.fixture
def tool() -> ModuleType:
    specification = importlib.util.spec_from_file_location("cold_start_tool", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_medians_of_processes_are_written(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    seconds = iter([3.0, 9.0, 1.004])

    def measure(name: str) -> dict[str, Any]:
        call, rows = tool.CASES[name]
        first = next(seconds)
        figures = {"load": 0.5, "first": first, "again": 0.1, "peak_gib": 1.26}
        return {"model": name, "call": call, "rows": rows, **figures}

    monkeypatch.setattr(tool, "measure", measure)
    out = tmp_path / "new" / "cold.json"
    tool.main(["--models", "nsf_magic", "--out", str(out)])
    (result,) = json.loads(out.read_text())["results"]
    assert result["first"] == 3.0
    row = "| `nsf_magic` | `sample` of 16 rows | 0.50 s | 3.00 s | 0.10 s | 1.3 GiB |"
    assert row in capsys.readouterr().out


def test_the_file_has_every_case(tool: ModuleType) -> None:
    results = json.loads(REPORT.read_text())["results"]
    assert [(r["model"], r["call"], r["rows"]) for r in results] == [
        (name, *case) for name, case in tool.CASES.items()
    ]
    for result in results:
        assert 0.0 < result["load"] < 60.0
        assert 0.0 <= result["again"] <= result["first"] < 60.0
        assert 0.1 < result["peak_gib"] < 16.0


def test_what_fails_says_why(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "WORKER", "raise SystemExit('no such weights')")
    with pytest.raises(RuntimeError, match="nsf_magic: no such weights"):
        tool.measure("nsf_magic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nsf"], "no nsf; there are nice_mnist"),
        (["--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_bad_options_end_the_tool(
    tool: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
