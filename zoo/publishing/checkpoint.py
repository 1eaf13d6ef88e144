"""A checkpoint folder's own account of itself, from which its card is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.core import recipe_json
from zoo.core.capabilities import capabilities_of
from zoo.core.recipe import Rows
from zoo.evaluation import needs
from zoo.models import model_class
from zoo.store.files import read_object, read_optional
from zoo.store.folder import BASELINES_FILE, METRICS_FILE, RECIPE_FILE, RUN_FILE, read_config
from zoo.studies import results

__all__ = [
    "SAMPLES_FILE",
    "SOUND_FILE",
    "Checkpoint",
    "entry_of_run",
    "read_checkpoint",
    "read_checkpoints",
    "studies_of",
]

SAMPLES_FILE = "samples.png"
SOUND_FILE = "samples.wav"
AUDIO_BENCHMARK = Path("benchmarks", "audio_cpu.json")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The files of a checkpoint folder, beside what the registry says of it.

    named: whether `zoo.load` knows it by its name; else it is loaded by its folder.
    """

    folder: Path
    entry: registry.Entry
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]  # as stored; {} without
    metrics: Mapping[str, Any]  # {} before `zoo evaluate`
    run: Mapping[str, Any]
    baselines: Mapping[str, Any] = field(default_factory=dict)  # of other models on the same rows
    audio_rates: Mapping[str, Any] = field(default_factory=dict)  # of `tools/audio_benchmark.py`
    studies: Mapping[str, Any] = field(default_factory=dict)  # {name: results} that it is in
    named: bool = True

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name

    @property
    def values(self) -> Mapping[str, Any]:
        """The model's config."""
        return self.config["config"]

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The config's preprocessing; {} for a family without."""
        return self.values.get("preprocessing", {})

    @cached_property
    def dataset(self) -> Rows:
        """The dataset that the recipe names."""
        return (recipe_json.from_dict(self.recipe) if self.recipe else self.entry.recipe).dataset

    @property
    def trained_as(self) -> str:
        """The registered name whose recipe `zoo train` ran, perhaps changed; "" for none."""
        if self.named:
            return self.entry.name
        name = self.run.get("name", "")
        return name if name in registry.ENTRIES else ""

    @cached_property
    def scores(self) -> tuple[str, str]:
        """What `log_prob` is: its measure and precision, such as ("density", "exact")."""
        kind = model_class(self.config["family"])
        space = kind.config_class.from_dict(self.values).data_space()
        noisy = space.measure == "mass" and "Bijective" in self.have  # between levels
        return "density" if noisy else space.measure, getattr(kind, "precision", "exact")

    @cached_property
    def have(self) -> frozenset[str]:
        """What the model can do and what it is of: the words that a card's sections need.

        Capabilities; "target", "teacher"; the medium of its rows, as "image"; "conditional";
        "binary" rows of 0 and 1; "integers", which have a mass and no noise; "quick scores", of one
        pass a row.
        """
        kind = model_class(self.config["family"])
        space = kind.config_class.from_dict(self.values).data_space()
        found = capabilities_of(kind) | needs.things_of(self.entry.recipe)
        facts = {
            space.medium: True,
            "conditional": self.values.get("context_size"),
            "binary": space.levels == 2,
            "integers": getattr(kind, "measure", "") == "mass",
            "quick scores": kind.slow_direction != "density",
        }
        return found | {fact for fact, holds in facts.items() if holds}


def read_checkpoint(
    folder: Path,
    entry: registry.Entry,
    *,
    audio_rates: Mapping[str, Any] | None = None,
    studies: Mapping[str, Any] | None = None,
    named: bool = True,
) -> Checkpoint:
    """The account of one folder. Raises CheckpointError for one without a config."""
    return Checkpoint(
        folder=folder,
        entry=entry,
        config=read_config(folder),
        recipe=read_optional(folder / RECIPE_FILE),
        metrics=read_optional(folder / METRICS_FILE),
        run=read_optional(folder / RUN_FILE),
        baselines=read_optional(folder / BASELINES_FILE),
        audio_rates=audio_rates or {},
        studies=studies or {},
        named=named,
    )


def read_checkpoints(root: Path) -> list[Checkpoint]:
    """The checkpoints under root/checkpoints that the registry knows, in the table's order."""
    rates = read_audio_rates(root)
    return [
        read_checkpoint(folder, entry, audio_rates=rates.get(name), studies=studies_of(name, root))
        for name, entry in registry.ENTRIES.items()
        if (folder := root / "checkpoints" / name).is_dir()
    ]


def studies_of(name: str, root: Path) -> dict[str, Any]:
    """{study: results} of a checkout's studies that have run the recipe of this name."""
    return {
        study: found
        for study, found in results.read_all(root).items()
        if study in registry.STUDIES and name in {a.entry for a in registry.STUDIES[study].arms}
    }


def read_audio_rates(root: Path) -> dict[str, dict[str, Any]]:
    """name -> rates of sampling, with the machine's facts, of a checkout's benchmark."""
    benchmark = read_optional(root / AUDIO_BENCHMARK)
    machine = {key: benchmark.get(key) for key in ("hardware", "load_average")}
    return {found["model"]: {**machine, **found} for found in benchmark.get("models", [])}


def entry_of_run(name: str, run: Path, *, licence: str) -> registry.Entry:
    """The entry that a training run would have under that name.

    A run of a registered family's recipe keeps that one's paper, metrics and, where the model is
    the same, its description.   licence: of the weights.
    """
    recipe = recipe_json.from_dict(read_object(run / RECIPE_FILE))
    trained = registry.ENTRIES.get(read_optional(run / RUN_FILE).get("name", ""))
    if trained is None or trained.family != recipe.family:
        return registry.Entry(
            name=name,
            family=read_config(run)["family"],
            title=name,
            paper=recipe.paper or "none stated",
            arxiv="",
            recipe=recipe,
            description=f"A {recipe.family} on {recipe.dataset.name}.",
            limitations="",
            metrics=(),
            weights_licence=licence,
        )
    same = recipe.config == trained.recipe.config
    return dataclasses.replace(
        trained,
        name=name,
        recipe=recipe,
        description=trained.description if same else f"{trained.title}, by a changed recipe.",
        weights_licence=licence,
    )
