"""One job of `tools/benchmark_peers.py`: JSON on stdin, JSON on the last line of stdout.

It runs in the environment of the library that the job names and imports nothing else of the
project: NumPy and that library are enough. A job is

    {"library": "zuko", "model": "maf", "size": 43, "layers": 5, "units": 512, "hidden": 2,
     "seed": 0, "task": "speed", "batch": 1000, "sampled": 1000, "repeats": 5, "seconds": 1.0,
     "rates": ["log_prob", "sample", "training_step"], "blocks": 2}
    {…, "task": "fit", "data": "rows.npz", "batch": 500, "rate": 1e-3, "budget": 600.0}

and the answer {"log_prob": rows/s, "sample": rows/s, "training_step": rows/s} or {"value": nats,
"two_standard_errors": nats, "steps": n, "epochs": n, "seconds": s}; the file of a fit has float32
arrays train, validation and test [rows, D]. Models: "maf" (affine, autoregressive), "nsf"
(rational-quadratic splines of 8 bins, autoregressive), "coupling" (affine couplings); networks of
`hidden` hidden layers of `units`, in every library; orders reversed, or permuted where a library
does that itself. Splines take 3 hidden layers: zoo and normflows know their networks as a first
layer and residual blocks of two.

Each library is used as its documentation shows: compiled where it compiles (flowjax; zoo, by XLA or
as a graph, `faster`), eager where it does not. With "blocks" above 1, of zoo alone, a batch's rows
are in as many parts of a thread each (`zoo.ops.row_blocks`), which is a setting of the process. A
call of a minute or more is timed once, after one that compiles. Fits are Adam on a cosine over the
budget, gradients clipped at 5, standardised by train, the weights of the best validation kept;
figures are in nats of the stored rows.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NUM_BINS = 8
CLIP_NORM = 5.0
TRIAL = 0.25  # seconds that a candidate is tried
LONG = 60.0  # seconds of a call that is timed once
VALIDATIONS = 20  # of a fit, evenly over its budget


class Torch:
    """nflows, normflows and zuko: one module with log_prob and sample, trained by torch."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch

        torch.manual_seed(job["seed"])
        self._torch = torch
        self._build = {"nflows": _nflows, "normflows": _normflows, "zuko": _zuko}[job["library"]]
        self._module, self._log_prob, self._sample = self._build(job)
        self._optimizer = torch.optim.Adam(self._module.parameters(), lr=job.get("rate", 1e-3))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """[n] nats."""
        with self._torch.no_grad():
            return self._log_prob(self._torch.from_numpy(x)).numpy()

    def sample(self, count: int) -> np.ndarray:
        """[count, D]."""
        with self._torch.no_grad():
            return self._sample(count).numpy()

    def training_step(self, x: np.ndarray, scale: float) -> float:
        """One step at `scale` times the rate; the mean loss in nats."""
        for group in self._optimizer.param_groups:
            group["lr"] = scale * group.setdefault("initial_lr", group["lr"])
        self._optimizer.zero_grad()
        loss = -self._log_prob(self._torch.from_numpy(x)).mean()
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self._module.parameters(), CLIP_NORM)
        self._optimizer.step()
        return float(loss)

    def weights(self) -> Any:
        """A copy of the weights."""
        return {key: value.clone() for key, value in self._module.state_dict().items()}

    def set_weights(self, weights: Any) -> None:
        """Puts a copy back."""
        self._module.load_state_dict(weights)


