"""Base classes of models, one a file: what a model can do follows from what it inherits."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
