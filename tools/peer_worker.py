"""One job of `tools/benchmark_peers.py`: JSON on stdin, JSON on the last line of stdout.

It runs in the environment of the library that the job names and imports nothing else of the
project: NumPy and that library are enough. A job is

    {"library": "zuko", "model": "maf", "size": 43, "layers": 5, "units": 512, "hidden": 2,
     "seed": 0, "task": "speed", "batch": 1000, "sampled": 1000, "steps": 20, "repeats": 5,
     "seconds": 1.0, "rates": ["log_prob", "sample", "fit"]}
    {…, "task": "fit", "data": "rows.npz", "batch": 500, "rate": 1e-3, "budget": 600.0}

and the answer {"log_prob": rows/s, "sample": rows/s, "fit": rows/s} or {"value": nats,
"two_standard_errors": nats, "steps": n, "epochs": n, "seconds": s}; the file of a fit has float32
arrays train, validation and test [rows, D]. Models: "maf" (affine, autoregressive), "nsf"
(rational-quadratic splines of 8 bins, autoregressive), "coupling" (affine couplings); networks of
`hidden` hidden layers of `units`, in every library; orders reversed, or permuted where a library
does that itself. Splines take 3 hidden layers: zoo and normflows know their networks as a first
layer and residual blocks of two.

Each library is called as its documentation shows. Zoo: `model.log_prob(x)`, `model.sample(n)`,
`model.fit(x)`, nothing else set. zuko, nflows and normflows: modules of PyTorch, and a loop of
Adam's steps over shuffled batches. flowjax: the same loop, every function under
`equinox.filter_jit`. A rate of fit is of `steps` batches a call. A call of a minute or more is
timed once, after one that compiles. Fits of a budget are Adam on a cosine over it, gradients
clipped at 5, standardised by train, the weights of the best validation kept; figures are in nats of
the stored rows.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

NUM_BINS = 8
CLIP_NORM = 5.0  # of fits of a budget
WARM = 3.0  # seconds of calls before the first timing
SLOW = 5.0  # seconds of timings after which no other one starts
LONG = 60.0  # seconds of a call that is timed once
VALIDATIONS = 20  # of a fit, evenly over its budget


class Torch:
    """nflows, normflows and zuko: one module with log_prob and sample, trained by torch."""

    def __init__(self, job: dict[str, Any]) -> None:
        import torch

        torch.manual_seed(job["seed"])
        self._torch = torch
        self._clipped = job["task"] == "fit"
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
        if self._clipped:
            self._torch.nn.utils.clip_grad_norm_(self._module.parameters(), CLIP_NORM)
        self._optimizer.step()
        return float(loss.detach())

    def fit(self, x: np.ndarray, batch: int) -> None:
        """One epoch of shuffled batches."""
        for part in shuffled(x, batch):
            self.training_step(part, 1.0)

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

        clipping = optax.clip_by_global_norm(CLIP_NORM)
        optimizer = optax.chain(
            clipping if job["task"] == "fit" else optax.identity(),
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

    def fit(self, x: np.ndarray, batch: int) -> None:
        """One epoch of shuffled batches."""
        for part in shuffled(x, batch):
            self.training_step(part, 1.0)

    def weights(self) -> Any:
        """The weights, which are never changed in place."""
        return self._params

    def set_weights(self, weights: Any) -> None:
        """Puts them back."""
        self._params = weights


class Zoo:
    """This project, by its public calls; fits of a budget by a step under XLA."""

    def __init__(self, job: dict[str, Any]) -> None:
        import keras
        import tensorflow as tf

        import zoo

        keras.utils.set_random_seed(job["seed"])
        size, layers, units = job["size"], job["layers"], job["units"]
        hidden_units = (units,) * job["hidden"]
        config: dict[str, Any] = {"event_shape": (size,)}
        family = {"maf": "maf", "nsf": "nsf", "coupling": "realnvp"}[job["model"]]
        if family == "maf":
            config |= {"num_layers": layers, "hidden_units": hidden_units}
        elif family == "nsf":
            config |= {"num_layers": layers, "num_units": units, "num_bins": NUM_BINS}
            config |= {"num_blocks": (job["hidden"] - 1) // 2}
        else:
            config |= {"num_couplings": layers, "hidden_units": hidden_units}
        if family == "maf" and job["task"] == "fit":
            config["normalization"] = "activation_norm"
        self._tf = tf
        self._model = zoo.create(family, **config)
        if job["task"] == "speed":
            # A fresh flow is close to the identity: its sampling would stop after a pass or two.
            rng = np.random.default_rng(job["seed"])
            for variable in self._model.trainable_variables:
                if len(variable.shape) == 2:
                    fan_in = math.sqrt(variable.shape[0])
                    variable.assign(rng.normal(size=variable.shape) / fan_in)
            self._model.compile(keras.optimizers.Adam(1e-3))
            return
        self._fresh = True
        self._rate = job["rate"]
        self._optimizer = keras.optimizers.Adam(self._rate, global_clipnorm=CLIP_NORM)
        self._optimizer.build(self._model.trainable_variables)
        self._step = tf.function(self._taken, jit_compile=True, autograph=False)

    def _taken(self, x: Any) -> Any:
        with self._tf.GradientTape() as tape:
            loss = -self._tf.reduce_mean(self._model.log_prob(x))
        variables = self._model.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """[n] nats."""
        return self._model.log_prob(x).numpy()

    def sample(self, count: int) -> np.ndarray:
        """[count, D]."""
        return self._model.sample(count).numpy()

    def fit(self, x: np.ndarray, batch: int) -> None:
        """One epoch of shuffled batches."""
        self._model.fit(x, batch_size=batch, epochs=1, verbose=0)

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


def shuffled(x: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """The rows in another order, a batch at a time."""
    order = np.random.default_rng().permutation(len(x))
    for first in range(0, len(x), batch):
        yield x[order[first : first + batch]]


def rate(call: Callable[[], Any], rows: int, *, repeats: int, seconds: float) -> float:
    """Rows a second: the median of `repeats` timings, each of as many calls as last `seconds`.

    First come warm ones, for `WARM` seconds and two at least: they compile, and what is called
    once need not get the program of what is called often. The last of them says how many calls a
    timing has. Slow calls have fewer timings, those of `LONG` seconds the warm one alone.
    """
    begun, warm, lasted = time.perf_counter(), 0, 0.0
    while warm < 2 or time.perf_counter() - begun < WARM:
        start = time.perf_counter()
        call()
        lasted = time.perf_counter() - start
        warm += 1
        if lasted >= LONG:
            break
    if lasted >= LONG:
        return rows / lasted
    calls = max(1, math.ceil(seconds / lasted))
    timings: list[float] = []
    while len(timings) < repeats and sum(timings) * calls < SLOW:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        timings.append((time.perf_counter() - start) / calls)
    return rows / statistics.median(timings)


def speed(flow: Any, job: dict[str, Any]) -> dict[str, float]:
    """The job's rates, that of fit last: it changes the weights."""
    rng = np.random.default_rng(job["seed"])
    x = rng.normal(size=(job["steps"] * job["batch"], job["size"])).astype(np.float32)
    scored = x[: job["batch"]]
    timing = {"repeats": job["repeats"], "seconds": job["seconds"]}
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "log_prob": (lambda: flow.log_prob(scored), len(scored)),
        "sample": (lambda: flow.sample(job["sampled"]), job["sampled"]),
        "fit": (lambda: flow.fit(x, job["batch"]), len(x)),
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
