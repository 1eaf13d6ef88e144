"""Publishes a run.

Stores its weights under `checkpoints/<name>`, evaluates them as stored, pins the files.

    python tools/publish.py nice_mnist runs/nice_mnist --storage float16
    python tools/publish.py nice_mnist checkpoints/nice_mnist      the same weights, evaluated again

Writes config.json, recipe.json, model.weights.h5, history.csv, run.json, metrics.json (by
`zoo.evaluate`, on the stored weights), golden.npz, samples.png for images, card.md, SHA256SUMS, and
the name's entry in `zoo/pins.json`. Published weights are immutable: other weights under a released
version need `--version`.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOG_DET_ERROR = 0.1  # nats


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    parser.add_argument("--storage", choices=("float32", "float16"), default="float16")
    parser.add_argument(
        "--version", type=int, help="of the weights; without, the one that is pinned, or 1"
    )
    options = parser.parse_args()
    try:
        version = version_of(options.name, options.run, options.version)
        check_finished(options.run)
    except ValueError as error:
        parser.error(str(error))
    publish(options.name, options.run, storage=options.storage, version=version)


def version_of(name: str, run: Path, given: int | None) -> int:
    """The version to pin. Raises ValueError where a run would replace a released one."""
    from zoo.store import pins

    pinned = pins.pins().get(name, {}).get("version", 0)
    if run.resolve() == ROOT / "checkpoints" / name:
        return given or pinned or 1
    if pinned and (given or 0) <= pinned:
        raise ValueError(f"{name} {pinned} is released: give these weights --version {pinned + 1}")
    return given or 1


def check_finished(run: Path) -> None:
    """Raises ValueError for a run that ended before its recipe did, which nobody could repeat."""
    reason = json.loads((run / "run.json").read_text(encoding="utf-8"))["reason"]
    published = run.resolve().parent == ROOT / "checkpoints"
    if not published and reason not in ("finished", "early stopping"):
        raise ValueError(
            f"{run} ended by {reason}, and its recipe goes on: resume it, or give it fewer epochs"
        )


def publish(name: str, run: Path, *, storage: str, version: int) -> None:
    """Stores, pins, evaluates, describes, and pins again what evaluation and card have added."""
    from zoo import evaluation, loading, registry
    from zoo.core.recipe_json import from_dict
    from zoo.evaluation import golden
    from zoo.exporting import deployment
    from zoo.models import build
    from zoo.store import pins
    from zoo.store.files import read_json, write_text_atomic
    from zoo.store.folder import RECIPE_FILE, read_config, save_checkpoint
    from zoo.store.weights import WEIGHTS_FILE, load_weights

    entry = registry.get(name)
    config = read_config(run)
    recipe = from_dict(read_json(run / RECIPE_FILE))
    folder = ROOT / "checkpoints" / name
    if run.resolve() != folder:  # else a published folder is evaluated and described again
        model = build(config["family"], config["config"], name=name)
        load_weights(model, run / WEIGHTS_FILE)
        save_checkpoint(folder, model, family=entry.family, recipe=recipe, storage_dtype=storage)
        for file in ("history.csv", "run.json"):
            shutil.copyfile(run / file, folder / file)
    stale_files = ("metrics.json", "card.md", "samples.png", "samples.csv", "samples.wav")
    for stale in (*stale_files, golden.GOLDEN_FILE):
        (folder / stale).unlink(missing_ok=True)
    pins.pin(name, folder, version)
    metrics = evaluation.evaluate(name, certify=True, out=folder / "metrics.json")
    check_certificate(name, metrics)
    golden.write(folder, golden.golden(loading.load(name), entry.recipe.dataset.name))
    print(json.dumps(metrics["metrics"], indent=2))
    subprocess.run(sampling_command(entry, folder), check=True)
    subprocess.run([sys.executable, str(ROOT / "tools" / "render_cards.py")], check=True)
    pins.pin(name, folder, version)
    served = deployment.models_config(sorted(pins.pins()))
    write_text_atomic(ROOT / "export" / "models.config", served)


def check_certificate(name: str, metrics: dict[str, Any]) -> None:
    """Raises ValueError for a flow with rows that overflow, or nearly, between data and latents.

    Both log-dets of a row add up to at most `LOG_DET_ERROR` in float32; with conditioners in
    bfloat16 they need only be finite.
    """
    certificate = metrics.get("certificate", {})
    for dtype, bound in (("float32", LOG_DET_ERROR), ("bfloat16", math.inf)) if certificate else ():
        errors = certificate[dtype]
        if None in errors.values() or errors["log_det"] > bound:
            raise ValueError(f"{name} is not to be published: {dtype} errors {errors}")


def sampling_command(entry: Any, folder: Path) -> list[str]:
    """What draws the card's samples of a registry's entry."""
    if entry.recipe.dataset.feature == "audio":
        script = str(ROOT / "tools" / "audio_samples.py")
        return [sys.executable, script, entry.name, "--folder", str(folder)]
    extension = "png" if len(entry.recipe.config["event_shape"]) == 3 else "csv"
    count = "16" if entry.family in ("maf", "made") else "64"
    command = ["sample", entry.name, "-n", count, "--seed", "0"]
    if entry.recipe.dataset.context:
        command.append("--all-contexts")
    return [sys.executable, "-m", "zoo.cli", *command, "-o", str(folder / f"samples.{extension}")]


if __name__ == "__main__":
    main()
