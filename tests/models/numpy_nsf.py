"""A neural spline flow in NumPy, with TFP's own splines and the model's own networks."""

from __future__ import annotations

import numpy as np
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.models.flows.nsf import LOG_SCALE_LIMIT

BINS, BOUND = 4, 2.0
CONFIG = {
    "num_layers": 2,
    "num_units": 9,
    "num_blocks": 1,
    "num_bins": BINS,
    "tail_bound": BOUND,
    "dtype": "float64",
}


def randomise(model, rng: np.random.Generator) -> None:
    for weight in model.trainable_weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))


def _spline(raw: np.ndarray) -> tfp.bijectors.RationalQuadraticSpline:
    """TFP's spline of raw numbers [..., 3 K - 1], by the paper's code (Sec. 3.1): K bins in 2 B."""
    widths, heights, slopes = np.split(raw, [BINS, 2 * BINS], -1)
    sizes = [
        2 * BOUND * (1e-3 + (1 - 1e-3 * BINS) * scipy.special.softmax(x, -1))
        for x in (widths, heights)
    ]
    offset = np.log(np.exp(1 - 1e-3) - 1)  # raw zeros are slope 1
    return tfp.bijectors.RationalQuadraticSpline(
        bin_widths=tf.constant(sizes[0]),
        bin_heights=tf.constant(sizes[1]),
        knot_slopes=tf.constant(1e-3 + np.logaddexp(0.0, slopes + offset)),
        range_min=tf.constant(-BOUND, tf.float64),
    )


def linear(layer, x: np.ndarray) -> tuple[np.ndarray, float]:
    """L U P x + b, and log|det|."""
    factors, bias = layer.factors.numpy(), layer.bias.numpy()
    lower = np.tril(factors, -1) + np.eye(len(factors))
    upper = np.triu(factors, 1) + np.diag(np.exp(np.diag(factors)))
    matrix = lower @ upper @ np.eye(len(factors))[list(layer.permutation)]
    return x @ matrix.T + bias, np.linalg.slogdet(matrix)[1]


def _splined(x: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spline = _spline(raw)
    z = spline.forward(tf.constant(x)).numpy()
    return z, spline.forward_log_det_jacobian(tf.constant(x), event_ndims=1).numpy()


def _mapped(model, x: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The splines, after an affine map where the model has one."""
    if not model.config.affine:
        return _splined(x, raw)
    shift, log_scale = raw[..., 0], LOG_SCALE_LIMIT * np.tanh(raw[..., 1] / LOG_SCALE_LIMIT)
    z, log_det = _splined((x - shift) * np.exp(-log_scale), raw[..., 2:])
    return z, log_det - log_scale.sum(-1)


def conditioned(model, index: int, x: np.ndarray, labels: np.ndarray | None) -> tuple:
    """A step's splines: the conditioner is the model's own network, tested for itself."""
    context = None if labels is None else np.eye(model.config.context_size)[labels]
    network = model.networks[index]
    if model.family == "nsf":
        return _mapped(model, x, network(x, context=context).numpy())
    half = (x.shape[1] + 1) // 2
    parts = [x[:, :half], x[:, half:]]
    kept, moved = parts if index % 2 == 0 else parts[::-1]
    inputs = kept if context is None else np.concatenate([kept, context], 1)
    raw = network(inputs).numpy().reshape(len(x), moved.shape[1], -1)
    z, log_det = _mapped(model, moved, raw)
    joined = [kept, z] if index % 2 == 0 else [z, kept]
    return np.concatenate(joined, 1), log_det
