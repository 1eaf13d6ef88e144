from __future__ import annotations

import functools
import json

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo.layers.linear import LUFactors
from zoo.layers.norms import AffineParameters, RunningMoments
from zoo.layers.whitening import SeparableWhiteningMatrices, WhiteningMatrix, whitening_layer
from zoo.networks import blockwise
from zoo.networks.blockwise import in_a_loop
from zoo.networks.made import MADE, MaskedDense, ResidualMADE
from zoo.networks.mlp import MLP, ResidualMLP
from zoo.networks.resnet import ConvResNet, WeightNormConv2D
from zoo.ops.masks import hidden_degrees, made_mask


def _randomise(layer: keras.layers.Layer, rng: np.random.Generator) -> None:
    for weight in layer.weights:
        if "seed" not in weight.path:
            weight.assign(rng.normal(size=weight.shape) / np.sqrt(max(weight.shape[0], 1)))


def test_masked_dense_is_numpys_product_in_every_block(rng: np.random.Generator) -> None:
    """300 x 520 units: wide enough to be multiplied in several blocks of columns."""
    mask = made_mask(hidden_degrees(300, 40), hidden_degrees(520, 40), strict=False)
    layer = MaskedDense(mask, dtype="float64")
    layer.build((None, 300))
    _randomise(layer, rng)
    assert len(layer.blocks) > 1
    rows_used = [rows for rows, _, _ in layer.blocks]
    assert rows_used == sorted(rows_used)
    assert rows_used[0] < 300
    x = rng.normal(size=(7, 300))
    expected = x @ (layer.kernel.numpy() * mask) + layer.bias.numpy()
    assert_allclose(layer(x), expected, rtol=1e-9, atol=1e-12)


def test_masked_weights_start_at_zero_and_get_no_gradient() -> None:
    mask = made_mask(np.arange(1, 6), hidden_degrees(9, 5), strict=False)
    layer = MaskedDense(mask)
    layer.build((None, 5))
    assert_array_equal(layer.kernel.numpy()[~mask], 0.0)
    assert (layer.kernel.numpy()[mask] != 0.0).all()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones([2, 5])) ** 2)
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    assert_array_equal(gradient[~mask], 0.0)
    assert np.any(gradient[mask])


def _made(hidden: object, size: int, num_parameters: int, **kwargs: object) -> MADE:
    """A MADE of hidden units, or a residual one of (units, blocks)."""
    kwargs = {"activation": "tanh", "dtype": "float64", **kwargs}
    if isinstance(hidden, dict):
        return ResidualMADE(size, hidden["units"], hidden["blocks"], num_parameters, **kwargs)
    return MADE(size, hidden, num_parameters, **kwargs)


@pytest.mark.parametrize("context_size", [0, 3])
@pytest.mark.parametrize(
    "hidden",
    [(20,), (20, 31), {"units": 20, "blocks": 2}],
    ids=["one-layer", "two-layers", "residual"],
)
def test_made_outputs_depend_on_all_earlier_inputs_and_no_other(
    rng: np.random.Generator, context_size: int, hidden: object
) -> None:
    size = 5
    network = _made(hidden, size, 2, context_size=context_size)
    network.build((None, size))
    _randomise(network, rng)
    x = tf.constant(rng.normal(size=(1, size)))
    context = tf.constant(rng.normal(size=(1, context_size))) if context_size else None
    sources = [x] if context is None else [x, context]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(sources)
        outputs = tf.unstack(tf.reshape(network(x, context=context), [-1]))
    for index, output in enumerate(outputs):
        gradients = tape.gradient(output, sources, unconnected_gradients="zero")
        i = index // 2
        assert_array_equal(gradients[0][0, i:], 0.0)
        assert (gradients[0].numpy()[0, :i] != 0.0).all()
        if context is not None:
            assert (gradients[1].numpy() != 0.0).all()


