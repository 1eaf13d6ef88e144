"""The inversion benchmark: both ways find the same rows, and its figures are of what it ran."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from zoo.bijectors.autoregressive import AutoregressiveFlow

TOOL = Path(__file__).resolve().parent.parent / "tools" / "inversion_benchmark.py"
pytestmark = pytest.mark.skipif(not TOOL.is_file(), reason="tools/ is not part of an installation")


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    sys.path.insert(0, str(TOOL.parent))
    specification = importlib.util.spec_from_file_location("inversion_benchmark", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(TOOL.parent))


@pytest.mark.slow
def test_blocks_and_whole_passes_find_the_same(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tool, "JOBS", {f"{family}_9": tool.Job(family, 9, 16, 7) for family in ("maf", "iaf")}
    )
    before = AutoregressiveFlow.forward_and_log_det
    tool.main(
        ["--jobs", "maf_9,iaf_9", "--repeats", "1", "--seconds", "0", "--out", str(tmp_path / "r")]
    )
    assert AutoregressiveFlow.forward_and_log_det is before
    maf, iaf = json.loads((tmp_path / "r").read_text())["results"]
    assert (maf["direction"], iaf["direction"]) == ("sample", "log_prob")
    for result in (maf, iaf):
        assert result["size"] == 9
        assert min(result["blocks"], result["loop"]) > 0
        assert 0 < result["difference"] < 1e-4  # not one way timed twice


def test_an_unknown_job_is_named(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main(["--jobs", "maf_7"])
    assert "maf_7" in capsys.readouterr().err
