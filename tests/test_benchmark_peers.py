"""The benchmark against other libraries: its parts, and one job of our own in a process."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
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

    def fit(self, x: np.ndarray, batch: int) -> None:
        self.scales.append(len(x) / batch)

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
    worker.WARM = 0.0
    calls: list[int] = []
    assert worker.rate(lambda: calls.append(1), 10, repeats=3, seconds=0.0) > 0.0
    assert len(calls) == 2 + 3  # warm ones, one a repeat
    calls.clear()
    worker.LONG = 0.0  # a long call is timed once
    assert worker.rate(lambda: calls.append(1), 10, repeats=3, seconds=0.0) > 0.0
    assert len(calls) == 1
    job = {"seed": 0, "batch": 4, "size": 2, "sampled": 3, "repeats": 1, "seconds": 0.0, "steps": 5}
    rates = ["log_prob", "sample", "fit"]
    flow = Normal()
    assert set(worker.speed(flow, {**job, "rates": rates})) == set(rates)
    assert set(flow.batches) == {4}
    assert set(flow.scales) == {5.0}
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
        {**speed, "library": "zoo", "log_prob": 2e4, "fit": 7e3, "sample": 9e3},
        {**speed, "library": "zuko", "log_prob": 3e4, "fit": 6e3, "sample": 7e2},
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
    assert "| maf | 43 | zoo / fastest | 0.67x | 1.17x | 12.86x |" in text
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
        return [{**job, "layers": 2, "units": 8, "batch": 16, "sampled": 4, "steps": 2}]

    jobs = peers.speed_jobs
    monkeypatch.setattr(peers, "speed_jobs", tiny)
    out = tmp_path / "peers.json"
    peers.main(["--libraries", "zoo", "--sizes", "3", "--repeats", "1", "--seconds", "0",
                "--rounds", "1", "--out", str(out)])  # fmt: skip
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
        (["--rounds", "-1"], "--repeats and --rounds must be at least 1"),
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


def test_batches_are_all_rows_in_another_order(worker: ModuleType) -> None:
    x = np.arange(10.0)[:, None]
    parts = list(worker.shuffled(x, 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert sorted(np.concatenate(parts)[:, 0]) == list(range(10))


@pytest.mark.parametrize("model", ["maf", "nsf", "coupling"])
def test_our_jobs_are_the_public_calls(
    worker: ModuleType, rng: np.random.Generator, model: str
) -> None:
    job = {"task": "speed", "model": model, "size": 4, "layers": 2, "units": 8, "hidden": 3}
    ours = worker.Zoo({**job, "seed": 3})
    x = rng.normal(size=(11, 4)).astype("float32")
    np.testing.assert_array_equal(ours.log_prob(x), ours._model.log_prob(x))
    assert np.abs(ours.sample(6) - ours.sample(6)).min() > 0.0
    ours.fit(x, 4)
    assert int(ours._model.optimizer.iterations) == 3


def test_our_steps_of_a_budget_learn(worker: ModuleType, rng: np.random.Generator) -> None:
    job = {"task": "fit", "model": "maf", "size": 2, "layers": 1, "units": 4, "hidden": 1}
    ours = worker.Zoo({**job, "seed": 3, "rate": 1e-2})
    x = rng.normal(size=(16, 2)).astype("float32")
    losses = [ours.training_step(x, 1.0) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_rates_of_rounds_are_medians(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    rates = iter([300.0, 900.0, 400.0])

    def run(python: Path, job: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        order.append(job["library"])
        return {"log_prob": next(rates)} if job["library"] == "zoo" else {"error": "no memory"}

    monkeypatch.setattr(peers, "run", run)
    out = tmp_path / "peers.json"
    peers.main(["--libraries", "zoo,zuko", "--sizes", "3", "--rates", "log_prob",
                "--rounds", "3", "--out", str(out)])  # fmt: skip
    ours, theirs = json.loads(out.read_text())["results"]
    assert order == ["zoo", "zuko"] * 3  # in turn
    assert (ours["log_prob"], ours["rounds"]) == (400.0, {"log_prob": [300.0, 900.0, 400.0]})
    assert theirs["error"] == "no memory"
    rates = iter([500.0])
    peers.main(["--libraries", "zoo", "--sizes", "3", "--rates", "log_prob",
                "--rounds", "1", "--add", "--out", str(out)])  # fmt: skip
    *_, ours = json.loads(out.read_text())["results"]
    assert ours["log_prob"] == 450.0
    assert len(ours["rounds"]["log_prob"]) == 4
