"""SavedModels in TensorFlow Serving's layout: raw data in and out, batch-first.

They need no TFP or Keras to load.

    <path>/<name>/<version>/    saved_model.pb, variables/, assets/

Signatures, all with dictionary outputs:

    serving_default = log_prob   x [B, *event]                -> log_prob [B] nats, bits_per_dim [B]
    encode                       x [B, *event]                -> z [B, D]
    decode                       z [B, D]                     -> x [B, *event]
    sample                       seed int32 [B, 2], temperature [B]   -> x [B, *event]

Conditional models take `context` int32 [B] in every signature. Each row of `sample` has its own
seed, so that an answer does not depend on which requests share its batch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from zoo import loading
from zoo.errors import ExportError
from zoo.models.base import EVALUATION_SEED, DensityModel
from zoo.ops.units import bits_per_dim_from_nats

__all__ = ["export", "signatures"]


def export(model_or_name: Any, path: str | os.PathLike[str] = "export", version: int = 1) -> str:
    """Writes the model's SavedModel to `<path>/<name>/<version>`; returns that folder.

    model_or_name: a registered name, or a density model (its `name` names the folder).
    Raises ExportError if the folder exists, the version is no positive integer, or it is no density
    model.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ExportError(f"version must be a positive integer; got {version!r}.")
    model = loading.load(model_or_name) if isinstance(model_or_name, str) else model_or_name
    if not isinstance(model, DensityModel):
        raise ExportError(
            f"Expected a registered name or a density model; got {type(model).__name__}."
        )
    name = model_or_name if isinstance(model_or_name, str) else model.name
    folder = Path(path) / name / str(version)
    if folder.exists() and any(folder.iterdir()):
        raise ExportError(
            f"{folder} exists. Servers expect versions to be immutable: "
            f"export version {version + 1}."
        )
    archive = keras.export.ExportArchive()
    archive.track(model)
    for endpoint, (function, specification) in signatures(model).items():
        archive.add_endpoint(endpoint, function, input_signature=specification)
    # Under another name until it is complete: a server that watches the folder loads any number.
    unfinished = folder.with_name(f"unfinished-{version}-{os.getpid()}")
    archive.write_out(str(unfinished), verbose=False)
    os.replace(unfinished, folder)
    return str(folder)


def signatures(model: DensityModel) -> dict[str, tuple[Any, list[tf.TensorSpec]]]:
    """name -> (function of tensors, its specification).

    `log_prob` comes first, the default of servers.
    """
    config = model.config
    dtype = tf.as_dtype(model.compute_dtype)
    x = tf.TensorSpec([None, *config.event_shape], tf.as_dtype(model.data_dtype), name="x")
    z = tf.TensorSpec([None, config.event_size], dtype, name="z")
    seed = tf.TensorSpec([None, 2], tf.int32, name="seed")
    temperature = tf.TensorSpec([None], dtype, name="temperature")
    labels = [tf.TensorSpec([None], tf.int32, name="context")] if config.context_size else []
    fixed_seed = tf.constant(EVALUATION_SEED, tf.int32)

    def log_prob(x: Any, context: Any = None) -> dict[str, Any]:
        value = model._log_prob(x, context, fixed_seed)
        return {"log_prob": value, "bits_per_dim": bits_per_dim_from_nats(value, config.event_size)}

    def encode(x: Any, context: Any = None) -> dict[str, Any]:
        return {"z": model._encode(x, context)}

    def decode(z: Any, context: Any = None) -> dict[str, Any]:
        return {"x": model._decode(z, context)}

    def sample(seed: Any, temperature: Any, context: Any = None) -> dict[str, Any]:
        base = model._base_distribution()
        quantile = tf.vectorized_map(
            lambda s: tf.random.stateless_uniform(
                [config.event_size],
                s,
                minval=_SMALLEST_QUANTILE,
                maxval=1.0,
                dtype=dtype,
                alg="philox",
            ),
            seed,
        )
        latents = temperature[:, None] * base.distribution.quantile(quantile)
        return {"x": model._decode(latents, context)}

    functions = {
        "log_prob": (log_prob, [x, *labels]),
        "encode": (encode, [x, *labels]),
        "decode": (decode, [z, *labels]),
        "sample": (sample, [seed, temperature, *labels]),
    }
    return {
        name: (tf.function(function, input_signature=specification, autograph=False), specification)
        for name, (function, specification) in functions.items()
    }


# Uniforms stay above it, so that no quantile is minus infinity.
_SMALLEST_QUANTILE = 1e-7