def _nflows(job: dict[str, Any]) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    from nflows import distributions, flows, transforms
    from nflows.nn import nets

    size, units, hidden = job["size"], job["units"], job["hidden"]

    class Network(nets.MLP):
        def forward(self, inputs: Any, context: Any = None) -> Any:
            del context  # couplings pass one
            return super().forward(inputs)

    def network(inputs: int, outputs: int) -> Any:
        return Network([inputs], [outputs], [units] * hidden)

    steps: list[Any] = []
    for layer in range(job["layers"]):
        steps.append(transforms.ReversePermutation(features=size))
        if job["model"] == "maf":
            step = transforms.MaskedAffineAutoregressiveTransform(
                features=size,
                hidden_features=units,
                num_blocks=hidden - 1,
                use_residual_blocks=False,
            )
        elif job["model"] == "nsf":
            step = transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
                features=size,
                hidden_features=units,
                num_bins=NUM_BINS,
                tails="linear",
                tail_bound=3.0,
                num_blocks=hidden - 1,
                use_residual_blocks=False,
            )
        else:
            mask = np.where((np.arange(size) + layer) % 2, 1, -1)
            step = transforms.AffineCouplingTransform(mask, network)
        steps.append(step)
    flow = flows.Flow(transforms.CompositeTransform(steps), distributions.StandardNormal([size]))
    return flow, flow.log_prob, flow.sample


def _normflows(job: dict[str, Any]) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    import normflows as nf
    import torch

    size, units, hidden = job["size"], job["units"], job["hidden"]

    def build(*, swapped: bool) -> Any:
        steps: list[Any] = []
        for _ in range(job["layers"]):
            if job["model"] == "maf":
                step = nf.flows.MaskedAffineAutoregressive(
                    size, units, num_blocks=hidden - 1, use_residual_blocks=False
                )
                step = nf.flows.Reverse(step) if swapped else step
            elif job["model"] == "nsf":
                step = nf.flows.AutoregressiveRationalQuadraticSpline(
                    size, (hidden - 1) // 2, units, num_bins=NUM_BINS, tail_bound=3.0
                )
            else:
                half = size // 2
                step = nf.flows.AffineCouplingBlock(
                    nf.nets.MLP([size - half, *[units] * hidden, 2 * half], init_zeros=True)
                )
            steps += [step, nf.flows.Permute(size, mode="shuffle")]
        return nf.NormalizingFlow(nf.distributions.DiagGaussian(size, trainable=False), steps)

    # An affine layer is fast in one direction: the orientation with the faster density is taken.
    models = [
        build(swapped=swapped) for swapped in ((False, True) if job["model"] == "maf" else (False,))
    ]
    x = torch.zeros([64, size])

    def seconds(model: Any) -> float:
        start = time.perf_counter()
        model.log_prob(x)
        return time.perf_counter() - start

    model = min(models, key=seconds)
    return model, model.log_prob, lambda count: model.sample(count)[0]


def _zuko(job: dict[str, Any]) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    import zuko

    sizes = {
        "features": job["size"],
        "transforms": job["layers"],
        "hidden_features": (job["units"],) * job["hidden"],
    }
    if job["model"] == "maf":
        flow = zuko.flows.MAF(**sizes)
    elif job["model"] == "nsf":
        flow = zuko.flows.NSF(bins=NUM_BINS, **sizes)
    else:
        flow = zuko.flows.RealNVP(**sizes)
    return flow, lambda x: flow().log_prob(x), lambda count: flow().sample((count,))


