"""What a WaveNet says of the next sample: a distribution over 16-bit values from its outputs.

Each output turns a network's last axis into log-probabilities of int16 samples, draws samples from
uniform numbers by inverse distribution functions (the same numbers give the same samples in eager
mode, graphs and XLA), and says which numbers of a past sample the network sees.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from zoo.ops import discretized, mu_law

__all__ = ["LINEAR_GAIN", "AudioOutput", "GaussianOutput", "LogisticMixtureOutput", "MuLawOutput"]

# Temperatures divide logits; below this one the largest logit alone has any probability.
_LOWEST_TEMPERATURE = 1e-4
_BLOCK = 16
LINEAR_GAIN = 8.0
"""What samples, full scale 1, are multiplied by as a feature."""


class MuLawOutput:
    """Softmax over the 256 mu-law classes, spread evenly over the values of a class.

    log P(x) = log softmax(parameters)[class(x)] - log CLASS_SIZES[class(x)]; draws answer one value
    for each class (`zoo.ops.mu_law.decode`).   WaveNet, arXiv:1609.03499, Sec. 2.2.
    """

    num_parameters = mu_law.NUM_CLASSES
    num_uniforms = 1

    def __init__(self, *, linear: bool = False) -> None:
        self.num_features = 2 if linear else 1

    def features(self, x: Any, dtype: Any) -> Any:
        """The companded centre of each sample's class: [..., 1] in [-1, 1].

        With `linear` the class' value as well, eight times over: [..., 2].
        """
        classes = mu_law.encode(x)
        centres = 2.0 * tf.cast(classes, dtype) / mu_law.MU - 1.0
        if self.num_features == 1:
            return centres[..., None]
        return tf.stack([centres, _linear_feature(mu_law.decode(classes), dtype)], -1)

    def log_prob(self, parameters: Any, x: Any) -> Any:
        """See the class."""
        classes = mu_law.encode(x)
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=parameters)
        return -nats - mu_law.log_class_sizes(classes, parameters.dtype)

    def sample(self, parameters: Any, uniforms: Any, temperature: Any) -> Any:
        """The class at which the distribution function passes the uniform number."""
        logits = parameters / tf.maximum(temperature, _LOWEST_TEMPERATURE)[..., None]
        weights = tf.exp(logits - tf.reduce_max(logits, -1, keepdims=True))
        return mu_law.decode(_categorical(weights, uniforms[:, 0]))


class GaussianOutput:
    """A normal density integrated over each value's bin: parameters (mean, log_scale).

    ClariNet, arXiv:1807.07281, Sec. 3.1; log_scale >= `floor`.
    """

    num_parameters = 2
    num_uniforms = 1
    num_features = 2

    def __init__(self, floor: float) -> None:
        self.floor = floor

    def features(self, x: Any, dtype: Any) -> Any:
        """The companded sample, and the sample itself eight times over: [..., 2]."""
        return _wide_features(x, dtype)

    def features_of_floats(self, a: Any) -> Any:
        """`features` of samples a = x / 2**15 that need not be 16-bit values; differentiable."""
        return _float_features(a)

    def relative_to(self, prediction: Any, parameters: Any) -> Any:
        """Parameters whose mean is the prediction [...] plus the network's, in units of the scale.

        In these units a quiet sample's gradient is no larger than a loud one's.
        """
        mean, log_scale = tf.unstack(parameters, axis=-1)
        scale = tf.exp(_floored(log_scale, self.floor))
        return tf.stack([prediction + scale * mean, log_scale], -1)

    def log_density(self, parameters: Any, a: Any) -> Any:
        """log of the density at a, units of full scale: [...] nats."""
        mean, log_scale = self.mean_and_log_scale(parameters)
        z = (a - mean) * tf.exp(-log_scale)
        return -0.5 * tf.square(z) - log_scale - 0.5 * math.log(2.0 * math.pi)

    def mean_and_log_scale(self, parameters: Any) -> tuple[Any, Any]:
        """[..., 2] -> mean and log_scale, each [...], in units of full scale."""
        mean, log_scale = tf.unstack(parameters, axis=-1)
        return mean, _floored(log_scale, self.floor)

    def log_prob(self, parameters: Any, x: Any) -> Any:
        """See the class."""
        return discretized.gaussian_log_prob(x, *self.mean_and_log_scale(parameters))

    def sample(self, parameters: Any, uniforms: Any, temperature: Any) -> Any:
        """mean + temperature * scale * ndtri(u), rounded to 16 bits."""
        mean, log_scale = self.mean_and_log_scale(parameters)
        noise = tf.math.ndtri(tf.cast(uniforms[:, 0], parameters.dtype))
        return discretized.quantize(mean + temperature * tf.exp(log_scale) * noise)


class LogisticMixtureOutput:
    """A mixture of K logistics integrated over bins: parameters (logits, means, log_scales).

    arXiv:1711.10433, Sec. 2; log_scale >= `floor`.
    """

    num_uniforms = 2
    num_features = 2

    def __init__(self, num_mixtures: int, floor: float) -> None:
        self.num_mixtures = num_mixtures
        self.floor = floor
        self.num_parameters = 3 * num_mixtures

    def features(self, x: Any, dtype: Any) -> Any:
        """The companded sample, and the sample itself eight times over: [..., 2]."""
        return _wide_features(x, dtype)

    def features_of_floats(self, a: Any) -> Any:
        """`features` of samples a = x / 2**15 that need not be 16-bit values; differentiable."""
        return _float_features(a)

    def relative_to(self, prediction: Any, parameters: Any) -> Any:
        """Parameters whose means are the prediction [...] plus the network's, in units of scales.

        In these units a quiet sample's gradient is no larger than a loud one's.
        """
        logits, means, log_scales = tf.split(parameters, 3, axis=-1)
        scales = tf.exp(_floored(log_scales, self.floor))
        return tf.concat([logits, prediction[..., None] + scales * means, log_scales], -1)

    def log_density(self, parameters: Any, a: Any) -> Any:
        """log of the density at a, units of full scale: [...] nats."""
        logits, means, log_scales = self.split(parameters)
        z = (a[..., None] - means) * tf.exp(-log_scales)
        terms = tf.nn.log_softmax(logits) - tf.nn.softplus(z) - tf.nn.softplus(-z) - log_scales
        return tf.reduce_logsumexp(terms, -1)

    def split(self, parameters: Any) -> tuple[Any, Any, Any]:
        """[..., 3 K] -> logits, means, log_scales, each [..., K]."""
        logits, means, log_scales = tf.split(parameters, 3, axis=-1)
        return logits, means, _floored(log_scales, self.floor)

    def log_prob(self, parameters: Any, x: Any) -> Any:
        """See the class."""
        return discretized.logistic_mixture_log_prob(x, *self.split(parameters))

    def sample(self, parameters: Any, uniforms: Any, temperature: Any) -> Any:
        """A component by the first number, its quantile by the second, rounded to 16 bits.

        At temperature 0 it is the mean of the likeliest component.
        """
        logits, means, log_scales = self.split(parameters)
        logits /= tf.maximum(temperature, _LOWEST_TEMPERATURE)[..., None]
        cumulative = tf.matmul(tf.nn.softmax(logits), _upper_triangle(self.num_mixtures, logits))
        uniforms = tf.cast(uniforms, parameters.dtype)
        passed = tf.cast(cumulative <= uniforms[:, :1], tf.int32)
        component = tf.minimum(tf.reduce_sum(passed, -1), self.num_mixtures - 1)
        chosen = tf.one_hot(component, self.num_mixtures, dtype=parameters.dtype)
        mean = tf.reduce_sum(chosen * means, -1)
        scale = tf.exp(tf.reduce_sum(chosen * log_scales, -1))
        noise = tf.math.log(uniforms[:, 1]) - tf.math.log1p(-uniforms[:, 1])
        return discretized.quantize(mean + temperature * scale * noise)


def _wide_features(x: Any, dtype: Any) -> Any:
    return tf.stack([mu_law.compand(x, dtype), _linear_feature(x, dtype)], -1)


def _linear_feature(x: Any, dtype: Any) -> Any:
    return tf.cast(x, dtype) * (LINEAR_GAIN / discretized.FULL_SCALE)


def _float_features(a: Any) -> Any:
    companded = tf.sign(a) * tf.math.log1p(mu_law.MU * tf.abs(a)) / math.log1p(mu_law.MU)
    return tf.stack([companded, LINEAR_GAIN * a], -1)


def _floored(log_scale: Any, floor: float) -> Any:
    """floor + softplus(log_scale - floor): smooth, near the identity well above the floor."""
    return floor + tf.nn.softplus(log_scale - floor)


def _upper_triangle(size: int, like: Any) -> Any:
    """U[i, j] = 1 where i <= j: v @ U are the running sums of v."""
    return tf.linalg.band_part(tf.ones([size, size], like.dtype), 0, -1)


def _categorical(weights: Any, uniforms: Any) -> Any:
    """The class at which the running sum of weights [batch, n] passes u * total: int32 [batch].

    Two levels of blocks of 16, so that it takes n + 2 * 16**2 operations and no scan.
    """
    batch, size = tf.shape(weights)[0], weights.shape[-1]
    blocks = size // _BLOCK
    grid = tf.reshape(weights, [batch, blocks, _BLOCK])
    sums = tf.reduce_sum(grid, -1)
    ends = tf.matmul(sums, _upper_triangle(blocks, weights))
    target = tf.cast(uniforms, weights.dtype)[:, None] * ends[:, -1:]
    block = tf.reduce_sum(tf.cast(ends <= target, tf.int32), -1)
    chosen = tf.one_hot(tf.minimum(block, blocks - 1), blocks, dtype=weights.dtype)
    start = tf.reduce_sum(chosen * (ends - sums), -1, keepdims=True)
    inner = tf.matmul(tf.reduce_sum(chosen[..., None] * grid, 1), _upper_triangle(_BLOCK, weights))
    position = tf.reduce_sum(tf.cast(start + inner <= target, tf.int32), -1)
    return _BLOCK * tf.minimum(block, blocks - 1) + tf.minimum(position, _BLOCK - 1)


AudioOutput = MuLawOutput | GaussianOutput | LogisticMixtureOutput
"""What the three have in common: how many `num_parameters` they take from the network's last axis,
how many `num_uniforms` in (0, 1) a draw takes, the `num_features` that stand for a past sample;
`features`, `log_prob` and `sample`."""
