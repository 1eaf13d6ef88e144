"""Warm-up requests: what TensorFlow Serving runs before a version takes traffic.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `tensorflow.serving.PredictionLog`
messages (https://www.tensorflow.org/tfx/serving/saved_model_warmup). They are encoded here, from
five fields of four messages, so that exporting needs no package of the server's protos; a test
reads them with the real ones.

    PredictionLog.predict_log = 6    PredictLog.request = 1
    PredictRequest.model_spec = 1    PredictRequest.inputs = 2, a map: key = 1, value = 2
    ModelSpec.name = 1               ModelSpec.signature_name = 3
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.core.space import Space

__all__ = ["ROWS", "WARMUP_FILE", "example_batch", "write"]

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
ROWS = (1, 8)  # batch sizes that every signature is warmed up with


def write(folder: Path, name: str, signatures: Mapping[str, Signature]) -> None:
    """Writes requests for every signature, `serving_default` among them, into the export."""
    path = folder / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in _records(name, signatures):
            writer.write(record)


def example_batch(fields: Mapping[str, Space], rows: int) -> dict[str, np.ndarray]:
    """A batch of every field's example value; axes of any size have size 1."""
    return {
        key: np.full(
            [rows, *(n or 1 for n in field.shape)],
            field.example,
            tf.as_dtype(field.dtype).as_numpy_dtype,
        )
        for key, field in fields.items()
    }


def _records(name: str, signatures: Mapping[str, Signature]) -> Iterator[bytes]:
    named = {"serving_default": next(iter(signatures.values())), **signatures}
    for key, signature in named.items():
        for rows in ROWS:
            request = _field(1, _field(1, name.encode()) + _field(3, key.encode()))
            for argument, array in example_batch(signature.inputs, rows).items():
                tensor: Any = tf.make_tensor_proto(array)
                entry = _field(1, argument.encode()) + _field(2, tensor.SerializeToString())
                request += _field(2, entry)
            yield _field(6, _field(1, request))


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a serialised protobuf message."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
