"""WaveNets on spoken digits."""

from __future__ import annotations

import dataclasses
import functools

from zoo.core.recipe import SGD, Distillation, Optimizer, Recipe, variant
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
    data=SPOKEN_DIGIT,
    training=SGD(
        initialization_rows=2150,
        optimizer=Optimizer(
            learning_rate=3e-3, clip_norm=3000.0, warmup_steps=200, schedule="cosine"
        ),
        batch_size=4,
        max_epochs=24,
        ema_decay=0.999,
        jit_compile=True,
        bucket_size=512,
    ),
    paper="arXiv:1609.03499",
    notes="Two stacks of dilations 1..512, a receptive field of 256 ms; for one CPU core.",
)

# A voice held out: four speakers to start from, the fifth to learn. A label is 5 * digit + speaker.

FOUR_SPEAKERS = tuple(label for label in range(50) if label % 5 != 4)
FIFTH_SPEAKER = tuple(range(4, 50, 5))
WAVENET_FOUR_SPEAKERS = variant(
    WAVENET_DIGITS, data=dataclasses.replace(SPOKEN_DIGIT, labels=FOUR_SPEAKERS)
)
WAVENET_FIFTH_SPEAKER = variant(
    WAVENET_DIGITS,
    data=dataclasses.replace(SPOKEN_DIGIT, labels=FIFTH_SPEAKER),
    start="wavenet_four_speakers",
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=3000.0, warmup_steps=50, schedule="cosine"),
    max_epochs=10,
    ema_decay=0.99,
    initialization_rows=0,
    notes="From the weights of wavenet_four_speakers on: 430 clips of another voice.",
)

WAVENET_MOL_DIGITS = variant(
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
    data=SPOKEN_DIGIT,
    objective=Distillation(
        teacher="wavenet_mol_digits",
        num_samples=8,
        power=20.0,
        spectral=2.0,
        perceptual=10.0,
    ),
    training=SGD(
        initialization_rows=2150,
        optimizer=Optimizer(
            learning_rate=2e-3, clip_norm=3000.0, warmup_steps=100, schedule="cosine"
        ),
        batch_size=4,
        max_epochs=8,
        ema_decay=0.999,
        jit_compile=True,
        bucket_size=2048,
    ),
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
    data=LJSPEECH,
    training=SGD(
        optimizer=Optimizer(learning_rate=2e-4),
        batch_size=32,
        max_epochs=400,
        ema_decay=0.9999,
        jit_compile=True,
    ),
    paper="arXiv:1711.10433, Sec. 5.1",
    notes="The teacher's 30 layers of filter size 3, 10 logistics, batch of 32 windows, rate and "
    "averages, on LJ Speech at its own rate; the paper's corpus is not public.",
)

MU_LAW_METRICS = (
    "bits_per_sample",
    "bits_per_sample_mu_law",
    "recognised",
    "silence_excess_db",
)

_wavenet = functools.partial(
    Entry,
    family="wavenet",
    paper="van den Oord et al.: WaveNet: A Generative Model for Raw Audio (2016)",
    arxiv="1609.03499",
)
_parallel = functools.partial(
    Entry,
    paper="van den Oord et al.: Parallel WaveNet: Fast High-Fidelity Speech Synthesis (2017)",
    arxiv="1711.10433",
)

ENTRIES = (
    _wavenet(
        name="wavenet_digits",
        title="WaveNet on spoken digits",
        recipe=WAVENET_DIGITS,
        description=(
            "20 gated layers of 32 channels over 256 ms of the past, a softmax over 256 mu-law "
            "classes; says a digit in the voice of one of five speakers, at 8 kHz."
        ),
        limitations="Ten words and five voices, from an hour of training on one CPU core.",
        metrics=MU_LAW_METRICS,
    ),
    _wavenet(
        name="wavenet_four_speakers",
        title="WaveNet on spoken digits, without one speaker",
        recipe=WAVENET_FOUR_SPEAKERS,
        description="wavenet_digits without the clips of yweweler: what other voices start from.",
        limitations="Ten words and four voices; the labels of the fifth were never trained.",
        metrics=MU_LAW_METRICS,
    ),
    _wavenet(
        name="wavenet_fifth_speaker",
        title="WaveNet fine-tuned to a speaker held out",
        recipe=WAVENET_FIFTH_SPEAKER,
        description=(
            "wavenet_four_speakers, trained on with the 430 clips of yweweler: a new voice from "
            "minutes of one CPU core."
        ),
        limitations="One voice: the other four are forgotten to some degree.",
        metrics=MU_LAW_METRICS,
    ),
    _parallel(
        name="wavenet_mol_digits",
        family="wavenet",
        title="WaveNet over 16-bit samples of spoken digits",
        recipe=WAVENET_MOL_DIGITS,
        description=(
            "wavenet_digits with a mixture of five logistics over all 65,536 values, trained on "
            "from its weights: the teacher of a parallel student."
        ),
        limitations="Ten words and five voices, from an hour of training on one CPU core.",
        metrics=("bits_per_sample", "recognised", "silence_excess_db"),
    ),
    _parallel(
        name="wavenet_ljspeech",
        family="wavenet",
        title="WaveNet vocoder on LJ Speech",
        recipe=WAVENET_LJSPEECH,
        description=(
            "30 gated layers of 128 channels and a mixture of 10 logistics, conditioned on log-mel "
            "frames. No published weights."
        ),
        limitations="For an accelerator; never run by this project.",
        metrics=("bits_per_sample",),
    ),
    _parallel(
        name="parallel_wavenet_digits",
        family="parallel_wavenet",
        title="Parallel WaveNet on spoken digits",
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
