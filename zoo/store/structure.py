"""What a `.weights.h5` file holds, found before a value of it is read.

A file from a stranger may lead elsewhere, or ask for more memory than it is large. Refused are
links, external and virtual data, other filters than those that weights are written with, chunks
larger than their array, and arrays larger than what their bytes can hold.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from zoo.errors import FormatError
from zoo.store.files import check_file

__all__ = ["MAX_VALUES", "shapes"]

MAX_VALUES = 2**31
"""The most numbers in a file: 8 GiB as float32."""

_EXPANSION = 1032  # deflate makes of a byte no more than these


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """{name: shape} of every array in the file; () of one without values.

    Raises:
        MissingCheckpointError: No such file.
        FormatError: A pipe or a device; not HDF5; or anything that is refused above.
    """
    import h5py

    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            found = _shapes(file, path)
    except FormatError:
        raise
    except Exception as error:  # of h5py's, nearly any for a damaged file
        raise FormatError(
            f"{path} cannot be read as HDF5 ({error}). It is truncated or damaged: restore it."
        ) from error
    if (total := sum(map(math.prod, found.values()))) > MAX_VALUES:
        raise FormatError(f"{path} holds {total:,} numbers; at most {MAX_VALUES:,} are read.")
    return found


def _shapes(file: Any, path: Path) -> dict[str, tuple[int, ...]]:
    import h5py

    nodes: dict[str, Any] = {}

    def is_link(name: str, link: Any) -> str | None:
        return None if isinstance(link, h5py.HardLink) else name

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            nodes[name] = node

    # Nothing is raised in these: HDF5 calls them.
    if link := file.visititems_links(is_link):
        raise FormatError(f"{path} has a link in the place of {link}: not allowed.")
    file.visititems(collect)
    for name, node in nodes.items():
        _check(node, name, path)
    return {name: tuple(node.shape or ()) for name, node in nodes.items()}


def _check(node: Any, name: str, path: Path) -> None:
    """Raises FormatError for an array of which not every value lies in the file itself."""
    from h5py import h5z

    if node.external or node.is_virtual:
        raise FormatError(f"{path} points to data in other files ({name}): not allowed.")
    if node.shape is None:
        return
    if node.chunks and any(map(int.__gt__, node.chunks, node.shape)):
        raise FormatError(
            f"{path} has chunks {list(node.chunks)} in {name}, larger than its shape "
            f"{list(node.shape)}. No weights are written so: restore the file."
        )
    properties = node.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    known = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
    if not known.issuperset(filters) or filters.count(h5z.FILTER_DEFLATE) > 1:
        raise FormatError(f"{path} is packed by other filters than gzip and shuffle ({name}).")
    stored = node.id.get_storage_size()
    most = stored * (_EXPANSION if h5z.FILTER_DEFLATE in filters else 1)
    if node.size * node.dtype.itemsize > most:
        raise FormatError(
            f"{path} declares {node.size:,} numbers in {name} and holds {stored:,} bytes of them. "
            "It is truncated or forged: restore it."
        )
