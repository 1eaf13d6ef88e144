"""Laws: a config survives the round trip, and a saved model is the same model in a new process."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import forked
import fresh_process
import keras
import numpy as np
import pytest
import served
import tensorflow as tf
from cases import FIRST_ROWS, MODELS, costly, group, shared_model
from numpy.testing import assert_array_equal

from zoo import models
from zoo.core.columns import Column
from zoo.core.config import Preprocessing
from zoo.core.context import Context
from zoo.errors import ConfigError
from zoo.models.flows.converted import FlowStep
from zoo.networks.custom import layer_values

# Values that are no field's default, so that a field lost on the way shows.
NON_DEFAULT = {
    "event_shape": (4, 8, 3),
    "preprocessing": Preprocessing(num_levels=32, transform="logit", alpha=0.125, whitening="zca"),
    "context_size": 7,
    "context": Context(units=(3,)),
    "num_couplings": 9,
    "hidden_units": (3, 4, 5),
    "base": "normal",
    "dropout": 0.375,
    "log_scale_factor": 5.5,
    "num_scales": 3,
    "num_checkerboard": 5,
    "num_channelwise": 6,
    "num_final": 7,
    "filters": 11,
    "num_blocks": 2,
    "conditioner_stride": 1,
    "weight_norm": False,
    "conditioner_batch_norm": True,
    "skip_connections": True,
    "activation": "elu",
    "normalization": "batch_norm",
    "num_layers": 3,
    "log_scale_limit": 2.25,
    "base_scale": 1.75,
    "frame": "householder",
    "num_vectors": 5,
    "num_components": 2,
    "num_units": 6,
    "num_bins": 5,
    "tail_bound": 1.75,
    "affine": True,
    "latent_bound": 3.25,
    "step_bound": 2.25,
    "square_positions": 4,
    "slope_softness": 0.25,
    "vector": True,
    "latent_size": 5,
    "network": "gated_conv",
    "features": 17,
    "free_bits": 0.5,
    "num_flows": 3,
    "amortised": False,
    "kind": "triangular",
    "made_units": (5, 6),
    "gate_bias": 0.5,
    "full_covariance": True,
    "coupling_units": (7,),
    "context_features": 9,
    "context_factors": (7,),
    "context_channels": 6,
    "frame_size": 16,
    "position_frames": 5,
    "num_durations": 3,
    "sample_rate": 16000,
    "output": "gaussian",
    "num_mixtures": 4,
    "num_stacks": 3,
    "layers_per_stack": 4,
    "filter_size": 3,
    "residual_channels": 5,
    "skip_channels": 7,
    "input_filter": 4,
    "linear_input": True,
    "mel_bins": 0,
    "mixture": "logistic",
    "tokens": "shifted",
    "size": 12,
    "token_units": (5, 4),
    "num_heads": 3,
    "hidden_size": 9,
    "identity_size": 7,
    "log_scale_floor": -6.5,
    "layers_per_flow": (3, 2),
    "first_log_scale": -2.5,
    "num_classes": 7,
    "coupling": "one_sided",
    "num_parts": 2,
    "output_scale": 0.5,
    "columns": (),  # of most: columns of reals take the place of a preprocessing
    "num_trees": 4,
    "max_depth": 3,
    "min_samples_split": 12,
    "split": "random",
    "num_sampled_rows": 50,
    "sorts": 1,
    "seed": 3,
    "softness": 0.25,
}
CATEGORIES = {
    "context_size": 0,
    "preprocessing": Preprocessing(alpha=0.125),
    "event_shape": (2,),
    "num_classes": (),
    "columns": (
        Column(name="a", kind="category", categories=("x", "y", "z")),
        Column(name="b", kind="boolean", categories=("false", "true")),
    ),
}
# conditioner_stride 2 and three scales ask for multiples of 8; "normalization" differs in its
# default.
# Fields that a family's values may leave at their defaults, where others rule them out.
GIVEN_UP = ("event_shape", "context_size", "num_classes", "columns")
NETWORK = layer_values(keras.Sequential([keras.layers.Dense(3)]))
VAES = {
    "num_blocks": 3,
    "preprocessing": Preprocessing(num_levels=32, transform="unit", alpha=0.125),
}
CLIPS = {"event_shape": (640,), "preprocessing": Preprocessing(alpha=0.125)}
ANY_ORDER = {
    "event_shape": (1,),
    "context_size": 0,
    "num_classes": 0,
    "preprocessing": Preprocessing(alpha=0.125),
    "columns": (Column(name="a", kind="positive", location=0.5),),
}
CHANGES = {
    **{family: VAES for family in models.FAMILIES if family.endswith("vae")},
    "wavenet": CLIPS,
    "parallel_wavenet": CLIPS,
    "realnvp": {"event_shape": (8, 8, 3), "conditioner_stride": 2, "network": NETWORK},
    "nice": {"network": NETWORK},
    "made": {"network": NETWORK},
    "iaf": {"network": NETWORK},
    "idf": {
        "context_size": 0,
        "preprocessing": Preprocessing(alpha=0.125),
        "base": "mixture",
        "event_shape": (4, 4, 1),
        "squeeze": True,
        "input_scale": 0.25,
    },
    "ddf": CATEGORIES,
    "dtf": CATEGORIES,
    "discrete_flow": {**CATEGORIES, "num_classes": (7, 7), "columns": ()},
    "table_made": {
        "event_shape": (2,),
        "context_size": 0,
        "preprocessing": Preprocessing(alpha=0.125),
        "num_blocks": 3,
        "columns": (
            Column(name="a", kind="positive", location=0.5),
            Column(name="b", kind="category", categories=("x", "y"), missing=True),
        ),
        "context_columns": (Column(name="c", kind="circular", period=24.0),),
    },
    "deformer": ANY_ORDER,
    "oamade": ANY_ORDER,
    "converted": {
        "event_shape": (2,),
        "context_size": 0,
        "steps": (
            FlowStep(kind="permutation", order=(1, 0)),
            FlowStep(kind="autoregressive", hidden_units=(3,), unit_counts=((1, 2),)),
        ),
    },
    "maf": {"normalization": "none", "network": NETWORK},
    "nsf": {"num_blocks": 3, "network": NETWORK},
    "nsf_coupling": {"num_blocks": 3, "network": NETWORK},
    "nsf_patches": {
        "network": NETWORK,
        "num_blocks": 3,
        "event_shape": (8,),
        "preprocessing": Preprocessing(whitening="standardise"),
    },
}


@pytest.mark.parametrize("family", models.FAMILIES)
def test_config_round_trip_from_values_that_are_not_the_defaults(family: str) -> None:
    config_class = models.model_class(family).config_class
    fields = dataclasses.fields(config_class)
    values = {f.name: {**NON_DEFAULT, **CHANGES.get(family, {})}[f.name] for f in fields}
    for field in fields:
        if field.name == "mel_bins":  # instead of labels: in a row of the laws
            continue
        if field.name == "num_classes" and values.get("columns"):  # instead of columns: likewise
            continue
        if field.name == "columns" and not values["columns"]:
            continue
        if field.name in GIVEN_UP and field.name in CHANGES.get(family, {}):
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        assert values[field.name] != default, field.name
    config = config_class(**values)
    plain = json.loads(json.dumps(config.to_dict()))
    assert {*plain, "columns"} == {f.name for f in fields}
    assert set(plain["preprocessing"]) == {f.name for f in dataclasses.fields(Preprocessing)}
    assert config_class.from_dict(plain) == config
    for name, value in values.items():
        assert getattr(config_class.from_dict(plain), name) == value


@pytest.mark.parametrize("family", models.FAMILIES)
def test_a_model_built_of_its_keras_config_has_that_config(family: str) -> None:
    case = next(c for c in MODELS.values() if c.family == family)
    model = models.build(
        family, shared_model(case).config, conditioner_dtype="mixed_bfloat16", name="other"
    )
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert again.config == model.config
    assert again.conditioner_dtype == "mixed_bfloat16"
    assert again.name == "other"
    assert again.get_config() == model.get_config()
    own = {"config", "conditioner_dtype"}
    assert set(model.get_config()) == {*own, *keras.Model.get_config(model)}


LABELLED = [
    name
    for name, case in MODELS.items()
    if "context" in case.cannot or (name in FIRST_ROWS and not case.family.endswith("_vae"))
]


@pytest.mark.parametrize("name", LABELLED)
def test_unconditional_families_say_so(name: str) -> None:
    case = MODELS[name]
    changed = {**case.config, "context_size": 2}
    if "context_factors" in {f.name for f in dataclasses.fields(case.model_class.config_class)}:
        changed["context_factors"] = (2,)
    if "context" in case.cannot:
        with pytest.raises(ConfigError, match=r"no conditional form|no context|or on mel_bins"):
            models.create(case.family, **changed)
    else:
        model = models.create(case.family, **changed)
        assert np.isfinite(model(case.rows(2), np.array([0, 1]))).all()


@pytest.fixture(scope="module")
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a row, saved here, loaded and scored by a process that only knows the files."""

    @functools.cache
    def of_group(rows: tuple[str, ...]) -> Path:
        return _saved(tmp_path_factory.mktemp("saved"), rows)

    return lambda name: of_group(group(name, request.session))


