"""Baselines for the bits a sample of spoken digits: linear prediction and a recurrent network.

    python tools/audio_baselines.py [--steps 1500] [--out checkpoints/wavenet_digits/baselines.json]

linear_prediction   x_t = sum_k a_k x_{t-k} + e_t, k = 1..8, the coefficients by least squares for
                    each label (digit and speaker), e_t by a mixture of five zero-mean logistics
                    over 16-bit bins, fitted for each label by EM
gru                 a GRU of 64 units on companded samples and the label's embedding, softmax over
                    256 mu-law classes (spread evenly over each class's values), Adam

Both are fitted to the training clips and scored on the test clips, over the samples that
`zoo.evaluation.audio` scores: those before the zeros behind a clip's end.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ORDER, COMPONENTS, UNITS, WINDOW, BATCH, SEED = 8, 5, 64, 384, 64, 0


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of the GRU's training")
    default = ROOT / "checkpoints" / "wavenet_digits" / "baselines.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()

    from zoo.data import sources
    from zoo.registry.entry import SPOKEN_DIGIT
    from zoo.store.files import write_json_atomic

    train, test = (sources.load_arrays(SPOKEN_DIGIT, split) for split in ("train", "test"))
    found = {"linear_prediction": linear_prediction(train, test)}
    print(found, flush=True)
    found["gru"] = gru(train, test, steps=options.steps)
    print(found)
    write_json_atomic(options.out, {"dataset": "spoken_digit:1.0.9", "split": "test", **found})


def linear_prediction(train: Any, test: Any) -> dict[str, Any]:
    """Bits a sample of order-8 linear prediction with a residual density of its own a label."""
    from zoo.data.spoken_digit import clip_lengths
    from zoo.evaluation.audio import ratio_with_error
    from zoo.evaluation.statistics import rounded

    lengths = clip_lengths(test.x)
    bits = np.zeros(test.rows)
    for label in np.unique(train.context):
        targets, pasts = _regression(train.x[train.context == label])
        coefficients = np.linalg.lstsq(pasts, targets, rcond=None)[0]
        logits, log_scales = _fit_residual(targets - pasts @ coefficients)
        for row in np.flatnonzero(test.context == label):
            targets, pasts = _regression(test.x[row : row + 1])
            x = test.x[row, : lengths[row]]
            bits[row] = -_residual_log_prob(x, pasts @ coefficients, logits, log_scales).sum()
    return {"bits_per_sample": rounded(ratio_with_error(bits / math.log(2.0), lengths), 6)}


def _regression(clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the clips [n] and the eight before each [n, 8], full scale 1; silence before."""
    from zoo.data.spoken_digit import clip_lengths

    targets, pasts = [], []
    for clip, length in zip(clips, clip_lengths(clips), strict=True):
        x = clip[:length] / 2.0**15
        padded = np.concatenate([np.zeros(ORDER), x])
        targets.append(x)
        pasts.append(np.stack([padded[ORDER - k : ORDER - k + length] for k in range(1, 9)], 1))
    return np.concatenate(targets), np.concatenate(pasts)


def _residual_log_prob(x: Any, mean: np.ndarray, logits: Any, log_scales: Any) -> Any:
    import tensorflow as tf

    from zoo.ops.discretized import logistic_mixture_log_prob

    shape = [len(mean), COMPONENTS]
    means = tf.broadcast_to(tf.constant(mean, tf.float32)[:, None], shape)
    values = logistic_mixture_log_prob(
        tf.constant(x), tf.broadcast_to(logits, shape), means, tf.broadcast_to(log_scales, shape)
    )
    return values.numpy().astype(np.float64) if tf.executing_eagerly() else values


