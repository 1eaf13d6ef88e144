"""Baselines for the probabilities of 8 x 8 digits: independent pixels, and a tree of pixels.

    python tools/digit_baselines.py [--out checkpoints/idf_digits/baselines.json]

The functions are `zoo.evaluation.floors`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "checkpoints" / "idf_digits" / "baselines.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()

    from zoo.evaluation import floors
    from zoo.registry.idf import DIGITS
    from zoo.store.files import write_json_atomic

    found: dict[str, Any] = {
        floor.__name__: {"log_prob": floor(DIGITS)["log_prob"]}
        for floor in (floors.independent, floors.chow_liu_tree)
    }
    print(found)
    about = {"dataset": "digits:1.0.0", "split": "test", "tool": "tools/digit_baselines.py"}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(options.out, {**about, **found})


if __name__ == "__main__":
    main()
