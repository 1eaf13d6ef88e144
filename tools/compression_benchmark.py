"""Test rows as files: by integer flows, beside gzip, bz2, xz, zstd and PNG on the same rows.

    python tools/compression_benchmark.py [NAME ...] [--rows 1000] [--write]

Rows are the first `--rows` of the test split, all of them where there are fewer; a number is a
byte.

    model         the file of `zoo compress`, header and checksum and all, decoded and compared
    -log2 P       what the model states of the same rows
    packed        log2(levels) bits a number, what no model at all takes
    gzip -9, bz2 -9, xz -9e, zstd -19     of the rows one after the other
    png           an image a row, optimised; one picture of all of them beneath each other

`--write` writes `benchmarks/compression.json`, of which the table in docs/compression.md is made.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import lzma
import math
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from zoo.store.files import write_json_atomic

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("idf_digits", "idf2_digits", "idf4_digits", "idf8_digits", "idf4_mnist")


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    from zoo import loading

    there = [name for name in options.names if loading.is_folder(name) or published(name)]
    results = [measured(name, options.rows) for name in there]
    for result in results:
        print(result)
    if options.write:
        path = ROOT / "benchmarks" / "compression.json"
        write_json_atomic(path, {"tool": "tools/compression_benchmark.py", "results": results})


def published(name: str) -> bool:
    """Whether the name has weights."""
    from zoo import loading

    return name in loading.list_models(pretrained=True)


def measured(name: str, rows: int) -> dict[str, Any]:
    """Bytes by every way, and the model's own speed."""
    from zoo.data import sources
    from zoo.evaluation.evaluating import subject_of
    from zoo.store import pins
    from zoo.tasks import compression

    subject = subject_of(name)
    model, dataset = subject.model, subject.recipe.dataset
    x = sources.load_arrays(dataset, "test").x[:rows]
    stated = -sum(
        float(np.sum(model.log_prob(part), dtype=np.float64))
        for part in np.array_split(x, max(1, len(x) // 200))
    )
    compression.compress(model, x[:2])  # traces its graphs
    started = time.perf_counter()
    found = compression.compress(model, x)
    middle = time.perf_counter()
    back = compression.decompress(model, found.content)
    seconds = (middle - started, time.perf_counter() - middle)
    assert np.array_equal(back, x), name
    coder = coder_seconds(model, x)
    return {
        "model": name,
        "version": pins.pins().get(name, {}).get("version", 0),
        "dataset": f"{dataset.name}:{dataset.version}",
        "rows": len(x),
        "numbers": int(x.size),
        "verbatim_rows": found.verbatim,
        "bytes": {
            "model": len(found.content),
            "-log2 P": math.ceil(stated / math.log(2.0) / 8.0),
            "packed": math.ceil(x.size * math.log2(model.data.levels) / 8.0),
            **peers(x),
        },
        "rows_per_second": {
            "compress": round(len(x) / seconds[0], 1),
            "decompress": round(len(x) / seconds[1], 1),
        },
        "coder_megabytes_per_second": {
            way: round(x.size / value / 1e6, 2) for way, value in coder.items()
        },
    }


def coder_seconds(model: Any, x: np.ndarray) -> dict[str, float]:
    """Of the entropy coder alone, both ways; the best of three."""
    from zoo.tasks import ans

    z = np.asarray(model.encode(x), np.int64)
    low, high = int(z.min()), int(z.max())
    table = ans.frequencies(np.asarray(model.base.log_masses(low, high)))
    code = ans.encoded(z - low, table)
    ways = {
        "encode": lambda: ans.encoded(z - low, table),
        "decode": lambda: ans.decoded(code, len(x), table),
    }
    return {way: min(_timed(call) for _ in range(3)) for way, call in ways.items()}


def _timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peers(x: np.ndarray) -> dict[str, int]:
    """Bytes of the same rows by general compressors and by PNG."""
    content = x.astype(np.uint8).tobytes()
    found = {
        "gzip -9": len(gzip.compress(content, 9, mtime=0)),
        "bz2 -9": len(bz2.compress(content, 9)),
        "xz -9e": len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)),
    }
    if shutil.which("zstd"):
        done = subprocess.run(
            ["zstd", "-19", "--stdout", "--quiet"], input=content, capture_output=True, check=True
        )
        found["zstd -19"] = len(done.stdout)
    if x.ndim == 4:
        found["png, an image a row"] = sum(png_bytes(row[..., 0]) for row in x)
        found["png, one picture"] = png_bytes(x[..., 0].reshape(-1, x.shape[2]))
    return found


def png_bytes(picture: np.ndarray) -> int:
    """Of a grey picture as an optimised PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "PNG", optimize=True)
    return stream.tell()


if __name__ == "__main__":
    main()
