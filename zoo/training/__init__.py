"""Training a recipe: one step, its full state on disk, and the loop around them.

The step is a function of (batch, step number) and of the variables: every random number in it comes
from (seed, step). With the data order a function of (seed, epoch), a run that is killed at
any moment and resumed computes what the undisturbed run computes, bit for bit on a CPU.
"""

from zoo.training.records import TrainingResult
from zoo.training.step import TrainingStep, WarmupSchedule
from zoo.training.train import train

__all__ = ["TrainingResult", "TrainingStep", "WarmupSchedule", "train"]
