"""Nothing escapes the laws.

Every class has a row, every entry builds, every pinned name has its files.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest
import tensorflow_probability as tfp
from cases import (
    AUDIO_FAMILIES,
    BIJECTORS,
    FAMILIES,
    LATENT_FAMILIES,
    MODELS,
    NO_BIJECTOR_ROW,
)

import zoo
from zoo import models, registry
from zoo.kinds.base import ZooModel
from zoo.store import pins

PACKAGES = ("zoo.ops", "zoo.bijectors", "zoo.networks", "zoo.models")
CHECKPOINTS = Path(zoo.__file__).parent.parent / "checkpoints"
REQUIRED_FILES = {
    "config.json",
    "recipe.json",
    "metrics.json",
    "model.weights.h5",
    "card.md",
    "SHA256SUMS",
}


def _classes(base: type) -> set[type]:
    found = set()
    for package in PACKAGES:
        root = importlib.import_module(package)
        for info in pkgutil.iter_modules(root.__path__, f"{package}."):
            module = importlib.import_module(info.name)
            found |= {
                cls
                for _, cls in inspect.getmembers(module, inspect.isclass)
                if issubclass(cls, base) and cls.__module__ == info.name
            }
    return found


def test_every_bijector_has_a_row() -> None:
    rows = {type(case.bijector()).__name__ for case in BIJECTORS.values()}
    assert {cls.__name__ for cls in _classes(tfp.bijectors.Bijector)} == rows | NO_BIJECTOR_ROW
    assert not rows & NO_BIJECTOR_ROW


def test_every_model_has_a_family_and_a_row() -> None:
    classes = {cls for cls in _classes(keras.Model) if not cls.__name__.startswith("_")}
    published = {cls for cls in classes if vars(cls).get("family")}  # the others are bases
    assert published == {models.model_class(family) for family in models.FAMILIES}
    assert {case.family for case in MODELS.values()} == set(FAMILIES)
    assert set(models.FAMILIES) - set(FAMILIES) == AUDIO_FAMILIES | LATENT_FAMILIES
    for family in models.FAMILIES:
        cls = models.model_class(family)
        assert cls.family == family
        assert cls.config_class is not ZooModel.config_class
        assert keras.saving.get_registered_name(cls) == f"zoo>{cls.__name__}"


def test_every_config_field_takes_another_value_in_some_row() -> None:
    for family in FAMILIES:
        config_class = models.model_class(family).config_class
        rows = [
            config_class.from_dict(dict(c.config)) for c in MODELS.values() if c.family == family
        ]
        for field in dataclasses.fields(config_class):
            if field.name == "context_size" and all(row.context_size == 0 for row in rows):
                continue  # declared in `cannot`, and asserted by the persistence laws
            default = field.default_factory() if field.name == "preprocessing" else field.default
            values = [getattr(row, field.name) for row in rows]
            if field.name == "preprocessing":
                values = [
                    c.config.get("preprocessing") or c.config["event_shape"][1:] or default
                    for c in MODELS.values()
                    if c.family == family
                ]
            assert any(value != default for value in values), f"{family}: {field.name}"


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_entry_is_well_formed(name: str) -> None:
    entry = registry.ENTRIES[name]
    assert entry.name == name
    assert entry.family == entry.recipe.family
    families = [cls.__dict__.get("family") for cls in models.model_class(entry.family).__mro__]
    assert name.startswith(tuple(f"{family}_" for family in families if family))
    for text in (entry.title, entry.description, entry.limitations):
        assert text.strip() == text != ""
    assert (entry.paper_metric == "") == (entry.paper_value is None)
    assert not entry.paper_metric or entry.paper_source
    dataset = entry.recipe.dataset
    assert dataset.test not in (dataset.train, dataset.validation)
    assert dataset.train != dataset.validation
    # Others have a validation split of their own, or are split by recording.
    if dataset.name in ("mnist", "fashion_mnist", "cifar10", "svhn_cropped", "ljspeech"):
        assert dataset.validation.startswith("train[")


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_recipe_builds_its_config(name: str) -> None:
    recipe = registry.ENTRIES[name].recipe
    config_class = models.model_class(recipe.family).config_class
    config = config_class.from_dict(recipe.config)
    assert config_class.from_dict(config.to_dict()) == config
    assert set(recipe.config) <= {f.name for f in dataclasses.fields(config_class)}


def entry_is_audio(name: str) -> bool:
    return registry.ENTRIES[name].family in AUDIO_FAMILIES


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_recipe_builds_its_model(name: str) -> None:
    """The recipe's own structure, at its own size."""
    recipe = registry.ENTRIES[name].recipe
    model = models.build(
        recipe.family, recipe.config, conditioner_dtype=recipe.training.conditioner_dtype
    )
    assert model.family == recipe.family
    assert model.count_params() > 0
    expected = "uint8" if len(model.config.event_shape) == 3 else "float32"
    assert model.data.dtype == ("int16" if entry_is_audio(name) else expected)
    assert model.config.context_size == 0 or recipe.dataset.context


@pytest.mark.parametrize("name", sorted(pins.pins()))
def test_every_pinned_name_has_a_folder_and_a_card(name: str) -> None:
    assert name in registry.ENTRIES
    if not CHECKPOINTS.is_dir():
        pytest.skip("an installed package without the checkout's checkpoints/")
    files = {path.name for path in (CHECKPOINTS / name).iterdir()}
    assert files >= REQUIRED_FILES
    assert set(pins.pins()[name]["files"]) <= files
    card = (CHECKPOINTS / name / "card.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert name in card


def test_every_checkpoint_folder_is_pinned() -> None:
    if not CHECKPOINTS.is_dir():
        pytest.skip("an installed package without the checkout's checkpoints/")
    assert {path.name for path in CHECKPOINTS.iterdir() if path.is_dir()} == set(pins.pins())
