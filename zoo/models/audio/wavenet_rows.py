"""WaveNets on rows that are each at a time of their own: what a served model answers.

A clip is made `count` samples at a time, with everything that those after them depend on as
explicit state, one row each:

    time      int32, samples so far
    history   int16 [input_filter], the last samples, oldest first
    rings     [N, R], the last inputs of every layer, oldest first, layer after layer

A clip starts from zeros. Rows of one batch may be at different times. The pieces of a clip, each
made from the state after the one before, are those of `model.sample(1, seed, temperature, context)`
(`zoo.models.audio.wavenet_sampling`). Servers run the loop without XLA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo.core.space import Space
from zoo.models.audio import wavenet_sampling
from zoo.ops.noise import counter_uniform

__all__ = ["next_pieces", "state_spaces"]


def state_spaces(model: Any) -> dict[str, Space]:
    """`time`, `history` and `rings`."""
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


def next_pieces(
    model: Any,
    state: Mapping[str, Any],
    seed: Any,
    temperature: Any,
    context: Any,
    *,
    count: int,
) -> dict[str, Any]:
    """{"x": the next `count` samples, int16 [batch, count]} and the state after them.

    The rings lie oldest first, which is where the stack expects them at any multiple of their
    sizes: it counts the steps of this call, from 0, and the rows' own times count for the rest.
    """
    stack, output, start = model.stack, model.output_distribution, state["time"]
    biases = stack.context_biases(model._frames(context))
    uniforms = _uniforms(seed, start, count, output.num_uniforms)
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

    series = tf.TensorArray(tf.int16, count, element_shape=state["history"].shape[:1])
    _, history, _, _, rings, series = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (tf.constant(0), state["history"], _biases_at(model, biases, start), taps, rings, series),
        maximum_iterations=count,
    )
    rolled = [tf.roll(ring.stack(), -count, axis=0) for ring in rings]  # oldest first again
    return {
        "x": tf.transpose(series.stack()),
        "time": start + count,
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


def _biases_at(model: Any, biases: Any, time: Any) -> Any:
    """Each row's biases at its own time: [layers, batch or 1, 2 R]."""
    if model.conditioner is None:
        now = biases[:, 0]
    else:
        frame = tf.minimum(time // model.config.frame_size, biases.shape[1] - 1)
        now = tf.gather(biases, frame, axis=1, batch_dims=1)
    return tf.transpose(now, [1, 0, 2])
