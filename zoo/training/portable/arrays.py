"""Arrays in parts: their bytes one after the other, cut into files of a bounded size, each hashed.

A list of arrays is described by an index, which lies in a JSON file beside the parts:

    {"arrays": [{"name", "shape", "dtype", "zeros"}, ...],
     "parts": [{"file", "size", "sha256"}, ...]}

Values are little-endian and in C order; an array may cross from one part to the next, and one of
zeros, as two thirds of a fresh optimiser's state are, has no bytes at all. Names need not be
unique, as those of optimiser slots are not: arrays are known by their position.
`tools/run_step.py` reads and writes the same without this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError
from zoo.store.hashes import verify_files

__all__ = ["read", "write"]


def write(
    folder: Path, prefix: str, arrays: Sequence[tuple[str, np.ndarray]], *, part_bytes: int
) -> dict[str, Any]:
    """Writes the arrays as folder/prefix-00.bin, prefix-01.bin, ...; returns their index."""
    content = b"".join(np.ascontiguousarray(array).tobytes() for _, array in arrays if array.any())
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes)):
        part = content[start : start + part_bytes]
        file = f"{prefix}-{number:02d}.bin"
        (folder / file).write_bytes(part)
        digest = hashlib.sha256(part).hexdigest()
        parts.append({"file": file, "size": len(part), "sha256": digest})
    described = [
        {
            "name": name,
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "zeros": not array.any(),
        }
        for name, array in arrays
    ]
    return {"arrays": described, "parts": parts}


def read(
    folder: Path, described: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]
) -> list[np.ndarray]:
    """The arrays that an index describes, from its parts.

    Raises:
        MissingCheckpointError: A part is absent.
        IntegrityError: A part has another size or hash.
        FormatError: The parts hold more or fewer bytes than the arrays have.
    """
    verify_files(folder, {part["file"]: part for part in parts})
    content = b"".join((folder / part["file"]).read_bytes() for part in parts)
    arrays, start = [], 0
    for entry in described:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        if entry.get("zeros"):
            arrays.append(np.zeros(shape, dtype))
            continue
        count = int(np.prod(shape, dtype=np.int64))
        if start + count * dtype.itemsize > len(content):
            raise FormatError(f"The parts in {folder} end before the array {entry['name']!r}.")
        arrays.append(np.frombuffer(content, dtype, count, start).reshape(shape))
        start += count * dtype.itemsize
    if start != len(content):
        raise FormatError(
            f"The parts in {folder} hold {len(content):,} bytes; their arrays have {start:,}."
        )
    return arrays
