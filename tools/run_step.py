"""Trains on any host that has JAX, TensorFlow or not: runs what `zoo step export` wrote.

    python run_step.py DIR --check                       # the stored losses of the first steps
    python run_step.py DIR --out RUN --max-seconds 500   # trains; the same command again goes on

DIR is the folder of `zoo step export NAME DIR`. This file stands alone: it needs jax, numpy
and flatbuffers (which `jax.export` reads its artefacts with), and neither TensorFlow nor the zoo.
`zoo step import NAME RUN` takes the result back.

The training step, with its augmentation, dequantisation, optimiser and weight averages, is the one
that `zoo train` runs, lowered to StableHLO; rows come in the same order, a function of (seed,
epoch). Steps run in chunks of one device call each, over data held on the device. RUN holds at
every moment a complete state: progress.json, replaced in one piece, names the folders of the state
and of the best weights, which lie beside it in parts. A killed run loses what came after its last
save, a minute's work, and computes it again.

Exit codes: 0 finished, stopped early or out of time; 1 the loss is not finite, or --check found
other losses; 2 refused before anything ran; 128 + N ended by signal N, its state saved.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

FORMAT_VERSION = 1
MANIFEST, PROGRESS = "manifest.json", "progress.json"
PART_BYTES = 15_000_000
CHUNK = 100  # steps a device call; XLA compiles convolutions inside a loop badly for CPUs
SAVE_SECONDS = 60.0
LOG_SECONDS = 10.0
REPORTS = ("nats", "gradient_norm", "learning_rate")


class RefusalError(Exception):
    """What does not fit, and what to do."""


# --- files


def read_arrays(folder: Path, described: list[Any], parts: list[Any]) -> list[np.ndarray]:
    """Arrays of these shapes and dtypes, whose bytes lie in parts; those of zeros have none."""
    content = b"".join(read_checked(folder, part) for part in parts)
    stored = [a for a in described if not a["zeros"]]
    expected = sum(np.dtype(a["dtype"]).itemsize * math.prod(a["shape"]) for a in stored)
    if len(content) != expected:
        raise RefusalError(
            f"The parts in {folder} hold {len(content):,} bytes; expected {expected:,}."
        )
    arrays, start = [], 0
    for entry in described:
        dtype, count = np.dtype(entry["dtype"]), math.prod(entry["shape"])
        if entry["zeros"]:
            arrays.append(np.zeros(entry["shape"], dtype))
            continue
        arrays.append(np.frombuffer(content, dtype, count, start).reshape(entry["shape"]))
        start += count * dtype.itemsize
    return arrays


def read_checked(folder: Path, pin: dict[str, Any]) -> bytes:
    """The bytes of a pinned file {"file", "size", "sha256"}."""
    path = folder / pin["file"]
    if not path.is_file():
        raise RefusalError(f"{path} is missing: bring every file of the folder along.")
    content = path.read_bytes()
    if len(content) != pin["size"] or hashlib.sha256(content).hexdigest() != pin["sha256"]:
        raise RefusalError(
            f"{path} is not the file that was written ({len(content):,} bytes, {pin['size']:,} "
            "expected): copy it again."
        )
    return content


def write_arrays(folder: Path, arrays: list[np.ndarray]) -> dict[str, Any]:
    """Writes the arrays as parts in a new folder; returns {"folder", "parts"}."""
    folder.mkdir(parents=True)
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    parts = []
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        part = content[start : start + PART_BYTES]
        file = f"part-{number:02d}.bin"
        write_durably(folder / file, part)
        digest = hashlib.sha256(part).hexdigest()
        parts.append({"file": file, "size": len(part), "sha256": digest})
    return {"folder": folder.name, "parts": parts}


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace(path: Path, content: bytes) -> None:
    """Replaces a file in one piece: a reader, or the next run, sees the old one or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    write_durably(temporary, content)
    temporary.replace(path)


# --- what is refused


