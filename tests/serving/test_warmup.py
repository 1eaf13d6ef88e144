"""Warm-up requests are run when a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny_exports
from tensorflow_serving.apis import prediction_log_pb2

from zoo.errors import ServingError
from zoo.exporting import warmup as exported_warmup
from zoo.serving import warmup
from zoo.serving.repository import Repository
from zoo.serving.servable import Servable


def test_one_name_of_the_file() -> None:
    assert warmup.WARMUP_FILE == exported_warmup.WARMUP_FILE


def test_every_signature_of_an_export(
    exported: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    predict = Servable.predict

    def noted(self: Servable, signature: Any, inputs: Any, *args: Any) -> Any:
        asked.append((signature.name, len(next(iter(inputs.values())))))
        return predict(self, signature, inputs, *args)

    monkeypatch.setattr(Servable, "predict", noted)
    said: list[str] = []
    folders = {"tiny_labels": exported[0] / "tiny_labels"}
    model = Repository(folders, max_rows=8, say=said.append).get("tiny_labels")
    assert said == ["loading tiny_labels, version 1"]
    assert set(asked) == {(name, rows) for name in model.signatures for rows in (1, 8)}
    asked.clear()
    Repository(folders, max_rows=4)  # what the server would refuse is left out
    assert {rows for _, rows in asked} == {1}


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    tiny_exports.save_adder(tmp_path / "adder" / "1", 1)
    (tmp_path / "adder" / "1" / "assets.extra").mkdir()
    return tmp_path / "adder"


def record(values: Any) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(values))
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (record(np.zeros(2, np.int32)), "Expects arg.x. to be float32 but got int32"),
        (b"\xff\xff", "[Pp]ars|wire|message"),
        (None, "corrupted|truncated"),
    ],
    ids=["dtype", "message", "file"],
)
def test_what_is_refused(written: bytes | None, message: str, adder: Path) -> None:
    path = adder / "1" / warmup.WARMUP_FILE
    if written is None:
        path.write_bytes(b"no records, and long enough to have a header")
    else:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(written)
    with pytest.raises(ServingError, match=f"(?s)A warm-up request of .* fails: .*({message})"):
        Repository({"adder": adder}, max_rows=4)


def test_requests_of_other_kinds_are_left_out(adder: Path) -> None:
    other = prediction_log_pb2.PredictionLog()
    other.classify_log.SetInParent()
    with tf.io.TFRecordWriter(str(adder / "1" / warmup.WARMUP_FILE)) as writer:
        for written in (other.SerializeToString(), record(np.zeros(2, np.float32))):
            writer.write(written)
    assert warmup.replay(Repository({"adder": adder}, max_rows=4).get("adder")) == 1
