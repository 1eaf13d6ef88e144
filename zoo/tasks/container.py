"""The file that `zoo compress` writes: what the code is of, the code, a checksum over all of it.

    "ZOOC", versions of the format and of the coder (1, 1), rank, dtype, shape;
    SHA-256 of the weights (32), digests of the frequencies and of the rows (8, 8);
    lowest symbol and how many, rows, places of those stored as they are, lengths of what follows;
    rows stored as they are; the code; the first half of the SHA-256 of all bytes before (16)

Whole numbers are LEB128 varints, zigzag where they may be negative. Any byte that is changed,
missing or too many is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zoo.errors import InvalidInputError

__all__ = ["MAGIC", "Container", "pack", "unpack"]

MAGIC = b"ZOOC"
FORMAT = 1
_CHECK = 16
_MOST = 2**40  # of any number in the header: a checked file has none above it


@dataclass(frozen=True, kw_only=True)
class Container:
    """What a file says.

    weights: 32 bytes.   table: 8 bytes, of the frequencies.   check: 8 bytes, of the rows.
    shape: of a row.   dtype: of the rows, as NumPy names it.

    low, span: the symbols are z - low in 0..span - 1.
    verbatim: places of the rows that are stored as they are.   raw: these, compressed by zlib.
    """

    coder: int
    weights: bytes
    table: bytes
    check: bytes
    dtype: str
    shape: tuple[int, ...]
    rows: int
    low: int
    span: int
    verbatim: tuple[int, ...]
    raw: bytes
    code: bytes


def pack(content: Container) -> bytes:
    """The bytes of a file."""
    dtype = np.dtype(content.dtype).str.encode("ascii")
    steps = np.diff(np.array((0, *content.verbatim)))
    parts = [
        MAGIC,
        bytes([FORMAT, content.coder, len(content.shape), len(dtype)]),
        dtype,
        *map(_varint, content.shape),
        content.weights,
        content.table,
        content.check,
        _varint(_zigzag(content.low)),
        *map(_varint, (content.span, content.rows, len(content.verbatim))),
        *(_varint(int(step)) for step in steps),
        *map(_varint, (len(content.raw), len(content.code))),
        content.raw,
        content.code,
    ]
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()[:_CHECK]


def unpack(content: bytes) -> Container:
    """What a file holds.

    Raises InvalidInputError for other files, for damaged ones and for those of a newer zoo.
    """
    if content[:4] != MAGIC:
        raise InvalidInputError("Expected a file that `zoo compress` wrote; it begins otherwise.")
    body, check = content[:-_CHECK], content[-_CHECK:]
    if hashlib.sha256(body).digest()[:_CHECK] != check:
        raise InvalidInputError(
            "The compressed file is damaged: its checksum is another. It is cut short, or bytes of "
            "it have changed; get it again from where it came."
        )
    if body[4] != FORMAT:
        raise InvalidInputError(
            f"The compressed file has format {body[4]}; this version of the zoo reads {FORMAT}."
        )
    try:
        return _unpacked(body)
    except (IndexError, ValueError, TypeError) as error:
        raise InvalidInputError(f"The compressed file is none of this format: {error}.") from error


def _unpacked(body: bytes) -> Container:
    coder, rank, letters = body[5:8]
    dtype = str(np.dtype(body[8 : 8 + letters].decode("ascii")))
    place = 8 + letters
    shape = []
    for _ in range(rank):
        number, place = _read(body, place)
        shape.append(number)
    weights, table, check = body[place : place + 32], body[place + 32 :][:8], body[place + 40 :][:8]
    low, place = _read(body, place + 48)
    span, place = _read(body, place)
    rows, place = _read(body, place)
    count, place = _read(body, place)
    verbatim: list[int] = []
    for _ in range(count):
        step, place = _read(body, place)
        verbatim.append(step + (verbatim[-1] if verbatim else 0))
    raw_size, place = _read(body, place)
    code_size, place = _read(body, place)
    if place + raw_size + code_size != len(body) or (verbatim and verbatim[-1] >= rows):
        raise ValueError("its parts have other sizes")
    return Container(
        coder=coder,
        weights=weights,
        table=table,
        check=check,
        dtype=dtype,
        shape=tuple(shape),
        rows=rows,
        low=_unzigzag(low),
        span=span,
        verbatim=tuple(verbatim),
        raw=body[place : place + raw_size],
        code=body[place + raw_size :],
    )


def _varint(number: int) -> bytes:
    return bytes(_septets(number))


def _septets(number: int) -> Iterator[int]:
    while number >= 0x80:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _read(body: bytes, place: int) -> tuple[int, int]:
    """(a varint, the place behind it)."""
    number, shift = 0, 0
    while True:
        byte = body[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if number > _MOST:
            raise ValueError("a size that is none")
        if byte < 0x80:
            return number, place


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _unzigzag(number: int) -> int:
    return number // 2 if number % 2 == 0 else -(number + 1) // 2
