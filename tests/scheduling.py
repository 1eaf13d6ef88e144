"""Which tests share a worker, which begin, and which `pytest --fast` leaves out.

A file of tests stays on one worker, for its fixtures; so do folders with one export or server for
all their files. The laws over models (`conformance/`) are dealt out by family in place of by file,
since their models and graphs are built once a process. Long units begin, so that no worker is left
alone with one at the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xdist.scheduler import LoadScopeScheduling

LAWS = "tests/conformance/"
SHARED = ("tests/exporting/", "tests/portable/", "tests/serving/")
# Families of about half of the laws' time: their rows' names have one of these in them.
SECOND_HALF = re.compile(r"vae|wavenet|iaf|idf")

# Units of tests that take longest, longest first; the others follow in alphabetical order.
LONG: tuple[str, ...] = (
    f"{LAWS}first half",
    f"{LAWS}second half",
    *SHARED,
    "tests/test_replicated_runs.py",
    "tests/models/test_base.py",
    "tests/training/test_killed.py",
    "tests/test_workers.py",
    "tests/training/test_chains.py",
    "tests/models/test_wavenet.py",
    "tests/models/test_vae.py",
    "tests/models/test_parallel_wavenet.py",
    "tests/test_torture.py",
    "tests/test_benchmark_peers.py",
    "tests/test_imports.py",
)

# What `--fast` leaves out beside them: files of 10 seconds or more.
SLOWER = (
    "tests/cli/test_train.py",
    "tests/cli/test_verify.py",
    "tests/data/test_sources.py",
    "tests/models/test_clip_conditioning.py",
    "tests/models/test_compiled_calls.py",
    "tests/models/test_free_flows.py",
    "tests/models/test_iaf.py",
    "tests/models/test_idf.py",
    "tests/models/test_nsf.py",
    "tests/models/test_patch_nsf.py",
    "tests/networks/test_activations.py",
    "tests/ops/test_implicit.py",
    "tests/ops/test_row_blocks.py",
    "tests/test_benchmark.py",
    "tests/test_cold_start.py",
    "tests/test_compiled_steps.py",
    "tests/test_demo.py",
    "tests/test_docs.py",
    "tests/test_fine_tune.py",
    "tests/test_own_data.py",
    "tests/test_own_families.py",
    "tests/test_own_files.py",
    "tests/test_packaging.py",
    "tests/test_published.py",
    "tests/test_release.py",
    "tests/test_startup.py",
    "tests/training/test_fit_is_train.py",
    "tests/training/test_fresh_fits.py",
    "tests/training/test_keras_fit.py",
    "tests/training/test_row_weights.py",
    "tests/training/test_run_rows.py",
    "tests/training/test_runs.py",
    "tests/training/test_stopping.py",
)
# Rows of the laws for daily work: a flow, one with labels, a latent-variable model, integers.
FAST_ROWS = re.compile(r"nice-vector|made-2d|vae-features|\bidf\]")


def is_fast(nodeid: str) -> bool:
    """Whether a test is for daily work: seconds for its file, no processes, few rows of a law."""
    if nodeid.startswith(LAWS):
        return "[" not in nodeid or FAST_ROWS.search(nodeid) is not None
    return unit(nodeid) not in {*LONG, *SLOWER}


def unit(nodeid: str) -> str:
    """The unit of a test: its file, its folder, or one half of the laws."""
    path, _, name = nodeid.partition("::")
    if not path.startswith(LAWS):
        return next((folder for folder in SHARED if path.startswith(folder)), path)
    return f"{LAWS}{'second' if in_second_half(name.partition('[')[2]) else 'first'} half"


def in_second_half(parameters: str) -> bool:
    """Whether a row of the laws is in their second half."""
    return SECOND_HALF.search(parameters) is not None


def longest_first(nodeids: Sequence[str]) -> list[int]:
    """Places of the tests in the order in which their units begin; the order within one is kept."""
    rank = {name: place for place, name in enumerate(LONG)}
    return sorted(range(len(nodeids)), key=lambda i: rank.get(unit(nodeids[i]), len(LONG)))


class UnitScheduling(LoadScopeScheduling):
    """pytest-xdist's `--dist loadscope` over the units."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
