"""Recipes: overrides, the round trip through JSON, and the models of every registered one."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zoo import models, registry
from zoo.core import recipe as recipes
from zoo.core.recipe import Dataset, Optimizer, Recipe
from zoo.data.builders import OWN_DATASETS
from zoo.errors import ConfigError
from zoo.training.start import assign_shared

RECIPE = Recipe(
    family="maf",
    config={"event_shape": [3], "hidden_units": [8, 8], "preprocessing": {"whitening": "none"}},
    dataset=Dataset(name="toy", version="1.0.0", train="train", validation="valid", test="test"),
    optimizer=Optimizer(learning_rate=0.1, schedule="cosine"),
    batch_size=4,
    max_epochs=2,
)
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
    **{f"energy_u{number}": (2,) for number in (1, 2, 3, 4)},
}
# The papers' own sizes take longer to build than the rest of the file; their configs are read.
TABLES = ("magic", "bsds300", "power", "gas", "hepmass", "miniboone")
BUILT = [name for name in registry.ENTRIES if not name.endswith("_paper")]


# Overrides.


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("max_epochs=5", dataclasses.replace(RECIPE, max_epochs=5)),
        ("horizontal_flips=true", dataclasses.replace(RECIPE, horizontal_flips=True)),
        ("l2=1", dataclasses.replace(RECIPE, l2=1.0)),
        ("notes=free text = kept", dataclasses.replace(RECIPE, notes="free text = kept")),
        ('notes="42"', dataclasses.replace(RECIPE, notes="42")),
        (
            "conditioner_dtype=mixed_bfloat16",
            dataclasses.replace(RECIPE, conditioner_dtype="mixed_bfloat16"),
        ),
        (
            "optimizer.learning_rate=3e-4",
            dataclasses.replace(RECIPE, optimizer=Optimizer(learning_rate=3e-4, schedule="cosine")),
        ),
        (
            "optimizer.schedule=constant",
            dataclasses.replace(RECIPE, optimizer=Optimizer(learning_rate=0.1)),
        ),
        (
            "dataset.train=train[:10]",
            dataclasses.replace(
                RECIPE, dataset=dataclasses.replace(RECIPE.dataset, train="train[:10]")
            ),
        ),
        (
            "dataset.labels=[3, 5]",
            dataclasses.replace(RECIPE, dataset=dataclasses.replace(RECIPE.dataset, labels=(3, 5))),
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
    before = recipes.to_dict(RECIPE)
    changed = recipes.override(RECIPE, [assignment])
    assert changed == expected
    assert type(changed.l2) is float
    assert recipes.to_dict(RECIPE) == before  # the original is a value


def test_overrides_apply_in_order() -> None:
    changed = recipes.override(RECIPE, ["seed=1", "batch_size=8", "seed=2"])
    assert (changed.seed, changed.batch_size) == (2, 8)
    assert recipes.override(RECIPE, []) is RECIPE


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("max_epochs", "Expected PATH=VALUE"),
        ("max_epoch=3", "No field 'max_epoch' in a recipe: 'max_epoch' is none of family, config"),
        ("=3", "No field ''"),
        ("optimizer.rate=3", "'rate' is none of learning_rate"),
        ("optimizer.learning_rate.x=3", "0.1 is a plain value and has no fields"),
        ("seed.x=3", "0 is a plain value and has no fields"),
        ("config.hidden_units.0=3", "[8, 8] is a plain value and has no fields"),
        ("max_epochs=2.5", "max_epochs must be of type int; got 2.5"),
        ("max_epochs=two", "max_epochs must be of type int; got 'two'"),
        ("max_epochs=true", "max_epochs must be of type int; got True"),
        ("l2=true", "l2 must be of type float; got True"),
        ("horizontal_flips=1", "horizontal_flips must be of type bool; got 1"),
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
        (lambda: dataclasses.replace(RECIPE, annealing="Joint"), "annealing must be one of"),
        (
            lambda: recipes.from_dict({**recipes.to_dict(RECIPE), "conditioner_dtype": "bfloat16"}),
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
    text = json.dumps(recipes.to_dict(RECIPE))
    assert recipes.from_dict(json.loads(text)) == RECIPE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sise": 3}, "batch_sise"),
        ({"dataset": {"name": "toy"}}, "missing"),
        ({"optimizer": {"rate": 1.0}}, "rate"),
        ({"batch_size": "many"}, "not supported between"),
    ],
    ids=["unknown field", "missing field", "unknown field inside", "text for a number"],
)
def test_from_dict_refuses_what_is_no_recipe(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Not a recipe of this version: .*{message}"):
        recipes.from_dict({**recipes.to_dict(RECIPE), **change})


def test_from_dict_needs_a_dataset() -> None:
    values = recipes.to_dict(RECIPE)
    del values["dataset"]
    with pytest.raises(ConfigError, match=r"Not a recipe of this version: 'dataset'\."):
        recipes.from_dict(values)


# The registered ones.


def test_seeds_fit_in_31_bits() -> None:
    assert recipes.override(RECIPE, ["seed=2147483647"]).seed == 2**31 - 1
    with pytest.raises(ConfigError, match=r"seed must be below 2\*\*31; got 2147483648"):
        recipes.override(RECIPE, ["seed=2147483648"])


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_registered_recipe_survives_json(name: str) -> None:
    recipe = registry.get(name).recipe
    assert recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_registered_recipe_has_a_config_of_its_dataset(name: str) -> None:
    entry = registry.get(name)
    assert entry.recipe.family == entry.family
    config = models.model_class(entry.family).config_class.from_dict(entry.recipe.config)
    assert config.event_shape == EVENT_SHAPES[entry.recipe.dataset.name]
    is_image = len(config.event_shape) == 3
    binary = entry.family.endswith("vae")  # MNIST's grey levels are made binary at every step
    assert config.preprocessing.num_levels == ((2 if binary else 256) if is_image else 0)
    if entry.recipe.dataset.name == "mnist":
        assert entry.recipe.dynamic_binarization == binary
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
    if dataset.name in OWN_DATASETS:  # our own builders have a split for it
        assert (dataset.train, dataset.validation) == ("train", "validation")
        return
    train = re.fullmatch(r"train\[:(\d+)\]", dataset.train)
    validation = re.fullmatch(r"train\[(\d+):\]", dataset.validation)
    assert train is not None
    assert validation is not None
    assert train[1] == validation[1]


@pytest.mark.parametrize("name", BUILT)
def test_registered_recipe_builds_its_model(name: str) -> None:
    recipe = registry.get(name).recipe
    model = models.build(recipe.family, recipe.config, name=name)
    assert model.built
    assert model.config.event_shape == EVENT_SHAPES[recipe.dataset.name]
    dtypes = {"spoken_digit": "int16", "ljspeech": "int16"}
    dtypes |= dict.fromkeys(TABLES, "float32")
    assert model.data.dtype == dtypes.get(
        recipe.dataset.name, "float32" if recipe.energy else "uint8"
    )
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert parameters > (100 if recipe.energy else 10_000)


@pytest.mark.parametrize("name", [name for name in BUILT if registry.get(name).recipe.start])
def test_a_start_has_the_layers_of_its_recipe(name: str) -> None:
    recipe = registry.get(name).recipe
    start = registry.get(recipe.start).recipe
    assign_shared(
        models.build(recipe.family, recipe.config, name=name),
        models.build(start.family, start.config, name=recipe.start),
    )
