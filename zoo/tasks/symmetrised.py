"""A density averaged over the symmetries of its data.

A photograph mirrored, or turned by a quarter, is as likely as it was; a flow that was trained on
patches in all eight positions says so only nearly. The mixture of the eight does so exactly:

    q(x) = 1/8 sum_g p(g x),   log q(x) = logsumexp_g log p(g x) - log 8

Every g permutes pixels (log|det| 0), so that each p(g .) is a density, and so is their mean. A
sample of q is a sample of p, turned by a symmetry drawn uniformly. By Jensen's inequality log q(x)
is at least the mean of log p(g x) over g: on data with the symmetries q scores as well as p or
better, on average. It takes eight passes, and has no latents. The family `nsf_patches`
has symmetries itself, in one pass (`zoo.bijectors.symmetry`).
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from zoo.errors import InvalidInputError
from zoo.ops.symmetries import all_symmetries

__all__ = ["symmetrised_log_prob"]


def symmetrised_log_prob(model: Any, x: Any) -> Any:
    """log q(x) in nats of the data as stored, [batch].

    model: a density model of square patches in the form of `zoo.data.bsds300`, event shape
        [side**2 - 1].   x: floats [batch, side**2 - 1].
    Raises InvalidInputError for models of other events, and what `model.log_prob` raises.
    """
    space, context = model.data, model.context
    if len(space.shape) != 1 or context is not None or space.levels:
        raise InvalidInputError(
            "Expected a model of patches as rows of real pixels, without a context; "
            f"got event_shape={space.shape}, context_size={context.num_labels if context else 0}, "
            f"num_levels={space.levels}."
        )
    log_probs = [model.log_prob(turned) for turned in all_symmetries(model.checked_data(x))]
    return tf.reduce_logsumexp(tf.stack(log_probs), 0) - math.log(len(log_probs))
