"""The command line: `zoo COMMAND`, the verbs of the Python interface.

Results go to stdout, progress and errors to stderr. `list`, `info` and every `--help` import no
TensorFlow; each command imports what it needs.
"""

from zoo.cli import (
    ask,
    cache,
    catalogue,
    compress,
    convert,
    evaluate,
    fit,
    plot,
    publish,
    serve,
    step,
    study,
    tables,
    train,
    use,
)
from zoo.cli.app import app, main

__all__ = ["app", "main"]

COMMANDS = (
    catalogue,
    cache,
    use,
    tables,
    compress,
    ask,
    train,
    fit,
    step,
    study,
    evaluate,
    plot,
    publish,
    convert,
    serve,
)  # importing them registered what they define
