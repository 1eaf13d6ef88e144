"""Compressed files: bit for bit, as small as the model says, refused when anything is changed."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from pathlib import Path
from typing import Any

import compression_benchmark
import numpy as np
import pytest
import render_cards
import scipy.stats
from commands import refused, run_ok
from numpy.testing import assert_allclose, assert_array_equal

from zoo import cli, models
from zoo.bases.categorical import Categoricals
from zoo.data.sources import Arrays
from zoo.errors import InvalidInputError
from zoo.evaluation.coding import coding_metrics
from zoo.evaluation.task import Task
from zoo.tasks import ans, compression, container
from zoo.tasks.compression import compress, decompress


@functools.cache
def _model(base: str = "logistic") -> Any:
    model = models.create(
        "idf", event_shape=(2, 3, 1), num_classes=17, num_parts=2, hidden_units=(8,), base=base
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.startswith("coupling"):
            weight.assign(2.0 * rng.normal(size=weight.shape) / max(1, weight.shape[0]))
    model.base.adapt(model.encode(_rows(500, seed=3)))
    return model


def _rows(count: int, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).binomial(16, 0.4, (count, 2, 3, 1))
    return drawn.astype("uint8")


@pytest.mark.parametrize("base", ["logistic", "mixture"])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_rows_come_back_bit_for_bit(base: str, dtype: str) -> None:
    x = _rows(300).astype(dtype)
    back = decompress(_model(base), compress(_model(base), x).content)
    assert back.dtype == x.dtype
    assert_array_equal(back, x)


def test_a_file_is_as_small_as_the_model_says() -> None:
    """The header, and the rounding of frequencies, are less than a hundredth of the rest."""
    x = _rows(20_000)
    found = compress(_model(), x)
    bits = -_model().log_prob(x).numpy().sum() / np.log(2.0)
    assert 0.98 * bits < found.code_bits < 8 * len(found.content) < 1.01 * bits
    figures = coding_metrics(Task(model=_model(), rows=Arrays(x)), ["compressed_bits_per_dim"])
    figure = figures.metrics["compressed_bits_per_dim"]
    assert figure["value"] == 8 * len(found.content) / x.size


def test_masses_of_the_base_are_those_of_scipy() -> None:
    base = _model().base
    table = np.asarray(base.log_masses(-3, 20))
    scale = 1.0 / np.logaddexp(0.0, -base.negative_rate.numpy().astype(float))
    edges = np.arange(-3, 22)
    cdf = scipy.stats.logistic.cdf(edges, base.location.numpy(), scale)
    assert_allclose(np.exp(table), np.diff(cdf, axis=1), rtol=1e-5)


def test_masses_of_categories_are_their_shares() -> None:
    base = Categoricals((2, 3))
    base.build()
    base.adapt(np.array([[0, 0], [1, 2], [1, 2], [1, 1]]))
    table = np.exp(base.log_masses(-1, 3))
    expected = np.array([[0, 0.25, 0.75, 0, 0], [0, 0.25, 0.25, 0.5, 0]])
    assert_allclose(table, expected, atol=1e-3)


def test_rows_that_have_no_symbols_are_stored_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    x = _rows(300)
    span = np.ptp(_model().encode(x)) + 1
    monkeypatch.setattr(compression, "MOST_SYMBOLS", int(0.9 * span))
    found = compress(_model(), x)
    assert 0 < found.verbatim < 300
    assert_array_equal(decompress(_model(), found.content), x)


def test_rows_that_decode_otherwise_are_stored_as_they_are(monkeypatch) -> None:
    model, x = _model(), _rows(300)
    decode = model.decode

    def off_by_one(z: Any) -> np.ndarray:
        rows = decode(z).numpy()
        rows[7] ^= 1
        return rows

    monkeypatch.setattr(model, "decode", off_by_one)
    found = compress(model, x)
    assert found.verbatim == 1
    assert_array_equal(decompress(model, found.content), x)


@functools.cache
def _content() -> bytes:
    return compress(_model(), _rows(20)).content


def test_every_changed_byte_and_every_cut_is_refused() -> None:
    content = _content()
    assert container.pack(container.unpack(content)) == content
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        with pytest.raises(InvalidInputError):
            container.unpack(bytes(changed))
        with pytest.raises(InvalidInputError):
            container.unpack(content[:place])
    with pytest.raises(InvalidInputError, match="damaged"):
        container.unpack(content + b"\0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": bytes(32)}, "other weights \\(0000000000000000…\\)"),
        ({"coder": 2}, "version 2 of the coder"),
        ({"table": bytes(8)}, "other probabilities"),
        ({"check": bytes(8)}, "other rows"),
        ({"code": b"\1\0\0\0" * 9}, "other rows|cannot be decoded"),
        ({"rows": 19}, "cannot be decoded|other rows"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_files_of_something_else_are_refused(changes: dict[str, Any], message: str) -> None:
    content = container.pack(dataclasses.replace(container.unpack(_content()), **changes))
    with pytest.raises(InvalidInputError, match=message):
        decompress(_model(), content)


def test_models_without_exact_masses_are_refused() -> None:
    nice = models.create("nice", event_shape=(4,), num_couplings=2, hidden_units=(4,))
    for call in (lambda: compress(nice, np.zeros((1, 4))), lambda: decompress(nice, b"")):
        with pytest.raises(InvalidInputError, match="exact probabilities of integers"):
            call()
    with pytest.raises(InvalidInputError):
        compress(_model(), _rows(3) + 17)


def test_a_megabyte_of_symbols_takes_less_than_a_second(rng: np.random.Generator) -> None:
    """The coder alone, both ways; measured: 0.04 s a way."""
    symbols = rng.binomial(40, 0.5, (2**14, 64))
    table = ans.frequencies(scipy.stats.binom.logpmf(np.arange(41), 40, 0.5)[None].repeat(64, 0))
    started = time.process_time()
    code = ans.encoded(symbols, table)
    middle = time.process_time()
    assert_array_equal(ans.decoded(code, len(symbols), table), symbols)
    assert middle - started < 1.0
    assert time.process_time() - middle < 1.0
    entropy = scipy.stats.binom.entropy(40, 0.5) / np.log(2.0)
    assert 8 * len(code) / symbols.size == pytest.approx(entropy, rel=2e-3)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".png"])
def test_files_of_every_kind(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.compress, "loaded", lambda _: _model())
    from zoo.media import pictures

    monkeypatch.chdir(tmp_path)
    x = _rows(1 if suffix == ".png" else 9)
    if suffix == ".npy":
        np.save("x.npy", x)
    elif suffix == ".npz":
        np.savez("x.npz", x=x)
    elif suffix == ".csv":
        lines = [",".join("abcdef"), *(",".join(map(str, row)) for row in x.reshape(9, 6))]
        Path("x.csv").write_text("\n".join(lines) + "\n")
    else:
        pictures.save_png("x.png", pictures.as_grey(x, 17)[0])
    text = run_ok("compress", "m", f"x{suffix}", "-o", "x.zoo")
    assert f"{len(x)} rows in" in text
    assert f"{len(x)} rows" in run_ok("decompress", "m", "x.zoo", "-o", f"y{suffix}")
    run_ok("decompress", "m", "x.zoo", "-o", "z.npy")
    assert_array_equal(np.load("z.npy").reshape(x.shape), x)
    if suffix == ".png":
        assert Path("y.png").read_bytes() == Path("x.png").read_bytes()
        assert "Expected a .zoo" in refused(2, "compress", "m", "x.png", "-o", "x.zip")
        assert "No file" in refused(2, "decompress", "m", "none.zoo", "-o", "y.npy")
    else:
        assert "one image" in refused(2, "decompress", "m", "x.zoo", "-o", "y.png")


def test_the_table_sets_other_compressors_beside_it(tmp_path: Path) -> None:
    x = np.zeros((4, 8, 8, 1), "uint8")
    sizes = compression_benchmark.peers(x)
    assert {"gzip -9", "bz2 -9", "xz -9e", "png, one picture"} <= sizes.keys()
    assert max(sizes["gzip -9"], sizes["png, one picture"]) < 100 < x.size
    assert render_cards.compression_table(tmp_path).startswith("Not measured")
    result = {
        "model": "m",
        "rows": 4,
        "numbers": 256,
        "bytes": {"model": 64, "packed": 131, **sizes},
        "rows_per_second": {"compress": 1200.4, "decompress": 1300.0},
        "coder_megabytes_per_second": {"encode": 20.0, "decode": 31.0},
    }
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "compression.json").write_text(json.dumps({"results": [result]}))
    table = render_cards.compression_table(tmp_path)
    assert "| `zoo compress` | 64 |" in table
    assert "| bits/dim of the file | 2.000 |" in table
    assert "| compress, rows/s | 1,200 |" in table
    assert "20 to 31 MB" in table
