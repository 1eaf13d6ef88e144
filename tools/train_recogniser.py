"""Trains the listener of `zoo.evaluation.recognition` and measures it on the test clips.

    python tools/train_recogniser.py [--epochs 20] [--perceptual]

Writes zoo/assets/digit_recogniser.npz (float16 weights, the test accuracy as measured with them);
with --perceptual the classifier of `zoo.objectives.perceptual` in its place,
zoo/assets/digit_features.npz. Clips are shifted, stretched by resampling and mixed with noise at
random, so that it listens to the word and not to a clip's start or floor. The validation clips
choose nothing; the last weights are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ASSETS = Path(__file__).resolve().parent.parent / "zoo" / "assets"
SEED, PERCEPTUAL_SEED = 7, 11


def augmented(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int16 clips [rows, T] resampled by up to 12 %, delayed by up to 100 ms, with noise."""
    rows, size = x.shape
    speed = rng.uniform(0.88, 1.12, (rows, 1))
    delay = rng.uniform(-200, 800, (rows, 1))
    position = (np.arange(size) - delay) * speed
    low = np.floor(position).astype(int)
    fraction = position - low
    inside = (low >= 0) & (low < size - 1)
    low = np.clip(low, 0, size - 2)
    taken = np.take_along_axis(x, low, 1) * (1 - fraction)
    taken += np.take_along_axis(x, low + 1, 1) * fraction
    taken = taken * inside
    peak = np.abs(taken).max(1, keepdims=True)
    noise = rng.normal(size=x.shape) * peak * 10.0 ** rng.uniform(-4.0, -1.7, (rows, 1))
    return np.clip(taken + noise * (rng.random((rows, 1)) < 0.7), -32768, 32767).astype(np.int16)


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--perceptual", action="store_true", help="the features of distillation")
    options = parser.parse_args()
    train(options.epochs, perceptual=options.perceptual)


def train(epochs: int, *, perceptual: bool) -> None:
    """Trains, measures, writes."""
    import keras

    from zoo.data import sources
    from zoo.data.spoken_digit import SPEAKERS
    from zoo.registry.entry import SPOKEN_DIGIT

    seed = PERCEPTUAL_SEED if perceptual else SEED
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    rows, test = (sources.load_arrays(SPOKEN_DIGIT, split) for split in ("train", "test"))
    model, features, name = _perceptual() if perceptual else _listener()
    steps = epochs * (rows.rows // 64)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier = keras.Model(model.inputs, model.outputs[0])
    classifier.compile(optimizer, loss, metrics=["accuracy"])
    for epoch in range(epochs):
        digits = rows.context // len(SPEAKERS)
        result = classifier.fit(features(augmented(rows.x, rng)), digits, batch_size=64, verbose=0)
        print(epoch, {key: round(value[0], 4) for key, value in result.history.items()}, flush=True)
    stored = [w.astype(np.float16) for w in model.get_weights()]
    model.set_weights([w.astype(np.float32) for w in stored])
    heard = classifier.predict(features(test.x), batch_size=50, verbose=0).argmax(-1)
    accuracy = float(np.mean(heard == test.context // len(SPEAKERS)))
    print(f"test accuracy {accuracy:.4f} on {test.rows} clips")
    arrays = {f"weight_{i:02d}": w for i, w in enumerate(stored)}
    np.savez_compressed(ASSETS / name, test_accuracy=np.float64(accuracy), **arrays)


def _listener() -> tuple[Any, Callable[[np.ndarray], np.ndarray], str]:
    from zoo.evaluation import recognition
    from zoo.ops.mel import log_mel

    return recognition.build_recogniser(), log_mel, recognition.ASSET


def _perceptual() -> tuple[Any, Callable[[np.ndarray], np.ndarray], str]:
    from zoo.objectives import perceptual
    from zoo.ops.audio_losses import log_spectra

    def features(x: np.ndarray) -> np.ndarray:
        parts = np.array_split(x, max(1, len(x) // 200))
        return np.concatenate([log_spectra(part / 2.0**15).numpy() for part in parts])

    return perceptual.build_features(), features, perceptual.ASSET


if __name__ == "__main__":
    main()
