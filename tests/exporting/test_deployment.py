"""The server's configuration: parsed by its own messages, and about what lies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

import zoo
from zoo.exporting import deployment
from zoo.store import pins

CHECKOUT = Path(zoo.__file__).parent.parent / "export"

# Two messages of the server's that its Python package lacks, field by field as in
# servables/tensorflow/session_bundle_config.proto and config/monitoring_config.proto.
MISSING = """
name: "missing.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Int64Value" }
  field { name: "batch_timeout_micros" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Int64Value" }
  field { name: "max_enqueued_batches" number: 3 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Int64Value" }
  field { name: "num_batch_threads" number: 4 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.Int64Value" }
  field { name: "thread_pool_name" number: 5 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".google.protobuf.StringValue" }
  field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "pad_variable_length_inputs" number: 7 type: TYPE_BOOL label: LABEL_OPTIONAL }
}
message_type { name: "PrometheusConfig"
  field { name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type { name: "MonitoringConfig"
  field { name: "prometheus_config" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
          type_name: ".tensorflow.serving.PrometheusConfig" }
}
"""


def _message(name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName("google/protobuf/wrappers.proto").CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(text_format.Parse(MISSING, descriptor_pb2.FileDescriptorProto()))
    found = pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    return message_factory.GetMessageClass(found)()


def _models(text: str) -> dict[str, tuple[str, str]]:
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    entries = config.model_config_list.config
    return {entry.name: (entry.base_path, entry.model_platform) for entry in entries}


def test_the_models_beside_the_configuration_are_in_it(tmp_path: Path) -> None:
    for path in ("b/1/saved_model.pb", "a/3/saved_model.pb", "a/20/saved_model.pb"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    for path in ("c/1", "d/.unfinished-1-x", "tflite/e/1", "f/2x", "g/1.5"):  # no SavedModels
        (tmp_path / path).mkdir(parents=True)
        if path != "c/1":
            (tmp_path / path / "saved_model.pb").touch()
    deployment.write(tmp_path)
    assert _models((tmp_path / "models.config").read_text()) == {
        "a": ("/models/a", "tensorflow"),
        "b": ("/models/b", "tensorflow"),
    }
    for name in deployment.STATIC_FILES:
        assert (tmp_path / name).read_text() == (CHECKOUT / name).read_text()


def test_a_file_that_was_edited_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "batching.config").write_text("max_batch_size { value: 1 }")
    (tmp_path / "models.config").write_text("old")
    deployment.write(tmp_path)
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 1 }"
    assert _models((tmp_path / "models.config").read_text()) == {}


def test_the_checkouts_configuration_is_that_of_all_published_models() -> None:
    expected = deployment.models_config(sorted(pins.pins()))
    assert (CHECKOUT / "models.config").read_text(encoding="utf-8") == expected


def test_batching_fits_the_servers_rules() -> None:
    text = (CHECKOUT / "batching.config").read_text()
    parameters = text_format.Parse(text, _message("BatchingParameters"))
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == parameters.max_batch_size.value > 1
    assert parameters.batch_timeout_micros.value > 0
    assert parameters.num_batch_threads.value > 0
    assert parameters.max_enqueued_batches.value > 0
    with pytest.raises(text_format.ParseError, match="max_batch"):
        text_format.Parse("max_batch { value: 1 }", _message("BatchingParameters"))


def test_monitoring_is_on() -> None:
    text = (CHECKOUT / "monitoring.config").read_text()
    config = text_format.Parse(text, _message("MonitoringConfig")).prometheus_config
    assert config.enable
    assert config.path == "/monitoring/prometheus/metrics"


def test_compose_starts_the_version_that_wrote_the_exports_on_the_loopback() -> None:
    service = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["zoo"]
    assert service["image"] == f"tensorflow/serving:{tf.__version__}"
    assert service["volumes"] == [f".:{deployment.SERVED_FOLDER}:ro"]
    assert service["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    files = {key: value for key, value in flags.items() if key.endswith("_file")}
    assert files == {
        "model_config_file": "/models/models.config",
        "batching_parameters_file": "/models/batching.config",
        "monitoring_config_file": "/models/monitoring.config",
    }
    assert flags["enable_batching"] == "true"