def load_manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The manifest and its bytes, if this host can run what it describes."""
    path = folder / MANIFEST
    if not path.is_file():
        raise RefusalError(f"{path} is missing: DIR is a folder of `zoo step export NAME DIR`.")
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise RefusalError(f"{path} is not JSON ({error}): copy it again.") from error
    if manifest.get("format_version") != FORMAT_VERSION:
        raise RefusalError(
            f"{path} has format version {manifest.get('format_version')!r}; this runner reads "
            f"{FORMAT_VERSION}: take the run_step.py of the zoo that exported it."
        )
    check_jax(manifest["jax"])
    if platform() not in manifest["platforms"]:
        raise RefusalError(
            f"The step was exported for {', '.join(manifest['platforms'])}, and this host is "
            f"{platform()}: export it with --platforms {platform()}."
        )
    return manifest, content


def check_jax(exported: dict[str, Any]) -> None:
    """Holds JAX to its promise: a later version runs it, as long as it knows the convention."""
    lowest = jax.export.minimum_supported_calling_convention_version
    highest = jax.export.maximum_supported_calling_convention_version
    if version_of(jax.__version__) < version_of(exported["version"]):
        raise RefusalError(
            f"The step was exported by jax {exported['version']}, and this host has the older "
            f"{jax.__version__}, which JAX promises nothing for: install jax "
            f"{exported['version']} or later."
        )
    if not lowest <= exported["calling_convention"] <= highest:
        raise RefusalError(
            f"The step has calling convention {exported['calling_convention']}; jax "
            f"{jax.__version__} runs {lowest} to {highest}: install jax {exported['version']}, or "
            "export the step again."
        )


def version_of(text: str) -> tuple[int, ...]:
    """0.10.2.dev3 -> (0, 10, 2)."""
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def platform() -> str:
    """What the artefacts call this host's default backend."""
    device = jax.devices()[0]
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"


def load_function(folder: Path, manifest: dict[str, Any], name: str) -> Any:
    """An artefact's function, if it takes what the manifest says."""
    described = manifest["functions"][name]
    exported = jax.export.deserialize(bytearray(read_checked(folder, described)))
    values = manifest["state"]["arrays"][: described["num_values"]]
    expected = [(tuple(a["shape"]), a["dtype"]) for a in values + described["arguments"]]
    found = [(tuple(a.shape), a.dtype.name) for a in exported.in_avals]
    if expected != found:
        different = [f"{f}, not {e}" for e, f in zip(expected, found, strict=False) if e != f]
        raise RefusalError(
            f"{described['file']} takes {len(found)} arrays and the manifest lists "
            f"{len(expected)}; {'; '.join(different[:3]) or 'the first ones agree'}. They are of "
            "two exports: copy the folder again."
        )
    return exported.call


# --- the run


