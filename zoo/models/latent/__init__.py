"""Variational autoencoders."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
