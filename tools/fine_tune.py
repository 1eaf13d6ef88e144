"""Fine-tunes a published model on other rows: load, freeze, compile, fit, save, export, describe.

    python tools/fine_tune.py realnvp_cifar_small --labels 3,5 --freeze '^coupling_0/' --out pets
    python tools/fine_tune.py nice_mnist --dataset fashion_mnist:3.0.1 --out fashion
    python tools/fine_tune.py wavenet_four_speakers --labels 4,9,14,19,24,29,34,39,44,49 --out fifth

The rows are those of the model's own dataset, or of another one of the same shape, by its TFDS name
and version; `--labels` keeps some classes (of spoken digits 5 * digit + speaker). Training stops
where the validation rows gain no more; the best weights are kept. OUT gets

    config.json, model.weights.h5, SHA256SUMS   a checkpoint folder: zoo.load("OUT")
    model.keras                                 the compiled model with its optimiser, for Keras
    export/                                     a SavedModel, for TensorFlow Serving
    fine_tuning.json, history.csv               what was done, and the losses
    card.md                                     a model card to complete, which names the base
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo import exporting, loading, registry
from zoo.core.data import Rows
from zoo.data import sources
from zoo.errors import InvalidInputError, ZooError
from zoo.media.console import import_tensorflow
from zoo.publishing.front_matter import to_yaml
from zoo.store import pins
from zoo.store.files import write_json_atomic, write_text_atomic
from zoo.store.folder import save_checkpoint, software_versions
from zoo.store.hashes import write_sha256sums
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    found.add_argument("base", metavar="NAME", help="a published model of `zoo list`")
    found.add_argument("--dataset", metavar="NAME:VERSION", help="in place of the model's own")
    found.add_argument("--labels", type=_numbers, help="keep these classes alone, as 3,5")
    found.add_argument("--rows", type=int, default=0, help="at most that many; 0 for all")
    found.add_argument("--freeze", default="", metavar="REGEX", help="of paths of weights")
    found.add_argument("--epochs", type=int, default=5)
    found.add_argument("--batch-size", type=int, default=32)
    found.add_argument("--learning-rate", type=float, default=1e-4)
    found.add_argument("--out", type=Path, required=True, help="a new folder")
    return found


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tunes; returns the exit code."""
    options = parser().parse_args(arguments)
    import_tensorflow()
    try:
        facts = fine_tune(options)
    except ZooError as error:
        print(f"fine_tune: {error}", file=sys.stderr)
        return 1
    for split, unit in (("before", facts["before"]), ("after", facts["after"])):
        print(f"{split}: {unit:.4f} bits/dim on {facts['validation_rows']} validation rows")
    if facts["after"] >= facts["before"]:
        print("no gain: other rows, more epochs or another learning rate?", file=sys.stderr)
    print(f"{options.out}: checkpoint, model.keras, export/, card.md")
    return 0


def fine_tune(options: argparse.Namespace) -> dict[str, Any]:
    """Does what the module says; returns what fine_tuning.json holds."""
    import keras

    out: Path = options.out
    if out.exists() and any(out.iterdir()):
        raise InvalidInputError(f"{out} is not empty: give --out a new folder.")
    entry = registry.get(options.base)
    dataset = _dataset(entry.recipe.dataset, options)
    train, validation = (
        sources.load_arrays(dataset, split).take(options.rows or sys.maxsize)
        for split in ("train", "validation")
    )
    model = loading.load(options.base)
    keras.utils.set_random_seed(0)
    frozen = model.freeze(options.freeze) if options.freeze else []
    model.observe(train.x, train.context)
    before = _bits(model, validation)
    model.compile(keras.optimizers.Adam(options.learning_rate, clipnorm=1.0))
    history = model.fit(
        *_columns(train),
        validation_data=_columns(validation) if len(_columns(validation)) > 1 else validation.x,
        epochs=options.epochs,
        batch_size=options.batch_size,
        callbacks=[
            keras.callbacks.EarlyStopping(
                monitor="val_loss", patience=2, restore_best_weights=True, start_from_epoch=0
            )
        ],
        verbose=2,
    )
    facts = {
        "base": options.base,
        "base_version": pins.pins()[options.base]["version"],
        "base_weights_sha256": pins.pins()[options.base]["files"][WEIGHTS_FILE]["sha256"],
        "dataset": f"{dataset.name}:{dataset.version}",
        "labels": options.labels,
        "train_rows": train.rows,
        "validation_rows": validation.rows,
        "frozen_weights": len(frozen),
        "freeze": options.freeze,
        "epochs": len(history.history["loss"]),
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "before": before,
        "after": _bits(model, validation),
        "software": software_versions(),
    }
    _write(out, model, entry, facts, history.history)
    return facts


