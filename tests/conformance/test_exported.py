"""An export answers as the Python model does: every signature, through TensorFlow's C++ loader."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import served
from cases import MODELS, NUM_ROWS, ModelCase, group, shared_model

from zoo import exporting
from zoo.core.capabilities import Steps
from zoo.exporting import savedmodel

# An export takes seconds: here of a row of each family of which tests/exporting has none, nor one
# that answers in the same way with more parts.
ELSEWHERE = ("nice", "maf", "made", "wavenet", "vae", "planar_vae", "sylvester_vae")
QUICK = {c.family: n for n, c in reversed(MODELS.items()) if c.family not in ELSEWHERE}.values()
ROWS = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS]
SEEDS = np.array([[1, 2], [-3, 4], [5, -(2**31)]], "int32")
TEMPERATURES = np.array([1.0, 0.0, 0.7], "float32")


def _inputs(case: ModelCase, model: Any) -> dict[str, np.ndarray]:
    """A batch of every input that some signature takes."""
    size = case.event_size if model.latent is None else model.latent.size
    latents = np.random.default_rng(7).normal(size=(NUM_ROWS, size))
    integers = model.latent is not None and model.latent.is_integer
    whole = np.round(3.0 * latents).astype("int32")
    if integers and model.latent.levels:  # finitely many latents
        whole %= model.latent.levels
    known = {
        "x": case.rows(),
        "z": whole if integers else latents.astype("float32"),
        "seed": SEEDS,
        "temperature": TEMPERATURES,
        "context": case.labels(),
        "observed": np.random.default_rng(8).integers(0, 2, (NUM_ROWS, *case.event_shape), "int32"),
    }
    if isinstance(model, Steps):  # a row begins with zeros
        for key, space in model.step_state().items():
            known[key] = np.zeros((NUM_ROWS, *space.shape), space.dtype)
    fields = [s.inputs for s in model.serving_signatures().values()]
    return {name: known[name] for inputs in fields for name in inputs}


def _requests(case: ModelCase, model: Any) -> dict[str, dict[str, np.ndarray]]:
    """Every signature on the whole batch, and `:row` for its last row alone."""
    batch = _inputs(case, model)
    found = {}
    for name, signature in model.serving_signatures().items():
        found[name] = {key: batch[key] for key in signature.inputs}
        found[f"{name}:row"] = {key: batch[key][-1:] for key in signature.inputs}
    return found


Answers = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """A row's answers, request -> output -> array; those of a group are exported at once."""

    @functools.cache
    def of_group(rows: tuple[str, ...]) -> dict[str, Any]:
        root = tmp_path_factory.mktemp("exports")
        jobs = {}
        with pytest.MonkeyPatch.context() as patch:
            # The call of a loaded SavedModel takes half of an export; tests/exporting has it.
            patch.setattr(savedmodel, "_SCORED", frozenset())
            for name in rows:
                case, model = MODELS[name], shared_model(MODELS[name])
                jobs[name] = (exporting.export(model, root / name), _requests(case, model))
        return served.answers(root, jobs)

    return lambda name: of_group(group(name, request.session))[name]


@pytest.mark.parametrize("name", ROWS)
def test_every_signature_answers_as_the_model_does(name: str, answers: Answers) -> None:
    case = MODELS[name]
    model = shared_model(case)
    expected = served.expected(model, _inputs(case, model))
    for signature, outputs in expected.items():
        assert set(answers(name)[signature]) >= set(outputs), answers(name)[signature]
        for key, value in outputs.items():
            served.assert_close(answers(name)[signature][key], value)


@pytest.mark.parametrize("name", ROWS)
def test_an_answer_does_not_depend_on_its_batch_mates(name: str, answers: Answers) -> None:
    for signature in shared_model(MODELS[name]).serving_signatures():
        for key, value in answers(name)[signature].items():
            served.assert_close(answers(name)[f"{signature}:row"][key], value[-1:])
