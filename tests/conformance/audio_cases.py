"""Rows of the laws: models of waveforms (`zoo/models/audio`)."""

from __future__ import annotations

from model_cases import ModelCase
from tiny import TINY

NO_FACTORS = {"context_size": 0, "context_factors": (), "position_frames": 0}

AUDIO: dict[str, ModelCase] = {
    "wavenet-classes": ModelCase(
        family="wavenet",
        config={
            **TINY["wavenet"],
            "output": "mu_law",
            "filter_size": 3,
            "input_filter": 3,
            "linear_input": True,
            "num_durations": 2,
            "sample_rate": 16000,
        },
    ),
    "wavenet-mel": ModelCase(
        family="wavenet",
        config={
            **TINY["wavenet"],
            **NO_FACTORS,
            "mel_bins": 3,
            "output": "gaussian",
            "log_scale_floor": -7.0,
        },
        cannot={"context": "its condition is a spectrogram"},
    ),
    "wavenet": ModelCase(
        family="wavenet", config={**TINY["wavenet"], "output": "logistic_mixture"}
    ),
    "parallel-wavenet": ModelCase(
        family="parallel_wavenet",
        config={
            **TINY["parallel_wavenet"],
            "event_shape": (12,),
            "filter_size": 3,
            "log_scale_limit": 6.0,
            "first_log_scale": -3.0,
            "num_durations": 2,
            "sample_rate": 16000,
        },
        weight_scale=0.3,
    ),
}