# --- rows


def _dataset(own: Rows, options: argparse.Namespace) -> Rows:
    dataset = own
    if options.dataset:
        name, _, version = options.dataset.partition(":")
        if not version:
            raise InvalidInputError(
                f"Expected --dataset NAME:VERSION, as {own.name}:{own.version}; got "
                f"{options.dataset!r}."
            )
        # Of another dataset the last tenth of its train rows validates.
        dataset = dataclasses.replace(
            own,
            name=name,
            version=version,
            train="train[:90%]",
            validation="train[90%:]",
            labels=(),
        )
    return dataclasses.replace(dataset, labels=options.labels or dataset.labels)


def _columns(rows: sources.Arrays) -> tuple[Any, ...]:
    return (rows.x,) if rows.context is None else (rows.x, rows.context)


def _bits(model: Any, rows: sources.Arrays, batch: int = 100) -> float:
    """Mean bits/dim, in batches; of clips under their own lengths, as `fit` takes them."""
    from zoo.models.audio.clip_conditioning import LabelledClips

    total = 0.0
    for start in range(0, rows.rows, batch):
        part = [column[start : start + batch] for column in _columns(rows)]
        if len(part) > 1 and isinstance(model, LabelledClips):
            part[1] = model.clip_context(*part)
        total += float(np.sum(model.bits_per_dim(*part).numpy(), dtype=np.float64))
    return total / rows.rows


# --- files


def _write(
    out: Path, model: Any, entry: Any, facts: Mapping[str, Any], history: Mapping[str, Any]
) -> None:
    save_checkpoint(out, model, family=entry.family)
    model.save(out / "model.keras")
    exporting.export(model, out / "export")
    write_json_atomic(out / "fine_tuning.json", facts)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *history])
    table.writerows(
        [epoch, *values]
        for epoch, values in enumerate(zip(*history.values(), strict=True), start=1)
    )
    write_text_atomic(out / "history.csv", text.getvalue())
    write_text_atomic(out / "card.md", card(out.name, entry, facts))
    write_sha256sums(out)


def card(name: str, entry: Any, facts: Mapping[str, Any]) -> str:
    """A model card with all that the tool knows; the last section says what it does not."""
    matter = {
        "library_name": "keras",
        "license": entry.weights_licence.lower(),
        "base_model": facts["base"],
        "base_model_relation": "finetune",
        "datasets": [facts["dataset"].partition(":")[0]],
        "metrics": ["bits_per_dim"],
        "tags": ["density-estimation", "tensorflow-probability", entry.family],
    }
    classes = f", labels {facts['labels']}" if facts["labels"] else ""
    frozen = (
        f"{facts['frozen_weights']} weights whose paths match `{facts['freeze']}` were frozen"
        if facts["frozen_weights"]
        else "no weight was frozen"
    )
    body = f"""
# {name}

Fine-tuned from [`{facts["base"]}`](../{facts["base"]}/card.md), version {facts["base_version"]}
(weights SHA-256 `{facts["base_weights_sha256"]}`): {entry.title}, {entry.paper}.

## Data and training

{facts["dataset"]}{classes}: {facts["train_rows"]:,} rows to train on, {facts["validation_rows"]:,}
to validate. Adam at {facts["learning_rate"]:g}, batches of {facts["batch_size"]},
{facts["epochs"]} epochs, the best one kept; {frozen}.

## Results

| model | bits/dim on the validation rows |
| --- | ---: |
| `{facts["base"]}` | {facts["before"]:.4f} |
| this model | {facts["after"]:.4f} |

The epoch was chosen on the same rows: evaluate on test rows before you quote a figure.

## Use

```python
model = zoo.load("path/to/{name}")
```

Limits of the base: {entry.limitations}

## Before you publish

State what the model is for, the licence of the data that it was tuned on, a figure on test rows,
and what it should not be used for.
"""
    return f"---\n{to_yaml(matter)}---\n{body}"


if __name__ == "__main__":
    sys.exit(main())
