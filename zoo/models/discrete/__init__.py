"""Systems whose data are integers with a probability each."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
