"""What `--context` means for a model: a class label, or values of the columns of its context."""

from __future__ import annotations

from typing import Any

from zoo.errors import InvalidInputError

__all__ = ["context_of"]


def context_of(model: Any, text: str | None) -> Any:
    """A label, or a row [1, columns]; None for None.

    Raises InvalidInputError for what is no label, and for columns that are not all there.
    """
    if text is None:
        return None
    space = model.context
    if space is None or not space.columns:
        try:
            return int(text)
        except ValueError:
            raise InvalidInputError(f"--context is a label, a number; got {text!r}.") from None
    from zoo.core.encoding import encoded

    given: dict[str, list[str]] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator:
            names = ",".join(f"{column.name}=VALUE" for column in space.columns)
            raise InvalidInputError(f"Expected --context {names}; got {text!r}.")
        given[name.strip()] = [value.strip()]
    return encoded(given, space.columns, "--context").astype(space.dtype)
