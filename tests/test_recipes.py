"""Recipes: overrides, the round trip through JSON, and the models of every registered one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo import models, registry
from zoo.core import recipe as recipes
from zoo.core import recipe_json
from zoo.core.recipe import (
    SGD,
    Binarise,
    Distillation,
    Flips,
    NegativeELBO,
    Optimizer,
    PatchSymmetries,
    Recipe,
    ReverseKL,
    Rows,
    Shifts,
    Target,
    variant,
)
from zoo.data.builders import OWN_DATASETS
from zoo.errors import ConfigError
from zoo.training.start import assign_shared

RECIPE = Recipe(
    family="maf",
    config={"event_shape": [3], "hidden_units": [8, 8], "preprocessing": {"whitening": "none"}},
    data=Rows(name="toy", version="1.0.0", train="train", validation="valid", test="test"),
    training=SGD(
        optimizer=Optimizer(learning_rate=0.1, schedule="cosine"), batch_size=4, max_epochs=2
    ),
)
TRAINING = recipe_json.to_dict(RECIPE)["training"]
EVENT_SHAPES = {
    "mnist": (28, 28, 1),
    "binarized_mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "svhn_cropped": (32, 32, 3),
    "magic": (10,),
    "bsds300": (63,),
    "power": (6,),
    "gas": (8,),
    "hepmass": (21,),
    "miniboone": (43,),
    "spoken_digit": (6144,),
    "ljspeech": (7680,),
    "digits": (8, 8, 1),
    "optdigits": (8, 8, 1),
    "mushroom": (23,),
    "eight_gaussians": (2,),
    "binarized_mnist14": (14, 14, 1),
    **{f"energy_u{number}": (2,) for number in (1, 2, 3, 4)},
}


# Overrides.


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (
            "max_epochs=5",
            variant(RECIPE, max_epochs=5),
        ),
        (
            'augment=["Flips"]',
            variant(RECIPE, augment=(Flips(),)),
        ),
        (
            "l2=1",
            variant(RECIPE, l2=1.0),
        ),
        ("notes=free text = kept", dataclasses.replace(RECIPE, notes="free text = kept")),
        ('notes="42"', dataclasses.replace(RECIPE, notes="42")),
        (
            "conditioner_dtype=mixed_bfloat16",
            variant(RECIPE, conditioner_dtype="mixed_bfloat16"),
        ),
        (
            "optimizer.learning_rate=3e-4",
            variant(RECIPE, optimizer=Optimizer(learning_rate=3e-4, schedule="cosine")),
        ),
        (
            "optimizer.schedule=constant",
            variant(RECIPE, optimizer=Optimizer(learning_rate=0.1)),
        ),
        (
            "dataset.train=train[:10]",
            variant(RECIPE, data=dataclasses.replace(RECIPE.dataset, train="train[:10]")),
        ),
        (
            "dataset.labels=[3, 5]",
            variant(RECIPE, data=dataclasses.replace(RECIPE.dataset, labels=(3, 5))),
        ),
        (
            "config.hidden_units=[5]",
            dataclasses.replace(RECIPE, config={**RECIPE.config, "hidden_units": [5]}),
        ),
        (
            "config.preprocessing.whitening=standardise",
            dataclasses.replace(
                RECIPE, config={**RECIPE.config, "preprocessing": {"whitening": "standardise"}}
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_override_assigns_one_value(assignment: str, expected: Recipe) -> None:
    before = recipe_json.to_dict(RECIPE)
    changed = recipes.override(RECIPE, [assignment])
    assert changed == expected
    assert type(changed.training.l2) is float
    assert recipe_json.to_dict(RECIPE) == before  # the original is a value


def test_an_override_may_change_the_kind_of_data_with_its_objective() -> None:
    energy, rows = registry.get("planar_u1").recipe, registry.get("vae_mnist").recipe
    for given, other in ((energy, rows), (rows, energy)):
        parts = recipe_json.to_dict(other)
        pairs = [f"{part}={json.dumps(parts[part])}" for part in ("data", "objective", "training")]
        changed = recipes.override(given, pairs)
        for part in ("data", "objective", "training"):
            assert getattr(changed, part) == getattr(other, part)
    with pytest.raises(ConfigError, match="go together"):
        recipes.override(rows, ["objective=ReverseKL"])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            'objective={"kind":"NegativeELBO","annealing_steps":2.5}',
            "steps must be of type int",
        ),
        ('objective={"kind":"Distillation","teacher":5}', "objective.teacher must be of type str"),
        ('objective={"kind":"Distillation"}', "missing 1 required"),
        ('objective={"kind":"NegativeELBO","steps":2}', "objective has no 'steps'"),
        ('augment=[{"kind":"Shifts","pixels":1.5}]', "augment.pixels must be of type int"),
        (
            'training={"kind":"SGD","optimizer":{"clip_norm":"1"}}',
            "norm must be of type float",
        ),
    ],
)
def test_fields_of_a_kind_have_their_types(pair: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipes.override(RECIPE, [pair])


def test_overrides_apply_in_order() -> None:
    changed = recipes.override(RECIPE, ["seed=1", "batch_size=8", "seed=2"])
    assert (changed.training.seed, changed.training.batch_size) == (2, 8)
    assert recipes.override(RECIPE, []) is RECIPE


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("max_epochs", "Expected PATH=VALUE"),
        ("max_epoch=3", "No field 'max_epoch' in a recipe: 'max_epoch' is none of family, config"),
        ('augment=["flip"]', "augment must be one of Flips, Shifts, PatchSymmetries, Binarise"),
        ('augment=["Shifts"]', "augment is no Shifts: "),
        ("augment=Flips", "augment must be of type list; got 'Flips'"),
        ("objective=KL", "objective must be one of Default, NegativeELBO, ReverseKL, Distillation"),
        ("objective=ReverseKL", "ReverseKL and the data Target go together"),
        ("=3", "No field ''"),
        ("optimizer.rate=3", "'rate' is none of learning_rate"),
        ("optimizer.learning_rate.x=3", "0.1 is a plain value and has no fields"),
        ("seed.x=3", "0 is a plain value and has no fields"),
        ("config.hidden_units.0=3", "[8, 8] is a plain value and has no fields"),
        ("max_epochs=2.5", "max_epochs must be of type int; got 2.5"),
        ("max_epochs=two", "max_epochs must be of type int; got 'two'"),
        ("max_epochs=true", "max_epochs must be of type int; got True"),
        ("l2=true", "l2 must be of type float; got True"),
        ("jit_compile=1", "jit_compile must be of type bool; got 1"),
        ("notes=42", "notes must be of type str; got 42"),
        ("optimizer=3", "optimizer must be of type Optimizer; got 3"),
        ("config=3", "config must be of type Mapping; got 3"),
        ("dataset.labels=3", "dataset.labels must be of type list; got 3"),
        ('dataset.labels=["cat"]', "labels must be integers, as [3, 5]; got ['cat']"),
        ("dataset.labels=[true]", "labels must be integers, as [3, 5]; got [True]"),
        ("optimizer.schedule=linear", "must be one of ('constant', 'cosine'); got 'linear'"),
        ("conditioner_dtype=float16", "must be one of ('float32', 'tensorfloat32',"),
        ("batch_size=0", "batch_size >= 1"),
        ("max_epochs=-1", "max_epochs >= 1"),
        ("ema_decay=1", "ema_decay in [0, 1)"),
        ("l2=-1e-3", "l2 must be a finite number of 0 or more"),
        ("seed=-1", "seed must be a finite number of 0 or more"),
        ("optimizer.learning_rate=NaN", "learning_rate must be a finite number of 0 or more"),
        ("optimizer.clip_norm=-1", "clip_norm must be a finite number of 0 or more"),
        ("optimizer.beta_2=1", "beta_1, beta_2 in [0, 1)"),
        ("optimizer.epsilon=0", "epsilon > 0"),
    ],
)
def test_override_refuses(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        recipes.override(RECIPE, [assignment])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recipes.Optimizer(schedule="linear"), "schedule must be one of ('constant'"),
        (lambda: recipes.Optimizer(algorithm="sgd"), "algorithm must be one of ('adam'"),
        (lambda: recipes.Distillation(teacher="t", divergence="kl"), "divergence must be one of"),
        (
            lambda: variant(RECIPE, objective=NegativeELBO(annealing="Joint")),
            "annealing must be one of",
        ),
        (
            lambda: recipe_json.from_dict(
                {
                    **recipe_json.to_dict(RECIPE),
                    "training": {**TRAINING, "conditioner_dtype": "bfloat16"},
                }
            ),
            "conditioner_dtype must be one of ('float32'",
        ),
    ],
)
def test_words_that_are_none_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()


def test_a_config_field_that_no_model_has_is_refused_where_the_model_is_built() -> None:
    recipe = recipes.override(RECIPE, ["config.num_couplngs=6"])
    with pytest.raises(ConfigError, match="MAFConfig has no num_couplngs; its fields: activation"):
        models.build(recipe.family, recipe.config)


# Plain values and back.


def test_recipe_survives_json() -> None:
    text = json.dumps(recipe_json.to_dict(RECIPE))
    assert recipe_json.from_dict(json.loads(text)) == RECIPE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sise": 3}, "batch_sise"),
        ({"data": {"kind": "Rows", "name": "toy"}}, "data is no Rows: .*missing"),
        ({"training": {**TRAINING, "optimizer": {"rate": 1.0}}}, "rate"),
        ({"training": {**TRAINING, "batch_size": "many"}}, "not supported between"),
    ],
    ids=["unknown field", "missing field", "unknown field inside", "text for a number"],
)
def test_from_dict_refuses_what_is_no_recipe(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe_json.from_dict({**recipe_json.to_dict(RECIPE), **change})


def test_from_dict_needs_data() -> None:
    values = recipe_json.to_dict(RECIPE)
    del values["data"]
    with pytest.raises(ConfigError, match=r"Not a recipe of this version: 'data'\."):
        recipe_json.from_dict(values)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="format 3; this version of the zoo reads 1 to 2"):
        recipe_json.from_dict({**recipe_json.to_dict(RECIPE), "format": 3})


FLAT: dict[str, Any] = {
    "family": "vae",
    "config": {"event_shape": [2]},
    "dataset": {"name": "toy", "version": "1", "train": "a", "validation": "b", "test": "c"},
    "optimizer": {"learning_rate": 0.1},
    "batch_size": 4,
    "max_epochs": 2,
}


def test_every_field_of_a_flat_recipe_has_its_place() -> None:
    flat = {
        **FLAT,
        "horizontal_flips": True,
        "shift_pixels": 2,
        "patch_symmetries": True,
        "dynamic_binarization": True,
        "annealing": "joint",
        "annealing_steps": 7,
        "ema_decay": 0.5,
        "start": "nice_mnist",
        "energy": "",
        "distillation": None,
    }
    recipe = recipe_json.from_dict(flat)
    augment = (Flips(), Shifts(pixels=2), PatchSymmetries(), Binarise())
    assert recipe.training.augment == augment
    assert recipe.objective == NegativeELBO(annealing="joint", annealing_steps=7)
    assert (recipe.training.ema_decay, recipe.start) == (0.5, "nice_mnist")
    assert recipe.data == Rows(name="toy", version="1", train="a", validation="b", test="c")
    target = recipe_json.from_dict({**FLAT, "energy": "u2", "annealing_steps": 3})
    assert target.data == Target(energy="u2", draws=recipe.dataset)
    assert target.objective == ReverseKL(annealing_steps=3)
    taught = recipe_json.from_dict({**FLAT, "distillation": {"teacher": "t", "power": 2.0}})
    assert taught.objective == Distillation(teacher="t", power=2.0)
    with pytest.raises(ConfigError, match="Not a recipe of this version: it has no batch_sise"):
        recipe_json.from_dict({**FLAT, "batch_sise": 3})


FOLDERS = sorted((Path(zoo.__file__).parent.parent / "checkpoints").glob("*/recipe.json"))


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: path.parent.name)
def test_published_recipes_are_read(path: Path) -> None:
    """All of a flat one's values are somewhere in the recipe that it becomes."""
    values = json.loads(path.read_text(encoding="utf-8"))
    recipe = recipe_json.from_dict(values)
    assert recipe_json.from_dict(recipe_json.to_dict(recipe)) == recipe
    if "format" in values:
        return
    for name in ("family", "config", "start", "paper", "notes"):
        assert getattr(recipe, name) == values.get(name, "")
    for name in ("batch_size", "max_epochs", "seed", "ema_decay", "jit_compile", "l2"):
        assert getattr(recipe.training, name) == values[name]
    optimizer = {"algorithm": "adam", **values["optimizer"]}
    assert dataclasses.asdict(recipe.training.optimizer) == optimizer
    assert json.loads(json.dumps(dataclasses.asdict(recipe.dataset))) == {
        "labels": [],
        "more_train": "",
        **values["dataset"],
    }
    assert recipe.training.binarises == values.get("dynamic_binarization", False)
    if values.get("distillation"):
        assert dataclasses.asdict(recipe.objective) == values["distillation"]


