"""What an exported model answers: signatures, each declared once by the model itself.

A `Signature` is a function of named batches with a description of every input and output. Its
inputs' checks inside the exported graph, the manifest beside a SavedModel and the warm-up requests
are all made from that description, so a family declares its signatures and does nothing else.

`DensityModel.serving_signatures()` is the hook; the first entry is the server's default. A family
that answers more overrides it:

    def serving_signatures(self) -> dict[str, Signature]:
        return {
            **super().serving_signatures(),
            "elbo": Signature(
                description="evidence lower bound of log p(x)",
                function=lambda x: {"elbo": self.elbo(x)},
                inputs={"x": data_field(self)},
                outputs={"elbo": row_field(self, "E_q[log p(x, z) - log q(z)]", unit="nats")},
            ),
        }

One that is no flow returns its own dictionary. All inputs and outputs are batch-first; state (of a
streaming sampler, say) goes in and out as fields, one row each. Randomness comes from a seed per
row, never from one per batch: an answer must not depend on the rows that share its batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from zoo.core.checks import MAX_TEMPERATURE
from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.ops.units import bits_per_dim_from_nats

if TYPE_CHECKING:
    from zoo.kinds.flow import DensityModel

__all__ = [
    "context_fields",
    "data_field",
    "flow_signatures",
    "latent_field",
    "row_field",
    "seed_field",
    "temperature_field",
]


def data_field(model: DensityModel) -> Space:
    """A row of data as the dataset stores it."""
    levels = model.config.preprocessing.num_levels
    if levels:
        return Space(
            shape=model.config.event_shape,
            dtype=model.data_dtype,
            meaning="grey levels as the dataset stores them",
            unit="grey level",
            minimum=0,
            maximum=levels - 1,
            example=levels // 2,
        )
    return Space(
        shape=model.config.event_shape,
        dtype=model.data_dtype,
        meaning="features as the dataset stores them, not standardised",
    )


def latent_field(model: DensityModel) -> Space:
    """A latent row, of as many dimensions as the base distribution."""
    return Space(
        shape=tuple(model.base_distribution().event_shape),
        dtype=str(model.compute_dtype),
        meaning="latent; distributed as the base where the data are the model's",
    )


def row_field(model: DensityModel, meaning: str, *, unit: str) -> Space:
    """One number a row."""
    return Space(shape=(), dtype=str(model.compute_dtype), meaning=meaning, unit=unit)


def context_fields(model: DensityModel) -> dict[str, Space]:
    """The label of a conditional model, under its name `context`; nothing for another."""
    size = model.config.context_size
    if not size:
        return {}
    meaning = "label that the density is conditioned on"
    return {
        "context": Space(
            shape=(), dtype="int32", meaning=meaning, unit="class", minimum=0, maximum=size - 1
        )
    }


def seed_field() -> Space:
    """The seed of a row."""
    return Space(
        shape=(2,),
        dtype="int32",
        meaning="seed of the row alone: the same seed gives the same row in any batch",
    )


def temperature_field(model: DensityModel) -> Space:
    """The temperature of a row."""
    return Space(
        shape=(),
        dtype=str(model.compute_dtype),
        meaning="factor on the latent: 1 samples the model, 0 gives the image of the base's mode",
        minimum=0.0,
        maximum=MAX_TEMPERATURE,
        example=1.0,
    )


def flow_signatures(model: DensityModel) -> dict[str, Signature]:
    """`log_prob`, `encode`, `decode` and `sample` of a model with an exact bijector."""
    data, latent, context = data_field(model), latent_field(model), context_fields(model)

    def log_prob(x: Any, context: Any = None) -> dict[str, Any]:
        nats = model.log_prob(x, context)
        bits = bits_per_dim_from_nats(nats, model.config.event_size)
        return {"log_prob": nats, "bits_per_dim": bits}

    def sample(seed: Any, temperature: Any, context: Any = None) -> dict[str, Any]:
        z = temperature[:, None] * _base_rows(model, seed)
        return {"x": model.decode(z, context)}

    return {
        "log_prob": Signature(
            description="log-density of data",
            function=log_prob,
            inputs={"x": data, **context},
            outputs={
                "log_prob": row_field(model, "log p(x) of the data as stored", unit="nats"),
                "bits_per_dim": row_field(
                    model, "-log_prob / (D log 2)", unit="bits per dimension"
                ),
            },
            portable=True,
        ),
        "encode": Signature(
            description="data to latents, without noise: of grey levels the middle",
            function=lambda x, context=None: {"z": model.encode(x, context)},
            inputs={"x": data, **context},
            outputs={"z": latent},
            portable=True,
        ),
        "decode": Signature(
            description="latents to data",
            function=lambda z, context=None: {"x": model.decode(z, context)},
            inputs={"z": latent, **context},
            outputs={"x": data},
            portable=True,
        ),
        "sample": Signature(
            description="a draw for each seed: that of model.sample(1, seed, temperature)",
            function=sample,
            inputs={"seed": seed_field(), "temperature": temperature_field(model), **context},
            outputs={"x": data},
        ),
    }


def _base_rows(model: DensityModel, seed: Any) -> Any:
    """z ~ base, one draw for each row of int32 seeds [batch, 2]: [batch, *base event]."""
    base = model.base_distribution()
    specification = tf.TensorSpec(base.event_shape, model.compute_dtype)
    return tf.map_fn(
        lambda row: base.sample(1, seed=row)[0], seed, fn_output_signature=specification
    )
