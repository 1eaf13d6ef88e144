"""The benchmark against other libraries: its parts, and one job of our own in a process."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from zoo.errors import DataError

TOOLS = Path(__file__).resolve().parent.parent / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="tools/ is not part of an installation")


def _tool(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"{name}_tool", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    return _tool("benchmark_peers")


@pytest.fixture(scope="module")
def worker() -> ModuleType:
    return _tool("peer_worker")


class Normal:
    """A flow of one weight, its mean, which a step moves by its scale; log_prob is SciPy's."""

    def __init__(self, mean: float = 0.0) -> None:
        self.mean, self.batches, self.scales = mean, [], []

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        self.batches.append(len(x))
        return scipy.stats.norm(self.mean, 1.0).logpdf(x).sum(1)

    def sample(self, count: int) -> np.ndarray:
        return np.zeros([count, 2])

    def training_step(self, x: np.ndarray, scale: float) -> float:
        self.mean += scale
        self.scales.append(scale)
        return 0.0

    def weights(self) -> float:
        return self.mean

    def set_weights(self, weights: float) -> None:
        self.mean = weights


def _clock():
    now = iter(np.arange(0.0, 1e6))
    return lambda: float(next(now))


def test_fit_keeps_the_best_validation_and_scores_the_stored_rows(
    worker: ModuleType, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Each step walks away from the truth, mean 0: the weights of the start are the best."""
    rows = {
        name: 5.0 + 3.0 * rng.normal(size=(n, 2))
        for name, n in (("train", 400), ("validation", 50), ("test", 70))
    }
    np.savez(tmp_path / "rows.npz", **{k: v.astype("float32") for k, v in rows.items()})
    flow = Normal()
    job = {"data": str(tmp_path / "rows.npz"), "batch": 100, "budget": 100.0, "seed": 0}
    result = worker.fit(flow, job, clock=_clock())
    mean, deviation = rows["train"].mean(0), rows["train"].std(0)
    # The first validation comes after a twentieth of the budget: some steps of nearly 1 each.
    assert 0.0 < flow.mean < 10.0
    expected = scipy.stats.norm(mean + deviation * flow.mean, deviation).logpdf(rows["test"]).sum(1)
    assert result["value"] == pytest.approx(expected.mean(), rel=1e-4)
    errors = 2.0 * expected.std(ddof=1) / np.sqrt(70)
    assert result["two_standard_errors"] == pytest.approx(errors, rel=1e-4)
    assert result["seconds"] >= 100.0
    assert result["steps"] == len(flow.scales) - 1  # the first compiles, at a rate of 0
    assert flow.scales[0] == 0.0
    assert result["epochs"] == result["steps"] // 4
    assert flow.scales[1:] == sorted(flow.scales[1:], reverse=True)  # a cosine
    assert flow.scales[-1] < 0.01
    assert set(flow.batches) == {1000}  # one size, compiled once


def test_rates_are_rows_over_the_median_call() -> None:
    worker = _tool("peer_worker")
    calls: list[int] = []
    assert worker.rate(lambda: calls.append(1), 10, repeats=3, seconds=0.0) > 0.0
    assert len(calls) == 5  # one compiles, one calibrates, one a repeat
    calls.clear()
    worker.LONG = 0.0  # a long call is timed once
    assert worker.rate(lambda: calls.append(1), 10, repeats=3, seconds=0.0) > 0.0
    assert len(calls) == 2
    job = {"seed": 0, "batch": 4, "size": 2, "sampled": 3, "repeats": 1, "seconds": 0.0}
    rates = ["log_prob", "sample", "training_step"]
    assert set(worker.speed(Normal(), {**job, "rates": rates})) == set(rates)
    assert set(worker.speed(Normal(), {**job, "rates": rates[:1]})) == {"log_prob"}


def test_jobs_cover_every_library_size_and_model(peers: ModuleType, tmp_path: Path) -> None:
    choices = {"repeats": 2, "seconds": 0.5, "rates": ["sample"], "sampled": 0}
    options = SimpleNamespace(**choices)
    jobs = peers.speed_jobs(["maf", "nsf"], [6, 784], ["zoo", "zuko"], options)
    assert len({(j["model"], j["size"], j["library"]) for j in jobs}) == len(jobs) == 8
    assert {(j["size"], j["units"], j["batch"]) for j in jobs} == {(6, 512, 1000), (784, 1024, 100)}
    assert {(j["model"], j["hidden"]) for j in jobs} == {("maf", 2), ("nsf", 3)}
    assert all(job["sampled"] == job["batch"] for job in jobs)
    options.sampled = 4
    jobs = peers.speed_jobs(["nsf"], [784], ["zoo"], options)
    assert [(job["sampled"], job["batch"]) for job in jobs] == [(4, 100)]
    with pytest.raises(DataError, match=r"No table 'mnist'.*bsds300.*magic"):
        peers.fit_jobs("mnist", ["maf"], ["zoo"], options, tmp_path)


def test_fit_jobs_hand_over_the_dataset(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zoo.data import sources

    rows = {
        s: np.full((n, 10), n, "float32") for s, n in zip(sources.SPLITS, (8, 2, 3), strict=True)
    }
    monkeypatch.setattr(sources, "load_arrays", lambda dataset, split: sources.Arrays(rows[split]))
    options = type("Options", (), {"rate": 2e-3, "budget": 9.0})
    job = peers.fit_jobs("magic", ["maf"], ["nflows"], options, tmp_path)[0]
    assert (job["task"], job["size"], job["budget"], job["rate"]) == ("fit", 10, 9.0, 2e-3)
    with np.load(job["data"]) as stored:
        for split, expected in rows.items():
            np.testing.assert_array_equal(stored[split], expected)
    assert "data" not in peers.described(job)
    assert job["cores"] == len(os.sched_getaffinity(0))


def test_results_of_a_job_replace_older_ones(peers: ModuleType, tmp_path: Path) -> None:
    old = {"task": "speed", "model": "maf", "size": 6, "library": "zuko", "log_prob": 1.0}
    other = {**old, "library": "nflows"}
    results = peers.merged(peers.merged(peers.merged([], old), other), {**old, "log_prob": 2.0})
    assert results == [other, {**old, "log_prob": 2.0}]
    path = tmp_path / "new" / "peers.json"
    assert peers.read(path) == []
    peers.write(path, results)
    assert peers.read(path) == results


def test_the_table_marks_the_fastest_and_shows_errors(peers: ModuleType) -> None:
    speed = {"task": "speed", "model": "maf", "size": 43}
    rows = [
        {**speed, "library": "zoo", "log_prob": 2e4, "training_step": 7e3, "sample": 9e3},
        {**speed, "library": "zuko", "log_prob": 3e4, "training_step": 6e3, "sample": 7e2},
        {**speed, "library": "normflows", "batch": 100, "sampled": 4, "sample": 0.271},
        {**speed, "library": "nflows", "error": "No module | named nflows"},
        {**speed, "library": "flowjax", "log_prob": 1e4},  # the others were not asked for
        {
            "task": "fit",
            "dataset": "magic",
            "model": "maf",
            "library": "zoo",
            "value": -4.861,
            "two_standard_errors": 0.219,
            "steps": 1200,
            "seconds": 120.2,
            "cores": 2,
        },
    ]
    text = peers.table(rows)
    assert "| maf | 43 | zoo | 20,000 | **7,000** | **9,000** |" in text
    assert "| maf | 43 | zuko | **30,000** | 6,000 | 700 |" in text
    assert "| maf | 43 | nflows | No module / named nflows |  |  |" in text
    assert "| maf | 43 | flowjax | 10,000 |  |  |" in text
    assert "| maf | 43 | normflows |  |  | 0.27 (4 a call) |" in text
    assert "| magic | maf | zoo | -4.86 ± 0.22 | 1,200 | 120 | 2 |" in text


def test_a_library_that_fails_leaves_its_error(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"library": "none such", "task": "speed"}
    assert "none such" in peers.run(Path(sys.executable), job, timeout=100.0)["error"]
    assert "cannot be run" in peers.run(tmp_path / "python", job, timeout=1.0)["error"]
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(peers, "WORKER", slow)
    assert peers.run(Path(sys.executable), job, timeout=0.5) == {"error": "not done after 0.5 s"}


@pytest.mark.slow
def test_a_job_of_our_own_runs_in_a_process(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def tiny(*arguments: Any) -> list[dict[str, Any]]:
        (job, *_) = jobs(*arguments)
        return [{**job, "layers": 2, "units": 8, "batch": 16, "sampled": 4}]

    jobs = peers.speed_jobs
    monkeypatch.setattr(peers, "speed_jobs", tiny)
    out = tmp_path / "peers.json"
    peers.main(["--libraries", "zoo", "--sizes", "3", "--repeats", "1", "--seconds", "0",
                "--out", str(out)])  # fmt: skip
    (result,) = json.loads(out.read_text())["results"]
    assert "error" not in result, result
    assert all(result[name] > 0.0 for name in peers.RATES)
    printed = capsys.readouterr().out
    assert "| maf | 3 | zoo | **" in printed
    peers.main(["--table", "--out", str(out)])
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--libraries", "zoo,pyro"], "no pyro; there are zoo, nflows"),
        (["--models", "glow"], "no glow; there are maf"),
        (["--repeats", "0"], "--repeats and --rounds must be at least 1"),
        (["--rounds", "0"], "--repeats and --rounds must be at least 1"),
        (["--sampled", "-1"], "--sampled must be 0 or more; got -1"),
        (["--rounds", "2", "--fit", "magic"], "--rounds is of speeds alone"),
        (["--budget", "0"], "--budget positive"),
    ],
)
def test_bad_options_end_the_tool(
    peers: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        peers.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_faster_of_two_ways_is_found_once(worker: ModuleType) -> None:
    calls: list[str] = []

    def way(name: str, seconds: float) -> Callable[[int], int]:
        def call(x: int) -> int:
            calls.append(name)
            time.sleep(seconds)
            return x + len(name)

        return call

    chosen = worker.faster([way("slow", 0.1), way("quick", 0.01)], 0.25)
    assert [chosen(1), chosen(2), chosen(3)] == [6, 7, 8]
    assert calls[:4] == ["slow"] * 4  # one compiles
    assert set(calls[4:]) == {"quick"}
    assert len(calls) > 4 + 3 + 4  # a quarter of a second
    calls.clear()
    assert worker.faster([way("slow", 0.01), way("quick", 0.0)], 0.0)(1) == 6
    assert calls == ["slow"] * 4 + ["quick"] * 5


@pytest.mark.parametrize("by_xla", [True, False])
def test_our_jobs_are_the_same_in_blocks(
    worker: ModuleType, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, *, by_xla: bool
) -> None:
    import tensorflow as tf

    threads: list[int] = []
    for name in ("intra", "inter"):
        monkeypatch.setattr(
            tf.config.threading, f"set_{name}_op_parallelism_threads", threads.append
        )
    monkeypatch.setattr(worker, "faster", lambda ways, seconds: ways[0 if by_xla else 1])
    job = {"task": "speed", "model": "coupling", "size": 4, "layers": 2, "units": 8, "hidden": 1}
    whole, blocks = (worker.Zoo({**job, "seed": 3, "blocks": n}) for n in (1, 2))
    assert threads == [1, 2]  # of the second
    x = rng.normal(size=(11, 4)).astype("float32")  # 5 and 6
    for _ in range(2):
        np.testing.assert_allclose(whole.log_prob(x), blocks.log_prob(x), rtol=1e-4, atol=1e-4)
        assert whole.training_step(x, 1.0) == pytest.approx(blocks.training_step(x, 1.0), rel=1e-4)
    for ours, theirs in zip(whole.weights(), blocks.weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    first, second = blocks.sample(6), blocks.sample(6)
    assert first.shape == (6, 4)
    assert np.abs(first - second).min() > 0.0


def test_rates_of_rounds_are_medians(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    rates = iter([300.0, 900.0, 400.0])

    def run(python: Path, job: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        order.append(job["library"])
        return {"log_prob": next(rates)} if job["library"] == "zoo" else {"error": "no memory"}

    monkeypatch.setattr(peers, "run", run)
    monkeypatch.setattr(peers, "block_counts", lambda job: [1])
    out = tmp_path / "peers.json"
    peers.main(["--libraries", "zoo,zuko", "--sizes", "3", "--rates", "log_prob",
                "--rounds", "3", "--out", str(out)])  # fmt: skip
    ours, theirs = json.loads(out.read_text())["results"]
    assert order == ["zoo", "zuko"] * 3  # in turn
    assert (ours["log_prob"], ours["rounds"]) == (400.0, 3)
    assert theirs["error"] == "no memory"


def test_the_faster_number_of_blocks_counts(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the medians of rounds, each rate alone; a failure is not hidden by the other's figures."""
    rates = {1: [(100.0, 9.0), (300.0, 1.0), (200.0, 8.0)], 3: [(150.0, 7.0)] * 3}

    def run(python: Path, job: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        return dict(zip(("log_prob", "sample"), rates[job["blocks"]].pop(), strict=True))

    monkeypatch.setattr(peers, "run", run)
    monkeypatch.setattr(peers.os, "sched_getaffinity", lambda _: {0, 1, 2})
    out = tmp_path / "peers.json"
    peers.main(["--libraries", "zoo", "--sizes", "3", "--rates", "log_prob,sample",
                "--rounds", "3", "--out", str(out)])  # fmt: skip
    (result,) = json.loads(out.read_text())["results"]
    assert (result["log_prob"], result["sample"], result["rounds"]) == (200.0, 8.0, 3)
    assert result["blocks"] == {"log_prob": 1, "sample": 1}
    answers = {1: [{"log_prob": 1.0, "sample": 5.0}], 2: [{"log_prob": 2.0, "sample": 4.0}]}
    blocks = {"log_prob": 2, "sample": 1}
    assert peers.fastest(answers) == {"log_prob": 2.0, "sample": 5.0, "blocks": blocks}
    assert peers.fastest({**answers, 2: [{"error": "killed"}]}) == {"error": "killed"}
    assert peers.block_counts({"library": "zoo", "task": "speed"}) == [1, 3]
    assert peers.block_counts({"library": "zoo", "task": "fit"}) == [1]
    assert peers.block_counts({"library": "zuko", "task": "speed"}) == [1]
