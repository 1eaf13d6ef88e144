"""Answers that REST and gRPC share, as TensorFlow Serving's own messages."""

from __future__ import annotations

from collections.abc import Iterable

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from zoo.serving.servable import Servable

__all__ = ["SIGNATURE_FIELD", "metadata", "status"]

SIGNATURE_FIELD = "signature_def"


def status(versions: Iterable[int]) -> get_model_status_pb2.GetModelStatusResponse:
    """The state of versions: all that are known have been loaded."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in versions:
        entry = response.model_version_status.add()
        entry.version = version
        entry.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        entry.status.SetInParent()  # error_code OK, error_message ""
    return response


def metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a model, as they stand in its SavedModel."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    definitions = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.definitions.items():
        definitions.signature_def[name].CopyFrom(definition)
    response.metadata[SIGNATURE_FIELD].Pack(definitions)
    return response
