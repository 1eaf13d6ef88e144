"""Models of tables whose columns are of several kinds."""

from zoo.core.backend import require_tensorflow

require_tensorflow()
