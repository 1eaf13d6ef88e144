"""What an exported WaveNet answers: scores, whole clips, and clips piece by piece.

`sample` is a clip of fixed length; `sample_step` its next `frame_size` samples, with everything
that the ones after them depend on as explicit state, one row each:

    time      int32, samples so far
    history   int16 [input_filter], the last samples, oldest first
    rings     [N, R], the last inputs of every layer, oldest first, layer after layer

A clip starts from zeros. Rows of one batch may be at different times. The steps of a clip, each fed
with the state of the one before, are the samples of `sample`, and those of
`model.sample(1, seed, temperature, context)`. Servers run the loop without XLA.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.kinds.signatures import flow_signatures
from zoo.models.audio import clips, wavenet_sampling
from zoo.ops.noise import counter_uniform

if TYPE_CHECKING:
    from zoo.models.audio.wavenet import WaveNet

__all__ = ["wavenet_signatures"]


def wavenet_signatures(model: WaveNet) -> dict[str, Signature]:
    """`log_prob`, `sample` and `sample_step`."""
    config, flow = model.config, flow_signatures(model)
    clip = clips.clip_field(config)
    context = {k: v for k, v in flow["log_prob"].inputs.items() if k == "context"}
    if config.mel_bins:
        shape = (config.num_frames, config.mel_bins)
        context["context"] = Space(
            shape=shape, dtype=str(model.compute_dtype), meaning="log-mel frames"
        )
    state = _state_fields(model)
    draws = {"seed": flow["sample"].inputs["seed"], "temperature": _temperature_field(flow)}

    def sample(seed: Any, temperature: Any, context: Any = None) -> dict[str, Any]:
        start = {name: _zeros(field, tf.shape(seed)[0]) for name, field in state.items()}
        answers = _generate(model, start, seed, temperature, context, steps=config.event_shape[0])
        return {"x": answers["x"]}

    def sample_step(
        seed: Any, temperature: Any, context: Any = None, **state: Any
    ) -> dict[str, Any]:
        return _generate(model, state, seed, temperature, context, steps=config.frame_size)

    return {
        "log_prob": dataclasses.replace(
            flow["log_prob"], inputs={"x": clip, **context}, portable=False
        ),
        "sample": Signature(
            description="a clip for each seed: that of model.sample(1, seed, temperature)",
            function=sample,
            inputs={**draws, **context},
            outputs={"x": clip},
        ),
        "sample_step": Signature(
            description="the next samples of a clip, and the state after them; zeros start a clip",
            function=sample_step,
            inputs={**draws, **context, **state},
            outputs={"x": dataclasses.replace(clip, shape=(config.frame_size,)), **state},
        ),
    }


def _state_fields(model: WaveNet) -> dict[str, Space]:
    stack = model.stack
    rings = (sum(stack.ring_sizes), stack.residual_channels)
    return {
        "time": Space(shape=(), dtype="int32", meaning="samples so far", unit="sample", minimum=0),
        "history": Space(
            shape=(model.config.input_filter,),
            dtype="int16",
            meaning="the last samples, oldest first",
        ),
        "rings": Space(
            shape=rings,
            dtype=str(stack.compute_dtype),
            meaning="last inputs of every layer, oldest first, layer after layer",
        ),
    }


def _temperature_field(flow: Mapping[str, Signature]) -> Space:
    return dataclasses.replace(
        flow["sample"].inputs["temperature"],
        meaning="divides logits, multiplies scales: 1 samples the model, 0 takes each step's mode",
    )


def _zeros(field: Space, rows: Any) -> Any:
    return tf.zeros([rows, *field.shape], field.dtype)


def _generate(
    model: WaveNet,
    state: Mapping[str, Any],
    seed: Any,
    temperature: Any,
    context: Any,
    *,
    steps: int,
) -> dict[str, Any]:
    """{"x": the next `steps` samples, int16 [batch, steps]} and the state after them.

    The rings lie oldest first, which is where the stack expects them at any multiple of their
    sizes: it counts the steps of this call, from 0, and the rows' own times count for the rest.
    """
    stack, output, start = model.stack, model.output_distribution, state["time"]
    biases = stack.context_biases(model._frames(context))
    uniforms = _uniforms(seed, start, steps, output.num_uniforms)
    parts = tf.split(state["rings"], stack.ring_sizes, axis=1)
    parts = [tf.transpose(part, [1, 0, 2]) for part in parts]  # [ring size, batch, R] each
    taps = [stack.taps(layer, part, 0) for layer, part in enumerate(parts)]
    rings = [
        tf.TensorArray(part.dtype, size, clear_after_read=False, element_shape=part.shape[1:])
        for size, part in zip(stack.ring_sizes, parts, strict=True)
    ]
    rings = [array.unstack(part) for array, part in zip(rings, parts, strict=True)]
    step = stack.stepper()

    def body(i: Any, history: Any, bias: Any, taps: Any, rings: Any, series: Any) -> Any:
        past = wavenet_sampling.first_input(model, history, start + i)
        skip, rings, taps = step(model.first_layer(past), bias, rings, taps, i)
        x = output.sample(model._head(skip, past), uniforms[i], temperature)
        history = wavenet_sampling.pushed(history, x)
        bias = _biases_at(model, biases, start + i + 1)  # the next step's: see `wavenet_sampling`
        return i + 1, history, bias, taps, rings, series.write(i, x)

    series = tf.TensorArray(tf.int16, steps, element_shape=state["history"].shape[:1])
    _, history, _, _, rings, series = tf.while_loop(
        lambda i, *_: i < steps,
        body,
        (tf.constant(0), state["history"], _biases_at(model, biases, start), taps, rings, series),
        maximum_iterations=steps,
    )
    rolled = [tf.roll(ring.stack(), -steps, axis=0) for ring in rings]  # oldest first again
    return {
        "x": tf.transpose(series.stack()),
        "time": start + steps,
        "history": history,
        "rings": tf.transpose(tf.concat(rolled, 0), [1, 0, 2]),
    }


def _uniforms(seed: Any, start: Any, steps: int, count: int) -> Any:
    """Numbers in (0, 1) named by each row's own seed and time: float32 [steps, batch, count]."""

    def row(seed_and_start: tuple[Any, Any]) -> Any:
        seed, first = seed_and_start
        return counter_uniform(seed, 1, first, steps, count)[:, 0]

    specification = tf.TensorSpec([steps, count], tf.float32)
    rows = tf.map_fn(row, (seed, start), fn_output_signature=specification)
    return tf.transpose(rows, [1, 0, 2])


def _biases_at(model: WaveNet, biases: Any, time: Any) -> Any:
    """Each row's biases at its own time: [layers, batch or 1, 2 R]."""
    if model.conditioner is None:
        now = biases[:, 0]
    else:
        frame = tf.minimum(time // model.config.frame_size, biases.shape[1] - 1)
        now = tf.gather(biases, frame, axis=1, batch_dims=1)
    return tf.transpose(now, [1, 0, 2])
