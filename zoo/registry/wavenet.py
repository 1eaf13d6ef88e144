"""WaveNets on spoken digits."""

from __future__ import annotations

import dataclasses

from zoo.recipes import Distillation, Optimizer, Recipe
from zoo.registry.entry import LJSPEECH, SPOKEN_DIGIT, Entry

__all__ = ["ENTRIES"]

WAVENET_DIGITS = Recipe(
    family="wavenet",
    config={
        "event_shape": [6144],
        "output": "mu_law",
        "num_stacks": 2,
        "layers_per_stack": 10,
        "residual_channels": 32,
        "skip_channels": 64,
        "input_filter": 16,
        "linear_input": True,
        "context_size": 50,
        "context_factors": [10, 5],
        "context_channels": 32,
        "frame_size": 128,
        "position_frames": 34,
        "num_durations": 16,
    },
    dataset=SPOKEN_DIGIT,
    initialization_rows=2150,
    optimizer=Optimizer(learning_rate=3e-3, clip_norm=3000.0, warmup_steps=200, schedule="cosine"),
    batch_size=4,
    max_epochs=24,
    ema_decay=0.999,
    jit_compile=True,
    bucket_size=512,
    paper="arXiv:1609.03499",
    notes="Two stacks of dilations 1..512, a receptive field of 256 ms; for one CPU core.",
)

WAVENET_MOL_DIGITS = dataclasses.replace(
    WAVENET_DIGITS,
    config={**WAVENET_DIGITS.config, "output": "logistic_mixture", "num_mixtures": 5},
    start="wavenet_digits",
    optimizer=Optimizer(learning_rate=2e-3, clip_norm=3000.0, warmup_steps=200, schedule="cosine"),
    max_epochs=10,
    paper="arXiv:1711.10433",
)

PARALLEL_WAVENET_DIGITS = Recipe(
    family="parallel_wavenet",
    config={
        "event_shape": [6144],
        "layers_per_flow": [10, 10, 10, 10],
        "residual_channels": 32,
        "skip_channels": 32,
        "base": "logistic",
        "context_size": 50,
        "context_factors": [10, 5],
        "context_channels": 32,
        "frame_size": 128,
        "position_frames": 34,
        "num_durations": 16,
    },
    dataset=SPOKEN_DIGIT,
    initialization_rows=2150,
    optimizer=Optimizer(learning_rate=2e-3, clip_norm=3000.0, warmup_steps=100, schedule="cosine"),
    distillation=Distillation(
        teacher="wavenet_mol_digits",
        num_samples=8,
        power=20.0,
        spectral=2.0,
        perceptual=10.0,
    ),
    batch_size=4,
    max_epochs=8,
    ema_decay=0.999,
    jit_compile=True,
    bucket_size=2048,
    paper="arXiv:1711.10433; a spectral term after arXiv:1807.07281, Sec. 3.3",
    notes="Four flows of ten layers, about 0.5 MFLOP a sample.",
)

WAVENET_LJSPEECH = Recipe(
    family="wavenet",
    config={
        "event_shape": [7680],
        "output": "logistic_mixture",
        "num_mixtures": 10,
        "num_stacks": 3,
        "layers_per_stack": 10,
        "filter_size": 3,
        "residual_channels": 128,
        "skip_channels": 256,
        "context_channels": 128,
        "frame_size": 256,
        "mel_bins": 80,
        "sample_rate": 22050,
    },
    dataset=LJSPEECH,
    optimizer=Optimizer(learning_rate=2e-4),
    batch_size=32,
    max_epochs=400,
    ema_decay=0.9999,
    jit_compile=True,
    paper="arXiv:1711.10433, Sec. 5.1",
    notes=(
        "The teacher's 30 layers of filter size 3, 10 logistics, batch of 32 windows, rate and "
        "averages, on LJ Speech at its own rate; the paper's corpus is not public."
    ),
)

ENTRIES = (
    Entry(
        name="wavenet_digits",
        family="wavenet",
        title="WaveNet on spoken digits",
        paper="van den Oord et al.: WaveNet: A Generative Model for Raw Audio (2016)",
        arxiv="1609.03499",
        recipe=WAVENET_DIGITS,
        description=(
            "20 gated layers of 32 channels over 256 ms of the past, a softmax over 256 mu-law "
            "classes; says a digit in the voice of one of five speakers, at 8 kHz."
        ),
        limitations="Ten words and five voices, from an hour of training on one CPU core.",
        metrics=(
            "bits_per_sample",
            "bits_per_sample_mu_law",
            "recognised",
            "silence_excess_db",
        ),
    ),
    Entry(
        name="wavenet_mol_digits",
        family="wavenet",
        title="WaveNet over 16-bit samples of spoken digits",
        paper="van den Oord et al.: Parallel WaveNet: Fast High-Fidelity Speech Synthesis (2017)",
        arxiv="1711.10433",
        recipe=WAVENET_MOL_DIGITS,
        description=(
            "wavenet_digits with a mixture of five logistics over all 65,536 values, trained on "
            "from its weights: the teacher of a parallel student."
        ),
        limitations="Ten words and five voices, from an hour of training on one CPU core.",
        metrics=("bits_per_sample", "recognised", "silence_excess_db"),
    ),
    Entry(
        name="wavenet_ljspeech",
        family="wavenet",
        title="WaveNet vocoder on LJ Speech",
        paper="van den Oord et al.: Parallel WaveNet: Fast High-Fidelity Speech Synthesis (2017)",
        arxiv="1711.10433",
        recipe=WAVENET_LJSPEECH,
        description=(
            "30 gated layers of 128 channels and a mixture of 10 logistics, conditioned on log-mel "
            "frames. No published weights."
        ),
        limitations="For an accelerator; never run by this project.",
        metrics=("bits_per_sample",),
    ),
    Entry(
        name="parallel_wavenet_digits",
        family="parallel_wavenet",
        title="Parallel WaveNet on spoken digits",
        paper="van den Oord et al.: Parallel WaveNet: Fast High-Fidelity Speech Synthesis (2017)",
        arxiv="1711.10433",
        recipe=PARALLEL_WAVENET_DIGITS,
        description=(
            "Four inverse autoregressive flows that say a digit in one pass, distilled from "
            "wavenet_mol_digits."
        ),
        limitations=(
            "Ten words and five voices; it whispers: formants come out, and hardly any pitch."
        ),
        metrics=("distillation_kl", "recognised", "silence_excess_db"),
    ),
)
