"""The card's sections about how the weights came about: stages, recipe, commands, checksums."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from zoo import registry
from zoo.core import recipe_json
from zoo.publishing.checkpoint import Checkpoint
from zoo.store.folder import CONFIG_FILE
from zoo.store.hashes import sha256_of
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["by_hand", "checksums", "training"]

WATTS_A_CORE = 15.0  # an assumption: a share of a server processor under load
_OF_KINDS = ("data", "objective", "training")  # of a recipe: one of several kinds each
NO_SETTINGS = ("family", "notes", "paper", "format", "after")  # of a recipe: told elsewhere
ELSEWHERE = ("config", "dataset", "data.", "after.")  # prefixes of the same


def by_hand(checkpoint: Checkpoint) -> str:
    """What a person did between the stages of a training, which no command repeats; "" for none."""
    notes = [stage["note"].rstrip(".") for stage in _lineage(checkpoint) if stage.get("note")]
    return f"**Partly made by hand:** {'. '.join(notes)}." if notes else ""


def training(checkpoint: Checkpoint) -> str:
    """Hours, stages, the recipe, and the commands that train it again."""
    recipe = checkpoint.recipe
    if not recipe:
        return ""
    run, metrics = checkpoint.run, checkpoint.metrics
    hours = run.get("train_hours", metrics.get("train_hours"))
    hardware = run.get("hardware", metrics.get("hardware"))
    facts = []
    if hours is not None:
        time = f"{hours:.2g} hours" if hours >= 0.05 else f"{3600.0 * hours:.2g} seconds"
        facts.append(f"{time} on {hardware}" if hardware else time)
        if energy := _energy(hours, hardware):
            facts.append(energy)
    if run.get("step"):
        unit = recipe_json.from_dict(recipe).training.unit
        facts.append(f"{run['step']:,} {unit}s, weights of {unit} {run['best_step']:,}")
    rows = [f"| {key} | {_plain(value)} |" for key, value in _chosen(recipe)]
    parts = [
        "## Training",
        "; ".join(facts) + "." if facts else "",
        recipe.get("notes", ""),
        _stages(checkpoint),
        "Settings other than the defaults; recipe.json has all of them:",
        "| setting | value |\n| --- | --- |\n" + "\n".join(rows),
        f"```json\n{json.dumps(recipe['config'])}\n```",
        *_commands(checkpoint),
    ]
    return "\n\n".join(part for part in parts if part)


def _chosen(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that are not their classes' defaults, and of the training those without one."""
    recipe = recipe_json.from_dict(stored)
    needed = {
        field.name: getattr(recipe.training, field.name)
        for field in dataclasses.fields(recipe.training)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    training = type(recipe.training)(**needed)
    plain = recipe_json.to_dict(dataclasses.replace(recipe, training=training))
    defaults = dict(_flat(plain))
    for key, value in _flat(recipe_json.to_dict(recipe)):
        if key.startswith(ELSEWHERE) or key in NO_SETTINGS:
            continue
        part, _, name = key.rpartition(".")
        if part.startswith("training") and name not in needed:
            if defaults.get(key, ...) == value:
                continue
        elif value in ("", None, {}, [], "Default"):
            continue
        yield key.removeprefix("training."), value


def _lineage(checkpoint: Checkpoint) -> list[Mapping[str, Any]]:
    """The stages of the training, in their order, where run.json has them."""
    return checkpoint.run.get("lineage", [])


def _stages(checkpoint: Checkpoint) -> str:
    """A table of the stages, each from the weights of the one before."""
    stages = _lineage(checkpoint)
    if not stages:
        return ""
    lines = ["| stage | hours | weights | by hand |", "| ---: | ---: | --- | --- |"]
    for number, stage in enumerate(stages, 1):
        hours = "unknown" if stage["hours"] is None else f"{stage['hours']:.2g}"
        note = stage.get("note", "").replace("|", "\\|")
        lines.append(f"| {number} | {hours} | `{stage['weights'][:16]}…` | {note} |")
    return "Stages, each from the weights of the one before it:\n\n" + "\n".join(lines)


def _commands(checkpoint: Checkpoint) -> list[str]:
    """What trains and evaluates it again."""
    name, trained = checkpoint.name, checkpoint.trained_as
    if not trained:
        code = (
            "import json\n\nfrom zoo import training\nfrom zoo.core import recipe_json\n\n"
            'values = json.load(open("recipe.json"))  # beside this card\n'
            f'training.train(recipe_json.from_dict(values), "runs/{name}")'
        )
        return [
            "Train and evaluate it again:",
            f"```python\n{code}\n```",
            f"```sh\nzoo evaluate runs/{name}\n```",
        ]
    registered = recipe_json.to_dict(registry.get(trained).recipe)
    changes = _changes(registered, recipe_json.to_dict(recipe_json.from_dict(checkpoint.recipe)))
    overrides = [f"--set {shlex.quote(f'{path}={value}')}" for path, value in changes]
    train = " ".join([f"zoo train {trained}", *overrides])
    if not checkpoint.named:
        return [
            "Train and evaluate it again:",
            f"```sh\n{train}\nzoo evaluate runs/{trained}\n```",
        ]
    return [
        "Train and evaluate it again:",
        f"```sh\n{train}\nzoo evaluate {name} --weights runs/{name}\n```",
        f"`zoo verify {name} --full` recomputes the figures of the published weights.",
    ]


def _energy(hours: float, hardware: str) -> str:
    """An estimate for processors; "" for other hardware."""
    cores = re.fullmatch(r"(\d+) CPU cores?", hardware or "")
    if not cores:
        return ""
    energy = hours * int(cores[1]) * WATTS_A_CORE / 1000.0
    return f"about {energy:.2g} kWh, at {WATTS_A_CORE:g} W a core"


def checksums(checkpoint: Checkpoint) -> str:
    """SHA-256 of weights and config."""
    lines = [
        f"{sha256_of(checkpoint.folder / file)}  {file}"
        for file in (WEIGHTS_FILE, CONFIG_FILE)
        if (checkpoint.folder / file).is_file()
    ]
    return "## Checksums\n\n```\n" + "\n".join(lines) + "\n```"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changes(registered: Mapping[str, Any], used: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The assignments that turn the registry's recipe into the one that was used, for `--set`."""
    before = dict(_flat(registered))
    told = {*NO_SETTINGS, *(["start"] if registered.get("after") else [])}  # the chain's own start
    whole = {
        part: used[part] for part in _OF_KINDS if used[part]["kind"] != registered[part]["kind"]
    }
    apart = tuple(f"{part}." for part in ("after", *whole))
    changes = [
        (path, value)
        for path, value in _flat(used)
        if before.get(path, ...) != value and path not in told and not path.startswith(apart)
    ]
    return [(p, json.dumps(v, separators=(",", ":"))) for p, v in (*whole.items(), *changes)]