def epoch_order(rows: int, *, seed: int, epoch: int) -> np.ndarray:
    """The permutation of the rows that is epoch `epoch`: `zoo.data.pipeline.epoch_order`."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(rows)


class Functions:
    """The artefacts, compiled for this device around data that stays on it."""

    def __init__(self, folder: Path, manifest: dict[str, Any], *, chunk: int) -> None:
        self.chunk = chunk
        self.moment_rows = manifest["moment_rows"]
        self._train = load_function(folder, manifest, "train")
        self._weights = load_function(folder, manifest, "weights")
        self._evaluate = load_function(folder, manifest, "evaluate")

    def compile(self, state: Any, train: Any, validation: Any, batch: int, scored: int) -> int:
        """Compiles for these arrays and batch sizes; returns the bytes that a chunk needs."""
        rows = np.zeros((self.chunk, batch), np.int32)
        numbers, count = np.zeros(self.chunk, np.int32), np.int32(0)
        steps = jax.jit(self.many if self.chunk > 1 else self.one, donate_argnums=0)
        self.steps = steps.lower(state, train, rows, numbers, count).compile()
        weights = jax.jit(self._averaged).lower(state, train)
        self.weights = weights.compile()
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), weights.out_info)
        rows = np.zeros(scored, np.int32)
        self.score = jax.jit(self._score).lower(shapes, validation, rows).compile()
        return planned_bytes(self.steps)

    def _step(self, state: Any, data: Any, rows: Any, number: Any) -> tuple[Any, Any]:
        result, state = self._train(state, *(column[rows] for column in data), number)
        return state, [result["nats"].mean(), *(result[key] for key in REPORTS[1:])]

    def one(self, state: Any, data: Any, rows: Any, numbers: Any, count: Any) -> tuple[Any, Any]:
        """A chunk of a single step, without a loop."""
        del count
        state, reports = self._step(state, data, rows[0], numbers[0])
        return state, [report[None] for report in reports]

    def many(self, state: Any, data: Any, rows: Any, numbers: Any, count: Any) -> tuple[Any, Any]:
        """The first `count` of the chunk's steps: one compilation for every number of them."""

        def body(i: Any, carried: Any) -> Any:
            state, reports = carried
            state, new = self._step(state, data, rows[i], numbers[i])
            return state, [all_.at[i].set(one) for all_, one in zip(reports, new, strict=True)]

        empty = [jax.numpy.zeros(self.chunk, jax.numpy.float32) for _ in REPORTS]
        return jax.lax.fori_loop(0, count, body, (state, empty))

    def _averaged(self, state: Any, data: Any) -> Any:
        rows = self.moment_rows
        return self._weights(state, *(column[:rows] for column in data if rows))

    def _score(self, weights: Any, data: Any, rows: Any) -> Any:
        return self._evaluate(tuple(weights), *(column[rows] for column in data))["nats"]


def planned_bytes(compiled: Any) -> int:
    """Device memory of a call: arguments, results and temporary values, donated ones once."""
    memory = compiled.memory_analysis()
    kept = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return int(kept + memory.temp_size_in_bytes - memory.alias_size_in_bytes)


