"""Activations of conditioners: elementwise, by name, refused by name."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import ConfigError
from zoo.networks.activations import Activation, activation, swish4


@pytest.mark.parametrize("name", typing.get_args(Activation))
def test_an_output_depends_on_its_own_input_alone(name):
    x = tf.constant([[-3.0, -0.4, 0.3, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation(name)(x)
    jacobian = tape.jacobian(y, x).numpy()[0, :, 0]
    assert y.shape == x.shape
    np.testing.assert_array_equal(jacobian[~np.eye(4, dtype=bool)], 0.0)
    assert np.count_nonzero(jacobian) > 1  # and it passes something on


def test_swish4_is_smooth_and_near_relu():
    x = tf.linspace(-30.0, 30.0, 12_001)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = swish4(x)
    slope = tape.gradient(y, x).numpy()
    np.testing.assert_allclose(y, x * tf.sigmoid(4.0 * x), atol=1e-6)
    assert 0.05 < np.max(np.abs(y - tf.nn.relu(x))) < 0.07
    assert np.max(np.abs(np.diff(slope))) < 0.02  # ReLU's slope jumps by 1


@pytest.mark.parametrize("family", ["maf", "made", "iaf", "realnvp", "nsf", "nsf_coupling"])
@pytest.mark.parametrize("name", ["softmax", "swish_4"])
def test_what_is_no_activation_is_refused_with_the_choices(family, name):
    with pytest.raises(ConfigError, match=f"activation must be one of .*'swish4'.*{name}"):
        zoo.create(family, event_shape=[6], activation=name)


SIZES = {
    "maf": {"num_layers": 2, "hidden_units": [16]},
    "realnvp": {"hidden_units": [16]},
    "nsf": {"num_layers": 2, "num_units": 16},
    "nsf_coupling": {"num_layers": 2, "num_units": 16},
}


def _perturbed(family, activation_name):
    model = zoo.create(family, event_shape=[6], activation=activation_name, **SIZES[family])
    generator = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign_add(0.1 * generator.normal(size=weight.shape))
    return model


@pytest.mark.parametrize("family", list(SIZES))
def test_a_flow_with_swish4_inverts_and_is_saved(family, tmp_path):
    model, relu = _perturbed(family, "swish4"), _perturbed(family, "relu")
    x = np.random.default_rng(1).normal(size=(20, 6)).astype("float32")
    np.testing.assert_allclose(model.decode(model.encode(x)), x, atol=1e-3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))
    assert np.max(np.abs(relu.log_prob(x) - model.log_prob(x))) > 1e-3  # the same weights
