"""The benchmark tool: what it counts, against hand counts, and one quick run of it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from zoo import models
from zoo.errors import UnknownModelError

TOOL = Path(__file__).resolve().parent.parent / "tools" / "benchmark.py"
pytestmark = pytest.mark.skipif(not TOOL.is_file(), reason="tools/ is not part of an installation")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    specification = importlib.util.spec_from_file_location("benchmark_tool", TOOL)
    module = importlib.util.module_from_spec(specification)
    sys.modules["benchmark_tool"] = module  # where dataclasses look themselves up
    specification.loader.exec_module(module)
    return module


def nice_multiplications() -> int:
    """Four dense networks: 8 -> 5 -> 7 -> 8 on halves of 16 dimensions."""
    return 4 * (8 * 5 + 5 * 7 + 7 * 8)


def realnvp_multiplications() -> int:
    """Two checkerboard couplings at 4 x 4 pixels, 3 x 3 kernels, one residual block."""
    stem = 9 * (2 * 1) * 6
    block = 2 * 9 * 6 * 6
    skips = 2 * 6 * 6  # 1 x 1: of the stem and of the block
    output = 9 * 6 * 2
    return 2 * 16 * (stem + block + skips + output)


def maf_multiplications() -> int:
    """Two layers of 3 -> 8 -> 2 * 3, too narrow for blocks, and a label of 4 classes.

    No hidden unit sees the last coordinate: its row is left out.
    """
    return 2 * (2 * 8 + 4 * 8 + 8 * 6)


IMAGE = {"event_shape": (4, 4, 1)}
COUNTED = {
    "nice": (
        {**IMAGE, "num_couplings": 4, "hidden_units": (5, 7)},
        nice_multiplications(),
    ),
    "realnvp": (
        {
            **IMAGE,
            "num_scales": 1,
            "num_final": 2,
            "filters": 6,
            "num_blocks": 1,
            "skip_connections": True,
        },
        realnvp_multiplications(),
    ),
    "maf": (
        {"event_shape": (3,), "context_size": 4, "num_layers": 2, "hidden_units": (8,)},
        maf_multiplications(),
    ),
}


@pytest.mark.parametrize("family", COUNTED)
def test_multiplications_are_those_of_the_layers(family: str, benchmark: ModuleType) -> None:
    config, expected = COUNTED[family]
    model = models.create(family, **config)
    assert benchmark.count_multiplications(model) == expected


def test_wide_mades_count_what_their_blocks_multiply(benchmark: ModuleType) -> None:
    """256 units over 8 coordinates: two blocks, of which the first sees about half of the rows."""
    model = models.create("made", event_shape=(8,), hidden_units=(256, 256))
    degrees = 1 + (np.arange(256) * 7) // 256
    needed = degrees[None, :] >= degrees[:, None]  # [in, out]
    blocks = 0
    for columns in np.split(needed, 2, axis=1):
        blocks += (np.flatnonzero(columns.any(1))[-1] + 1) * columns.shape[1]
    assert needed.sum() < blocks < 0.8 * 256 * 256
    assert benchmark.count_multiplications(model) == 7 * 256 + blocks + 256 * 16


def test_timings_are_means_of_whole_calls(benchmark: ModuleType) -> None:
    numbers: list[int] = []
    timings = benchmark.time_calls(numbers.append, repeats=3, seconds=0.0)
    assert numbers == [0, 1, 2, 3, 4]  # one to compile, one to calibrate, one a repeat
    assert len(timings) == 3
    assert all(t > 0.0 for t in timings)


def test_significant_digits(benchmark: ModuleType) -> None:
    assert [benchmark.significant(v) for v in (12345.6, 0.00123456, 1.0)] == [
        12350.0,
        0.001235,
        1.0,
    ]


def test_a_quick_run_writes_every_figure(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "benchmarks" / "cpu.json"
    benchmark.main(["--models", "maf_tiny", "--quick", "--repeats", "2", "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["cpu_count"] >= 1
    assert {"tensorflow", "keras", "zoo"} <= set(report["software"])
    assert set(report["matmul"]["gflop_per_second"]) == {"float32", "mixed_bfloat16"}
    modes = [(row["conditioner_dtype"], row["xla"]) for row in report["results"]]
    assert modes == [(d, x) for d in ("float32", "mixed_bfloat16") for x in (False, True)]
    for row in report["results"]:
        assert row["multiplications_per_row"] == 3 * 8 + 8 * 8
        for name in ("log_prob", "sample", "training_step"):
            rates = row[name]
            assert 0.0 < rates["slowest"] <= rates["rows_per_second"] <= rates["fastest"]
            assert rates["batch"] == 16
        rate = row["training_step"]["rows_per_second"]
        matmul = report["matmul"]["gflop_per_second"][row["conditioner_dtype"]] * 1e9
        share = 6.0 * row["multiplications_per_row"] * rate / matmul
        assert row["share_of_matmul_rate"] == pytest.approx(share, rel=2e-3)
    printed = capsys.readouterr().out
    assert "maf_tiny" in printed
    assert "training step" in printed


def test_names_without_weights_are_refused(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark.pins, "pins", dict[str, Any])
    with pytest.raises(UnknownModelError, match=r"no published weights.*maf_43"):
        benchmark.find_case("nice_mnist_paper")
    with pytest.raises(UnknownModelError, match="Did you mean"):
        benchmark.find_case("nice_mnits")


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--seconds", "0"]])
def test_bad_options_end_the_tool(
    arguments: list[str], benchmark: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main(arguments)
    assert ended.value.code == 2
    assert "--repeats must be at least 1" in capsys.readouterr().err