class Run:
    """The state of a run on the device, its counters and its history."""

    def __init__(self, folder: Path, out: Path | None, *, chunk: int) -> None:
        self.out = out
        self.manifest, self.manifest_content = load_manifest(folder)
        manifest = self.manifest
        self.functions = Functions(folder, manifest, chunk=chunk)
        self.counters: dict[str, Any] = dict(manifest["counters"])
        self.history: list[Any] = list(manifest["history"])
        self.best: list[np.ndarray] | None = None
        self.written_best: dict[str, Any] | None = None  # where `best` lies already
        if out is not None and (out / PROGRESS).is_file():
            state = self._restore(out)
        else:
            entry = manifest["state"]
            state = read_arrays(folder / "state", entry["arrays"], entry["parts"])
        self.counters["best_validation_nats"] = float(self.counters["best_validation_nats"])
        self.state = tuple(jax.numpy.array(array) for array in state)  # copies: it is donated
        self.data = {
            split: tuple(map(jax.device_put, read_arrays(folder / "data", d["arrays"], d["parts"])))
            for split, d in manifest["data"].items()
        }
        self._order: tuple[int, Any] = (-1, None)

    def compile(self) -> int:
        """Compiles every function; returns the bytes that a chunk of steps needs."""
        manifest = self.manifest
        return self.functions.compile(
            self.state,
            self.data["train"],
            self.data["validation"],
            manifest["batch_size"],
            manifest["evaluation_batch_size"],
        )

    # Steps.

    def rows_of(self, step: int) -> np.ndarray:
        """The rows of a step's batch: a function of (seed, step) alone."""
        manifest = self.manifest
        epoch, batch = divmod(step, manifest["steps_per_epoch"])
        if self._order[0] != epoch:
            rows = manifest["data"]["train"]["arrays"][0]["shape"][0]
            order = epoch_order(rows, seed=manifest["seed"], epoch=epoch)
            self._order = (epoch, order.astype(np.int32))
        size = manifest["batch_size"]
        return self._order[1][batch * size : (batch + 1) * size]

    def advance(self, count: int) -> dict[str, np.ndarray]:
        """Runs up to a chunk of steps; returns what each reported, {name: [count]}."""
        first, chunk = self.counters["step"], self.functions.chunk
        rows = np.stack([self.rows_of(first + min(i, count - 1)) for i in range(chunk)])
        numbers = np.arange(first, first + chunk, dtype=np.int32)
        self.state, reports = self.functions.steps(
            self.state, self.data["train"], rows, numbers, np.int32(count)
        )
        arrays = [np.asarray(report)[:count] for report in reports]  # waits for the device
        results = dict(zip(REPORTS, arrays, strict=True))
        finite = np.isfinite(results["nats"]) & np.isfinite(results["gradient_norm"])
        if not finite.all():
            bad = int(np.argmin(finite))
            raise ArithmeticError(
                f"Step {first + bad}: loss {results['nats'][bad]:.6g} nats, gradient norm "
                f"{results['gradient_norm'][bad]:.6g}. The last saved state is sound; export a "
                "recipe with a lower optimizer.learning_rate or an optimizer.clip_norm."
            )
        counters = self.counters
        counters["step"] += count
        counters["nats_sum"] += float(results["nats"].sum(dtype=np.float64))
        counters["nats_count"] += count
        if hardware() not in counters["hardware"]:
            counters["hardware"] = [*counters["hardware"], hardware()]
        return results

    def validate(self, learning_rate: float) -> float:
        """Scores the averaged weights on the validation rows, and keeps them if they are best."""
        weights = self.functions.weights(self.state, self.data["train"])
        rows, size = len(self.data["validation"][0]), self.manifest["evaluation_batch_size"]
        nats = []
        for start in range(0, rows, size):  # the last batch is filled up with the last row
            chosen = np.minimum(np.arange(start, start + size, dtype=np.int32), rows - 1)
            scored = self.functions.score(weights, self.data["validation"], chosen)
            nats.append(scored[: rows - start])
        mean = float(np.concatenate(jax.device_get(nats)).mean(dtype=np.float64))
        mean = mean if math.isfinite(mean) else math.inf
        counters = self.counters
        if mean < counters["best_validation_nats"]:
            counters.update(best_validation_nats=mean, best_step=counters["step"])
            counters["validations_without_gain"] = 0
            self.best, self.written_best = [np.array(w) for w in weights], None
        else:
            counters["validations_without_gain"] += 1
        self._record(mean, learning_rate)
        return mean

    def _record(self, mean: float, learning_rate: float) -> None:
        """A row of the history, with the fields of `zoo train`'s history.csv."""
        counters, manifest = self.counters, self.manifest
        seen = counters["step"] * manifest["batch_size"]
        row = {
            "step": counters["step"],
            "epoch": round(counters["step"] / manifest["steps_per_epoch"], 4),
            "seconds": round(counters["seconds"], 2),
            "learning_rate": learning_rate,
            "train_nats": counters["nats_sum"] / max(counters["nats_count"], 1),
            "validation_nats": mean,
            "validation_bits_per_dim": bits_per_dim(mean, manifest),
            "rows_per_second": round(seen / max(counters["seconds"], 1e-9), 1),
        }
        self.history.append(row)
        counters.update(nats_sum=0.0, nats_count=0)

    @property
    def out_of_patience(self) -> bool:
        """Whether the recipe stops early here."""
        patience = self.manifest["patience"]
        return bool(patience) and self.counters["validations_without_gain"] >= patience

    # The run on disk.

    def _restore(self, out: Path) -> list[np.ndarray]:
        progress = json.loads((out / PROGRESS).read_text(encoding="utf-8"))
        if progress["manifest_sha256"] != hashlib.sha256(self.manifest_content).hexdigest():
            raise RefusalError(f"{out} is a run of another export: give this one another --out.")
        self.counters, self.history = progress["counters"], progress["history"]
        described = [{**entry, "zeros": False} for entry in self.manifest["state"]["arrays"]]
        if progress["weights"]:
            weights = self.manifest["functions"]["evaluate"]["num_values"]
            entry = self.written_best = progress["weights"]
            self.best = read_arrays(out / entry["folder"], described[:weights], entry["parts"])
        entry = progress["state"]
        return read_arrays(out / entry["folder"], described, entry["parts"])

    def save(self, reason: str) -> None:
        """Writes state and best weights in new folders, names them in progress.json, drops the old.

        Killed anywhere in between, the run is as it was at the save before.
        """
        out, counters = self.out, self.counters
        assert out is not None
        stamp = f"{counters['step']:09d}-{time.time_ns()}"
        state = write_arrays(out / f"state-{stamp}", [np.asarray(a) for a in self.state])
        if self.best is not None and self.written_best is None:
            self.written_best = write_arrays(out / f"weights-{stamp}", self.best)
        replace(out / MANIFEST, self.manifest_content)
        progress = {
            "format_version": FORMAT_VERSION,
            "manifest_sha256": hashlib.sha256(self.manifest_content).hexdigest(),
            "reason": reason,
            "counters": {
                **counters,
                "best_validation_nats": repr(counters["best_validation_nats"]),  # may be infinite
            },
            "history": self.history,
            "software": {"jax": jax.__version__},
            "state": state,
            "weights": self.written_best,
        }
        replace(out / PROGRESS, json.dumps(progress, indent=1).encode())
        named = {entry["folder"] for entry in (state, self.written_best) if entry}
        for path in [*out.glob("state-*"), *out.glob("weights-*")]:
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)


