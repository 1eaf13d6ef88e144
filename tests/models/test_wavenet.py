"""WaveNet: causality, exact densities, cached sampling against the naive loop, bad input."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import models
from zoo.core.capabilities import Encodes
from zoo.errors import ConfigError, InvalidInputError
from zoo.models.audio import outputs as audio_outputs
from zoo.models.audio import wavenet_sampling

SIZE = 48
TINY = {
    "event_shape": (SIZE,),
    "num_mixtures": 3,
    "num_stacks": 1,
    "layers_per_stack": 4,
    "residual_channels": 4,
    "skip_channels": 6,
    "context_size": 6,
    "context_factors": (3, 2),
    "context_channels": 4,
    "frame_size": 8,
    "position_frames": 4,  # two frames fewer than the clip has: the last one holds on
}
CASES = {
    "mu_law": {"output": "mu_law", "num_stacks": 2, "layers_per_stack": 2},
    "mu_law-filter-3": {"output": "mu_law", "filter_size": 3, "layers_per_stack": 3},
    "mu_law-linear-input": {"output": "mu_law", "input_filter": 5, "linear_input": True},
    "gaussian": {"output": "gaussian", "log_scale_floor": -7.0, "input_filter": 3},
    "logistic_mixture": {"output": "logistic_mixture"},
    "durations": {"output": "gaussian", "num_durations": 3},
    "global-condition": {"output": "gaussian", "position_frames": 0},
    "unconditional": {
        "output": "logistic_mixture",
        "context_size": 0,
        "context_factors": (),
        "position_frames": 0,
    },
    "mel": {
        "output": "mu_law",
        "context_size": 0,
        "context_factors": (),
        "position_frames": 0,
        "mel_bins": 5,
    },
}
ROWS = 3


@functools.cache
def model_of(case: str, dtype: str = "float64"):
    model = models.create("wavenet", dtype=dtype, **{**TINY, **CASES[case]})
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        scale = 0.5 / np.sqrt(variable.shape[-2]) if len(variable.shape) > 1 else 0.2
        variable.assign(rng.normal(size=variable.shape) * scale)
    # Most rectified units are on, or no gradient would pass.
    model.stack.skip_bias.assign_add(tf.fill([6], tf.constant(0.8, dtype)))
    model.hidden_layer.bias.assign_add(tf.fill([6], tf.constant(0.8, dtype)))
    if model.conditioner is not None and not model.config.mel_bins:
        model.conditioner.hidden.bias.assign_add(tf.fill([4], tf.constant(0.8, dtype)))
    if model.config.output != "mu_law":  # samples within full scale
        bias = model.output_layer.bias.numpy()
        bias[-1 if model.config.output == "gaussian" else slice(-3, None)] = -4.0
        model.output_layer.bias.assign(bias)
        model.output_layer.kernel.assign(0.05 * model.output_layer.kernel)
    return model


def clips(rows: int = ROWS, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(-3000, 3000, (rows, size)).astype(np.int16)


def condition(case: str, rows: int = ROWS):
    if case == "unconditional":
        return None
    if case == "mel":
        return np.random.default_rng(2).normal(size=(rows, SIZE // 8, 5)).astype("float32")
    labels = np.arange(rows, dtype=np.int32) % 6
    if case == "durations":
        return np.stack([labels // 2, labels % 2, labels % 3], -1)
    return labels


def stepwise(model, x, context):
    """The conditionals' parameters, one cached step after another."""
    biases = model.stack.context_biases(model._frames(context))
    run = tf.function(
        lambda x, biases: wavenet_sampling.stepwise_parameters(model, x, biases), autograph=False
    )
    return run(tf.constant(x), biases)


def as_tensors(model, case: str, rows: int = ROWS):
    return model.checked_context(condition(case, rows), rows=rows)


@pytest.mark.parametrize("case", CASES)
def test_no_conditional_sees_its_own_or_a_later_sample(case) -> None:
    model, dtype = model_of(case), tf.float64
    biases = model.stack.context_biases(model._frames(as_tensors(model, case, 1)))
    features = model.output_distribution.features(tf.constant(clips(1)), dtype)
    with tf.GradientTape() as tape:
        tape.watch(features)
        parameters = model._parameters_of_features(features, biases, frame_size=8)
        outputs = tf.reduce_sum(parameters**2, -1)[0]  # [T]
    slopes = np.abs(tape.jacobian(outputs, features)[:, 0].numpy()).sum(-1)  # [T, T]
    distance = np.subtract.outer(np.arange(SIZE), np.arange(SIZE))
    field = model.config.receptive_field
    assert field < SIZE - 4
    assert (slopes[(distance < 1) | (distance > field)] == 0.0).all()
    # Not everywhere: all rectified units of the output may be off at a step.
    assert (slopes[distance == 1] > 0.0).mean() > 0.2
    assert (slopes[distance == field] > 0.0).mean() > 0.2


