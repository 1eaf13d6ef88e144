"""Writes the state dicts and densities that tests of `zoo convert` compare with.

    .venv-peers/bin/python tools/make_state_dicts.py tests/converting

in an environment of tools/peers-requirements.txt. For each flow of nflows and zuko below, of random
weights: NAME.npz, its state dict, and NAME.rows.npz, with rows x [16, D], their log_prob [16], and
the latents z [16, D].
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zuko
from nflows.distributions.normal import StandardNormal
from nflows.flows import MaskedAutoregressiveFlow, SimpleRealNVP
from nflows.flows.base import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms import (
    ActNorm,
    CompositeTransform,
    LULinear,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    PiecewiseRationalQuadraticCouplingTransform,
    RandomPermutation,
)

ROWS = 16


def nflows_nsf() -> Any:
    """Autoregressive splines, each after a permutation and an LU."""
    steps = []
    for _ in range(2):
        splines = MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            features=4, hidden_features=6, num_bins=4, tails="linear", tail_bound=3.0, num_blocks=1
        )
        steps += [RandomPermutation(4), LULinear(4), splines]
    return Flow(CompositeTransform(steps), StandardNormal([4]))


def nflows_nsf_coupling() -> Any:
    """Couplings of splines between activation norms, and an LU at the end."""
    steps: list[Any] = []
    for i in range(2):
        mask = torch.tensor([1, 0, 1, 0, 0]) if i else torch.tensor([0, 1, 0, 1, 1])
        splines = PiecewiseRationalQuadraticCouplingTransform(
            mask,
            lambda kept, moved: ResidualNet(kept, moved, hidden_features=6, num_blocks=1),
            num_bins=4,
            tails="linear",
            tail_bound=3.0,
        )
        norm = ActNorm(5)
        norm.initialized.fill_(True)  # noqa: FBT003
        steps += [norm, splines]
    return Flow(CompositeTransform([*steps, LULinear(5)]), StandardNormal([5]))


def nflows_maf(**options: Any) -> Any:
    """MAF of 2 layers."""
    return MaskedAutoregressiveFlow(
        features=4, hidden_features=7, num_layers=2, num_blocks_per_layer=1, **options
    )


def nflows_coupling(**options: Any) -> Any:
    """RealNVP of 2 couplings."""
    return SimpleRealNVP(
        features=5, hidden_features=6, num_layers=2, num_blocks_per_layer=1, **options
    )


SIZES: dict[str, Any] = {"transforms": 2, "hidden_features": (7, 6)}
FLOWS = {
    "nflows-maf": lambda: nflows_maf(batch_norm_between_layers=True),
    "nflows-maf-tanh": lambda: nflows_maf(
        use_residual_blocks=False,
        use_random_permutations=True,
        batch_norm_within_layers=True,
        activation=torch.tanh,
    ),
    "nflows-maf-random": lambda: nflows_maf(use_residual_blocks=False, use_random_masks=True),
    "nflows-nsf": nflows_nsf,
    "nflows-nsf-coupling": nflows_nsf_coupling,
    "nflows-coupling": lambda: nflows_coupling(batch_norm_between_layers=True),
    "nflows-coupling-additive": lambda: nflows_coupling(use_volume_preserving=True),
    "zuko-maf": lambda: zuko.flows.MAF(4, randperm=True, **SIZES),
    "zuko-maf-reversed": lambda: zuko.flows.MAF(3, activation=torch.nn.SiLU, **SIZES),
    "zuko-nsf": lambda: zuko.flows.NSF(4, bins=4, randperm=True, **SIZES),
    "zuko-nsf-passes": lambda: zuko.flows.NSF(4, bins=3, passes=2, **SIZES),
    "zuko-coupling": lambda: zuko.flows.RealNVP(5, randmask=True, **SIZES),
    # What the zoo refuses.
    "nflows-refused-residual-norm": lambda: nflows_maf(batch_norm_within_layers=True),
    "zuko-refused-context": lambda: zuko.flows.MAF(3, context=2, **SIZES),
    "zuko-refused-residual": lambda: zuko.flows.MAF(3, residual=True, **SIZES),
}


def randomised(flow: Any, generator: torch.Generator) -> Any:
    """The flow in evaluation, every weight off its start and every variance positive."""
    with torch.no_grad():
        for name, tensor in flow.state_dict().items():
            constant = name.endswith(("mask", "_log_z")) or name.startswith("base")
            if constant or not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.add_(0.3 * (noise.abs() if name.endswith("_var") else noise))
    return flow.eval()


def answers(flow: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """log_prob and latents of the rows."""
    if isinstance(flow, zuko.lazy.Flow):
        return {"log_prob": flow().log_prob(x), "z": flow().transform(x)}
    return {"log_prob": flow.log_prob(x), "z": flow.transform_to_noise(x)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for number, (name, make) in enumerate(FLOWS.items()):
        torch.manual_seed(number)
        flow = randomised(make(), torch.Generator().manual_seed(number))
        state = {key: value.numpy() for key, value in flow.state_dict().items()}
        np.savez_compressed(folder / f"{name}.npz", **state)
        if "refused" in name:
            continue
        size = next(int(n) for n in "345" if _takes(flow, int(n)))
        x = 1.5 * torch.randn(ROWS, size, generator=torch.Generator().manual_seed(number))
        with torch.no_grad():
            rows = {"x": x, **answers(flow, x)}
        np.savez_compressed(folder / f"{name}.rows.npz", **{k: v.numpy() for k, v in rows.items()})


def _takes(flow: Any, size: int) -> bool:
    try:
        answers(flow, torch.zeros(2, size))
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


if __name__ == "__main__":
    main()