def bits_per_dim(nats: float, manifest: dict[str, Any]) -> float:
    """-log2 p / D."""
    return nats / (manifest["event_size"] * math.log(2.0))


def hardware() -> str:
    """Words for the device that the steps run on."""
    device = jax.devices()[0]
    return f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind


@contextlib.contextmanager
def locked(out: Path | None) -> Iterator[None]:
    """One run at a time in a folder; the lock goes with the process."""
    if out is None:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RefusalError(
                f"Another run is writing to {out}: give this one another --out."
            ) from error
        yield


class Stop:
    """Inside, SIGTERM and SIGINT are requests to stop after the chunk in progress."""

    def __init__(self) -> None:
        self.signal = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, *_: Any) -> None:
        self.signal = number


def train(run: Run, options: argparse.Namespace, started: float, stop: Stop) -> str:
    """Runs chunks, validations and saves until something ends the run; returns what."""
    counters, manifest = run.counters, run.manifest
    last_step = min(options.steps or manifest["total_steps"], manifest["total_steps"])
    every = manifest["validate_every"]
    seconds_before, began = counters["seconds"], time.monotonic()
    saved = logged = began
    logged_step, longest = counters["step"], 0.0
    while True:
        reason = ending(run, last_step, stop)
        if time.monotonic() - started + longest > options.max_seconds:
            reason = reason or "time limit"
        if reason:
            run.save(reason)
            return reason
        unit_began, step = time.monotonic(), counters["step"]
        count = min(run.functions.chunk, last_step - step, every - step % every)
        results = run.advance(count)
        step = counters["step"]
        counters["seconds"] = seconds_before + time.monotonic() - began
        validated = ""
        if step % every == 0 or step == manifest["total_steps"]:
            mean = run.validate(float(results["learning_rate"][-1]))
            validated = f", validation {mean:.3f} nats ({bits_per_dim(mean, manifest):.4f} b/d)"
        now = time.monotonic()
        if validated or now - logged > LOG_SECONDS:
            rate = (step - logged_step) * manifest["batch_size"] / (now - logged)
            loss = float(results["nats"].mean())
            print(
                f"step {step:,} of {manifest['total_steps']:,}, {now - started:.0f} s: loss "
                f"{loss:.3f} nats ({bits_per_dim(loss, manifest):.4f} b/d), "
                f"{rate:,.0f} examples/s{validated}",
                flush=True,
            )
            logged, logged_step = now, step
        if now - saved > options.save_seconds:
            run.save("running")
            saved = time.monotonic()
        longest = max(longest, time.monotonic() - unit_began)


