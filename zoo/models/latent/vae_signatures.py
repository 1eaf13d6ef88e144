"""What an exported VAE answers: `log_prob`, `elbo`, `encode`, `decode`, `reconstruct`, `sample`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.kinds.signatures import flow_signatures, row_field
from zoo.ops.noise import counter_uniform

if TYPE_CHECKING:
    from zoo.models.latent.vae import VAE

__all__ = ["vae_signatures"]


def vae_signatures(model: VAE) -> dict[str, Signature]:
    """`log_prob`, `elbo`, `encode`, `decode`, `reconstruct` and `sample`."""
    from zoo.models.latent.vae import DEFAULT_IMPORTANCE_SAMPLES

    config, flow = model.config, flow_signatures(model)
    data = flow["log_prob"].inputs
    count = config.latent_size + config.event_size

    def sample(seed: Any, temperature: Any) -> dict[str, Any]:
        uniform = tf.map_fn(
            lambda row: counter_uniform(row, 1, tf.constant(0), 1, count)[0, 0],
            seed,
            fn_output_signature=tf.TensorSpec([count], tf.float32),
        )
        return {"x": model._drawn(uniform, temperature)}

    log_prob = dataclasses.replace(
        flow["log_prob"],
        description=f"log p(x) by {DEFAULT_IMPORTANCE_SAMPLES} importance samples a row",
        portable=False,  # the normal quantile function is no builtin of LiteRT or ONNX
    )
    mean = Space(
        shape=config.event_shape,
        dtype=str(model.compute_dtype),
        meaning="expected data given the latents of x; of binary images the probability of a 1",
    )
    return {
        "log_prob": log_prob,
        "elbo": Signature(
            description="evidence lower bound of log p(x), by one draw a row",
            function=lambda x: {"elbo": model.elbo(x)},
            inputs=data,
            outputs={"elbo": row_field(model, "E_q[log p(x, z) - log q(z | x)]", unit="nats")},
        ),
        "encode": flow["encode"],
        "decode": flow["decode"],
        "reconstruct": Signature(
            description="data to latents and back",
            function=lambda x: {"x": model.reconstruct(x)},
            inputs=data,
            outputs={"x": mean},
            portable=True,
        ),
        "sample": dataclasses.replace(flow["sample"], function=sample),
    }