@pytest.mark.parametrize(
    "case", ["mu_law-linear-input", "durations", "gaussian", "logistic_mixture", "mel"]
)
def test_log_prob_is_the_sum_of_the_steps(case) -> None:
    """Given samples: all at once, and one by one through the cached states."""
    model, context = model_of(case), as_tensors(model_of(case), case)
    x = tf.constant(clips())
    parameters = stepwise(model, x, context)
    at_once = model._parameters(x, context)
    np.testing.assert_allclose(parameters, at_once, rtol=0, atol=1e-11)
    steps = model.output_distribution.log_prob(parameters, x)
    np.testing.assert_allclose(model.stepwise_log_prob(x, condition(case)), steps, atol=1e-8)
    total = tf.reduce_sum(steps, -1)
    np.testing.assert_allclose(model.log_prob(x, condition(case)), total, rtol=1e-10)


@pytest.mark.parametrize("case", ["mu_law", "gaussian", "logistic_mixture"])
def test_the_next_sample_has_probabilities_that_add_up_to_one(case) -> None:
    """Over all 65,536 values of the sample at step 5, the others given."""
    model = model_of(case)
    parameters = model._parameters(tf.constant(clips(1)), as_tensors(model, case, 1))[:, 5]
    values = tf.constant(np.arange(-(2**15), 2**15).astype(np.int16))
    log_prob = model.output_distribution.log_prob(tf.repeat(parameters, 2**16, axis=0), values)
    assert float(tf.reduce_sum(tf.exp(log_prob))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("case", ["mu_law-filter-3", "logistic_mixture"])
def test_cached_naive_and_streamed_samples_are_the_same(case) -> None:
    """Over more than two receptive fields."""
    model = model_of(case)
    assert model.config.receptive_field * 2 < SIZE
    cached = model.sample(ROWS, seed=5, context=condition(case)).numpy()
    naive = tf.function(
        lambda context: wavenet_sampling.naive_sample(
            model, ROWS, context, tf.constant([0, 5]), tf.constant(1.0, tf.float64), steps=SIZE
        ),
        autograph=False,
    )(as_tensors(model, case))
    assert cached.dtype == np.int16
    assert len(np.unique(cached)) > SIZE
    np.testing.assert_array_equal(cached, naive)
    chunks = list(model.sample_stream(ROWS, seed=5, context=condition(case), chunk_size=17))
    assert [chunk.shape[1] for chunk in chunks] == [17, 17, 14]
    np.testing.assert_array_equal(cached, np.concatenate(chunks, 1))
    assert (cached != model.sample(ROWS, seed=6, context=condition(case)).numpy()).any()


def test_cached_logits_in_float32_are_those_of_the_whole_network() -> None:
    model = model_of("mu_law", "float32")
    x = tf.constant(clips())
    context = as_tensors(model, "mu_law")
    found = stepwise(model, x, context)
    np.testing.assert_allclose(found, model._parameters(x, context), atol=1e-4)


@pytest.mark.parametrize("case", ["mu_law", "gaussian", "logistic_mixture"])
def test_samples_follow_their_conditionals(case) -> None:
    """The first sample of many rows against its probabilities, in ten bins of equal mass."""
    output = model_of(case).output_distribution
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=(1, output.num_parameters))
    if case != "mu_law":
        parameters[:, -output.num_parameters // 3 or None :] -= 3.0
    count = 20_000
    uniforms = rng.random((count, output.num_uniforms))
    drawn = output.sample(
        tf.repeat(tf.constant(parameters), count, 0),
        tf.constant(uniforms),
        tf.constant(1.0, "float64"),
    ).numpy()
    values = np.arange(-(2**15), 2**15)
    log_prob = output.log_prob(
        tf.repeat(tf.constant(parameters), 2**16, 0), tf.constant(values.astype(np.int16))
    )
    cumulative = np.cumsum(np.exp(log_prob))
    edges = values[np.searchsorted(cumulative, np.linspace(0.1, 0.9, 9))]
    if case == "mu_law":  # drawn values stand for their class: cut between classes
        from zoo.ops import mu_law

        drawn, edges = mu_law.encode(drawn).numpy(), np.unique(mu_law.encode(edges).numpy())
        masses = tf.nn.softmax(parameters[0]).numpy()
        expected = np.diff(np.concatenate([[0], np.cumsum(masses)[edges], [1]]))
    else:
        expected = np.diff(np.concatenate([[0], cumulative[edges + 2**15], [1]]))
    observed = np.histogram(drawn, bins=np.concatenate([[-1e9], edges + 0.5, [1e9]]))[0] / count
    np.testing.assert_allclose(observed, expected, atol=5 * np.sqrt(0.1 / count))


def test_temperature_zero_takes_the_mode() -> None:
    model = model_of("mu_law")
    cold = model.sample(2, seed=1, temperature=0.0, context=3).numpy()
    np.testing.assert_array_equal(cold[0], cold[1])
    parameters = model._parameters(tf.constant(cold), tf.constant([3, 3]))
    from zoo.ops import mu_law

    np.testing.assert_array_equal(mu_law.encode(cold), tf.argmax(parameters, -1))


@pytest.mark.parametrize("case", ["gaussian", "logistic_mixture"])
def test_temperature_zero_leaves_nothing_to_chance(case: str) -> None:
    model = model_of(case)
    one, other = (model.sample(1, seed=s, temperature=0.0, context=3).numpy() for s in (1, 2))
    np.testing.assert_array_equal(one, other)


def test_a_cold_mixture_is_the_mean_of_its_likeliest_component() -> None:
    output = audio_outputs.LogisticMixtureOutput(2, -7.0)
    parameters = tf.constant([[0.0, 0.1, -0.5, 0.25, -3.0, -2.0]])  # logits, means, log-scales
    for first in (0.01, 0.99):
        drawn = output.sample(parameters, tf.constant([[first, 0.3]]), tf.constant([0.0]))
        assert drawn.numpy() == [2**13]


def test_labels_are_numbers_or_rows_of_factors() -> None:
    model = model_of("mu_law")
    by_number = model.log_prob(clips(), np.array([0, 3, 5], np.int32))
    by_factors = model.log_prob(clips(), [[0, 0], [1, 1], [2, 1]])
    np.testing.assert_array_equal(by_number, by_factors)
    one = model.sample(2, seed=1, context=[[1, 1]])
    np.testing.assert_array_equal(one, model.sample(2, seed=1, context=3))
    assert (by_number.numpy() != model.log_prob(clips(), [1, 2, 4]).numpy()).all()


def test_scoring_in_parts_is_scoring_at_once(monkeypatch) -> None:
    model = model_of("mu_law")
    x, labels = clips(7), np.arange(7, dtype=np.int32) % 6
    whole = model.log_prob(x, labels)
    monkeypatch.setattr("zoo.models.audio.wavenet._SCORING_BYTES", 2 * model._row_bytes)
    np.testing.assert_array_equal(whole, model.log_prob(x, labels))
    np.testing.assert_array_equal(whole[3:4], model.log_prob(x[3:4], labels[3:4]))


def test_every_weight_gets_a_gradient() -> None:
    for case in CASES:
        model = model_of(case)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.score(tf.constant(clips()), as_tensors(model, case), None))
        for variable, slope in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            assert slope is not None, f"{case}: {variable.path}"
            assert np.abs(tf.convert_to_tensor(slope)).max() > 0, f"{case}: {variable.path}"


