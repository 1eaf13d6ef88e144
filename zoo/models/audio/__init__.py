"""Models of 16-bit audio."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
