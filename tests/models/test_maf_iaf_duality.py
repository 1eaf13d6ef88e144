"""Maximum likelihood of a MAF is variational inference with the implicit IAF, to the last digit.

Papamakarios et al. 2017, arXiv:1705.07057, Sec. 3.4 and Appendix A. Let p(x) be the density of a
MAF x = f(z), z ~ pi_u, and q(u) the density of u = f^-1(x) for x from the data pi_x. Then

    KL(pi_x | p) = KL(q | pi_u)

and f^-1, run forward over data, is an IAF with

    mu_hat = -mu / sigma,   sigma_hat = 1 / sigma          (u = sigma_hat x + mu_hat)

The data here are normal with a known density, so that both divergences, not only their differences,
are averages over the same rows. With mu_hat = +mu / sigma the equality fails.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose

from zoo import models

tfb = tfp.bijectors

SIZE = 4
COVARIANCE = np.array(
    [[1.0, 0.6, 0.0, 0.2], [0.6, 2.0, -0.3, 0.0], [0.0, -0.3, 0.5, 0.1], [0.2, 0.0, 0.1, 1.5]]
)


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(4).multivariate_normal(np.full(SIZE, 0.5), COVARIANCE, 200)


@pytest.fixture
def maf():
    model = models.create(
        "maf",
        event_shape=(SIZE,),
        num_layers=3,
        hidden_units=(16,),
        activation="tanh",
        normalization="none",
        dtype="float64",
    )
    rng = np.random.default_rng(3)
    for weight in model.trainable_variables:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    return model


def _implicit_iaf(maf, x: tf.Tensor, sign: float) -> tuple[tf.Tensor, tf.Tensor]:
    """(u, log|det du/dx|): the IAF of the MAF's networks, layer by layer, from data to noise."""
    u, log_det = x, tf.zeros(x.shape[0], x.dtype)
    limit = maf.config.log_scale_limit
    for i, network in enumerate(maf.networks):
        if i:
            u = tf.reverse(u, [-1])
        mu, raw = tf.unstack(network(u), axis=-1)
        sigma = tf.exp(limit * tf.tanh(raw / limit))
        mu_hat, sigma_hat = sign * mu / sigma, 1.0 / sigma
        u = sigma_hat * u + mu_hat
        log_det += tf.reduce_sum(tf.math.log(sigma_hat), -1)
    return u, log_det


def _divergences(maf, data: np.ndarray, sign: float = -1.0):
    """((KL(pi_x | p), KL(q | pi_u)), their gradients), both averaged over the data."""
    log_data = tf.constant(
        scipy.stats.multivariate_normal(np.full(SIZE, 0.5), COVARIANCE).logpdf(data)
    )
    x = tf.constant(data)
    weights = maf.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        likelihood = tf.reduce_mean(log_data - maf.score(x, None, tf.constant([0, 0])))
        u, log_det = _implicit_iaf(maf, x, sign)
        log_q = log_data - log_det  # of u, by the change of variables
        normal = -0.5 * tf.reduce_sum(tf.square(u), -1) - 0.5 * SIZE * np.log(2.0 * np.pi)
        variational = tf.reduce_mean(log_q - normal)
    gradients = [tape.gradient(loss, weights) for loss in (likelihood, variational)]
    return (float(likelihood), float(variational)), gradients


def test_both_divergences_and_their_gradients_are_equal(maf, data: np.ndarray) -> None:
    (likelihood, variational), gradients = _divergences(maf, data)
    assert likelihood > 0.1  # random weights are far from the data
    assert_allclose(variational, likelihood, rtol=1e-13)
    for of_likelihood, of_variational in zip(*gradients, strict=True):
        assert np.abs(of_likelihood).max() > 0.0
        assert_allclose(of_variational, of_likelihood, rtol=1e-10, atol=1e-13)


def test_the_shift_of_the_iaf_is_minus_mu_over_sigma(maf, data: np.ndarray) -> None:
    (likelihood, variational), _ = _divergences(maf, data, sign=1.0)
    assert abs(variational - likelihood) > 0.1
    u, _ = _implicit_iaf(maf, tf.constant(data), -1.0)
    assert_allclose(maf.bijector().inverse(tf.constant(data)), u, rtol=1e-12, atol=1e-12)
    wrong, _ = _implicit_iaf(maf, tf.constant(data), 1.0)
    assert np.abs(wrong - u).max() > 0.1


def test_the_implicit_iaf_is_tfps_inverted_flow(maf, data: np.ndarray) -> None:
    """u of x is what `tfb.Invert` of the MAF calls its forward: one pass over data."""
    inverted = tfb.Invert(maf.bijector())
    u, log_det = _implicit_iaf(maf, tf.constant(data), -1.0)
    x = tf.constant(data)
    assert_allclose(inverted.forward(x), u, rtol=1e-12, atol=1e-12)
    copy = tf.identity(x)
    assert_allclose(inverted.forward_log_det_jacobian(copy, event_ndims=1), log_det, rtol=1e-11)
