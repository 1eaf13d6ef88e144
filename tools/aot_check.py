"""Compiles exported training steps for an H100 on a machine without a GPU, and says what they cost.

    python tools/aot_check.py DIR...            a table row for every `zoo step export NAME DIR`
    python tools/aot_check.py DIR... --write    also replaces the table in CONTRIBUTING.md

Beside jax it needs the compiler alone, no CUDA library and no driver, in exactly jax's version:

    pip install --no-deps --target aot jax-cuda13-plugin==0.10.2 jax-cuda13-pjrt==0.10.2
    PYTHONPATH=aot python tools/aot_check.py DIR

What is compiled is what `run_step.py` runs, a chunk of steps over data on the device. It catches
everything that XLA's GPU compiler would refuse on the host; kernels are not tuned and nothing is
run. FLOP are those of the step's HLO before any optimisation, two for a multiplication with its
addition; the memory is what XLA plans for one call, data set included. Seconds an epoch are
FLOP over the rate, with no word on what rate the device reaches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # there is no CUDA library
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_autotune_level=0"

import jax
import numpy as np
import run_step
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- accelerators:begin -->", "<!-- accelerators:end -->"
RATES = (30e12, 60e12)  # FLOP a second
HEADER = (
    "| recipe | precision | rows a step | TFLOP a step | MB of artefacts | GB on the device | "
    "seconds an epoch at 30 TFLOP/s | at 60 TFLOP/s |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)

# The vendor's figures of the part, in the words of XLA's `GpuTargetConfigProto`.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024  threads_per_warp: 32  threads_per_core_limit: 2048
  shared_memory_per_block: 49152  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  core_count: 132  fpus_per_core: 128  clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000  l2_cache_size: 52428800  device_memory_size: 84942979072
  cuda_compute_capability { major: 9 minor: 0 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--write", action="store_true", help="the table of CONTRIBUTING.md")
    options = parser.parse_args()
    target = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology="1x1x1", target_config=H100
    )
    sharding = SingleDeviceSharding(target.devices[0])
    with jax.enable_x64(True):  # noqa: FBT003
        rows = [row(folder, sharding) for folder in options.folders]
    table = "\n".join([HEADER, *rows])
    print(table)
    if options.write:
        write(ROOT / "CONTRIBUTING.md", table)


def row(folder: Path, sharding: Any) -> str:
    """Compiles the folder's step for the device of the sharding; its row of the table."""
    manifest = json.loads((folder / run_step.MANIFEST).read_text(encoding="utf-8"))
    if not {"cuda", "cpu"} <= set(manifest["platforms"]):
        raise SystemExit(f"{folder}: FLOP are counted on the CPU; export with --platforms cuda,cpu")
    functions = run_step.Functions(folder, manifest, chunk=run_step.CHUNK)
    began = time.monotonic()
    traced = jax.jit(functions.many, donate_argnums=0).trace(
        *shapes(manifest, functions.chunk, sharding)
    )
    needed = run_step.planned_bytes(traced.lower(lowering_platforms=("cuda",)).compile())
    print(f"{folder}: compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    flop = jax.jit(functions.one).lower(*shapes(manifest, 1, None)).cost_analysis()["flops"]
    artefacts = sum(entry["size"] for entry in manifest["functions"].values())
    seconds = (f"{flop * manifest['steps_per_epoch'] / rate:.0f}" for rate in RATES)
    return (
        f"| `{manifest['name']}` | {manifest['recipe']['conditioner_dtype']} | "
        f"{manifest['batch_size']} | {flop / 1e12:.2f} | {artefacts / 1e6:.1f} | "
        f"{needed / 1e9:.1f} | {' | '.join(seconds)} |"
    )


def shapes(manifest: dict[str, Any], chunk: int, sharding: Any) -> list[Any]:
    """The arguments of a call of `chunk` steps: state, data, rows, step numbers, their count."""

    def array(shape: Any, dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype), sharding=sharding)

    def arrays(index: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(array(a["shape"], a["dtype"]) for a in index["arrays"])

    return [
        arrays(manifest["state"]),
        arrays(manifest["data"]["train"]),
        array([chunk, manifest["batch_size"]], np.int32),
        array([chunk], np.int32),
        array([], np.int32),
    ]


def write(path: Path, table: str) -> None:
    """Replaces what lies between the markers."""
    before, found, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise SystemExit(f"{path} has no {BEGIN} … {END} to write the table between.")
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
