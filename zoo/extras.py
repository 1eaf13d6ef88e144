"""Libraries that only some uses need, imported on first use: pip's extras bring them."""

from __future__ import annotations

import importlib
from typing import Any

from zoo.errors import MissingExtraError

__all__ = [
    "constriction",
    "matplotlib",
    "pandas",
    "scikit_learn",
    "soundfile",
    "soxr",
    "tensorflow_datasets",
]


def tensorflow_datasets() -> Any:
    """TFDS. Raises MissingExtraError where it is not installed."""
    return _library("tensorflow_datasets", "datasets", "Datasets of TFDS, as training has them,")


def soundfile() -> Any:
    """The audio library. Raises MissingExtraError where it is not installed."""
    return _library("soundfile", "audio", "Audio files")


def soxr() -> Any:
    """The library that resamples audio. Raises MissingExtraError where it is not installed."""
    return _library("soxr", "audio", "Clips of other rates")


def constriction() -> Any:
    """The entropy coder. Raises MissingExtraError where it is not installed."""
    return _library("constriction", "compress", "Compressed files")


def pandas() -> Any:
    """The library of data frames. Raises MissingExtraError where it is not installed."""
    return _library("pandas", "tables", "Tables of your own")


def scikit_learn(module: str) -> Any:
    """A module of scikit-learn, "base". Raises MissingExtraError where it is not installed."""
    return _library(f"sklearn.{module}", "sklearn", "Estimators of scikit-learn's kind")


def matplotlib(module: str) -> Any:
    """A module of Matplotlib, "figure". Raises MissingExtraError where it is not installed."""
    return _library(f"matplotlib.{module}", "plots", "Plots")


def _library(module: str, extra: str, users: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{users} need {error.name}: pip install 'density-zoo[{extra}]'."
        ) from error