@pytest.mark.parametrize("context_size", [0, 3])
@pytest.mark.parametrize(
    "hidden",
    [(31, 17), {"units": 23, "blocks": 2}, (3,)],
    ids=["plain", "residual", "fewer units than blocks"],
)
@pytest.mark.parametrize("size", [5, 8, 32, 41])
def test_block_solver_is_d_passes_of_the_network(
    rng: np.random.Generator, size: int, hidden: object, context_size: int
) -> None:
    """x_i = z_i exp(a_i / 4) + b_i by one whole pass a coordinate, as TFP's while_loop does."""
    network = _made(hidden, size, 2, context_size=context_size)
    network.build((None, size))
    _randomise(network, rng)
    context = rng.normal(size=(3, context_size)) if context_size else None
    z = rng.normal(size=(3, size))

    def step(z, parameters):
        return z * tf.exp(parameters[..., 0] / 4) + parameters[..., 1]

    x = np.zeros((3, size))
    for i in range(size):
        x[:, i] = step(z, network(x, context=context))[:, i]
    solver = network.bind(context).solver()
    assert solver is not None
    assert_allclose(solver(step, tf.constant(z), kind="affine"), x, rtol=1e-9, atol=1e-11)
    with in_a_loop():
        assert_allclose(solver(step, tf.constant(z), kind="affine"), x, rtol=1e-9, atol=1e-11)


def test_networks_alike_share_a_loop_and_keep_their_weights(rng: np.random.Generator) -> None:
    """Sizes, weights and numbers of rows are the graph's to know; steps of other kinds are not."""
    networks = [_made((16,), 10, 2, context_size=0) for _ in range(3)]
    for network in networks:
        network.build((None, 10))
        _randomise(network, rng)
    z, traced = rng.normal(size=(4, 10)), []

    def step(z, parameters):
        traced.append(1)
        return z + 0.3 * parameters[..., 0]

    @tf.function(autograph=False)
    def looped(z):
        with in_a_loop():
            kinds = ["a", "a", "b"]
            solvers = [network.bind().solver() for network in networks]
            return [solver(step, z, kind=kind) for solver, kind in zip(solvers, kinds, strict=True)]

    found = looped(tf.constant(z))
    once = len(traced)
    traced.clear()
    for network, x in zip(networks, found, strict=True):
        assert_allclose(network.bind().solver()(step, tf.constant(z), kind="a"), x, atol=1e-12)
    assert len(traced) > once  # eight blocks each, and not one body of either kind


def test_single_coordinates_and_mixed_networks_have_no_block_solver() -> None:
    """One pass is all it takes, or products in another order would round differently."""
    for size, dtype in ((1, "float32"), (50, "mixed_bfloat16")):
        network = MADE(size, (60,), 2, dtype=dtype)
        network.build((None, size))
        assert network.bind().solver() is None
    assert [blockwise.block_size(size) for size in (1, 8, 9, 31)] == [1, 1, 2, 4]
    assert blockwise.block_size(784) == 98


def test_blocks_hold_every_unit_once_and_fill_up_with_none() -> None:
    degrees = np.array([0, 1, 3, 3, 4, 7])
    table = blockwise.blocks_of(degrees, size=3, num_coordinates=8)
    # Coordinates 1-3, 4-6 and 7-8; 6 is no unit.
    assert_array_equal(table, [[0, 1, 2, 3], [4, 6, 6, 6], [5, 6, 6, 6]])


def test_residual_networks_are_numpys(rng: np.random.Generator) -> None:
    network = ResidualMLP(4, 1, 3, dtype="float64")
    network.build((None, 2))
    _randomise(network, rng)
    x = rng.normal(size=(5, 2))
    w, b = ([v.numpy() for v in network.weights[i::2]] for i in range(2))
    h = x @ w[0] + b[0]
    h = h + np.maximum(np.maximum(h, 0) @ w[1] + b[1], 0) @ w[2] + b[2]
    assert_allclose(network(x), np.maximum(h, 0) @ w[3] + b[3], rtol=1e-10)


