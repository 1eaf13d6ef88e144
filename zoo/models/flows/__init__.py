"""Normalising flows, one published system a file."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
