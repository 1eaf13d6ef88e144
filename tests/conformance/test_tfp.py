"""Laws: a model's bijector and distribution are objects of TFP, and live with the model."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from cases import MODELS, costly, dense, having, randomise, shared_model
from numpy.testing import assert_allclose, assert_array_equal

from zoo.core.capabilities import Bijective

tfb, tfd = tfp.bijectors, tfp.distributions

ROWS = having(Bijective)
BOUNDED = [name for name in ROWS if MODELS[name].model_config.preprocessing.transform == "logit"]


def _quick(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names]


_WITH_LABELS = [name for name in ROWS if MODELS[name].context is not None]
# The first row with labels of each family.
CONDITIONAL = _quick(_WITH_LABELS, {MODELS[n].family: n for n in reversed(_WITH_LABELS)}.values())
# A coupling, a loop over coordinates, a root, splines: what HMC compiles takes seconds a row.
VECTORS = _quick(ROWS, ("nice-vector", "maf-vector", "sylvester-2d", "nsf-coupling-vector"))


def _held(name: str, num_rows: int = 3, **build: Any) -> tuple[Any, Any, Any, Any]:
    """(a new model, its distribution, data with noise, the context as the networks take it)."""
    case = MODELS[name]
    model, labels = case.build(**build), case.labels(num_rows)
    y = model.dequantised(tf.constant(case.rows(num_rows)), tf.constant([0, 0]))
    return model, model.distribution(labels), y, model.checked_context(labels, rows=None)


def _model_scores(model: Any, y: Any, context: Any) -> Any:
    """log p by the model's own chain, of data that have their noise."""
    chain = model.chain(context=model.encoded_context(context))
    z = chain.inverse(y)
    ndims = len(model.data.shape)
    return model.base_distribution().log_prob(z) + chain.inverse_log_det_jacobian(y, ndims)


@tf.function(autograph=False)
def _scores_and_gradients(distribution: Any, y: Any) -> tuple[Any, Any]:
    with tf.GradientTape() as tape:
        scores = distribution.log_prob(y)
    return scores, tape.gradient(scores, distribution.trainable_variables)


@pytest.mark.parametrize("name", costly(ROWS))
def test_held_objects_are_of_the_weights_at_the_call(name: str) -> None:
    model, distribution, y, context = _held(name)
    bijector, z = distribution.bijector, tf.fill([3, model.latent.size], 0.8)
    assert isinstance(distribution, tfd.TransformedDistribution)
    assert isinstance(bijector, tfb.Bijector)

    def numbers() -> list[Any]:
        return [distribution.log_prob(y), bijector.inverse(y), bijector.forward(z)]

    before = numbers()  # the tensors stay: a cache would know them
    randomise(model, seed=99, scale=MODELS[name].weight_scale)
    after = numbers()
    for old, new in zip(before, after, strict=True):
        assert np.abs(new - old).max() > 1e-4
    assert_allclose(after[0], _model_scores(model, y, context), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ROWS)
def test_their_variables_are_the_models(name: str) -> None:
    model, distribution, _, _ = _held(name)
    weights = [v.value for v in model.trainable_variables]
    ids = [id(v) for v in weights]
    around = (tfd.Independent(distribution, 0), tfb.Chain([tfb.Exp(), distribution.bijector]))
    for owner in (distribution, distribution.bijector, *around):
        assert {id(v) for v in owner.trainable_variables} == set(ids)
    for owner in (distribution, distribution.bijector):
        assert {id(v) for v in owner.variables} == {id(v.value) for v in model.weights}
    first = model.layers[0] if len(model.layers) > 1 else None
    if first is not None and first.trainable_variables:
        first.trainable = False
        left = {id(v.value) for v in model.trainable_variables}
        for owner in (distribution, distribution.bijector, *around):
            assert {id(v) for v in owner.trainable_variables} == left


