"""Lossless compression of integer rows by a model that states their probability.

    z = encode(x), z_d coded under the base's mass: about -log2 P(x) bits a row
    x = decode(z)

A file decodes with the weights that it was made with. `compress` decodes what it wrote, and rows
that come back otherwise, or whose latents lie too far out, are stored as they are: on the machine
that wrote it every file comes back, bit for bit. Elsewhere floats may round otherwise, once in some
10^9 numbers: a checksum of the rows then refuses what would be wrong.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.core.capabilities import Encodes, Scores
from zoo.errors import InvalidInputError
from zoo.tasks import ans
from zoo.tasks.container import Container, pack, unpack

__all__ = ["Compressed", "check_codes", "compress", "decompress", "weights_digest"]

MOST_SYMBOLS = 4096
_ROWS_CHECK = 8
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """content: of the file.   rows: how many.   verbatim: of these, stored as they are.

    code_bits: of the code alone, without the header and the rows stored as they are.
    """

    content: bytes
    rows: int
    verbatim: int
    code_bits: int


def check_codes(model: Any) -> None:
    """Raises InvalidInputError for a model that has no exact mass, or no codes to write."""
    codes = (
        isinstance(model, Scores)
        and isinstance(model, Encodes)
        and (model.measure, model.precision, model.lossless) == ("mass", "exact", "data")
        and hasattr(getattr(model, "base", None), "log_masses")
    )
    if not codes:
        raise InvalidInputError(
            f"Compression needs exact probabilities of integers and codes that give them back, and "
            f"{model.name} ({model.family}) has none: take an integer flow, such as idf4_mnist."
        )


def weights_digest(model: Any) -> bytes:
    """The SHA-256 of the model's family and weights, whatever file they are from."""
    digest = hashlib.sha256(model.family.encode())
    for weight in model.weights:
        values = np.asarray(weight.numpy())
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.digest()


def compress(model: Any, x: Any) -> Compressed:
    """The rows x [n, *event_shape] as a file that `decompress` gives back.

    Raises InvalidInputError for a model without exact masses and codes, and for rows that it does
    not take; MissingExtraError without constriction.
    """
    check_codes(model)
    x = np.ascontiguousarray(x)
    z = np.asarray(model.encode(x), np.int64)  # which checks the rows
    low, span = _symbols(z)
    table = ans.frequencies(np.asarray(model.base.log_masses(low, low + span - 1)))
    verbatim = np.any((z < low) | (z >= low + span), axis=1)
    weights = weights_digest(model)
    for _ in range(_ROUNDS):
        kept = np.where(verbatim[:, None], table.argmax(axis=1)[None] + low, z)
        places = np.flatnonzero(verbatim)
        code = ans.encoded(kept - low, table)
        content = Container(
            coder=ans.CODER_VERSION,
            weights=weights,
            table=ans.digest(table),
            check=_rows_check(x),
            dtype=x.dtype.str,
            shape=x.shape[1:],
            rows=len(x),
            low=low,
            span=span,
            verbatim=tuple(map(int, places)),
            raw=zlib.compress(x[places].tobytes(), 9) if len(places) else b"",
            code=code,
        )
        differ = (_rows_of(model, content, table) != x).reshape(len(x), -1).any(axis=1)
        if not differ.any():
            return Compressed(
                content=pack(content),
                rows=len(x),
                verbatim=len(places),
                code_bits=8 * len(code),
            )
        verbatim |= differ
    raise RuntimeError("Rows that were stored as they are came back otherwise.")


def decompress(model: Any, content: bytes) -> np.ndarray:
    """The rows of a file that `compress` wrote, in their dtype, bit for bit.

    Raises InvalidInputError for a file that is none or is damaged, that was made with other weights
    or another version of the coder, and on a machine that computes other codes;
    MissingExtraError without constriction.
    """
    check_codes(model)
    found = unpack(content)
    if found.coder != ans.CODER_VERSION:
        raise InvalidInputError(
            f"The file was coded by version {found.coder} of the coder; this version of the zoo "
            f"has {ans.CODER_VERSION}."
        )
    own = weights_digest(model)
    if found.weights != own:
        raise InvalidInputError(
            f"The file was made with other weights ({found.weights.hex()[:16]}…) than those of "
            f"{model.name} ({own.hex()[:16]}…): give the model, and the version of it, that it "
            "was compressed with."
        )
    table = ans.frequencies(
        np.asarray(model.base.log_masses(found.low, found.low + found.span - 1))
    )
    if found.table != ans.digest(table):
        raise InvalidInputError(_ELSEWHERE.format("probabilities"))
    try:
        rows = _rows_of(model, found, table)
    except (ValueError, zlib.error) as error:
        raise InvalidInputError(f"The compressed file cannot be decoded: {error}.") from error
    if _rows_check(rows) != found.check:
        raise InvalidInputError(_ELSEWHERE.format("rows"))
    return rows


_ELSEWHERE = (
    "This machine computes other {} than the one that wrote the file, by the last digit of a "
    "float: decompress it there, or with the same versions of TensorFlow and NumPy."
)


def _rows_of(model: Any, found: Container, table: np.ndarray) -> np.ndarray:
    """The rows of a container, those stored as they are in their places."""
    dtype, shape = np.dtype(found.dtype), (found.rows, *found.shape)
    if not found.rows:
        return np.empty(shape, dtype)
    z = ans.decoded(found.code, found.rows, table) + found.low
    rows = np.asarray(model.decode(z.astype(np.int32))).astype(dtype).reshape(shape)
    if found.verbatim:
        raw = zlib.decompress(found.raw)
        rows[list(found.verbatim)] = np.frombuffer(raw, dtype).reshape(-1, *found.shape)
    return rows


def _rows_check(x: np.ndarray) -> bytes:
    return hashlib.sha256(x.tobytes()).digest()[:_ROWS_CHECK]


def _symbols(z: np.ndarray) -> tuple[int, int]:
    """(lowest latent, how many from there on) that have symbols: 2 to MOST_SYMBOLS of them."""
    if not z.size:
        return 0, 2
    low, high = int(z.min()), int(z.max())
    if high - low >= MOST_SYMBOLS:
        low = max(low, int(np.median(z)) - MOST_SYMBOLS // 2)
        high = min(high, low + MOST_SYMBOLS - 1)
    return low, max(2, high - low + 1)
