"""Exports of WaveNets: whole clips, and clips piece by piece.

Their student, which has no steps, is a row of the laws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import served

import zoo
from zoo import exporting
from zoo.exporting import graph, manifest

SIZE, FRAME, ROWS = 24, 8, 3
LABELS = {"context_size": 6, "context_factors": (3, 2), "position_frames": 2}
WAVENET = {
    "event_shape": (SIZE,),
    "num_mixtures": 3,
    "num_stacks": 2,
    "layers_per_stack": 2,
    "residual_channels": 4,
    "skip_channels": 6,
    "context_channels": 4,
    "frame_size": FRAME,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mu_law": ("wavenet", {**WAVENET, **LABELS, "output": "mu_law", "filter_size": 3}),
    "gaussian": ("wavenet", {**WAVENET, "output": "gaussian", "mel_bins": 5}),
    "mixture": ("wavenet", {**WAVENET, "output": "logistic_mixture"}),
}

SEED = np.array([[1, 2], [3, -4], [5, 6]], "int32")
TEMPERATURE = np.array([1.0, 0.0, 0.7], "float32")


def _model(name: str) -> Any:
    family, config = CASES[name]
    model = zoo.create(family, name=name, **config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0.0, 0.1, variable.shape))
    return model


def _context(model: Any) -> np.ndarray | None:
    config = model.config
    if getattr(config, "mel_bins", 0):
        shape = (ROWS, config.num_frames, config.mel_bins)
        return np.random.default_rng(3).normal(size=shape).astype("float32")
    return np.array([0, 5, 2], "int32") if config.context_size else None


def _batch(model: Any, signature: str, **state: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    known = {
        "x": rng.integers(-3000, 3000, (ROWS, SIZE)).astype("int16"),
        "z": rng.normal(size=(ROWS, SIZE)).astype("float32"),
        "seed": SEED,
        "temperature": TEMPERATURE,
        "context": _context(model),
        **state,
    }
    return {key: known[key] for key in model.serving_signatures()[signature].inputs}


def _zero_state(model: Any) -> dict[str, np.ndarray]:
    fields = model.serving_signatures()["sample_step"].inputs
    return {
        key: np.zeros((ROWS, *fields[key].shape), fields[key].dtype)
        for key in ("time", "history", "rings")
    }


def _steps(model: Any) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    """The pieces of a clip, and the state before each of them."""
    function = graph.traced("sample_step", model.serving_signatures()["sample_step"])
    pieces, states = [], [_zero_state(model)]
    for _ in range(SIZE // FRAME):
        inputs = _batch(model, "sample_step", **states[-1])
        answers = {key: value.numpy() for key, value in function(*inputs.values()).items()}
        pieces.append(answers.pop("x"))
        states.append(answers)
    return pieces, states


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: _model(name) for name in CASES}


@pytest.fixture(scope="module")
def steps(models: dict[str, Any]) -> dict[str, Any]:
    return {name: _steps(models[name]) for name in CASES}


@pytest.fixture(scope="module")
def answers(models: dict[str, Any], steps: dict[str, Any], tmp_path_factory: Any) -> dict[str, Any]:
    """model -> request -> output -> array, through TensorFlow's C++ loader."""
    root = tmp_path_factory.mktemp("audio")
    jobs = {}
    for name, model in models.items():
        requests = {
            key: _batch(model, key) for key in model.serving_signatures() if key != "sample_step"
        }
        requests["sample:row"] = {key: value[1:2] for key, value in requests["sample"].items()}
        requests["sample_step"] = _batch(model, "sample_step", **_mixed(steps[name][1]))
        jobs[name] = (exporting.export(model, root), requests)
    media = manifest.read(root / "mu_law" / "1")["media"]
    assert (media["kind"], media["sample_rate"]) == ("audio", 8000)
    assert len(media["labels"]) == models["mu_law"].config.context_size
    return served.answers(root, jobs)


def _mixed(states: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """A batch whose row i is i pieces into its clip."""
    return {key: np.stack([states[i][key][i] for i in range(ROWS)]) for key in states[0]}


@pytest.mark.parametrize("name", CASES)
def test_pieces_put_together_are_the_clip(name: str, steps: Any, answers: Any) -> None:
    clip = np.concatenate(steps[name][0], 1)
    np.testing.assert_array_equal(clip, answers[name]["sample"]["x"])
    assert len(np.unique(clip)) > ROWS


@pytest.mark.parametrize("name", CASES)
def test_clips_are_those_of_the_model(name: str, models: Any, answers: Any) -> None:
    model, context = models[name], _context(models[name])
    for row, (seed, temperature) in enumerate(zip(SEED, TEMPERATURE, strict=True)):
        own = None if context is None else context[row : row + 1]
        expected = np.asarray(model.sample(1, seed, float(temperature), context=own))[0]
        served.assert_close(answers[name]["sample"]["x"][row], expected)
    served.assert_close(answers[name]["sample:row"]["x"], answers[name]["sample"]["x"][1:2])


@pytest.mark.parametrize("name", CASES)
def test_rows_of_a_batch_are_at_their_own_times(name: str, steps: Any, answers: Any) -> None:
    pieces, states = steps[name]
    answer = answers[name]["sample_step"]
    np.testing.assert_array_equal(answer["time"], [FRAME, 2 * FRAME, 3 * FRAME])
    for row in range(ROWS):
        np.testing.assert_array_equal(answer["x"][row], pieces[row][row])
        for key in ("history", "rings"):
            served.assert_close(answer[key][row], states[row + 1][key][row])


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_model(name: str, models: Any, answers: Any) -> None:
    model, batch = models[name], _batch(models[name], "log_prob")
    expected = model.log_prob(batch["x"], batch.get("context"))
    served.assert_close(answers[name]["log_prob"]["log_prob"], expected)
