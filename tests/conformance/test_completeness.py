"""Nothing escapes the laws.

Every class has a row, every entry builds, every pinned name has its files.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import keras
import pytest
import tensorflow_probability as tfp
from cases import BIJECTORS, COMPOSED, MODELS, NO_BIJECTOR_ROW, shared_model
from context_cases import CONTEXTUAL
from tiny import TINY

import zoo
from zoo import models, registry
from zoo.core import capabilities
from zoo.core.categorical_config import CategoricalConfig
from zoo.core.context import ConditionerConfig
from zoo.core.discrete_config import DiscreteConfig
from zoo.core.recipe import Target
from zoo.kinds.model import ZooModel
from zoo.kinds.signatures import SIGNATURES
from zoo.models.any_order.config import AnyOrderConfig
from zoo.models.audio.clips import AudioConfig
from zoo.models.tables.table_made import TableMADEConfig
from zoo.store import pins
from zoo.store.blank import blank_weights

NO_PREPROCESSING = (
    AnyOrderConfig,
    AudioConfig,
    CategoricalConfig,
    DiscreteConfig,
    TableMADEConfig,
)
PACKAGES = ("zoo.ops", "zoo.kinds", "zoo.bijectors", "zoo.networks", "zoo.models")
CHECKPOINTS = Path(zoo.__file__).parent.parent / "checkpoints"
VAE_FIELDS = {f.name for f in dataclasses.fields(models.model_class("vae").config_class)}
ANY_ORDER_FIELDS = {field.name for field in dataclasses.fields(AnyOrderConfig)}
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
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
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
    assert {case.family for case in MODELS.values()} == set(models.FAMILIES)
    assert set(TINY) == set(models.FAMILIES)
    for family in models.FAMILIES:
        cls = models.model_class(family)
        assert cls.family == family
        assert cls.config_class is not ZooModel.config_class
        assert keras.saving.get_registered_name(cls) == f"zoo>{cls.__name__}"


CAPABILITIES = [
    value for value in map(vars(capabilities).get, capabilities.__all__) if inspect.isclass(value)
]


@pytest.mark.parametrize("family", models.FAMILIES)
def test_what_a_model_cannot_do_it_does_not_have(family: str) -> None:
    cls = models.model_class(family)
    able = {capability for capability in CAPABILITIES if issubclass(cls, capability)}
    has = {method for capability in able for method in capability.__abstractmethods__}
    assert {capabilities.Scores, capabilities.Samples} <= able
    for capability in set(CAPABILITIES) - able:
        for method in capability.__abstractmethods__ - has:
            assert not hasattr(cls, method), f"{cls.__name__}.{method}"


@pytest.mark.parametrize("family", models.FAMILIES)
def test_a_model_serves_what_it_can_do(family: str) -> None:
    case = next(case for case in MODELS.values() if case.family == family)
    model = shared_model(case)
    served = model.serving_signatures()
    able = [kind for capability, kind in SIGNATURES.items() if isinstance(model, capability)]
    declared = {name for kind in able for name in kind(model)}
    assert set(served) == declared - set(model.not_served)
    assert set(model.not_served) <= declared
    assert all(model.not_served.values())
    assert next(iter(served)) == model.served_first
    assert {name for name, one in served.items() if one.portable} == model.portable
    for signature in served.values():
        spaces = {**signature.inputs, **signature.outputs}
        assert spaces.get("x", model.data).shape[1:] == model.data.shape[1:]
        assert signature.inputs.get("context") == model.context


def test_every_config_field_takes_another_value_in_some_row() -> None:
    for family in models.FAMILIES:
        config_class = models.model_class(family).config_class
        rows = [
            config_class.from_dict(dict(c.config)) for c in MODELS.values() if c.family == family
        ]
        custom = issubclass(config_class, ConditionerConfig)
        for field in dataclasses.fields(config_class):
            if family in COMPOSED and field.name != "steps":
                continue  # its layers are other families', whose rows have them
            if family.endswith("_vae") and field.name in VAE_FIELDS:
                continue  # the vae's rows have it
            if family == "oamade" and field.name in ANY_ORDER_FIELDS:
                continue  # the deformer's rows have it
            if field.name == "preprocessing" and issubclass(config_class, NO_PREPROCESSING):
                continue  # which refuses any
            if field.name == "context_size" and all(row.context_size == 0 for row in rows):
                continue  # declared in `cannot`, and asserted by the persistence laws
            if field.name == "columns" and not any(row.columns for row in rows):
                continue  # a flow and a model of integers: tests/test_own_families.py
            if field.name == "context" or (field.name == "network" and custom):
                continue  # of one class for all families: rows of `CONTEXTUAL` have them
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            values = [getattr(row, field.name) for row in rows]
            if field.name == "preprocessing":
                values = [
                    c.config.get("preprocessing") or c.config["event_shape"][1:] or default
                    for c in MODELS.values()
                    if c.family == family
                ]
            assert any(value != default for value in values), f"{family}: {field.name}"
    assert all("context" in case.config for case in CONTEXTUAL.values())
    assert any(isinstance(case.config.get("network"), dict) for case in CONTEXTUAL.values())


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_entry_is_well_formed(name: str) -> None:
    entry = registry.ENTRIES[name]
    assert entry.name == name
    assert entry.family == entry.recipe.family
    families = [cls.__dict__.get("family") for cls in models.model_class(entry.family).__mro__]
    # A number may follow the family: idf4_mnist is an idf of four parts.
    assert re.match(rf"({'|'.join(filter(None, families))})\d*_", name)
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


@pytest.mark.parametrize("name", registry.ENTRIES)
def test_every_recipe_builds_its_model(name: str) -> None:
    """The recipe's own structure, at its own size, with weights that nobody draws."""
    recipe = registry.ENTRIES[name].recipe
    dtype = getattr(recipe.training, "conditioner_dtype", "")
    with blank_weights():
        model = models.build(recipe.family, recipe.config, conditioner_dtype=dtype)
    assert model.built
    assert model.family == recipe.family
    of_the_plane = isinstance(recipe.data, Target)
    assert model.count_params() > (100 if of_the_plane else 10_000)
    dtypes = {"image": "uint8", "audio": "int16", "features": "float32"}
    if isinstance(model.config, CategoricalConfig):
        dtypes["features"] = "uint8"
    assert model.data.dtype == dtypes[model.data.medium]
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