# Chains.


def test_a_chain_is_its_stages_first_to_last() -> None:
    second = variant(RECIPE, after=RECIPE, max_epochs=3)
    third = variant(second, after=second, max_epochs=4)
    assert recipes.stages(third) == [RECIPE, second, third]
    assert recipes.stages(RECIPE) == [RECIPE]
    assert recipe_json.from_dict(json.loads(json.dumps(recipe_json.to_dict(third)))) == third
    with pytest.raises(ConfigError, match="`after` a run or from a `start`, not from both"):
        variant(second, start="nice_mnist")


def test_a_digest_is_of_what_decides_the_weights() -> None:
    digest = recipe_json.digest(RECIPE)
    assert recipe_json.digest(variant(RECIPE, notes="other words", paper="another")) == digest
    others = [variant(RECIPE, seed=1), variant(RECIPE, after=RECIPE), variant(RECIPE, l2=0.1)]
    assert len({digest, *map(recipe_json.digest, others)}) == 4


# The registered ones.


def test_seeds_fit_in_31_bits() -> None:
    assert recipes.override(RECIPE, ["seed=2147483647"]).training.seed == 2**31 - 1
    with pytest.raises(ConfigError, match=r"seed must be below 2\*\*31; got 2147483648"):
        recipes.override(RECIPE, ["seed=2147483648"])


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_registered_recipe_survives_json(name: str) -> None:
    recipe = registry.get(name).recipe
    assert recipe_json.from_dict(json.loads(json.dumps(recipe_json.to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_registered_recipe_has_a_config_of_its_dataset(name: str) -> None:
    entry = registry.get(name)
    assert entry.recipe.family == entry.family
    config = models.model_class(entry.family).config_class.from_dict(entry.recipe.config)
    assert config.event_shape == EVENT_SHAPES[entry.recipe.dataset.name]
    is_image = len(config.event_shape) == 3
    # MNIST's grey levels are made binary at every step.
    binary = entry.family.endswith("vae") or "binarized" in entry.recipe.dataset.name
    levels = {"digits": 17, "optdigits": 2}.get(entry.recipe.dataset.name, 2 if binary else 256)
    audio = config.data_space().medium == "audio"
    masses = models.model_class(entry.family).measure == "mass" and not is_image
    assert audio or masses or (config.data_space().levels or 0) == (levels if is_image else 0)
    if entry.recipe.dataset.name == "mnist":
        assert entry.recipe.training.binarises == binary
    # What the recipe says is what the config is; the rest are the family's defaults.
    values = config.to_dict()
    for key, value in entry.recipe.config.items():
        found = {k: values[key][k] for k in value} if isinstance(value, dict) else values[key]
        assert found == value


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_registered_recipe_validates_on_train_rows_that_it_does_not_train_on(name: str) -> None:
    dataset = registry.get(name).recipe.dataset
    if dataset.name == "spoken_digit":  # by the number of the recording
        assert (dataset.train, dataset.validation) == ("recordings[7:]", "recordings[5:7]")
        assert dataset.test == "recordings[:5]"
        return
    if dataset.name == "binarized_mnist":  # has a validation split
        assert (dataset.train, dataset.validation, dataset.test) == (
            "train",
            "validation",
            "test",
        )
        return
    if dataset.name == "ljspeech":  # one split, three slices of it
        slices = (dataset.test, dataset.validation, dataset.train)
        assert slices == ("train[:500]", "train[500:1000]", "train[1000:]")
        return
    assert dataset.test == "test"
    assert "test" not in dataset.train + dataset.validation
    if dataset.name.startswith("energy_"):  # draws of a density, made anew for every split
        assert (dataset.train, dataset.validation) == ("train", "validation")
        return
    if dataset.name in OWN_DATASETS and dataset.name != "optdigits":
        # Our own builders have a split for it, but for the one whose source has two files.
        assert (dataset.train, dataset.validation) == ("train", "validation")
        return
    train = re.fullmatch(r"train\[:(\d+)\]", dataset.train)
    validation = re.fullmatch(r"train\[(\d+):\]", dataset.validation)
    assert train is not None
    assert validation is not None
    assert train[1] == validation[1]


@pytest.mark.parametrize(
    "name", [n for n, e in registry.ENTRIES.items() if e.recipe.start or e.recipe.after]
)
def test_a_recipe_has_the_layers_that_it_starts_from(name: str) -> None:
    recipe = registry.get(name).recipe
    pairs = list(itertools.pairwise(recipes.stages(recipe)))
    if recipe.start:
        pairs.append((registry.get(recipe.start).recipe, recipe))
    for before, after in pairs:
        assign_shared(
            models.build(after.family, after.config, name=name),
            models.build(before.family, before.config, name="before"),
        )
