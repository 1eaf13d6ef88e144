"""Laws of models that step: the steps sum to the row's score, look back alone, and join up."""

from __future__ import annotations

import numpy as np
import pytest
from cases import MODELS, having, shared_model
from numpy.testing import assert_allclose, assert_array_equal

from zoo.core.capabilities import Scores, Steps


@pytest.mark.parametrize("name", having(Steps, Scores))
def test_the_steps_sum_to_the_rows_log_prob(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x, context = case.rows(), case.labels()
    steps = model.stepwise_log_prob(x, context).numpy()
    assert steps.shape == (len(x), case.event_size)
    assert_allclose(steps.sum(-1), model.log_prob(x, context), rtol=1e-12)


@pytest.mark.parametrize("name", having(Steps))
def test_no_step_depends_on_what_comes_after_it(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x, context = case.rows(), case.labels()
    before = model.stepwise_log_prob(x, context).numpy()
    middle = case.event_size // 2
    changed = x.copy()
    changed[:, middle:] = x[:, middle:][:, ::-1] + 1
    after = model.stepwise_log_prob(changed, context).numpy()
    assert_array_equal(after[:, :middle], before[:, :middle])
    assert (after[:, middle:] != before[:, middle:]).any()


@pytest.mark.parametrize("name", having(Steps))
def test_chunks_are_the_whole(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    whole = model.sample(3, seed=5, context=case.labels()).numpy()
    size = case.event_size // 2 + 1
    stream = model.sample_stream(3, seed=5, context=case.labels(), chunk_size=size)
    chunks = [chunk.numpy() for chunk in stream]
    assert [chunk.shape[1] for chunk in chunks] == [size, case.event_size - size]
    assert_array_equal(np.concatenate(chunks, 1), whole)


@pytest.mark.parametrize("name", having(Steps))
def test_served_pieces_carry_their_state_on(name: str) -> None:
    """Rows that are at different times in one batch go on as each would alone."""
    case = MODELS[name]
    model = shared_model(case)
    context = model.checked_context(case.labels(2), rows=2)
    seeds, temperature = np.array([[0, 5], [0, 6]], "int32"), np.ones(2, "float32")
    start = {k: np.zeros((2, *s.shape), s.dtype) for k, s in model.step_state().items()}
    size = model.step_size

    def pieces(state, rows=slice(None)):
        some = None if context is None else context[rows]
        state = {key: value[rows] for key, value in state.items()}
        found = model.next_pieces(state, seeds[rows], temperature[rows], some, count=size)
        return {key: np.asarray(value) for key, value in found.items()}

    first = pieces(start)
    second = pieces(first)
    mixed = {k: np.stack([first[k][0], start[k][1]]) for k in start}
    found = pieces(mixed)
    assert_array_equal(found["x"], np.stack([second["x"][0], first["x"][1]]))
    whole = model.draw_rows(seeds, temperature, context).numpy()
    assert_array_equal(np.concatenate([first["x"], second["x"]], 1), whole[:, : 2 * size])
