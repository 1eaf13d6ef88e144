"""Warm-up requests of an export, replayed before it takes traffic, as TensorFlow Serving does.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `tensorflow.serving.PredictionLog`
messages (https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from zoo.errors import ServingError
from zoo.serving import proto_tensors
from zoo.serving.servable import Servable
from zoo.serving.status import RequestError, shortened

__all__ = ["WARMUP_FILE", "replay"]

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000  # TensorFlow Serving's
MAX_BYTES = 2**30  # of an input


def replay(servable: Servable) -> int:
    """Runs the export's own requests, whose answers nobody sees; returns how many there were.

    Requests of more rows than the server takes are left out. Raises ServingError where one fails,
    which TensorFlow Serving would not load either.
    """
    path = servable.folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).take(MAX_RECORDS).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            if log.HasField("predict_log") and _rows(request) <= servable.max_rows:
                proto_tensors.predict(servable, request, max_bytes=MAX_BYTES)
                count += 1
    except (RequestError, DecodeError, tf.errors.OpError) as error:
        raise ServingError(
            f"A warm-up request of {path} fails: {shortened(str(error))}. Export the model again."
        ) from error
    return count


def _rows(request: predict_pb2.PredictRequest) -> int:
    """The largest first axis of the inputs."""
    shapes = [tensor.tensor_shape.dim for tensor in request.inputs.values()]
    return max((shape[0].size for shape in shapes if shape), default=0)
