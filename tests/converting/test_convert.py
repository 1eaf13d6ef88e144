"""`zoo convert`: flows of nflows and zuko with random weights, against their own answers.

The files beside this one were written by tools/make_state_dicts.py.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import zoo
from zoo import converting
from zoo.cli import app
from zoo.errors import ConversionError, FormatError, InvalidInputError, MissingExtraError
from zoo.models.flows.converted import ConvertedConfig

HERE = Path(__file__).resolve().parent
CASES: dict[str, dict[str, Any]] = {
    "nflows-maf": {},
    "nflows-maf-tanh": {"activation": "tanh"},
    "nflows-maf-random": {},
    "nflows-nsf": {"tail_bound": 3.0},
    "nflows-nsf-coupling": {"tail_bound": 3.0},
    "nflows-coupling": {},
    "nflows-coupling-additive": {},
    "zuko-maf": {},
    "zuko-maf-reversed": {"activation": "silu"},
    "zuko-nsf": {},
    "zuko-nsf-passes": {},
    "zuko-coupling": {},
}


def state_of(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{name}.npz") as file:
        return dict(file)


def rows_of(name: str) -> dict[str, np.ndarray]:
    """x, and what the source said of it."""
    return state_of(f"{name}.rows")


def converted(name: str, state: Any = None, **changes: Any) -> Any:
    source, family = name.split("-")[:2]
    given: dict[str, Any] = {"source": source, "family": family, **CASES.get(name, {}), **changes}
    return converting.convert(state_of(name) if state is None else state, **given)


@pytest.mark.parametrize("name", CASES)
def test_densities_and_latents_are_those_of_the_source(name: str) -> None:
    model, rows = converted(name), rows_of(name)
    nats = np.asarray(model(rows["x"]))  # eagerly: nothing is traced
    limit = converting.TOLERANCE * max(1.0, np.abs(rows["log_prob"]).max())
    assert np.abs(nats - rows["log_prob"]).max() <= limit
    z = model._encode(tf.constant(rows["x"]), None)
    np.testing.assert_allclose(z, rows["z"], 1e-3, 1e-3)
    again = model._encode(model._decode(z, None), None)  # of rows that may be ill conditioned
    np.testing.assert_allclose(again, z, 1e-3, 1e-3)


def test_masks_become_the_zoos_with_units_sorted_by_degree() -> None:
    """The seven units have the degrees 1, 2, 3, 1, 2, 3, 1."""
    model = converted("zuko-maf")
    made = next(layer for layer in model.step_layers if "step_1" in layer.name)
    assert made.unit_counts == ((0, 3, 2, 2), (0, 2, 2, 2))
    kernel = np.asarray(made.hidden[0].masked_kernel())
    assert np.count_nonzero(kernel) == np.count_nonzero(state_of("zuko-maf")[
        "transform.transforms.0.hyper.0.mask"])  # fmt: skip
    assert [step.kind for step in model.config.steps][:2] == ["permutation", "autoregressive"]
    again = ConvertedConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))
    assert again == model.config


def test_names_may_have_a_prefix_and_a_base_other_moments() -> None:
    rows = rows_of("zuko-coupling")
    state = {f"module.{k}": v for k, v in state_of("zuko-coupling").items()}
    state["module.base.loc"] = state["module.base.loc"] + 0.5
    state["module.base.scale"] = state["module.base.scale"] * 2.0
    nats = np.asarray(converted("zuko-coupling", state)(rows["x"]))
    normal = -0.5 * ((rows["z"] - 0.5) / 2.0) ** 2 - np.log(2.0) + 0.5 * rows["z"] ** 2
    np.testing.assert_allclose(nats, rows["log_prob"] + normal.sum(-1), 1e-4, 1e-4)
    nested = {f"flow.{k}": v for k, v in state_of("nflows-coupling").items()}
    assert converted("nflows-coupling", nested).config.event_size == 5


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "norm in blocks": ("nflows-refused-residual-norm", {"family": "maf"}, "batch norm inside res"),
    "context": ("zuko-refused-context", {"family": "maf"}, "context vector, of 2 numbers"),
    "residual": ("zuko-refused-residual", {"family": "maf"}, "another network than layers"),
    "no bound": ("nflows-nsf", {"tail_bound": None}, "does not say where the tails"),
    "family": (
        "nflows-maf",
        {"family": "coupling"},
        "of the family maf, with 2 param.*expected",
    ),
    "splines": ("zuko-nsf", {"family": "maf"}, "is of the family nsf, with 11 parameters"),
    "source": ("zuko-maf", {"source": "nflows"}, "no state dict of an nflows Flow"),
    "other source": ("nflows-maf", {"source": "zuko"}, "_distribution|of no step|neither an order"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_model_computes_is_refused_with_the_reason(case: str) -> None:
    name, changes, message = REFUSED[case]
    with pytest.raises(ConversionError, match=message):
        converted(name, **changes)


def test_steps_that_cannot_be_told_are_refused() -> None:
    state = state_of("nflows-coupling")
    first = "_transform._transforms.0."
    without = {k: v for k, v in state.items() if not k.startswith(first)}
    with pytest.raises(ConversionError, match=r"_transform\.0 has no tensors"):
        converted("nflows-coupling", without)
    with pytest.raises(ConversionError, match=r"none of the steps that are converted.*_other"):
        converted("nflows-coupling", {**without, f"{first}_other": np.zeros(5)})
    with pytest.raises(ConversionError, match="belongs to a base or an embedding"):
        converted("nflows-coupling", {**state, "_distribution.mean_": np.zeros(5)})
    cyclic = state_of("zuko-maf")
    cyclic["transform.transforms.0.hyper.4.mask"][:] = True
    with pytest.raises(ConversionError, match="not autoregressive in the order"):
        converted("zuko-maf", cyclic)
    with pytest.raises(InvalidInputError, match="source must be one of nflows, zuko; got 'tfp'"):
        converted("zuko-maf", source="tfp")


def test_files_are_read_without_running_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    state, rows = state_of("zuko-coupling"), rows_of("zuko-coupling")
    save_file(state, tmp_path / "flow.safetensors")
    model = converted("zuko-coupling", tmp_path / "flow.safetensors")
    np.testing.assert_allclose(model(rows["x"]), rows["log_prob"], 1e-4, 1e-4)
    np.savez(tmp_path / "code.npz", a=np.array([object()]))
    for name, content in (("bad.npz", b"PK"), ("bad.safetensors", b"{}")):
        (tmp_path / name).write_bytes(content)
    for name in ("code.npz", "bad.npz", "bad.safetensors"):
        with pytest.raises(FormatError, match="cannot be read as"):
            converted("zuko-coupling", tmp_path / name)
    with pytest.raises(FormatError, match=r"Expected a state dict in a file \.safetensors, \.npz"):
        converted("zuko-coupling", tmp_path / "flow.pkl")
    with pytest.raises(FormatError, match="holds NaN"):
        converted("zuko-coupling", {"transform.transforms.0.mask": np.array([np.nan])})

    (tmp_path / "flow.pt").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="needs PyTorch to be read"):
        converted("zuko-coupling", tmp_path / "flow.pt")

    def load(path: Path, *, map_location: str, weights_only: bool) -> Any:
        assert (map_location, weights_only) == ("cpu", True)
        return {"state_dict": state, "epoch": 3}

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    model = converted("zuko-coupling", tmp_path / "flow.pt")
    np.testing.assert_allclose(model(rows["x"]), rows["log_prob"], 1e-4, 1e-4)


def test_the_command_writes_a_checkpoint_that_was_checked(tmp_path: Path) -> None:
    name, out = "nflows-coupling", tmp_path / "mine"
    given = ["convert", str(HERE / f"{name}.npz"), "--from", "nflows", "--family", "coupling"]
    given += ["-o", str(out), "--check", str(HERE / f"{name}.rows.npz")]
    result = CliRunner().invoke(app, [*given, "--activation", "tanh"])
    assert result.exit_code == 2
    assert "above 0.0001: the source has another activation" in " ".join(result.stderr.split())
    assert not out.exists()
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "2 coupling" in result.stdout
    assert "log_prob within" in result.stdout
    model, rows = zoo.load(out), rows_of(name)
    np.testing.assert_allclose(model(rows["x"]), rows["log_prob"], 1e-4, 1e-4)
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert "holds a checkpoint" in result.stderr
