"""Sampling of WaveNets from cached states: O(layers) work a sample, in one compiled loop.

Le Paine et al. 2016, arXiv:1611.09482: every layer keeps the inputs that its later steps will need,
so that no past activation is computed twice. The state is explicit (`State`); between two calls it
can be kept, copied or stored. Noise is a hash of (seed, row, step), so that chunks of any size, the
naive loop and other compilers draw the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.ops.noise import counter_uniform

__all__ = [
    "State",
    "first_input",
    "generate",
    "initial_state",
    "naive_sample",
    "pushed",
    "stepwise_parameters",
    "stream",
]


class State(NamedTuple):
    """What the next step depends on, besides the weights and the condition.

    time: int32 scalar, samples so far.   history: int16 [batch, taps of the first filter], the last
    samples, oldest first.
    rings: for each layer its last inputs, [ring size, batch, R], step t at t mod the size.
    """

    time: Any
    history: Any
    rings: list[Any]


def initial_state(model: Any, batch: int) -> State:
    """Silence before the first sample."""
    silence = tf.zeros([batch, model.config.input_filter], tf.int16)
    return State(tf.constant(0, tf.int32), silence, model.stack.initial_rings(batch))


def generate(
    model: Any, state: State, biases: Any, seed: Any, temperature: Any, *, steps: int
) -> tuple[Any, State]:
    """The next `steps` samples, int16 [batch, steps], and the state after them.

    biases: [batch or 1, frames, layers, 2 R], the whole clip's (`CausalStack.context_biases`).
    seed: int32 [2].   temperature: a scalar.
    """
    output, batch = model.output_distribution, state.history.shape[0]
    uniforms = counter_uniform(seed, batch, state.time, steps, output.num_uniforms)

    def draw(parameters: Any, i: Any) -> tuple[Any, Any]:
        x = output.sample(parameters, uniforms[i], temperature)
        return x, tf.cast(x, tf.int32)

    kept, state = _loop(model, state, biases, draw, steps=steps, kept=((batch,), tf.int32))
    return tf.cast(tf.transpose(kept), tf.int16), state


def stepwise_parameters(model: Any, x: Any, biases: Any) -> Any:
    """The conditionals' parameters by the cached loop: x int16 [batch, T] -> [batch, T, n]."""
    batch, steps = x.shape
    shape = (batch, model.output_distribution.num_parameters)
    state = initial_state(model, batch)

    def given(parameters: Any, i: Any) -> tuple[Any, Any]:
        return x[:, i], parameters

    kept, _ = _loop(
        model, state, biases, given, steps=steps, kept=(shape, tf.as_dtype(model.compute_dtype))
    )
    return tf.transpose(kept, [1, 0, 2])


def _loop(
    model: Any,
    state: State,
    biases: Any,
    choose: Callable[[Any, Any], tuple[Any, Any]],
    *,
    steps: int,
    kept: tuple[tuple[int, ...], Any],
) -> tuple[Any, State]:
    """`steps` steps from a state.

    choose: (parameters [batch, n], i) -> (sample int16 [batch], what to keep of the step).
    kept: shape and dtype of the latter.   returns: all that was kept, [steps, ...], and the state.
    """
    frames, stack = biases.shape[1], model.stack
    step = stack.stepper()
    biases = tf.transpose(biases, [1, 2, 0, 3])  # [frames, layers, batch or 1, 2 R]

    def biases_at(time: Any) -> Any:
        return biases[tf.minimum(time // model.config.frame_size, frames - 1)]

    def body(i: Any, history: Any, bias: Any, taps: Any, rings: Any, series: Any) -> Any:
        time = state.time + i
        past = first_input(model, history, time)
        skip, rings, taps = step(model.first_layer(past), bias, rings, taps, time)
        x, item = choose(model._head(skip, past), i)
        # The next step's biases: read in the step itself they would be part of every layer's
        # activation, whose loop XLA then does not vectorise.
        return i + 1, pushed(history, x), biases_at(time + 1), taps, rings, series.write(i, item)

    rings = [
        tf.TensorArray(ring.dtype, size, clear_after_read=False, element_shape=ring.shape[1:])
        for size, ring in zip(stack.ring_sizes, state.rings, strict=True)
    ]
    rings = [array.unstack(ring) for array, ring in zip(rings, state.rings, strict=True)]
    taps = [stack.taps(layer, ring, state.time) for layer, ring in enumerate(state.rings)]
    series = tf.TensorArray(kept[1], steps, element_shape=kept[0])
    _, history, _, _, rings, series = tf.while_loop(
        lambda i, *_: i < steps,
        body,
        (tf.constant(0), state.history, biases_at(state.time), taps, rings, series),
        maximum_iterations=steps,
    )
    after = State(state.time + steps, history, [ring.stack() for ring in rings])
    return series.stack(), after


def first_input(model: Any, history: Any, time: Any) -> Any:
    """The first layer's input at `time` from the samples before it: [batch, taps * features].

    history: int16 [batch, taps], oldest first.   time: int32, a scalar or of each row.
    Where there is no such sample the network sees zeros, as `shifted` gives them.
    """
    taps = history.shape[1]
    features = model.output_distribution.features(history, model.stack.compute_dtype)
    present = tf.reshape(time, [-1, 1, 1]) >= tf.reshape(tf.range(taps, 0, -1), [1, taps, 1])
    features = tf.where(present, features, tf.zeros_like(features))
    return tf.reshape(features, [-1, taps * features.shape[-1]])


def pushed(history: Any, x: Any) -> Any:
    """The history after one more sample."""
    return tf.concat([history[:, 1:], x[:, None]], 1)


def stream(
    model: Any, num_samples: int, context: Any, seed: Any, temperature: Any, *, chunk_size: int
) -> Iterator[Any]:
    """The chunks of `WaveNet.sample_stream`, of checked arguments."""
    state = initial_state(model, num_samples)
    biases = model.stack.context_biases(model._frames(context))
    size = model.config.event_shape[0]
    for start in range(0, size, chunk_size):
        generator = model._compiled_generator(min(chunk_size, size - start))
        samples, state = generator(state, biases, seed, temperature)
        yield samples


def naive_sample(
    model: Any,
    num_samples: int,
    context: Any,
    seed: Any,
    temperature: Any,
    *,
    steps: int,
    drawn: int = 0,
) -> Any:
    """The first samples of `steps`, every layer computed anew over the receptive field for each.

    What sampling costs without cached states: the reference of tests and benchmarks.
    drawn: how many of them; 0 for all, the others stay 0.   returns: int16 [num_samples, steps].
    """
    config, output = model.config, model.output_distribution
    window = min(config.receptive_field + 1, steps)
    biases = model.stack.context_biases(model._frames(context))
    uniforms = counter_uniform(seed, num_samples, tf.constant(0), steps, output.num_uniforms)

    def body(t: Any, samples: Any) -> Any:
        start = tf.clip_by_value(t - config.receptive_field, 0, steps - window)
        times = start + tf.range(window)
        frames = tf.minimum(times // config.frame_size, biases.shape[1] - 1)
        parameters = model._parameters_given(
            tf.gather(samples, times, axis=1), tf.gather(biases, frames, axis=1), frame_size=1
        )
        x = output.sample(parameters[:, t - start], uniforms[t], temperature)
        return t + 1, tf.where(tf.range(steps) == t, x[:, None], samples)

    samples = tf.zeros([num_samples, steps], tf.int16)
    stop = drawn or steps
    return tf.while_loop(lambda t, _: t < stop, body, (tf.constant(0), samples))[1]