def _saved(folder: Path, rows: tuple[str, ...]) -> Path:
    for name in rows:
        case = MODELS[name]
        shared_model(case).save(folder / f"{name}.keras")
        labels = case.labels()
        np.savez(
            folder / f"{name}.npz", x=case.rows(), **({} if labels is None else {"labels": labels})
        )
    errors = folder / "errors"
    process = forked.Process(fresh_process.load_and_score, folder, rows, errors=errors)
    with contextlib.closing(process):
        assert process.wait() == 0, errors.read_text()[-4000:]
    return folder


@pytest.mark.parametrize("name", costly(MODELS))
def test_a_saved_model_is_the_same_in_a_new_process(
    name: str, saved: Callable[[str], Path]
) -> None:
    case = MODELS[name]
    model = shared_model(case)
    labels = case.labels()
    one_label = None if labels is None else labels[:1].repeat(3, 0)
    with np.load(saved(name) / f"{name}_loaded.npz") as loaded:
        served.assert_close(loaded["score"], model.log_prob(case.rows(), labels))
        served.assert_close(loaded["sample"], model.sample(3, seed=5, context=one_label))
        assert str(loaded["config"]) == repr(model.config.to_dict())


@pytest.mark.parametrize("name", costly(MODELS))
def test_weights_alone_make_another_model_the_same(name: str, tmp_path: Path) -> None:
    case = MODELS[name]
    model = shared_model(case)
    path = str(tmp_path / "model.weights.h5")
    model.save_weights(path)
    other = case.build(seed=1)
    context = model.checked_context(case.labels(), rows=None)
    of_rows = tf.constant(case.rows()), context, tf.constant([0, 0])
    assert (other.score(*of_rows).numpy() != model.score(*of_rows).numpy()).any()
    other.load_weights(path)
    assert_array_equal(other.score(*of_rows), model.score(*of_rows))