def test_dropout_changes_training_alone(rng: np.random.Generator) -> None:
    for network in (
        ResidualMLP(16, 2, 3, dropout=0.5),
        ResidualMADE(4, 16, 2, 3, dropout=0.5),
    ):
        network.build((None, 4))
        _randomise(network, rng)
        x = tf.ones([2, 4])
        assert_array_equal(network(x), network(x))
        first, second = network(x, training=True), network(x, training=True)
        assert not np.allclose(first, second)


def test_weight_norm_convolution_is_scipys_correlation(rng: np.random.Generator) -> None:
    layer = WeightNormConv2D(3, dtype="float32")
    layer.build((None, 5, 6, 2))
    _randomise(layer, rng)
    x = rng.normal(size=(1, 5, 6, 2)).astype("float32")
    v, g = layer.direction.numpy().astype("float64"), layer.magnitude.numpy()
    kernel = g * v / np.sqrt((v**2).sum((0, 1, 2)))
    expected = np.stack(
        [
            sum(
                scipy.signal.correlate2d(x[0, ..., i], kernel[..., i, o], mode="same")
                for i in range(2)
            )
            + layer.bias.numpy()[o]
            for o in range(3)
        ],
        -1,
    )
    assert_allclose(layer(x)[0], expected, rtol=1e-4, atol=1e-5)
    norms = np.sqrt((kernel**2).sum((0, 1, 2)))
    assert_allclose(norms, np.abs(g), rtol=1e-6)


def test_residual_network_starts_at_zero_and_sees_its_neighbourhood(
    rng: np.random.Generator,
) -> None:
    network = ConvResNet(2, filters=4, num_blocks=1)
    network.build((None, 9, 9, 1))
    x = tf.constant(rng.normal(size=(1, 9, 9, 1)), tf.float32)
    assert_array_equal(network(x), np.zeros((1, 9, 9, 2)))
    _randomise(network, rng)
    with tf.GradientTape() as tape:
        tape.watch(x)
        centre = tf.reduce_sum(network(x)[0, 4, 4])
    reached = np.abs(tape.gradient(centre, x).numpy()[0, ..., 0]) > 0.0
    # Four 3 x 3 convolutions in a row see 9 x 9 pixels.
    assert reached.mean() > 0.5


