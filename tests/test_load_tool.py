"""The load tool: what it draws, counts and prints, against a server of tiny models."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tiny_exports
from live_server import serve

from zoo import exporting

TOOL = Path(__file__).resolve().parent.parent / "tools" / "load_test.py"
pytestmark = pytest.mark.skipif(not TOOL.is_file(), reason="tools/ is not part of an installation")

LOW = -(2**31)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    specification = importlib.util.spec_from_file_location("load_tool", TOOL)
    module = importlib.util.module_from_spec(specification)
    sys.modules["load_tool"] = module  # where dataclasses look themselves up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    for name in ("tiny_features", "tiny_labels"):
        exporting.export(tiny_exports.tiny_model(name), path)
    return path


def field(**values: Any) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [None], **values}


@pytest.mark.parametrize(
    ("described", "low", "high"),
    [
        (field(dtype="uint8", shape=[None, 4, 4, 1]), 0, 255),
        (field(dtype="int32", shape=[None, 2], minimum=LOW, maximum=-LOW - 1), LOW, -LOW - 1),
        (field(dtype="int32", minimum=0, maximum=3), 0, 3),
        (field(dtype="int32"), 0, 0),
        (field(minimum=0.0, maximum=2.0), 0.0, 2.0),
        (field(shape=[None, None]), -3.0, 3.0),
    ],
    ids=["image", "seed", "context", "no-range", "temperature", "free-size"],
)
def test_inputs_are_in_their_range(
    described: dict[str, Any], low: float, high: float, tool: ModuleType, rng: np.random.Generator
) -> None:
    values = tool.draw(described, 50, rng)
    sizes = [tool.FREE_SIZE if size is None else size for size in described["shape"][1:]]
    assert values.shape == (50, *sizes)
    assert values.dtype == described["dtype"]
    assert low <= values.min() <= values.max() <= high
    if high > low:  # and all of it
        assert float(values.max()) - float(values.min()) > 0.8 * (high - low)


def test_mixed_requests_are_answered(tool: ModuleType, path: Path) -> None:
    with serve(path) as addresses:
        targets = tool.find_targets(addresses)
        models = ["tiny_features", "tiny_labels"]
        signatures = {"serving_default", "log_prob", "encode", "decode", "sample"}
        assert {target.model for target in targets} == set(models)
        assert {target.signature for target in targets} >= signatures
        tool.warm_up(addresses, targets)
        outcomes, seconds = tool.run(addresses, targets, total=90, clients=8, max_rows=4)
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert len(outcomes) == 90
    assert {outcome.protocol for outcome in outcomes} == set(tool.PROTOCOLS)
    assert {outcome.rows for outcome in outcomes} == {1, 2, 3, 4}
    text = tool.report(outcomes, seconds)
    counts = [int(n) for n in re.findall(r"^tiny\w* .*?(\d+)  +0 ", text, flags=re.MULTILINE)]
    assert sum(counts) == 90
    assert text.splitlines()[-1].startswith(f"90 requests in {seconds:.1f} s: ")
    # Nobody listens any more.
    outcomes, seconds = tool.run(addresses, targets, total=6, clients=2, max_rows=1)
    assert all(outcome.error for outcome in outcomes)
    assert re.search(r"^all +6 +6 ", tool.report(outcomes, seconds), flags=re.MULTILINE)


def test_percentiles(tool: ModuleType) -> None:
    target = tool.Target("m", "s", {}, ("y",))
    outcomes = [tool.Outcome(target, "gRPC", 2, i / 1000, "") for i in range(1, 101)]
    outcomes[0] = tool.Outcome(target, "gRPC", 2, 0.001, "wrong")
    lines = tool.report(outcomes, 4.0).splitlines()
    assert lines[1].split() == ["m", "s", "gRPC", "100", "1", "50.5", "99.0"]
    assert lines[-1] == "100 requests in 4.0 s: 25.0 requests/s, 49.5 rows/s"


def test_an_answer_with_other_rows_is_an_error(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.Client, "_ask", lambda *_: {"y": 3})
    client = tool.Client(tool.Addresses("http://127.0.0.1:9", "127.0.0.1:9"))
    target = tool.Target("m", "s", {}, ("y",))
    assert client.send(target, "gRPC", 3, 0).error == ""
    assert client.send(target, "gRPC", 2, 0).error == "expected rows {'y': 2}; got {'y': 3}"
    client.close()
