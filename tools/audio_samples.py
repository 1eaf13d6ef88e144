"""Sound and pictures for an audio model's card: samples.wav and samples.png in its folder.

    python tools/audio_samples.py wavenet_digits [--folder checkpoints/wavenet_digits] [--seed 0]

samples.wav says the ten digits, the dataset's speakers in turn. samples.png shows spectrograms,
time to the right, 0 to 4 kHz upwards, 50 dB from white to black: above real test clips of the same
digits and speakers, below the model's; for a student its teacher's in between.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DECIBELS = 50.0


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.name, options.folder or ROOT / "checkpoints" / options.name, seed=options.seed)


def write(name: str, folder: Path, *, seed: int) -> None:
    """Writes both files."""
    from zoo import loading, registry
    from zoo.data import sources
    from zoo.data.spoken_digit import DIGITS, SPEAKERS
    from zoo.media import pictures as figures
    from zoo.media.audio import write_audio

    recipe = registry.get(name).recipe
    test = sources.load_arrays(recipe.dataset, "test")
    voices = np.unique(test.context % len(SPEAKERS))
    labels = np.array(
        [len(SPEAKERS) * d + voices[d % len(voices)] for d in range(DIGITS)], np.int32
    )
    rows = [np.stack([test.x[np.flatnonzero(test.context == label)[0]] for label in labels])]
    names = [name]
    if recipe.distillation is not None:
        names.insert(0, recipe.distillation.teacher)
    for each in names:
        model = loading.load(each)
        rows.append(np.asarray(model.sample(DIGITS, seed=seed, context=labels)))
    write_audio(folder / "samples.wav", rows[-1], model.data.rate)
    pictures = np.concatenate([spectrograms(clips) for clips in rows])
    figures.save_png(folder / "samples.png", figures.grid(pictures, columns=DIGITS))


def spectrograms(clips: np.ndarray) -> np.ndarray:
    """int16 clips [rows, T] -> grey pictures uint8 [rows, 128, frames, 1], loud is dark."""
    from zoo.ops.mel import power_spectrogram

    power: Any = power_spectrogram(clips, size=256, hop=64)[..., 1:]
    level = 10.0 * np.log10(np.maximum(power, 1e-12))
    loudest = level.max(axis=(1, 2), keepdims=True)
    shade = np.clip((loudest - level) / DECIBELS, 0.0, 1.0)
    return np.round(255.0 * shade).astype(np.uint8).transpose(0, 2, 1)[:, ::-1, :, None]


if __name__ == "__main__":
    main()
