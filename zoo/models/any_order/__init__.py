"""Systems that have a conditional of any feature given any others."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
