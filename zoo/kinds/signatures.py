"""What an exported model answers: the signatures of its capabilities.

A `Signature` is a function of named batches with a description of every input and output. Its
inputs' checks inside the exported graph, the manifest beside a SavedModel and the warm-up requests
are all made from that description, so a model that can do more answers more, and nothing else is
to be done. A family that answers something of its own overrides `serving_signatures`:

    def serving_signatures(self) -> dict[str, Signature]:
        return {
            **super().serving_signatures(),
            "likelihood": Signature(
                description="p(x)",
                function=lambda x: {"p": tf.exp(self.log_prob(x))},
                inputs={"x": self.data},
                outputs={"p": row_field(self, "p(x) of the data as stored", unit="")},
            ),
        }

All inputs and outputs are batch-first; state (of a streaming sampler, say) goes in and out as
fields, one row each. Randomness comes from a seed per row, never from one per batch: an answer must
not depend on the rows that share its batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from zoo.core.capabilities import AnyOrder, Encodes, Infers, Samples, Scores, Steps
from zoo.core.checks import MAX_TEMPERATURE
from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.ops.units import bits_per_dim_from_nats

__all__ = ["SIGNATURES", "row_field", "signatures"]

_ORDER = ("log_prob", "elbo", "encode", "decode", "reconstruct", "sample", "sample_step", "impute")


def signatures(model: Any) -> dict[str, Signature]:
    """Those of all that the model can do, less `not_served`; `served_first` comes first."""
    found: dict[str, Signature] = {}
    for capability, declared in SIGNATURES.items():
        if isinstance(model, capability):
            found.update(declared(model))
    names = sorted(found, key=lambda name: (name != model.served_first, _ORDER.index(name)))
    return {
        name: dataclasses.replace(
            found[name],
            description=model.words.get(name, found[name].description),
            portable=name in model.portable,
        )
        for name in names
        if name not in model.not_served
    }


def row_field(model: Any, meaning: str, *, unit: str) -> Space:
    """One number a row."""
    return Space(shape=(), dtype=str(model.compute_dtype), meaning=meaning, unit=unit)


def _scores(model: Any) -> dict[str, Signature]:
    def log_prob(x: Any, context: Any = None) -> dict[str, Any]:
        nats = model.log_prob(x, context)
        bits = bits_per_dim_from_nats(nats, model.config.event_size)
        return {"log_prob": nats, "bits_per_dim": bits}

    per_dimension = row_field(model, "-log_prob / (D log 2)", unit="bits per dimension")
    return {
        "log_prob": Signature(
            description="log-density of data",
            function=log_prob,
            inputs={"x": model.data, **_context(model)},
            outputs={
                "log_prob": row_field(model, "log p(x) of the data as stored", unit="nats"),
                "bits_per_dim": per_dimension,
            },
        )
    }


def _samples(model: Any) -> dict[str, Signature]:
    def sample(seed: Any, temperature: Any, context: Any = None) -> dict[str, Any]:
        return {"x": model.draw_rows(seed, temperature, context)}

    return {
        "sample": Signature(
            description="a draw for each seed: that of model.sample(1, seed, temperature)",
            function=sample,
            inputs={**_draws(model), **_context(model)},
            outputs={"x": model.data},
        )
    }


def _encodes(model: Any) -> dict[str, Signature]:
    return {
        "encode": Signature(
            description="data to latents, without noise: of grey levels the middle",
            function=lambda x, context=None: {"z": model.encode(x, context)},
            inputs={"x": model.data, **_context(model)},
            outputs={"z": model.latent},
        ),
        "decode": Signature(
            description="latents to data",
            function=lambda z, context=None: {"x": model.decode(z, context)},
            inputs={"z": model.latent, **_context(model)},
            outputs={"x": model.data},
        ),
    }


def _infers(model: Any) -> dict[str, Signature]:
    mean = Space(
        shape=model.data.shape,
        dtype=str(model.compute_dtype),
        meaning="expected data given the latents of x; of binary images the probability of a 1",
    )
    inputs = {"x": model.data, **_context(model)}
    return {
        "elbo": Signature(
            description="evidence lower bound of log p(x), by one draw a row",
            function=lambda x, context=None: {"elbo": model.elbo(x, context)},
            inputs=inputs,
            outputs={"elbo": row_field(model, "E_q[log p(x, z) - log q(z | x)]", unit="nats")},
        ),
        "reconstruct": Signature(
            description="data to latents and back",
            function=lambda x, context=None: {"x": model.reconstruct(x, context)},
            inputs=inputs,
            outputs={"x": mean},
        ),
    }


def _steps(model: Any) -> dict[str, Signature]:
    size, state = model.step_size, model.step_state()

    def sample_step(
        seed: Any, temperature: Any, context: Any = None, **state: Any
    ) -> dict[str, Any]:
        return model.next_pieces(state, seed, temperature, context, count=size)

    return {
        "sample_step": Signature(
            description="the next pieces of a row, and the state after them; zeros start a row",
            function=sample_step,
            inputs={**_draws(model), **_context(model), **state},
            outputs={"x": dataclasses.replace(model.data, shape=(size,)), **state},
        )
    }


def _any_order(model: Any) -> dict[str, Signature]:
    def impute(x: Any, observed: Any, seed: Any, temperature: Any) -> dict[str, Any]:
        return {"x": model.complete_rows(x, observed, seed, temperature)}

    observed = Space(
        shape=model.data.shape,
        dtype="int32",
        meaning="1 where x is known, 0 where it is to be drawn and may be any value",
        minimum=0,
        maximum=1,
    )
    return {
        "impute": Signature(
            description="x where observed, else a draw from its exact conditional",
            function=impute,
            inputs={"x": model.data, "observed": observed, **_draws(model)},
            outputs={"x": model.data},
        )
    }


SIGNATURES: dict[type, Callable[[Any], dict[str, Signature]]] = {
    Scores: _scores,
    Samples: _samples,
    Encodes: _encodes,
    Infers: _infers,
    Steps: _steps,
    AnyOrder: _any_order,
}


def _context(model: Any) -> dict[str, Space]:
    """The condition under its name `context`; nothing for an unconditional model."""
    return {} if model.context is None else {"context": model.context}


def _draws(model: Any) -> dict[str, Space]:
    """The seed and the temperature of a row."""
    seed = "seed of the row alone: the same seed gives the same row in any batch"
    temperature = Space(
        shape=(),
        dtype=str(model.compute_dtype),
        meaning=model.temperature_meaning,
        minimum=0.0,
        maximum=MAX_TEMPERATURE,
        example=1.0,
    )
    return {"seed": Space(shape=(2,), dtype="int32", meaning=seed), "temperature": temperature}
