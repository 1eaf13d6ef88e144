"""What training minimises: callables of a model and rows, in nats per row.

    objective(model, x, context, seed, *, step, training) -> [batch]

The gradient goes one way: a training step asks the objective, the objective asks the model. Each
settings class of `zoo.core.objective` names its class here.
"""

from zoo.objectives.base import Objective, check_needs, objective_of
from zoo.objectives.bounds import NegativeELBO
from zoo.objectives.likelihood import NegativeLogLikelihood

__all__ = [
    "NegativeELBO",
    "NegativeLogLikelihood",
    "Objective",
    "check_needs",
    "objective_of",
]