@pytest.mark.parametrize("name", costly(ROWS))
def test_they_are_arguments_of_a_function_in_which_gradients_reach_all_weights(name: str) -> None:
    model, distribution, y, context = _held(name, num_rows=8, dtype="float64")
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        scores = _model_scores(model, y, context)
    expected = dense(tape.gradient(scores, variables))
    with tf.GradientTape() as tape:
        eager = distribution.log_prob(y)
    found = {"eager": (eager, tape.gradient(eager, distribution.trainable_variables))}
    found["graph"] = _scores_and_gradients(distribution, y)
    for values, gradients in found.values():
        assert_allclose(values, scores, rtol=1e-9)
        for gradient, known, variable in zip(dense(gradients), expected, variables, strict=True):
            assert (gradient is None) == (known is None), variable.path
            if known is not None:
                assert_allclose(gradient, known, rtol=1e-6, atol=1e-9, err_msg=variable.path)
    traces = _scores_and_gradients.experimental_get_tracing_count()
    randomise(model, seed=98, scale=MODELS[name].weight_scale)
    again = model.distribution(MODELS[name].labels(8))
    assert_allclose(_scores_and_gradients(again, y)[0], _model_scores(model, y, context), rtol=1e-9)
    assert _scores_and_gradients.experimental_get_tracing_count() == traces


def test_tfp_trains_the_weights() -> None:
    """By the variables that it finds: a fit to rows, and a posterior's to a density."""
    model, distribution, y, _ = _held("nice-2d", num_rows=64)
    losses = tfp.math.minimize(
        lambda: -tf.reduce_mean(distribution.log_prob(y)),
        num_steps=12,
        optimizer=keras.optimizers.Adam(0.05),
        trainable_variables=distribution.trainable_variables,
    )
    assert losses[-1] < losses[0]
    assert -tf.reduce_mean(model.log_prob(y)) < losses[-1] + 1e-4
    _, distribution, _, _ = _held("planar-2d")
    target = tfd.MultivariateNormalDiag([1.0, -1.0])
    losses = tfp.vi.fit_surrogate_posterior(
        target.log_prob, distribution, keras.optimizers.Adam(0.05), 12, sample_size=32, seed=1
    )
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("name", costly(ROWS))
def test_any_number_of_axes_may_lead(name: str) -> None:
    case = MODELS[name]
    model, labels = shared_model(case, "float64"), case.labels(2)
    distribution, bijector = model.distribution(labels), model.bijector(labels)
    y = model.dequantised(tf.constant(case.rows(6)), tf.constant([0, 0]))
    several = tf.reshape(y, [3, 1, 2, *case.event_shape])
    flat = [y[i : i + 2] for i in range(0, 6, 2)]

    def stacked(function: Any) -> Any:
        return tf.stack([function(pair) for pair in flat])[:, None]

    z = bijector.inverse(several)
    assert_allclose(z, stacked(bijector.inverse), rtol=1e-9, atol=1e-9)
    assert_allclose(distribution.log_prob(several), stacked(distribution.log_prob), rtol=1e-9)
    assert_allclose(bijector.forward(z), several, rtol=1e-7, atol=1e-7)
    log_det = bijector.forward_log_det_jacobian(z)
    assert_allclose(log_det, -stacked(bijector.inverse_log_det_jacobian), rtol=1e-7, atol=1e-7)
    drawn, log_prob = distribution.experimental_sample_and_log_prob([3, 1], seed=5)
    batch = () if labels is None else (2,)
    assert tuple(drawn.shape) == (3, 1, *batch, *case.event_shape)
    # Draws far out may be badly conditioned, and go back to other latents.
    off = np.abs(distribution.log_prob(drawn) - log_prob) / np.maximum(1.0, np.abs(log_prob))
    assert np.median(off) < 1e-5


