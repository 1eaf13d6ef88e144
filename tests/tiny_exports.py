"""SavedModels for the tests of the server: tiny models of the zoo, and probes that are none.

`adder` adds its version to a float, in versions 1 and 10; `probe` has the dtypes and the failures
that the zoo's models do not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tiny_checkpoints

import zoo
from zoo import exporting

CARD = """---
license: apache-2.0
---
# A tiny model

| metric | value |
| --- | ---: |
| bits/dim | 4.36 |

```
one line of code that is wider than a telephone, which shows some fifty characters of it
```

<script>alert("no")</script> ![a picture](https://example.org/p.png)
"""


def tiny_model(name: str) -> Any:
    """The model of `tiny_checkpoints.CONFIGS`, with weights that are no initialisation's."""
    family, config = tiny_checkpoints.CONFIGS[name]
    model = zoo.create(family, name=name, **config)
    generator = np.random.default_rng(len(name))
    for variable in model.trainable_variables:
        variable.assign(0.3 * generator.normal(size=variable.shape))
    return model


def export(path: Path) -> dict[str, Any]:
    """Writes every SavedModel to `path`; returns the zoo's models by name."""
    models = {name: tiny_model(name) for name in tiny_checkpoints.NAMES}
    for model in models.values():
        exporting.export(model, path)
    extra = path / "tiny_images" / "1" / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "card.md").write_text(CARD)
    for version in (1, 10):
        save_adder(path / "adder" / str(version), version)
    save_probe(path / "probe" / "3")
    return models


def save_adder(folder: Path, version: int) -> None:
    """y = x + version, of scalars."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    def add(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x + float(version)}

    module = tf.Module()
    module.add = add
    tf.saved_model.save(module, str(folder), signatures={"serving_default": add})


def save_probe(folder: Path) -> None:
    """Strings, booleans, 64-bit integers, half floats, free shapes, no batch, refused values."""

    def signature(**inputs: tuple[list[int | None], tf.DType]) -> Any:
        specs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
        return lambda function: tf.function(function, input_signature=specs, autograph=False)

    module = tf.Module()

    @signature(text=([None], tf.string))
    def strings(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": text, "text_bytes": text}

    @signature(b=([None], tf.bool), i=([None, 2], tf.int64), u=([None], tf.uint64))
    def kinds(b: tf.Tensor, i: tf.Tensor, u: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"b": tf.logical_not(b), "i": -i, "u": u}

    @signature(x=([], tf.float64))
    def scalar(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"double": 2.0 * x}

    @signature(x=([None, None], tf.bfloat16))
    def brain(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": x}

    @signature(x=([None, None], tf.float32))
    def uneven(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"all": x, "twice": tf.concat([x, x], 0)}

    @signature(x=([None], tf.float32))
    def positive(x: tf.Tensor) -> dict[str, tf.Tensor]:
        check = tf.debugging.Assert(tf.reduce_all(x > 0.0), ["x must be positive"])
        with tf.control_dependencies([check]):
            return {"log": tf.math.log(x)}

    functions = {
        "strings": strings,
        "kinds": kinds,
        "scalar": scalar,
        "brain": brain,
        "uneven": uneven,
        "positive": positive,
    }
    for name, function in functions.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(folder), signatures=functions)


def write_manifest(folder: Path, **values: Any) -> None:
    """Puts a manifest beside a SavedModel."""
    path = folder / "assets.extra" / "signatures.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values))
