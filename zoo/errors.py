"""Every error the zoo raises on purpose.

    ZooError
    ├── UnknownModelError (ValueError)      a name that is in no registry
    ├── ConfigError (ValueError)            a model config or a recipe that cannot be built
    ├── InvalidInputError (ValueError)      data, latents, seeds, temperatures, contexts of the
    │                                       wrong kind
    ├── CheckpointError
    │   ├── MissingCheckpointError (FileNotFoundError)   no such folder, or a file of it is absent
    │   ├── IntegrityError (ValueError)     a hash or a size that is not the pinned one
    │   ├── FormatError (ValueError)        unreadable, truncated, or of a newer format version
    │   ├── WeightsMismatchError (ValueError)   names or shapes that are not the model's
    │   └── OfflineError (ConnectionError)  a download is needed and not allowed or not possible
    ├── DataError (ValueError)              a dataset that is absent, or not the one pinned
    ├── ExportError (ValueError)            a model or a path that cannot be exported
    ├── ConversionError (ValueError)        weights of another library that no model here computes
    ├── ServingError (ValueError)           a model or a port that cannot be served
    ├── PublishError (ValueError)           a checkpoint or an address that cannot be published to
    ├── MissingExtraError (ImportError)     an optional library that is not installed
    ├── BackendError (ImportError)          Keras on another backend than TensorFlow
    ├── ForkedProcessError (RuntimeError)   a model in a forked child of a process with models
    └── TrainingError (RuntimeError)
        └── NonFiniteLossError (ArithmeticError)   NaN or infinity, with the step and the culprit

Each message says what was expected, what came, and what to do.
"""


class ZooError(Exception):
    """Base of every error raised by the zoo."""

    def __str__(self) -> str:
        """The message alone (`KeyError` would quote it)."""
        return str(self.args[0]) if self.args else ""


class UnknownModelError(ZooError, ValueError):
    """No model, family or recipe of that name; the message names close matches."""


class ConfigError(ZooError, ValueError):
    """A model config, a recipe or an override that cannot be built."""


class InvalidInputError(ZooError, ValueError):
    """Data, latents, seeds, temperatures or contexts of the wrong kind."""


class CheckpointError(ZooError):
    """Anything that stops a checkpoint from being used."""


class MissingCheckpointError(CheckpointError, FileNotFoundError):
    """A checkpoint folder, or one of its files, is not there."""


class IntegrityError(CheckpointError, ValueError):
    """A file's sha256 or size is not the one pinned."""


class FormatError(CheckpointError, ValueError):
    """A file that cannot be read: truncated, malformed, or of a newer format version."""


class WeightsMismatchError(CheckpointError, ValueError):
    """Weights whose names or shapes are not those of the model."""


class OfflineError(CheckpointError, ConnectionError):
    """A download is needed, and is forbidden or not possible."""


class DataError(ZooError, ValueError):
    """A dataset that is absent, or is not the pinned version."""


class ExportError(ZooError, ValueError):
    """A model or a path that cannot be exported."""


class NotPortableError(ExportError):
    """A model of whose signatures none can leave TensorFlow."""


class ConversionError(ZooError, ValueError):
    """Weights of another library that no model of the zoo computes; the message says why."""


class ServingError(ZooError, ValueError):
    """A model that cannot be served, or a port that cannot be listened on."""


class PublishError(ZooError, ValueError):
    """A checkpoint that cannot be published, or an address that it cannot be published to."""


class MissingExtraError(ZooError, ImportError):
    """An optional library is not installed; the message says how to."""


class BackendError(ZooError, ImportError):
    """Keras runs on another backend than TensorFlow; the message says how to mend it."""


class ForkedProcessError(ZooError, RuntimeError):
    """A model's call in a forked child, where TensorFlow would wait for ever."""


class TrainingError(ZooError, RuntimeError):
    """A training run that cannot start or go on."""


class NonFiniteLossError(TrainingError, ArithmeticError):
    """The loss or a gradient became NaN or infinite; the message names step and culprit."""
