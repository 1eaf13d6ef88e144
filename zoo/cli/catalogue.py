"""`zoo list` and `zoo info`: what there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import typer

import zoo
from zoo import loading, registry
from zoo.cli.app import (
    EXIT_CODES,
    AsJson,
    RegistryName,
    app,
    complain,
    print_json,
)
from zoo.errors import CheckpointError
from zoo.media.console import columns, figure
from zoo.store import pins


@app.command("list", epilog=EXIT_CODES)
def list_command(
    pattern: Annotated[str, typer.Argument(help="A shell pattern such as '*_mnist'.")] = "*",
    *,
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    pretrained: Annotated[
        bool | None, typer.Option(help="Only models with, or without, published weights.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models: name, family, dataset, parameters, weights and headline figure."""
    names = zoo.list_models(pattern, family=family, dataset=dataset, pretrained=pretrained)
    if as_json:
        print_json([_list_row(name) for name in names])
        return
    if not names:
        complain("no model passes these filters; `zoo list` shows all")
        return
    lines = [("name", "family", "dataset", "parameters", "weights", "test metric")]
    for name in names:
        row = _list_row(name)
        count = "" if row["num_parameters"] is None else f"{row['num_parameters']:,}"
        weights = f"v{row['version']}" if row["pretrained"] else "-"
        lines.append((name, row["family"], row["dataset"], count, weights, row["headline"]))
    print(columns(lines, right={3}))


def _list_row(name: str) -> dict[str, Any]:
    """The facts of a model for a list; a damaged checkpoint is one of them, not an error."""
    entry = registry.get(name)
    row: dict[str, Any] = {
        "name": name,
        "family": entry.family,
        "dataset": f"{entry.recipe.dataset.name}:{entry.recipe.dataset.version}",
        "event_shape": list(entry.recipe.config.get("event_shape", ())),
        "num_parameters": None,
        "pretrained": name in pins.pins(),
        "version": 0,
        "metrics": {},
        "headline": "",
    }
    try:
        known = loading.info(name)
    except CheckpointError as error:
        return {**row, "headline": f"checkpoint refused: {type(error).__name__}"}
    metrics = known.metrics.get("metrics", {})
    return {
        **row,
        "num_parameters": known.num_parameters,
        "version": known.version,
        "metrics": metrics,
        "headline": _headline(entry, metrics),
    }


def _headline(entry: registry.Entry, metrics: Mapping[str, Any]) -> str:
    """The entry's first metric that has been evaluated, as text; "" for none."""
    for metric in entry.metrics:
        if metric in metrics:
            return f"{figure(metrics[metric])} {metric}"
    return ""


@app.command(epilog=EXIT_CODES)
def info(
    name: RegistryName,
    *,
    card: Annotated[bool, typer.Option("--card", help="Print the model card too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is known of a model: paper, dataset, sizes, figures, licence, limits."""
    known = loading.info(name)
    if as_json:
        print_json(dataclasses.asdict(known))
        return
    print(known)
    print(f"\n{known.description}\nLimits: {known.limitations}")
    if card:
        print(f"\n{known.card or 'There is no card on this machine.'}")
