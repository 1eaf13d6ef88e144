"""Law: eager mode, a graph and XLA give the same numbers, dequantisation noise included."""

from __future__ import annotations

import pytest
import tensorflow as tf
from cases import MODELS, costly, having, shared_model
from numpy.testing import assert_allclose

from zoo.bijectors.base import forward_and_log_det
from zoo.core.capabilities import Bijective, Encodes, Infers, Scores

SEED = (3, 4)
BY_XLA = ("nice", "maf", "nsf", "iaf")  # compiled in tests/models/test_compiled_calls.py
AUTOGRAPH = "nice-vector"  # a user's plain `tf.function`, whose conversion takes seconds


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_eager_graph_and_xla_agree(name: str) -> None:
    """Public methods inside a graph of any number of rows, and inside a program of XLA."""
    case = MODELS[name]
    model = shared_model(case)
    scored = model.elbo if isinstance(model, Infers) else model.log_prob  # what `fit` maximises
    inputs = [tf.constant(case.rows()), case.latents(dtype="float32")]
    if case.labels() is not None:
        inputs.append(tf.constant(case.labels()))

    def numbers(x: tf.Tensor, z: tf.Tensor, labels: tf.Tensor | None = None) -> list[tf.Tensor]:
        found = [scored(x, labels, seed=SEED)]
        if isinstance(model, Bijective):
            context = model.encoded_context(model.checked_context(labels, rows=None))
            found.append(forward_and_log_det(model.chain(context=context), z, 1)[0])
        return found

    def with_bounds(*inputs: tf.Tensor) -> list[tf.Tensor]:
        found = numbers(*inputs)
        return [*found, model.log_prob(inputs[0])] if isinstance(model, Infers) else found

    x, labels = inputs[0], case.labels()
    context = model.checked_context(labels, rows=None)
    public = numbers(*inputs)
    expected = [model.score(x, context, tf.constant(SEED)), *public[1:]]
    called = model(x, labels) if labels is not None else model(x)
    assert_allclose(called, scored(x, labels), rtol=1e-4)
    signature = [tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in inputs]
    graph = tf.function(with_bounds, input_signature=signature, autograph=name == AUTOGRAPH)
    *found, last = graph(*inputs)
    if isinstance(model, Infers):
        assert_allclose(last, model.log_prob(x), rtol=1e-4)
    else:
        found.append(last)
    answers = [public, found]
    if case.family not in BY_XLA:
        compiled = tf.function(
            lambda *of: graph(*of)[: len(expected)], autograph=False, jit_compile=True
        )
        answers.append(compiled(*inputs))
    for answer in answers:
        for actual, number in zip(answer, expected, strict=True):
            assert_allclose(actual, number, rtol=1e-4, atol=1e-4)
    if isinstance(model, Encodes):
        exact = model.data.is_integer and model.latent.is_integer  # one graph, whoever calls it
        inside = tf.function(model.encode, autograph=False)
        latents = inside(x, labels) if exact else model._encode(x, context)
        assert_allclose(model.encode(x, labels), latents, rtol=1e-4, atol=1e-4)