class Flowjax:
    """flowjax under `equinox.filter_jit`, trained by optax."""

    def __init__(self, job: dict[str, Any]) -> None:
        import equinox as eqx
        import jax
        import jax.numpy as jnp
        import optax
        import paramax
        from flowjax import bijections, flows
        from flowjax.distributions import Normal

        self._key = jax.random.key(job["seed"])
        arguments = {
            "key": self._next_key(jax),
            "base_dist": Normal(jnp.zeros(job["size"])),
            "flow_layers": job["layers"],
            "nn_width": job["units"],
            "nn_depth": job["hidden"],
        }
        if job["model"] == "nsf":
            spline = bijections.RationalQuadraticSpline(knots=NUM_BINS, interval=3.0)
            flow = flows.masked_autoregressive_flow(transformer=spline, **arguments)
        elif job["model"] == "maf":
            flow = flows.masked_autoregressive_flow(**arguments)
        else:
            flow = flows.coupling_flow(**arguments)
        self._jax, self._jnp = jax, jnp
        self._params, static = eqx.partition(
            flow,
            eqx.is_inexact_array,
            is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable),
        )

        def whole(params: Any) -> Any:
            return paramax.unwrap(eqx.combine(params, static))

        optimizer = optax.chain(
            optax.clip_by_global_norm(CLIP_NORM),
            optax.scale_by_adam(),
            optax.scale(-job.get("rate", 1e-3)),
        )
        self._state = optimizer.init(self._params)

        def step(params: Any, state: Any, x: Any, scale: Any) -> Any:
            loss, gradient = jax.value_and_grad(lambda p: -whole(p).log_prob(x).mean())(params)
            updates, state = optimizer.update(gradient, state)
            updates = jax.tree.map(lambda u: scale * u, updates)
            return optax.apply_updates(params, updates), state, loss

        self._step = eqx.filter_jit(step)
        self._scored = eqx.filter_jit(lambda params, x: whole(params).log_prob(x))
        self._drawn = eqx.filter_jit(lambda params, key, count: whole(params).sample(key, (count,)))

    def _next_key(self, jax: Any) -> Any:
        self._key, key = jax.random.split(self._key)
        return key

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """[n] nats."""
        return np.asarray(self._scored(self._params, self._jnp.asarray(x)))

    def sample(self, count: int) -> np.ndarray:
        """[count, D]."""
        return np.asarray(self._drawn(self._params, self._next_key(self._jax), count))

    def training_step(self, x: np.ndarray, scale: float) -> float:
        """One step at `scale` times the rate; the mean loss in nats."""
        self._params, self._state, loss = self._step(
            self._params, self._state, self._jnp.asarray(x), self._jnp.asarray(scale)
        )
        return float(loss)

    def weights(self) -> Any:
        """The weights, which are never changed in place."""
        return self._params

    def set_weights(self, weights: Any) -> None:
        """Puts them back."""
        self._params = weights


