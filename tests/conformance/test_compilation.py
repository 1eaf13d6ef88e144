"""Law: eager mode, a graph and XLA give the same numbers, dequantisation noise included."""

from __future__ import annotations

import pytest
import tensorflow as tf
from cases import MODELS, costly, having, shared_model
from numpy.testing import assert_allclose

from zoo.bijectors.base import forward_and_log_det
from zoo.core.capabilities import Bijective, Encodes, Infers, Scores

SEED = (3, 4)
AUTOGRAPH = ("nice-vector", "vae-features")  # a user's plain `tf.function`, which takes seconds


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_eager_graph_and_xla_agree(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = tf.constant(case.rows()), case.labels()
    seed = tf.constant(SEED)
    context = model.checked_context(labels, rows=None)
    z = case.latents(dtype="float32")

    def numbers(x: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, ...]:
        score = model.score(x, context, seed)
        if not isinstance(model, Bijective):
            return (score,)
        chain = model.chain(context=model.encoded_context(context))
        return score, forward_and_log_det(chain, z, 1)[0]

    eager = numbers(x, z)
    graph = tf.function(numbers, autograph=False).get_concrete_function(x, z)
    compiled = tf.function(lambda *of: graph(*of), autograph=False, jit_compile=True)
    for function in (graph, compiled):  # traced once
        for expected, actual in zip(eager, function(x, z), strict=True):
            assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    # The public methods run as graphs over any batch size; they are the same numbers.
    scored = model.elbo if isinstance(model, Infers) else model.log_prob  # what `fit` maximises
    assert_allclose(scored(x, labels, seed=SEED), eager[0], rtol=1e-4)
    if isinstance(model, Encodes):
        exact = model.data.is_integer and model.latent.is_integer  # one graph, whoever calls it
        inside = tf.function(model.encode, autograph=False)
        expected = inside(x, labels) if exact else model._encode(x, context)
        assert_allclose(model.encode(x, labels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_public_methods_trace_inside_a_graph(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = case.rows(), case.labels()
    signature = [tf.TensorSpec([None, *case.event_shape], x.dtype)]
    if labels is not None:
        signature.append(tf.TensorSpec([None, *labels.shape[1:]], labels.dtype))
    inside = tf.function(model.log_prob, input_signature=signature, autograph=name in AUTOGRAPH)
    arguments = [tf.constant(a) for a in (x, labels) if a is not None]
    assert_allclose(inside(*arguments), model.log_prob(x, labels), rtol=1e-4)
    scored = model.elbo if isinstance(model, Infers) else model.log_prob
    called = model(x, labels) if labels is not None else model(x)
    assert_allclose(called, scored(x, labels), rtol=1e-4)