@pytest.mark.parametrize("name", CONDITIONAL)
def test_labels_are_a_batch(name: str) -> None:
    case = MODELS[name]
    model, labels = shared_model(case), case.labels(4)
    distribution = model.distribution(labels)
    assert distribution.batch_shape == distribution.bijector.experimental_batch_shape() == (4,)
    assert distribution.sample(seed=1).shape == (4, *case.event_shape)
    assert distribution.sample(2, seed=1).shape == (2, 4, *case.event_shape)
    y = model.dequantised(tf.constant(case.rows(3)), tf.constant([0, 0]))
    each = tf.stack([model.distribution(label).log_prob(y) for label in labels], -1)  # [3, 4]
    assert_allclose(distribution.log_prob(y[:, None]), each, rtol=1e-5)
    assert_allclose(distribution[1:3].log_prob(y[:, None]), each[:, 1:3], rtol=1e-5)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros(4)), distribution)
    expected = tf.reduce_logsumexp(each, -1) - np.log(4.0)
    assert_allclose(mixture.log_prob(y), expected, rtol=1e-5)
    assert mixture.sample(3, seed=1).shape == (3, *case.event_shape)
    together = tfd.Independent(distribution, 1)
    assert_allclose(together.log_prob(tf.stack([y[0]] * 4)), tf.reduce_sum(each[0]), rtol=1e-5)
    if not model.context.num_labels:
        return
    prior = tfd.Categorical(logits=tf.zeros(model.context.num_labels))
    joint = tfd.JointDistributionSequential([prior, lambda label: model.distribution(label)])
    drawn = joint.sample(5, seed=2)
    assert drawn[1].shape == (5, *case.event_shape)
    assert_allclose(
        joint.log_prob(drawn),
        model.distribution(drawn[0]).log_prob(drawn[1]) - np.log(model.context.num_labels),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", VECTORS)
def test_they_take_part_in_a_joint_distribution_and_in_mcmc(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    label = None if case.labels() is None else case.labels(1)[0]
    distribution, ndims = model.distribution(label), len(case.event_shape)

    @tfd.JointDistributionCoroutineAutoBatched
    def joint() -> Any:
        x = yield distribution
        yield tfd.Normal(x, 1.0)

    @tf.function(autograph=False)
    def drawn(number: Any) -> tuple[Any, Any]:
        values = joint.sample(number, seed=1)
        return values, joint.log_prob(values)

    (x, y), log_prob = drawn(tf.constant(4))
    noise = tf.reduce_sum(tfd.Normal(x, 1.0).log_prob(y), list(range(-ndims, 0)))
    assert_allclose(log_prob, distribution.log_prob(x) + noise, rtol=1e-4)

    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(distribution.log_prob, 0.1, num_leapfrog_steps=1),
        bijector=distribution.bijector,
    )
    chain = tfp.mcmc.sample_chain(
        2, current_state=x, kernel=kernel, trace_fn=lambda _, r: r.inner_results.is_accepted, seed=3
    )
    assert tuple(chain.all_states.shape) == (2, 4, *case.event_shape)
    assert np.isfinite(chain.all_states).all()
    # Pulled back through the flow its density is the base's, where steps are nearly all accepted.
    assert chain.trace.numpy().mean() >= 0.5


@pytest.mark.parametrize("name", BOUNDED)
def test_outside_the_support_the_density_is_zero(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    label = None if case.labels() is None else case.labels(1)[0]
    distribution = model.distribution(label)
    y = model.dequantised(tf.constant(case.rows(3)), tf.constant([0, 0])).numpy()
    inside = distribution.log_prob(y).numpy()
    y[0].flat[0], y[1].flat[-1] = -60.0, 400.0
    variables = distribution.trainable_variables
    with tf.GradientTape() as tape:
        x = tf.constant(y)
        tape.watch(x)
        log_prob = distribution.log_prob(x)
    assert_array_equal(np.isneginf(log_prob), [True, True, False])
    assert_allclose(log_prob[2], inside[2], rtol=1e-6)
    for gradient in dense(tape.gradient(log_prob, [x, *variables])):
        assert gradient is None or np.isfinite(gradient).all()
    assert np.isneginf(distribution.bijector.inverse_log_det_jacobian(y)[0])
    assert np.isnan(distribution.bijector.inverse(y)[0]).all()
    assert np.isnan(distribution.log_prob(y * np.nan)).all()