def ending(run: Run, last_step: int, stop: Stop) -> str:
    """Why the run ends here; "" if it goes on."""
    if stop.signal:
        return f"signal {signal.Signals(stop.signal).name}"
    if run.out_of_patience:
        return "early stopping"
    if run.counters["step"] >= run.manifest["total_steps"]:
        return "finished"
    return "step limit" if run.counters["step"] >= last_step else ""


def check(run: Run, tolerance: float) -> bool:
    """Runs the steps whose losses TensorFlow has stored; prints both; whether they agree."""
    stored = run.manifest["reference"]
    if not stored:
        raise RefusalError(
            "The step was exported without --reference-steps: nothing to compare with."
        )
    found: list[float] = []
    began = time.monotonic()
    while len(found) < len(stored):
        found += run.advance(min(run.functions.chunk, len(stored) - len(found)))["nats"].tolist()
    seconds = time.monotonic() - began
    differences = [abs(f / s - 1.0) for f, s in zip(found, stored, strict=True)]
    first = run.manifest["counters"]["step"]
    for i, (s, f, d) in enumerate(zip(stored, found, differences, strict=True)):
        print(f"step {first + i}: stored {s:.6f}, here {f:.6f} nats, relative difference {d:.2e}")
    rate = len(stored) * run.manifest["batch_size"] / seconds
    print(
        f"largest relative difference {max(differences):.2e}, tolerance {tolerance:.0e}; float32 "
        f"products {run.manifest['float32_products']}, NVIDIA_TF32_OVERRIDE="
        f"{os.environ.get('NVIDIA_TF32_OVERRIDE', '')}; {rate:,.0f} examples/s"
    )
    return max(differences) <= tolerance


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="what zoo step export wrote")
    parser.add_argument("--out", type=Path, help="folder of the run; DIR/run without")
    parser.add_argument("--steps", type=int, default=0, help="stop at this step; 0: the recipe's")
    parser.add_argument("--max-seconds", type=float, default=math.inf, help="stop by itself")
    parser.add_argument("--save-seconds", type=float, default=SAVE_SECONDS)
    parser.add_argument("--chunk", type=int, default=0, help="steps a device call")
    parser.add_argument("--check", action="store_true", help="compare the stored losses, and end")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of --check, relative")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Command line entry point; returns the exit code."""
    started, options = time.monotonic(), parse(arguments)
    out = None if options.check else options.out or options.folder / "run"
    chunk = options.chunk or (1 if jax.default_backend() == "cpu" else CHUNK)
    try:
        with jax.enable_x64(True), locked(out), Stop() as stop:  # noqa: FBT003  # int64 counters
            run = Run(options.folder, out, chunk=chunk)
            step, name = run.counters["step"], run.manifest["name"]
            print(f"{name} on {hardware()}, jax {jax.__version__}, from step {step:,}", flush=True)
            began = time.monotonic()
            megabytes = run.compile() / 1e6
            seconds = time.monotonic() - began
            print(f"compiled in {seconds:.1f} s; {megabytes:,.0f} MB on the device", flush=True)
            if out is None:
                return 0 if check(run, options.tolerance) else 1
            reason = train(run, options, started, stop)
    except (RefusalError, ArithmeticError) as error:
        print(f"run_step: {error}", file=sys.stderr)
        return 2 if isinstance(error, RefusalError) else 1
    counters = run.counters
    best = f"{counters['best_validation_nats']:.3f} nats at step {counters['best_step']:,}"
    print(f"{reason} at step {counters['step']:,}; best validation {best}; {out}")
    return 128 + stop.signal if stop.signal else 0


if __name__ == "__main__":
    sys.exit(main())
