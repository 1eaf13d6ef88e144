"""SavedModels called through TensorFlow's C API: its C++ loader and session, none of its Python.

    python tests/capi_client.py LIBRARY FOLDER...

XLA is switched off first, as TensorFlow's model server does on CPUs. Each folder holds a
SavedModel under `saved_model` (or a link to one) and `requests.npz`, arrays named
`request/argument`; a request is a signature's name, with a colon and anything behind it to tell
requests apart. `answers.npz` is written beside it: `request/output`, or the text of the error as
`request/error`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from typing import Any

Pointer = ctypes.c_void_p
POINTERS = (
    "TF_NewStatus",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_NewBuffer",
    "TF_LoadSessionFromSavedModel",
    "TF_GraphOperationByName",
    "TF_AllocateTensor",
    "TF_TensorData",
)

# TF_DataType
DTYPES = {1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64"}


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = (("operation", Pointer), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (("data", Pointer), ("length", ctypes.c_size_t), ("deallocator", Pointer))


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of every field of a serialised protobuf message."""

    def varint(position: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value, position

    position = 0
    while position < len(message):
        key, position = varint(position)
        if key & 7 == 0:
            value, position = varint(position)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(key & 7)
        if length is None:
            length, position = varint(position)
        yield key >> 3, message[position : position + length]
        position += length


def signatures(meta_graph: bytes) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """signature -> (argument -> tensor name, output -> tensor name), from a MetaGraphDef."""
    found = {}
    for number, entry in fields(meta_graph):
        if number != 5:
            continue
        pair = dict(fields(entry))
        names: tuple[dict[str, str], dict[str, str]] = ({}, {})
        for side, tensor in fields(pair.get(2, b"")):
            if side in (1, 2):
                named = dict(fields(tensor))
                names[side - 1][named[1].decode()] = dict(fields(named[2]))[1].decode()
        found[pair[1].decode()] = names
    return found


class Session:
    """A SavedModel in a TF_Session."""

    def __init__(self, library: str, saved_model: str) -> None:
        # RTLD_LOCAL, the default: with RTLD_GLOBAL NumPy finds symbols that are not its own.
        self.tf = ctypes.CDLL(library)
        for name in POINTERS:
            getattr(self.tf, name).restype = Pointer
        self.tf.TF_Message.restype = ctypes.c_char_p
        self.tf.TF_TensorByteSize.restype = ctypes.c_size_t
        self.tf.TF_Dim.restype = ctypes.c_int64
        self.tf._ZN10tensorflow21DisableXlaCompilationEv()
        self.status = Pointer(self.tf.TF_NewStatus())
        self.graph = Pointer(self.tf.TF_NewGraph())
        options, meta_graph = (
            Pointer(self.tf.TF_NewSessionOptions()),
            Pointer(self.tf.TF_NewBuffer()),
        )
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = Pointer(
            self.tf.TF_LoadSessionFromSavedModel(
                options,
                None,
                saved_model.encode(),
                tags,
                1,
                self.graph,
                meta_graph,
                self.status,
            )
        )
        self.check()
        buffer = ctypes.cast(meta_graph, ctypes.POINTER(Buffer)).contents
        self.signatures = signatures(ctypes.string_at(buffer.data, buffer.length))

    def check(self) -> None:
        """Raises the status' message if the last call failed."""
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def output(self, tensor_name: str) -> Output:
        """The TF_Output of `operation:index`."""
        operation, _, index = tensor_name.rpartition(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index))

    def call(self, signature: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The signature's answer to arrays."""
        import numpy as np

        dtypes = {code: np.dtype(name) for code, name in DTYPES.items()}
        codes = {dtype: code for code, dtype in dtypes.items()}
        names, answers = self.signatures[signature]
        feeds = (Output * len(arguments))(*[self.output(names[key]) for key in arguments])
        tensors = (Pointer * len(arguments))()
        for i, array in enumerate(arguments.values()):
            shape = (ctypes.c_int64 * array.ndim)(*array.shape)
            size = ctypes.c_size_t(array.nbytes)
            tensor = Pointer(self.tf.TF_AllocateTensor(codes[array.dtype], shape, array.ndim, size))
            data = np.ascontiguousarray(array).tobytes()
            ctypes.memmove(self.tf.TF_TensorData(tensor), data, len(data))
            tensors[i] = tensor
        fetches = (Output * len(answers))(*[self.output(name) for name in answers.values()])
        results = (Pointer * len(answers))()
        self.tf.TF_SessionRun(
            self.session,
            None,
            feeds,
            tensors,
            len(arguments),
            fetches,
            results,
            len(answers),
            None,
            0,
            None,
            self.status,
        )
        self.check()
        values = {}
        for key, result in zip(answers, results, strict=True):
            tensor = Pointer(result)
            shape = [self.tf.TF_Dim(tensor, i) for i in range(self.tf.TF_NumDims(tensor))]
            data = ctypes.string_at(
                self.tf.TF_TensorData(tensor), self.tf.TF_TensorByteSize(tensor)
            )
            values[key] = np.frombuffer(data, dtypes[self.tf.TF_TensorType(tensor)]).reshape(shape)
        return values


def main(library: str, *folders: str) -> None:
    """Answers every request of every folder."""
    for folder in folders:
        session = Session(library, f"{folder}/saved_model")
        import numpy as np

        grouped: dict[str, dict[str, Any]] = {}
        with np.load(f"{folder}/requests.npz") as file:
            for name in file.files:
                request, _, argument = name.partition("/")
                grouped.setdefault(request, {})[argument] = file[name]
        found: dict[str, Any] = {}
        for request, arguments in grouped.items():
            try:
                answers = session.call(request.partition(":")[0], arguments)
            except RuntimeError as error:
                answers = {"error": np.array(str(error))}
            found |= {f"{request}/{key}": value for key, value in answers.items()}
        np.savez(f"{folder}/answers.npz", **found)
    if {"tensorflow", "keras", "zoo"} & set(sys.modules):
        raise RuntimeError("Expected a process that never imports TensorFlow.")


if __name__ == "__main__":
    main(*sys.argv[1:])
