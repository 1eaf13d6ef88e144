"""The figures of models, recomputed; the protocols of the papers on whole test sets."""

from zoo.evaluation.evaluating import evaluate

__all__ = ["evaluate"]
