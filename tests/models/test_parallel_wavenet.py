"""The student: a flow's laws on short clips, its draws' distributions, and distillation."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import models
from zoo.bijectors import forward_and_log_det, inverse_and_log_det
from zoo.core.recipe import Distillation
from zoo.errors import ConfigError, InvalidInputError
from zoo.objectives import perceptual
from zoo.objectives.distillation import DistillationLoss
from zoo.ops import audio_losses

SIZE = 24
TINY = {
    "event_shape": (SIZE,),
    "layers_per_flow": (3, 2),
    "residual_channels": 4,
    "skip_channels": 4,
    "context_size": 6,
    "context_factors": (3, 2),
    "context_channels": 4,
    "frame_size": 8,
    "position_frames": 3,
}
LABELS = np.array([0, 3, 5], np.int32)


def randomised(model, seed: int = 0):
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 0.5 / np.sqrt(variable.shape[-2]) if len(variable.shape) > 1 else 0.2
        variable.assign(rng.normal(size=variable.shape) * scale)
    return model


@functools.cache
def student(base: str = "logistic", dtype: str = "float64"):
    return randomised(models.create("parallel_wavenet", dtype=dtype, base=base, **TINY))


@functools.cache
def teacher(output: str = "gaussian"):
    config = {k: v for k, v in TINY.items() if k != "layers_per_flow"}
    config |= {"num_stacks": 1, "layers_per_stack": 3, "num_mixtures": 2, "output": output}
    return randomised(models.create("wavenet", dtype="float64", **config), seed=1)


def noise(base: str = "logistic", rows: int = 3) -> tf.Tensor:
    rng = np.random.default_rng(2)
    draws = rng.logistic(size=(rows, SIZE)) if base == "logistic" else rng.normal(size=(rows, SIZE))
    return tf.constant(draws)


@pytest.mark.parametrize("base", ["logistic", "normal"])
def test_the_flow_inverts_and_its_log_det_is_autodiffs(base) -> None:
    chain = student(base).bijector(LABELS[:1])
    z = noise(base, 1)
    x, log_det = forward_and_log_det(chain, tf.identity(z), 1)
    with tf.GradientTape() as tape:
        tape.watch(z)
        again = chain.forward(tf.identity(z))
    jacobian = tape.jacobian(again, z)[0, :, 0].numpy()
    sign, expected = np.linalg.slogdet(jacobian)
    assert sign == 1.0
    np.testing.assert_allclose(log_det, [expected], atol=1e-8)
    np.testing.assert_array_equal(np.triu(jacobian, 1), 0.0)
    back, inverse = inverse_and_log_det(chain, tf.identity(x), 1)
    np.testing.assert_allclose(back, z, atol=1e-9)
    np.testing.assert_allclose(inverse, -log_det, atol=1e-8)


def test_a_draws_density_is_its_noises_minus_the_log_det() -> None:
    model, z = student(), noise()
    draw = model.draw(z, tf.constant(LABELS))
    chain = model.bijector(LABELS)
    x, log_det = forward_and_log_det(chain, tf.identity(z), 1)
    np.testing.assert_allclose(x, 2.0**15 * draw.x, rtol=1e-12)
    expected = model.base_distribution().log_prob(z) - log_det
    found = model.distribution(LABELS).log_prob(tf.identity(x))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    steps = -draw.log_scale - tf.math.softplus(z) - tf.math.softplus(-z)
    np.testing.assert_allclose(
        tf.reduce_sum(steps, -1) - SIZE * np.log(2.0**15), expected, rtol=1e-9
    )


def test_each_sample_is_affine_in_its_own_noise_given_the_past() -> None:
    model, z = student(), noise()
    draw = model.draw(z, tf.constant(LABELS))
    moved = model.draw(z + tf.one_hot(7, SIZE, dtype=z.dtype), tf.constant(LABELS))
    np.testing.assert_array_equal(moved.x[:, :7], draw.x[:, :7])
    np.testing.assert_allclose(moved.mean[:, 7], draw.mean[:, 7], rtol=1e-12)
    np.testing.assert_array_equal(moved.log_scale[:, :8], draw.log_scale[:, :8])
    np.testing.assert_allclose(
        moved.x[:, 7] - draw.x[:, 7], tf.exp(draw.log_scale[:, 7]), rtol=1e-10
    )
    assert (moved.mean[:, 8:].numpy() != draw.mean[:, 8:].numpy()).any()


def test_samples_are_16_bit_and_score_as_their_bins() -> None:
    model = student(dtype="float32")
    clips = model.sample(3, seed=1, context=LABELS)
    assert clips.dtype == tf.int16
    assert clips.shape == (3, SIZE)
    assert np.isfinite(model.log_prob(clips, LABELS)).all()


# Losses.


def test_gaussian_kl_is_the_integral() -> None:
    m_q, s_q, m_p, s_p = 0.3, -1.2, -0.1, -0.4
    x = np.linspace(-8, 8, 400_001)
    log_q, log_p = (
        -0.5 * ((x - m) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi)
        for m, s in ((m_q, s_q), (m_p, s_p))
    )
    integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), x)
    values = [tf.constant(v, tf.float64) for v in (m_q, s_q, m_p, s_p)]
    assert float(audio_losses.gaussian_kl(*values)) == pytest.approx(integral, abs=1e-9)
    regularised = audio_losses.regularised_gaussian_kl(*values, floor=-7.0, weight=4.0)
    assert float(regularised) == pytest.approx(integral + 4.0 * 0.8**2, abs=1e-9)


@pytest.mark.parametrize("base", ["logistic", "normal"])
def test_base_entropy_is_the_integral(base) -> None:
    import scipy.stats

    distribution = {"logistic": scipy.stats.logistic, "normal": scipy.stats.norm}[base]
    found = audio_losses.base_entropy(tf.constant(-1.3, tf.float64), base)
    assert float(found) == pytest.approx(distribution(0.0, np.exp(-1.3)).entropy(), abs=1e-9)


def test_band_powers_peak_at_the_tone_and_ignore_its_phase() -> None:
    time = np.arange(2048) / 8000.0
    tones = np.stack([np.sin(2 * np.pi * 1000 * time + phase) for phase in (0.0, 1.3)])
    powers = audio_losses.band_powers(tones.astype("float32")).numpy()
    assert (powers.argmax(-1) == 32).all()  # 1000 Hz in bands of 31.25 Hz
    losses = audio_losses.power_loss(tones[:1].astype("float32"), tones[1:].astype("float32"))
    assert float(losses[0]) < 1e-4 * float((powers[0] ** 2).sum())


def test_spectral_loss_sees_what_comes_when() -> None:
    time = np.arange(2048) / 8000.0
    low, high = (np.sin(2 * np.pi * f * time) for f in (500.0, 1500.0))
    clips = np.stack([np.append(low, high), np.append(high, low)]).astype("float32")
    same, swapped = (float(audio_losses.spectral_loss(clips[:1], c[None])[0]) for c in clips)
    assert same == 0.0
    assert swapped > 1e3
    assert float(audio_losses.power_loss(clips[:1], clips[1:])[0]) < 1.0
    # Twice the amplitude is log10(4) in every cell well above the floor.
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1, 2048)).astype("float32")
    cells = audio_losses.log_spectra(noise).shape[1] * 129
    assert float(audio_losses.spectral_loss(noise, 2 * noise)[0]) == pytest.approx(
        cells * np.log10(4.0), rel=1e-3
    )


def test_style_loss_ignores_order_and_sees_scale() -> None:
    features = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert np.abs(audio_losses.style_loss(features, features[:, ::-1])).max() < 1e-12
    expected = [np.mean((0.75 * f.T @ f / 5) ** 2) for f in features]
    np.testing.assert_allclose(audio_losses.style_loss(features, features / 2), expected)


# Distillation.

TERMS = {"contrastive": 0.3, "power": 2.0, "spectral": 0.5, "perceptual": 3.0}
SETTINGS = {
    "closed-form": ("normal", "gaussian", {"divergence": "gaussian"}),
    "sampled-gaussian": ("normal", "gaussian", {}),
    "sampled-mixture": ("logistic", "logistic_mixture", {"num_samples": 4}),
    "all-terms": (
        "normal",
        "gaussian",
        {"divergence": "gaussian"} | TERMS,
    ),
}
SEED = tf.constant([3, 4])


def distillation(case: str) -> tuple[DistillationLoss, str]:
    base, output, settings = SETTINGS[case]
    keras.utils.set_random_seed(0)  # of the features' weights
    features = perceptual.build_features(channels=(4, 3)) if "perceptual" in settings else None
    options = Distillation(teacher="none", **settings)
    return DistillationLoss(options, teacher(output), features=features), base


def clips() -> tf.Tensor:
    return tf.constant(np.random.default_rng(5).integers(-9000, 9000, (3, SIZE)).astype("int16"))


def test_a_fresh_student_begins_with_its_teachers_conditioner() -> None:
    loss, base = distillation("closed-form")
    fresh = models.create("parallel_wavenet", base=base, **TINY)
    others = [w.numpy() for w in fresh.networks[0].weights]
    loss.start(fresh)
    frames = [model.conditioner(tf.constant(LABELS)).numpy() for model in (fresh, loss.teacher)]
    np.testing.assert_allclose(*frames, rtol=1e-5)
    for before, weight in zip(others, fresh.networks[0].weights, strict=True):
        np.testing.assert_array_equal(before, weight.numpy())
    narrower = models.create("parallel_wavenet", base=base, **TINY | {"context_channels": 3})
    tables = [w.numpy() for w in narrower.conditioner.weights]
    loss.start(narrower)
    for before, weight in zip(tables, narrower.conditioner.weights, strict=True):
        np.testing.assert_array_equal(before, weight.numpy())
    unconditional = TINY | {"context_size": 0, "context_factors": (), "position_frames": 0}
    loss.start(models.create("parallel_wavenet", base=base, **unconditional))  # nothing to take


@pytest.mark.parametrize("case", SETTINGS)
def test_gradients_of_the_loss_are_finite_differences(case) -> None:
    loss, base = distillation(case)
    model = randomised(models.create("parallel_wavenet", dtype="float64", base=base, **TINY), 3)

    def value() -> tf.Tensor:
        return tf.reduce_sum(loss(model, clips(), tf.constant(LABELS), SEED))

    with tf.GradientTape() as tape:
        total = value()
    slopes = tape.gradient(total, model.trainable_variables)
    assert not any(v.trainable for v in loss.teacher.variables)
    terms = loss.terms(model, clips(), tf.constant(LABELS), SEED)
    assert all((np.abs(term) > 1e-6).all() for term in terms.values())
    named = set(TERMS) & set(SETTINGS[case][2])
    assert set(terms) == {"kl"} | named
    rng = np.random.default_rng(6)
    # The power and perceptual losses are computed in float32.
    step, tolerance = (1e-3, 2e-2) if case == "all-terms" else (1e-6, 1e-4)
    directions = [rng.normal(size=v.shape) for v in model.trainable_variables]
    expected = sum(
        float(tf.reduce_sum(tf.convert_to_tensor(g) * d))
        for g, d in zip(slopes, directions, strict=True)
    )
    ends = []
    for sign in (1.0, -2.0):
        for variable, direction in zip(model.trainable_variables, directions, strict=True):
            variable.assign_add(sign * step * direction)
        ends.append(float(value()))
    assert expected == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=tolerance)


def test_the_sampled_divergence_approaches_the_closed_form() -> None:
    """With no floor in play and without the regulariser both estimate one integral."""
    settings = {"num_samples": 4000, "log_scale_floor": -50.0, "scale_weight": 0.0}
    values = []
    for divergence in ("sampled", "gaussian"):
        options = Distillation(teacher="none", divergence=divergence, **settings)
        loss = DistillationLoss(options, teacher())
        terms = loss.terms(student("normal"), clips(), tf.constant(LABELS), SEED)
        values.append(terms["kl"].numpy())
    # 4,000 draws of 24 terms: the standard error is some 0.05 nats.
    np.testing.assert_allclose(values[0], values[1], atol=0.2)
    assert values[1].min() > 0.4


def test_a_student_equal_to_its_teacher_has_no_divergence() -> None:
    """A teacher that ignores the past is a student of one flow that ignores its noise."""
    frozen = randomised(models.create("wavenet", dtype="float64", **teacher().config.to_dict()), 1)
    frozen.output_layer.kernel.assign(tf.zeros_like(frozen.output_layer.kernel))
    frozen.prediction_layer.kernel.assign(tf.zeros_like(frozen.prediction_layer.kernel))
    frozen.output_layer.bias.assign([0.2, -3.0])  # a mean in units of the scale
    output = frozen.output_distribution
    parameters = output.relative_to(tf.zeros([], tf.float64), frozen.output_layer.bias.value)
    mean, log_scale = output.mean_and_log_scale(parameters)
    model = models.create("parallel_wavenet", dtype="float64", base="normal", **TINY)
    for network, shift in zip(model.networks, (0.0, 1.0), strict=True):
        network.output_layer.kernel.assign(tf.zeros_like(network.output_layer.kernel))
        alpha = -0.5 * log_scale
        limited = 8.0 * tf.math.atanh(alpha / 8.0)
        network.output_layer.bias.assign([-shift * float(mean) * np.exp(float(alpha)), limited])
    loss = DistillationLoss(Distillation(teacher="none", divergence="gaussian"), frozen)
    np.testing.assert_allclose(loss(model, clips(), tf.constant(LABELS), SEED), 0.0, atol=1e-9)


def test_distilling_lowers_the_divergence() -> None:
    keras.utils.set_random_seed(1)
    model = models.create("parallel_wavenet", base="normal", **TINY)
    pupil_of = models.create("wavenet", **{**teacher().config.to_dict(), "event_shape": (SIZE,)})
    loss = DistillationLoss(Distillation(teacher="none", divergence="gaussian"), pupil_of)
    model.compile(keras.optimizers.Adam(0.02), objective=loss)
    rows = np.zeros((24, SIZE), np.int16)
    data = tf.data.Dataset.from_tensor_slices((rows, np.arange(24, dtype=np.int32) % 6)).batch(8)
    losses = model.fit(data, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert np.isfinite(model.evaluate(data, verbose=0, return_dict=True)["loss"])


def test_what_cannot_be_distilled_is_named() -> None:
    options = Distillation(teacher="none", divergence="gaussian")
    with pytest.raises(ConfigError, match="output='gaussian'"):
        DistillationLoss(options, teacher("logistic_mixture"))
    with pytest.raises(ConfigError, match="A teacher must be a WaveNet; nice"):
        DistillationLoss(options, models.create("nice", event_shape=(4,), name="nice"))
    silent = models.create("wavenet", event_shape=(SIZE,), layers_per_stack=2, num_stacks=1)
    with pytest.raises(ConfigError, match="contrastive term needs a teacher of several labels"):
        DistillationLoss(Distillation(teacher="none", contrastive=0.3), silent)
    with pytest.raises(ConfigError, match="base='normal'"):
        DistillationLoss(options, teacher())(student(), clips(), tf.constant(LABELS), SEED)
    with pytest.raises(InvalidInputError, match="mu-law"):
        DistillationLoss(Distillation(teacher="none"), teacher("mu_law"))(
            student(), clips(), tf.constant(LABELS), SEED
        )
    with pytest.raises(InvalidInputError, match=r"student.compile\(objective="):
        student().default_objective()


@pytest.mark.parametrize(
    "changes",
    [{"layers_per_flow": ()}, {"base": "uniform"}, {"log_scale_limit": 0.0}, {"filter_size": 1}],
)
def test_configs_that_are_none_are_named(changes) -> None:
    with pytest.raises(ConfigError):
        models.create("parallel_wavenet", **{**TINY, **changes})
