"""The figures of models, recomputed; the protocols of the papers on whole test sets."""

from zoo.evaluation.evaluating import evaluate, mean_with_error

__all__ = ["evaluate", "mean_with_error"]
