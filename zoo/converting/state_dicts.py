"""State dicts from files, as NumPy arrays: no pickled code is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import FormatError, MissingCheckpointError, MissingExtraError

__all__ = ["arrays_of", "read_state_dict"]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "flow")


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """name -> array of a .safetensors, .npz, .pt or .pth file.

    Raises MissingCheckpointError for no file, FormatError for what cannot be read so, and
    MissingExtraError without the library of the format.
    """
    readers = {".safetensors": _safetensors, ".npz": _npz, ".pt": _torch, ".pth": _torch}
    if path.suffix not in readers:
        raise FormatError(
            f"Expected a state dict in a file {', '.join(readers)}; got {path.name!r}. In Python: "
            "safetensors.torch.save_file(flow.state_dict(), 'flow.safetensors')."
        )
    if not path.is_file():
        raise MissingCheckpointError(f"No file {path}.")
    return readers[path.suffix](path)


def arrays_of(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors of a state dict as arrays. Raises FormatError for what is no tensor."""
    arrays = {}
    for name, value in state.items():
        value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
        if value.dtype.kind not in "fiub":
            raise FormatError(
                f"{name} is no tensor of numbers, but {value.dtype}: expected flow.state_dict()."
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FormatError(f"{name} holds NaN or infinity: nothing was converted.")
        arrays[str(name)] = value
    return arrays


def _library(module: str, message: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(message) from error


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    library = _library(
        "safetensors.numpy",
        "A .safetensors file needs its library: pip install 'density-zoo[safetensors]'.",
    )
    try:
        return arrays_of(library.load_file(path))
    except FormatError:
        raise
    except Exception as error:  # its own kind
        raise FormatError(f"{path} cannot be read as safetensors: {error}.") from error


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return arrays_of(dict(file))
    except FormatError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise FormatError(f"{path} cannot be read as an .npz of arrays: {error}.") from error


def _torch(path: Path) -> dict[str, np.ndarray]:
    torch = _library(
        "torch",
        f"{path.name} needs PyTorch to be read. Where it was written: "
        "safetensors.torch.save_file(flow.state_dict(), 'flow.safetensors').",
    )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zipfile's and torch's own kinds
        raise FormatError(
            f"{path} cannot be read as tensors alone ({str(error).splitlines()[0]}): expected "
            "torch.save(flow.state_dict(), path), not the flow itself."
        ) from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise FormatError(f"{path} holds a {type(loaded).__name__}: expected flow.state_dict().")
    return arrays_of(loaded)
