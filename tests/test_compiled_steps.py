"""What an accelerator asks of a training step: static shapes, no calls to the host, one program."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_families

import zoo
from zoo import loading, registry, training
from zoo.core.recipe import Target
from zoo.data import sample_labels, samples
from zoo.data.samples import sample_names
from zoo.models import build
from zoo.store import pins
from zoo.store.weights import load_weights
from zoo.training.build import build_model

# In HLO: sizes that depend on values, and whatever leaves the device.
DYNAMIC = re.compile(
    r"<=\d+|\b(?:set-dimension-size|get-dimension-size|dynamic-reshape)\b|"
    r"PadToStatic|SliceToDynamic"
)
HOST = re.compile(
    r"\b(?:infeed|outfeed|send|recv|send-done|recv-done)\(|HostCompute|HostCall|xla_python|"
    r"custom_call_target=\"[^\"]*(?:[Cc]allback|[Hh]ost)"
)
# In TensorFlow's graph, before XLA drops or refuses them.
HOST_OPS = re.compile(r"PyFunc|EagerPyFunc|Print|StringFormat|Iterator|.*Summary")


def lowered(function: Any, *arguments: Any) -> tuple[str, list[str]]:
    """(HLO text, the types of all ops of the graph and of the functions that it calls)."""
    compiled = tf.function(function, jit_compile=True, autograph=False)
    definition = compiled.get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    hlo = compiled.experimental_get_compiler_ir(*arguments)(
        stage="hlo", device_name="/device:CPU:0"
    )
    return hlo, sorted({node.op for node in nodes})


def counts(hlo: str, ops: list[str]) -> tuple[int, int]:
    """(dynamic ops, calls to the host)."""
    hosts = sum(bool(HOST_OPS.match(op)) for op in ops)
    return len(DYNAMIC.findall(hlo)), len(HOST.findall(hlo)) + hosts


# Other steps are lowered by tests/portable, which refuses dynamic shapes and calls to the host.
OFTEN = ("realnvp", "parallel_wavenet")
FAMILIES = [
    family if family in OFTEN else pytest.param(family, marks=pytest.mark.slow)
    for family in tiny_families.RECIPES
]


@pytest.mark.filterwarnings("ignore:device_name is being deprecated")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_step_has_static_shapes_and_no_calls_to_the_host(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load", tiny_families.teacher)
    recipe = tiny_families.RECIPES[family]
    keras.utils.set_random_seed(0)
    step = training.TrainingStep(build_model(recipe, "tiny"), recipe, 10)
    x, context = tiny_families.rows(recipe)
    arguments = [tf.constant(x), None if context is None else tf.constant(context)]
    hlo, ops = lowered(step, *arguments, tf.constant(0))
    assert "ENTRY" in hlo
    assert counts(hlo, ops) == (0, 0)


@pytest.mark.filterwarnings("ignore:device_name is being deprecated")
def test_the_counts_see_what_they_look_for() -> None:
    x = tf.constant([1.0, -1.0, 2.0])
    assert counts(*lowered(lambda x: x * 2.0, x)) == (0, 0)
    dynamic, _ = counts(*lowered(lambda x: tf.boolean_mask(x, x > 0.0), x))
    assert dynamic > 0
    definition = (
        tf.function(lambda x: tf.numpy_function(np.sin, [x], tf.float32))
        .get_concrete_function(x)
        .graph.as_graph_def()
    )
    assert counts("", [node.op for node in definition.node])[1] == 1


# --- bfloat16 conditioners beside float32 log-dets

QUICK = ("maf_magic",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(pins.pins())
        if not isinstance(
            registry.get(name).recipe.data, Target
        )  # those layers have weights, and no network
        and registry.get(name).family != "parallel_wavenet"  # scores take a pass a sample
    ],
)
def test_bfloat16_conditioners_are_within_a_hundredth_of_a_bit(
    name: str, require_checkpoint: Any
) -> None:
    folder = require_checkpoint(name)
    recipe = registry.get(name).recipe
    exact, context = zoo.load(name), None
    if recipe.config.get("context_size"):
        context = sample_labels(recipe.dataset.name)
    in_package = recipe.dataset.name in sample_names()
    x = samples(recipe.dataset.name) if in_package else exact.sample(500, seed=0)
    narrow = build(recipe.family, recipe.config, conditioner_dtype="mixed_bfloat16")
    load_weights(narrow, folder / "model.weights.h5")
    policies = {getattr(layer.dtype_policy, "name", "") for layer in narrow._flatten_layers()}
    assert "mixed_bfloat16" in policies
    assert narrow.compute_dtype == "float32"  # densities and log-dets
    bits = [np.mean(model.bits_per_dim(x, context).numpy()) for model in (exact, narrow)]
    assert abs(bits[1] - bits[0]) < 0.01
    assert bits[1] != bits[0]