@pytest.mark.parametrize("case", ["logistic_mixture", "mel"])
def test_saving_keeps_the_model(case, tmp_path) -> None:
    model = model_of(case, "float32")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.config == model.config
    np.testing.assert_array_equal(
        again.log_prob(clips(), condition(case)), model.log_prob(clips(), condition(case))
    )


def test_fit_lowers_the_loss() -> None:
    model = models.create("wavenet", **{**TINY, "output": "gaussian"})
    model.compile(keras.optimizers.Adam(0.01))
    data = tf.data.Dataset.from_tensor_slices((clips(16), np.arange(16, dtype=np.int32) % 6))
    losses = model.fit(data.batch(8), epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 5.0


def test_a_wavenet_has_no_latents() -> None:
    model = model_of("mu_law")
    for name in ("bijector", "distribution", "encode", "decode"):
        assert not hasattr(model, name)
    assert not isinstance(model, Encodes)
    assert model.latent is None


BAD_DATA = {
    "floats": (np.zeros((2, SIZE), "float32"), "16-bit integer samples"),
    "stereo": (np.zeros((2, SIZE, 2), "int16"), "mono clips"),
    "length": (np.zeros((2, SIZE + 1), "int16"), "fit_clip"),
    "one clip": (np.zeros(SIZE, "int16"), r"one row: x\[None\]"),
    "empty": (np.zeros((0, SIZE), "int16"), "Expected samples"),
    "loud": (np.full((2, SIZE), 40000, "int32"), "-32768..32767"),
    "text": (np.full((2, SIZE), "a"), "16-bit samples"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_clips_are_named(kind) -> None:
    x, message = BAD_DATA[kind]
    with pytest.raises(InvalidInputError, match=message):
        model_of("mu_law").log_prob(x, np.zeros(len(x), "int32"))


def test_clips_with_an_axis_for_their_one_channel_are_taken() -> None:
    model, x, labels = model_of("mu_law"), clips(), np.zeros(ROWS, "int32")
    np.testing.assert_array_equal(model.log_prob(x[..., None], labels), model.log_prob(x, labels))


@pytest.mark.parametrize(
    "context", [None, [6, 0, 1], [[3, 0]] * ROWS, [[0, 2]] * ROWS, [[0]] * ROWS]
)
def test_bad_labels_are_named(context) -> None:
    with pytest.raises(InvalidInputError):
        model_of("mu_law").log_prob(clips(), context)


def test_bad_sampling_arguments_are_named() -> None:
    model = model_of("mu_law")
    for arguments in ({"context": 9}, {"context": 1, "temperature": -1.0}, {}):
        with pytest.raises(InvalidInputError):
            model.sample(2, **arguments)
    with pytest.raises(InvalidInputError, match="chunk_size"):
        model.sample_stream(2, context=1, chunk_size=0)
    with pytest.raises(InvalidInputError, match="log-mel frames"):
        model_of("mel").sample(2, context=np.zeros((2, 3, 5)))


def test_a_clip_that_memory_cannot_hold_is_refused() -> None:
    model = models.create("wavenet", event_shape=(2**31,), residual_channels=4, skip_channels=4)
    clip = np.lib.stride_tricks.as_strided(np.zeros(1, np.int16), (1, 2**31), (0, 0))
    with pytest.raises(InvalidInputError, match="GiB are needed for scoring"):
        model.log_prob(clip)
    with pytest.raises(InvalidInputError, match="draw fewer"):
        model.sample(10**6)


@pytest.mark.parametrize(
    "changes",
    [
        {"event_shape": (4, 4, 1)},
        {"context_size": 7},
        {"filter_size": 1},
        {"residual_channels": 0},
        {"mel_bins": 4},
        {"context_size": 0, "context_factors": ()},
        {"output": "softmax"},
    ],
)
def test_configs_that_are_none_are_named(changes) -> None:
    with pytest.raises(ConfigError):
        zoo.create("wavenet", **{**TINY, **changes})


# The linear prediction of 16-bit outputs.


@pytest.mark.parametrize("case", ["gaussian", "logistic_mixture"])
def test_means_are_relative_to_a_linear_prediction(case) -> None:
    model = models.create("wavenet", dtype="float64", **{**TINY, **CASES[case]})
    model.output_layer.kernel.assign(tf.zeros_like(model.output_layer.kernel))
    taps = model.config.input_filter
    weights = np.random.default_rng(3).normal(size=taps)
    model.prediction_layer.kernel.assign(weights[:, None])
    x = clips()
    parameters = model._parameters(tf.constant(x), as_tensors(model, case)).numpy()
    past = np.pad(x / 2.0**15, [[0, 0], [taps, 0]])
    expected = sum(weights[j] * past[:, j : j + SIZE] for j in range(taps))
    if case == "gaussian":
        np.testing.assert_allclose(parameters[..., 0], expected, atol=1e-12)
    else:  # biases in units of the scales, which are e**-4 above the floor
        scale = np.exp(-9.0 + np.log1p(np.exp(5.0)))
        for k, offset in enumerate(np.linspace(-1.0, 1.0, 3) * scale):
            np.testing.assert_allclose(parameters[..., 3 + k], expected + offset, atol=1e-12)


def test_adapt_sets_the_prediction_by_least_squares() -> None:
    """Of x_t = 1.6 x_{t-1} - 0.8 x_{t-2} + noise the coefficients themselves."""
    rng, size = np.random.default_rng(4), 4000
    x = np.zeros((2, size))
    for t in range(2, size):
        x[:, t] = 1.6 * x[:, t - 1] - 0.8 * x[:, t - 2] + 100.0 * rng.normal(size=2)
    changes = {"event_shape": (size,), **CASES["gaussian"]}
    model = models.create("wavenet", dtype="float64", **{**TINY, **changes})
    np.testing.assert_array_equal(model.prediction_layer.kernel, [[0.0], [0.0], [1.0]])
    model.adapt(np.round(x).astype(np.int16), np.array([0, 1]))
    np.testing.assert_allclose(model.prediction_layer.kernel[:, 0], [0.0, -0.8, 1.6], atol=0.05)
    classes = models.create("wavenet", **{**TINY, **CASES["mu_law"]})
    assert classes.prediction_layer is None
