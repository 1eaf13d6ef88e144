"""`zoo evaluate`: a model's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import loading
from zoo.cli.app import EXIT_CODES, AsJson, Name, app, print_json
from zoo.media.console import (
    columns,
    error_text,
    figure,
    import_tensorflow,
    progress_bar,
    waiting,
)


@app.command(epilog=EXIT_CODES)
def evaluate(
    name: Name,
    *,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A folder of a run, or a .weights.h5, in place of the published weights."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the first rows; 0 for all.")] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Rows at a time; 0: by their size.")] = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Names the dequantisation noise.")
    ] = 0,
    certify: Annotated[
        bool,
        typer.Option("--certify", help="Also measure invertibility, log-dets and other data."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write this metrics.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute a model's figures by the protocol of its paper, with two standard errors."""
    import_tensorflow()
    from zoo import evaluation

    with waiting(f"loading {name}"):
        model = None if weights is None else loading.load(name, weights=weights)
    with progress_bar() as progress:
        task = progress.add_task(f"{name} on {split}", total=None)
        result = evaluation.evaluate(
            name,
            split=split,
            model=model,
            limit=limit,
            batch_size=batch_size,
            seed=seed,
            certify=certify,
            out=out or "",
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(result)
        return
    print(f"{result['name']} on {result['dataset']}, {result['split']}, {result['count']:,} rows")
    print(f"  {result['protocol']}")
    lines = [
        (metric, figure(value), value.get("space", ""))
        for metric, value in result["metrics"].items()
    ]
    print(columns(lines, right={1}, indent="  "))
    certificate = result.get("certificate", {})
    if certify and not certificate:
        print("  not certified: no bijector between data and latents")
    for dtype in ("float32", "bfloat16") if certificate else ():
        found = certificate[dtype]
        print(
            f"  {dtype} conditioners: max |x - g(f(x))| {error_text(found['invertibility'])}, "
            f"max |sum of both log-dets| {error_text(found['log_det'])}"
        )
    for other, bits in result.get("other_data", {}).items():
        print(f"  {other}: {bits:g} bits/dim")
    paper = result.get("paper") or {}
    if paper.get("value") is not None:
        print(f"  paper: {paper['value']:g} {paper['metric']} ({paper['source']})")
    if out is not None:
        print(f"written to {out}")