class Zoo:
    """This project: densities, inverses and steps, by XLA or as a graph (`faster`), in row blocks.

    Latents are drawn by the graph: XLA's own generator takes as long as a coupling flow.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        import keras
        import tensorflow as tf

        import zoo
        from zoo.ops.row_blocks import in_row_blocks

        keras.utils.set_random_seed(job["seed"])
        size, layers, units = job["size"], job["layers"], job["units"]
        hidden_units = (units,) * job["hidden"]
        config: dict[str, Any] = {"event_shape": (size,)}
        family = {"maf": "maf", "nsf": "nsf", "coupling": "realnvp"}[job["model"]]
        if family == "maf":
            norm = "activation_norm"
            config |= {"num_layers": layers, "hidden_units": hidden_units, "normalization": norm}
        elif family == "nsf":
            config |= {"num_layers": layers, "num_units": units, "num_bins": NUM_BINS}
            config |= {"num_blocks": (job["hidden"] - 1) // 2}
        else:
            config |= {"num_couplings": layers, "hidden_units": hidden_units}
        self._tf, self._in_row_blocks, self._blocks = tf, in_row_blocks, job.get("blocks", 1)
        if self._blocks > 1:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(self._blocks)
        self._model = zoo.create(family, **config)
        if job["task"] == "speed":
            # A fresh flow is close to the identity: its sampling would stop after a pass or two.
            rng = np.random.default_rng(job["seed"])
            for variable in self._model.trainable_variables:
                if len(variable.shape) == 2:
                    fan_in = math.sqrt(variable.shape[0])
                    variable.assign(rng.normal(size=variable.shape) / fan_in)
        self._fresh = True
        self._rate = job.get("rate", 1e-3)
        self._optimizer = keras.optimizers.Adam(self._rate, global_clipnorm=CLIP_NORM)
        self._optimizer.build(self._model.trainable_variables)
        # A trial step changes the weights, and at a rate of 0 the optimiser's moments.
        trials = ((self._scoring, TRIAL), (self._drawing, TRIAL), (self._stepping, 0.0))
        self._scored, self._drawn, self._step = (
            faster([compiled(by_xla=by_xla) for by_xla in (True, False)], seconds)
            for compiled, seconds in trials
        )

    def _scoring(self, *, by_xla: bool) -> Callable[..., Any]:
        return self._in_row_blocks(self._model.log_prob, self._blocks, jit_compile=by_xla)

    def _drawing(self, *, by_xla: bool) -> Callable[..., Any]:
        size = self._model.config.event_size
        decode = self._in_row_blocks(self._model.decode, self._blocks, jit_compile=by_xla)

        def drawn(count: int) -> Any:
            return decode(self._tf.random.normal([count, size]))

        return self._tf.function(drawn, autograph=False)

    def _stepping(self, *, by_xla: bool) -> Callable[..., Any]:
        """A step; in blocks of rows, by the sum of their shares of the loss and its gradients."""
        variables = self._model.trainable_variables

        def gradients(x: Any, rows: int) -> Any:
            with self._tf.GradientTape() as tape:
                loss = -self._tf.reduce_sum(self._model.log_prob(x)) / rows
            return loss, tape.gradient(loss, variables)

        def apply(shares: Sequence[Any]) -> Any:
            add = self._tf.add_n
            loss, gradient = self._tf.nest.map_structure(lambda *values: add(values), *shares)
            self._optimizer.apply(gradient, variables)
            return loss

        if self._blocks == 1:
            return self._function(lambda x: apply([gradients(x, x.shape[0])]), by_xla=by_xla)
        compiled_gradients = self._function(gradients, by_xla=by_xla)
        compiled_apply = self._function(apply, by_xla=by_xla)

        def step(x: Any) -> Any:
            rows = x.shape[0]
            sizes = [len(part) for part in np.array_split(range(rows), self._blocks)]
            parts = self._tf.split(x, sizes)
            return compiled_apply([compiled_gradients(part, rows) for part in parts])

        return self._function(step, by_xla=False)

    def _function(self, function: Callable[..., Any], *, by_xla: bool) -> Callable[..., Any]:
        return self._tf.function(function, jit_compile=by_xla, autograph=False)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """[n] nats."""
        return self._scored(self._tf.constant(x)).numpy()

    def sample(self, count: int) -> np.ndarray:
        """[count, D]."""
        return self._drawn(count).numpy()

    def training_step(self, x: np.ndarray, scale: float) -> float:
        """One step at `scale` times the rate; the mean loss in nats."""
        if self._fresh:
            self._model.adapt(x)
            self._fresh = False
        self._optimizer.learning_rate.assign(scale * self._rate)
        return float(self._step(self._tf.constant(x)))

    def weights(self) -> Any:
        """A copy of the weights."""
        return self._model.get_weights()

    def set_weights(self, weights: Any) -> None:
        """Puts a copy back."""
        self._model.set_weights(weights)


LIBRARIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "zoo": Zoo,
    "nflows": Torch,
    "normflows": Torch,
    "zuko": Torch,
    "flowjax": Flowjax,
}


def faster(candidates: Sequence[Callable[..., Any]], seconds: float) -> Callable[..., Any]:
    """The candidate whose quickest call takes less time, found when it is first called.

    Each has three calls, or as many as last `seconds`. XLA saves calls and passes over memory; the
    graph's own matrix products are the faster ones where those are most of the work.
    """
    chosen: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if not chosen:
            timings = []
            for candidate in candidates:
                np.asarray(candidate(*arguments))  # compiles
                trials: list[float] = []
                while len(trials) < 3 or sum(trials) < seconds:
                    start = time.perf_counter()
                    np.asarray(candidate(*arguments))
                    trials.append(time.perf_counter() - start)
                timings.append(min(trials))
            chosen.append(candidates[timings.index(min(timings))])
        return chosen[0](*arguments)

    return call


def rate(call: Callable[[], Any], rows: int, *, repeats: int, seconds: float) -> float:
    """Rows a second: the median of `repeats` timings, each of as many calls as last `seconds`.

    The second call, which says how many, is the only timing where it takes `LONG` seconds.
    """
    call()  # compiles
    start = time.perf_counter()
    call()
    lasted = time.perf_counter() - start
    if lasted >= LONG:
        return rows / lasted
    calls = max(1, math.ceil(seconds / lasted))
    timings = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        timings.append((time.perf_counter() - start) / calls)
    return rows / statistics.median(timings)


def speed(flow: Any, job: dict[str, Any]) -> dict[str, float]:
    """The job's rates, the training step's last: it changes the weights."""
    rng = np.random.default_rng(job["seed"])
    x = rng.normal(size=(job["batch"], job["size"])).astype(np.float32)
    timing = {"repeats": job["repeats"], "seconds": job["seconds"]}
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "log_prob": (lambda: flow.log_prob(x), len(x)),
        "sample": (lambda: flow.sample(job["sampled"]), job["sampled"]),
        "training_step": (lambda: flow.training_step(x, 1.0), len(x)),
    }
    return {name: rate(*calls[name], **timing) for name in calls if name in job["rates"]}


def fit(flow: Any, job: dict[str, Any], clock: Callable[[], float] = time.monotonic) -> dict:
    """Trains for the budget in seconds, validations included; tests the best weights."""
    with np.load(job["data"], allow_pickle=False) as stored:
        splits = {name: stored[name] for name in ("train", "validation", "test")}
    mean, deviation = splits["train"].mean(0), splits["train"].std(0)
    rows = {k: ((x - mean) / deviation).astype(np.float32) for k, x in splits.items()}
    offset = float(np.log(deviation).sum())  # nats of the stored rows
    train, batch = rows["train"], job["batch"]
    rng = np.random.default_rng(job["seed"])
    flow.training_step(train[:batch], 0.0)  # compiles, outside the budget
    start, steps, epochs, validated = clock(), 0, 0, 0
    best, kept = -math.inf, flow.weights()
    while True:
        order = rng.permutation(len(train))
        for first in range(0, len(train) - batch + 1, batch):
            done = (clock() - start) / job["budget"]
            if done * VALIDATIONS >= validated + 1:
                validated = int(done * VALIDATIONS)
                value = float(scores(flow, rows["validation"]).mean())
                if value > best:
                    best, kept = value, flow.weights()
            if done >= 1.0:
                seconds = clock() - start
                flow.set_weights(kept)
                nats = scores(flow, rows["test"]).astype(np.float64) - offset
                return {
                    "value": float(nats.mean()),
                    "two_standard_errors": float(2.0 * nats.std(ddof=1) / math.sqrt(len(nats))),
                    "steps": steps,
                    "epochs": epochs,
                    "seconds": seconds,
                }
            scale = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
            flow.training_step(train[order[first : first + batch]], scale)
            steps += 1
        epochs += 1


def scores(flow: Any, x: np.ndarray, batch: int = 1000) -> np.ndarray:
    """log p of every row, [n]; the last batch is filled up, since each size compiles anew."""
    parts = []
    for first in range(0, len(x), batch):
        some = x[first : first + batch]
        filled = np.concatenate([some, np.repeat(x[:1], batch - len(some), 0)])
        parts.append(flow.log_prob(filled)[: len(some)])
    return np.concatenate(parts)


def main() -> None:
    """Reads the job and prints its answer."""
    job = json.load(sys.stdin)
    flow = LIBRARIES[job["library"]](job)
    answer = speed(flow, job) if job["task"] == "speed" else fit(flow, job)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