def _fit_residual(residual: np.ndarray, iterations: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Logits and log-scales [5] of a zero-mean mixture of logistic densities, by EM steps.

    The scale of a component is set from its weighted mean absolute residual, E|e| = 2 s log 2.
    """
    size = np.abs(residual[:: max(1, len(residual) // 20000)])
    scales = np.quantile(size, [0.1, 0.3, 0.5, 0.7, 0.95]) / (2 * math.log(2.0)) + 1e-5
    weights = np.full(COMPONENTS, 1.0 / COMPONENTS)
    for _ in range(iterations):
        z = size[:, None] / scales
        log_density = np.log(weights) - np.log(scales) - z - 2 * np.log1p(np.exp(-z))
        share = np.exp(log_density - np.logaddexp.reduce(log_density, axis=1)[:, None])
        weights = np.maximum(share.mean(0), 1e-4)
        weights /= weights.sum()
        scales = (share * size[:, None]).sum(0) / share.sum(0) / (2 * math.log(2.0)) + 1e-5
    return np.log(weights).astype(np.float32), np.log(scales).astype(np.float32)


def gru(train: Any, test: Any, *, steps: int) -> dict[str, Any]:
    """Bits a sample of a GRU trained on random windows."""
    import keras
    import tensorflow as tf

    from zoo.data.spoken_digit import clip_lengths
    from zoo.evaluation.audio import ratio_with_error
    from zoo.evaluation.statistics import rounded

    started = time.monotonic()
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = _gru_model()
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    optimizer = keras.optimizers.Adam(schedule, clipnorm=1.0)

    @tf.function(autograph=False)
    def step(x: Any, label: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(_gru_log_prob(model, x, label))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    lengths = clip_lengths(train.x)
    for number in range(steps):
        rows = rng.choice(train.rows, BATCH, p=lengths / lengths.sum())
        starts = (rng.random(BATCH) * np.maximum(lengths[rows] - WINDOW // 2, 1)).astype(int)
        starts = np.minimum(starts, train.x.shape[1] - WINDOW)
        starts[rng.random(BATCH) < 0.1] = 0
        x = np.stack([train.x[r, s : s + WINDOW] for r, s in zip(rows, starts, strict=True)])
        loss = step(tf.constant(x), tf.constant(train.context[rows]))
        if number % 100 == 0:
            print("gru", number, float(loss) / math.log(2.0), flush=True)
    test_lengths = clip_lengths(test.x)
    bits = []
    for start in range(0, test.rows, 50):
        part = slice(start, start + 50)
        nats = _gru_log_prob(model, tf.constant(test.x[part]), tf.constant(test.context[part]))
        mask = np.arange(test.x.shape[1]) < test_lengths[part, None]
        bits.append(-np.where(mask, nats, 0.0).astype(np.float64).sum(1) / math.log(2.0))
    return {
        "bits_per_sample": rounded(ratio_with_error(np.concatenate(bits), test_lengths), 6),
        "parameters": model.count_params(),
        "steps": steps,
        "train_seconds": round(time.monotonic() - started),
    }


def _gru_model() -> Any:
    import keras

    past = keras.Input((None, 2))
    label = keras.Input((), dtype="int32")
    embedded = keras.layers.Embedding(50, UNITS)(label)
    inputs = keras.layers.Dense(UNITS)(past) + embedded[:, None]
    h = keras.layers.GRU(UNITS, return_sequences=True)(inputs)
    h = keras.layers.Dense(UNITS, activation="relu")(h)
    return keras.Model([past, label], keras.layers.Dense(256)(h))


def _gru_log_prob(model: Any, x: Any, label: Any) -> Any:
    """log P(x_t | x_<t, label) of 16-bit values: [batch, T]."""
    import tensorflow as tf

    from zoo.ops import mu_law

    companded = mu_law.compand(x)
    before = tf.pad(companded, [[0, 0], [1, 0]])[:, :-1]
    past = tf.stack([before, tf.pad(before, [[0, 0], [1, 0]])[:, :-1]], -1)
    classes = mu_law.encode(x)
    logits = model([past, label])
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    return -nats - mu_law.log_class_sizes(classes)


if __name__ == "__main__":
    main()
