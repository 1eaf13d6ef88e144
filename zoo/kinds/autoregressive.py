"""Autoregressive models: a row piece by piece, each given those before.

    log p(x | c) = sum_t log P(x_t | x_<t, c)

All conditionals of a given row are computed at once; a drawn row takes one step after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import tensorflow as tf

from zoo.core import checks
from zoo.core.capabilities import Samples, Scores, Steps
from zoo.errors import InvalidInputError
from zoo.kinds.model import ZooModel

__all__ = ["Autoregressive"]


class Autoregressive(ZooModel, Scores, Samples, Steps):
    """A model of discrete rows [T]. Subclasses give `_stepwise`, `_stream` and what `Steps` lists.

    Its scores are exact and need no noise.
    """

    temperature_meaning: ClassVar[str] = (
        "divides logits, multiplies scales: 1 samples the model, 0 takes each step's mode"
    )

    # What subclasses provide.

    def _stepwise(self, x: Any, context: Any) -> Any:
        """log P(x_t | x_<t, c), of checked arguments in any graph: [batch, T] nats."""
        raise NotImplementedError

    def _stream(
        self, num_samples: int, context: Any, seed: Any, temperature: Any, *, chunk_size: int
    ) -> Iterator[Any]:
        """The chunks of `sample_stream`, of checked arguments."""
        raise NotImplementedError

    # Scores.

    @property
    def measure(self) -> Literal["density", "mass", "volume"]:
        """Mass: rows are discrete."""
        return "mass"

    def log_prob(self, x: Any, context: Any = None, *, seed: Any = None) -> Any:
        """log p(x [| context]), exact, in nats of the data as stored: [batch].

        x: [batch, *event_shape].   context: as the model's `context` says.   seed: of no effect.
        Raises InvalidInputError for other shapes and dtypes, empty batches, and a context missing
        or not expected (values are checked in eager mode alone).
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        return self._run("log_prob", self.score, x=x, context=context, seed=seed)

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """The sum over the steps: [batch] nats."""
        del seed, training  # no noise: the density of the stored samples is exact
        return tf.reduce_sum(self._stepwise(x, context), axis=-1)

    def stepwise_log_prob(self, x: Any, context: Any = None) -> Any:
        """log P(x_t | x_<t, c) of every sample: [batch, T] nats, whose sum is `log_prob`.

        Takes what `log_prob` takes and raises what it raises.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        return self._run("stepwise", self._stepwise, x=x, context=context)

    # Samples.

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """x_t ~ P(x_t | x_<t, c), t = 0, 1, ...: [num_samples, T], as stored.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: divides the logits, multiplies the scales; 0 takes the mode of each step.
        context: int labels [num_samples], rows of factors [num_samples, factors], or one for all: a
            label, or a row [1, factors]. Of a model with durations a row may have one number more,
            the clip's duration class; labels alone are clips of typical length.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, a wrong
        context.
        """
        size = self.config.event_shape[0]
        chunks = self.sample_stream(
            num_samples, seed=seed, temperature=temperature, context=context, chunk_size=size
        )
        return next(chunks)

    def sample_stream(
        self,
        num_samples: int,
        *,
        seed: Any = None,
        temperature: float = 1.0,
        context: Any = None,
        chunk_size: int = 800,
    ) -> Iterator[Any]:
        """The samples of `sample`, chunk after chunk: [num_samples, <= chunk_size] each.

        The state between chunks is explicit, so that the chunks of any size put together are what
        one call returns. Raises InvalidInputError as `sample` does, for a chunk_size < 1 too.
        """
        num_samples, temperature = checks.checked_sampling(num_samples, temperature)
        rows = checks.static_number(num_samples, "the loop over a clip's samples has states of it")
        if not checks.is_real(chunk_size) or chunk_size < 1 or int(chunk_size) != chunk_size:
            raise InvalidInputError(
                f"chunk_size must be an integer of at least 1; got {chunk_size!r}."
            )
        return self._stream(
            rows,
            self._context_of_rows(context, rows),
            checks.seed_tensor(seed, default=None),
            checks.scalar(temperature, self.compute_dtype),
            chunk_size=int(chunk_size),
        )

    def _context_of_rows(self, context: Any, rows: int) -> Any:
        """The context of `sample`: one label, or one row of factors [1, factors], for all."""
        labelled = self.context is not None and self.context.is_integer
        if context is not None and labelled:
            context = checks.as_tensor(context, "context", None)
            if context.shape.rank == 0 or context.shape[0] == 1:
                context = tf.repeat(tf.reshape(context, [1, *context.shape[1:]]), rows, axis=0)
        return self.checked_context(context, rows=rows)

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """All pieces after the state of zeros: [batch, T]."""
        rows = tf.shape(seeds)[0]
        start = {
            name: tf.zeros([rows, *space.shape], space.dtype)
            for name, space in self.step_state().items()
        }
        count = self.config.event_shape[0]
        return self.next_pieces(start, seeds, temperature, context, count=count)["x"]