@pytest.mark.parametrize("stride", [1, 2])
def test_residual_network_shifts_with_its_input(rng: np.random.Generator, stride: int) -> None:
    network = ConvResNet(1, filters=3, num_blocks=1, stride=stride, activation="elu")
    network.build((None, 16, 16, 1))
    _randomise(network, rng)
    x = np.zeros((1, 24, 24, 1), "float32")
    x[0, 8:10, 8:10] = rng.normal(size=(2, 2, 1))
    moved = np.roll(x, 2 * stride, axis=1)
    assert_allclose(
        np.roll(network(x).numpy(), 2 * stride, axis=1)[:, 11:16],
        network(moved).numpy()[:, 11:16],
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("layer", "input_shape"),
    [
        (MLP((3, 4), 2, activation="tanh", dropout=0.25, name="a"), (None, 5)),
        (
            MADE(3, (4, 5), 2, context_size=2, activation="elu", output_scale=0.5, name="b"),
            (None, 3),
        ),
        (
            ResidualMADE(
                3, 5, 2, 4, dropout=0.25, context_size=2, activation="elu", name="residual_made"
            ),
            (None, 3),
        ),
        (
            ResidualMLP(5, 2, 4, dropout=0.25, activation="elu", output_scale=0.5, name="residual"),
            (None, 3),
        ),
        (LUFactors(4, seed=3, name="lu"), None),
        (MaskedDense(np.eye(3), kernel_scale=0.5, name="c"), (None, 3)),
        (WeightNormConv2D(2, kernel_size=1, magnitude=0.5, name="d"), (None, 4, 4, 3)),
        (
            ConvResNet(
                2,
                filters=3,
                num_blocks=2,
                stride=2,
                weight_norm=False,
                batch_norm=True,
                skip_connections=True,
                activation="elu",
                name="e",
            ),
            (None, 4, 4, 1),
        ),
        (
            AffineParameters(
                (3,), use_shift=False, log_scale_factor=2.0, min_deviation=0.5, name="f"
            ),
            None,
        ),
        (RunningMoments(3, decay=0.5, epsilon=0.25, name="g"), None),
        (WhiteningMatrix(3, epsilon=0.5, name="h"), None),
        (SeparableWhiteningMatrices((3, 2), epsilon=0.5, sweeps=3, name="i"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else "",
)
def test_layers_are_rebuilt_from_their_config(layer: keras.layers.Layer, input_shape) -> None:
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    for each in (layer, again):
        each.build(input_shape)
    assert [(w.path, w.shape, w.trainable) for w in again.weights] == [
        (w.path, w.shape, w.trainable) for w in layer.weights
    ]
    assert keras.saving.get_registered_name(type(layer)) == f"zoo>{type(layer).__name__}"


def test_mlp_starts_at_zero_and_is_numpys(rng: np.random.Generator) -> None:
    network = MLP((4,), 3, dtype="float64")
    network.build((None, 2))
    x = rng.normal(size=(5, 2))
    assert_array_equal(network(x), np.zeros((5, 3)))
    _randomise(network, rng)
    w1, b1, w2, b2 = (w.numpy() for w in network.weights)
    assert_allclose(network(x), np.maximum(x @ w1 + b1, 0.0) @ w2 + b2, rtol=1e-10)


def test_affine_parameters_start_from_the_data(rng: np.random.Generator) -> None:
    x = rng.normal(3.0, 2.0, size=(500, 4, 2))
    x[..., 1] = 7.0  # a constant channel: its deviation is floored
    layer = AffineParameters((2,), log_scale_factor=4.0, dtype="float64")
    layer.build(None)
    layer.initialize(tf.constant(x))
    assert_allclose(layer.shift, x.mean((0, 1)), rtol=1e-10)
    assert_allclose(layer.log_scale, [np.log(x[..., 0].std()), np.log(1e-3)], rtol=1e-8)
    assert_allclose(layer.raw_log_scale, layer.log_scale.numpy() / 4.0)


def test_running_moments_follow_the_batches(rng: np.random.Generator) -> None:
    layer = RunningMoments(2, decay=0.75, dtype="float64")
    layer.build(None)
    x = rng.normal(3.0, 2.0, size=(50, 3, 2))
    mean, variance = layer.batch_moments(tf.constant(x))
    assert_allclose(mean, x.mean((0, 1)), rtol=1e-10)
    assert_allclose(variance, x.var((0, 1)), rtol=1e-10)
    running = layer.running_moments()
    assert_allclose(running[0], 0.25 * x.mean((0, 1)), rtol=1e-10)
    assert_allclose(running[1], 0.75 + 0.25 * x.var((0, 1)), rtol=1e-10)
    layer.initialize(tf.constant(x))
    assert_allclose(layer.running_moments()[1], x.var((0, 1)), rtol=1e-10)


def test_whitening_makes_the_covariance_the_identity(rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)
    layer = WhiteningMatrix(5, epsilon=1e-12, dtype="float64")
    layer.build(None)
    layer.initialize(tf.constant(x))
    matrix = layer.matrix.numpy()
    white = (x - layer.mean.numpy()) @ matrix.T
    assert_allclose(np.cov(white.T, bias=True), np.eye(5), atol=1e-8)
    assert_allclose(matrix, matrix.T, atol=1e-12)  # symmetric: "zero-phase"
    assert_allclose(layer.inverse_matrix.numpy() @ matrix, np.eye(5), atol=1e-9)
    assert_allclose(layer.log_det.numpy(), np.linalg.slogdet(matrix)[1], rtol=1e-9)


def test_columns_of_any_scale_are_whitened_by_their_correlations(rng: np.random.Generator) -> None:
    scales = np.array([1e-6, 1.0, 1e5])
    x = rng.normal(size=(400, 3)) @ (np.eye(3) + rng.normal(size=(3, 3))) * scales
    layer = WhiteningMatrix(3, epsilon=1e-12, standardised=True)  # in float32
    layer.build(None)
    layer.initialize(tf.constant(x))
    bijector = layer.bijector((3,))
    z = bijector.inverse(tf.constant(x, tf.float32)).numpy().astype(np.float64)
    assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=1e-4)
    crossed = np.corrcoef(np.concatenate([x, z], 1).T)[:3, 3:]
    assert_allclose(crossed, crossed.T, atol=1e-4)  # each z is nearest to its own column
    matrix = layer.matrix.numpy().astype(np.float64)
    assert_allclose(layer.log_det.numpy(), np.linalg.slogdet(matrix)[1], rtol=1e-5)
    assert_allclose(bijector.forward(tf.constant(z, tf.float32)) / scales, x / scales, atol=1e-3)


def test_a_constant_column_keeps_its_scale(rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 3)).astype(np.float32) * [1e-9, 1.0, 1e9]
    x[:, 1] = 0.1  # whose mean is not 0.1 in float32
    layer = whitening_layer("standardise", (3,), "float32")
    layer.initialize(tf.constant(x))
    expected = [x[:, 0].std(), 1.0, x[:, 2].std()]
    assert_allclose(np.exp(layer.log_scale), expected, rtol=1e-5)


def test_separable_whitening_has_unit_covariance_along_each_axis(rng: np.random.Generator) -> None:
    """The equations of the maximum of the likelihood, on rows of no Kronecker covariance."""
    shape = (4, 3, 2)
    x = (rng.normal(size=(400, 24)) @ rng.normal(size=(24, 24)) + 1.0).reshape(-1, *shape)
    layer = SeparableWhiteningMatrices(shape, epsilon=1e-12, sweeps=60, dtype="float64")
    layer.build(None)
    layer.initialize(tf.constant(x))
    matrices = [matrix.numpy() for matrix in layer.matrices]
    white = np.einsum("ai,bj,ck,nijk->nabc", *matrices, x - x.mean(0))
    for axis, size in enumerate(shape, start=1):
        unfolded = np.moveaxis(white, axis, 0).reshape(size, -1)
        assert_allclose(unfolded @ unfolded.T / unfolded.shape[1], np.eye(size), atol=1e-6)
    whole = functools.reduce(np.kron, matrices)
    assert_allclose(layer.log_det.numpy(), np.linalg.slogdet(whole)[1], rtol=1e-9)
    inverse = functools.reduce(np.kron, [matrix.numpy() for matrix in layer.inverse_matrices])
    assert_allclose(inverse @ whole, np.eye(24), atol=1e-9)


def test_separable_whitening_of_one_axis_is_zca(rng: np.random.Generator) -> None:
    x = tf.constant(rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)))
    one, whole = (
        SeparableWhiteningMatrices((5,), dtype="float64"),
        WhiteningMatrix(5, dtype="float64"),
    )
    for layer in (one, whole):
        layer.build(None)
        layer.initialize(x)
    for ours, theirs in zip(one.weights, whole.weights, strict=True):
        assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10)


@pytest.mark.parametrize("layer", [WhiteningMatrix(3), SeparableWhiteningMatrices((3, 1))])
def test_whitening_of_constant_directions_stays_finite(layer: keras.layers.Layer) -> None:
    layer.build(None)
    layer.initialize(tf.ones([10, *layer.mean.shape]))
    assert all(np.isfinite(w.numpy()).all() for w in layer.weights)
