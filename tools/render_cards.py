"""Writes what is generated from the checkpoints: cards, MODEL_CARDS.md, parts of README.md.

    python tools/render_cards.py [--check] [--root DIR]

A card is made of the registry's entry and of the checkpoint's own recipe.json, config.json,
run.json and metrics.json; no figure is typed by hand. `--check` writes nothing and exits with 1 if
a file differs from what would be written, if a checkpoint has not been evaluated, or if the README
or a card's prose states a result in nats or bits/dim that no metrics.json holds. Where a pinned
card.md changes, its lines in SHA256SUMS and in zoo/pins.json follow; no other file's hash does.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import checkpointing, recipes, registry
from zoo.console import figure
from zoo.errors import ZooError

CARD_FILE = "card.md"
METRICS_FILE = "metrics.json"
RUN_FILE = "run.json"
SAMPLES_FILE = "samples.png"
PICTURES = {
    "samples_realnvp_cifar.png": "Samples of realnvp_cifar",
    "samples_nice_mnist.png": "Samples of nice_mnist",
    "samples_maf_mnist.png": "Samples of maf_mnist",
    "interpolations.png": "From test image to test image through the latent space",
}
UNITS = {"bits_per_dim": "bits/dim", "log_prob": "nats", "log_prob_paper": "nats"}
DATA_LICENCES = {
    "mnist": "LeCun, Cortes and Burges; CC BY-SA 3.0 is commonly stated",
    "fashion_mnist": "Zalando SE; MIT",
    "cifar10": "Krizhevsky; none stated",
    "magic": "Bock et al., UCI 159; CC BY 4.0",
}
TRANSFORMS = {
    "unit": "scaled to [0, 1]",
    "symmetric": "scaled to [-1, 1]",
    "logit": "scaled to [alpha, 1 - alpha] and taken through the logit, alpha = {alpha:g}",
}
WHITENINGS = {
    "standardise": "standardised by the training set's mean and deviation of each dimension",
    "zca": "whitened by ZCA, fitted to the training set",
}
# A number, perhaps with an error, followed by a unit of density.
_RESULT = re.compile(
    r"(?<![\w.])([-−]?\d[\d,]*(?:\.\d+)?)(?:\s*±\s*[\d.]+)?"
    r"\s*(?:bits?/dim|bits per dim\w*|bpd|nats)\b"
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint folder's own account of itself, beside the registry's entry."""

    folder: Path
    entry: registry.Entry
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]  # {} before `zoo evaluate`
    run: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name


def read_checkpoints(root: Path) -> list[Checkpoint]:
    """The checkpoints under root/checkpoints that the registry knows, in the table's order."""
    return [
        Checkpoint(
            folder=folder,
            entry=entry,
            config=checkpointing.read_config(folder),
            recipe=_optional(folder / checkpointing.RECIPE_FILE),
            metrics=_optional(folder / METRICS_FILE),
            run=_optional(folder / RUN_FILE),
        )
        for name, entry in registry.ENTRIES.items()
        if (folder := root / "checkpoints" / name).is_dir()
    ]


def _optional(path: Path) -> dict[str, Any]:
    return checkpointing.read_json(path) if path.is_file() else {}


# --- one card


def render_card(checkpoint: Checkpoint) -> str:
    """The card.md of a checkpoint: front matter that the Hugging Face Hub reads, then the card."""
    return f"---\n{to_yaml(front_matter(checkpoint))}---\n\n{card_body(checkpoint)}"


def front_matter(checkpoint: Checkpoint) -> dict[str, Any]:
    """The card's machine-readable part, by the Hub's specification of model cards."""
    entry = checkpoint.entry
    dataset = entry.recipe.dataset
    tags = ["normalizing-flows", "density-estimation", "tensorflow-probability", entry.family]
    matter: dict[str, Any] = {
        "library_name": "keras",
        "license": entry.weights_licence.lower(),
        "datasets": [dataset.name],
        "metrics": list(entry.metrics),
        "tags": [*tags, *([f"arxiv:{entry.arxiv}"] if entry.arxiv else [])],
    }
    if checkpoint.metrics:
        results = [
            {
                "type": metric,
                "name": _label(metric, value),
                "value": value["value"],
            }
            for metric, value in checkpoint.metrics["metrics"].items()
        ]
        result = {
            "task": {"type": "density-estimation", "name": "Density estimation"},
            "dataset": {
                "type": dataset.name,
                "name": checkpoint.metrics["dataset"],
                "split": checkpoint.metrics["split"],
            },
            "metrics": results,
        }
        matter["model-index"] = [{"name": entry.name, "results": [result]}]
    return matter


def to_yaml(value: Any, indent: int = 0) -> str:
    """Plain values as block YAML; scalars are written as JSON, which YAML includes."""
    pad = "  " * indent
    lines = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                lines.append(f"{pad}{key}:\n{to_yaml(item, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {json.dumps(item, ensure_ascii=False)}\n")
        return "".join(lines)
    for item in value:
        if isinstance(item, Mapping):
            body = to_yaml(item, indent + 1)
            lines.append(f"{pad}- {body.lstrip()}")
        else:
            lines.append(f"{pad}- {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)


def card_body(checkpoint: Checkpoint) -> str:
    """The card as Markdown, from its title on."""
    sections = [
        _what(checkpoint),
        _use(checkpoint),
        _data(checkpoint),
        _results(checkpoint),
        _training(checkpoint),
        _samples(checkpoint),
        _limits(checkpoint),
        _licences(checkpoint),
        _checksums(checkpoint),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _what(checkpoint: Checkpoint) -> str:
    entry, config = checkpoint.entry, checkpoint.config
    shape = config["config"].get("event_shape", [])
    count = config.get("num_parameters")
    rows = [
        f"- Name: `{entry.name}`, family `{entry.family}`",
        f"- Paper: {entry.paper}" + (f", {_arxiv(entry.arxiv)}" if entry.arxiv else ""),
        f"- Rows: {' x '.join(map(str, shape))}",
    ]
    if count is not None:
        rows.append(f"- Parameters: {count:,}, stored as {config.get('storage_dtype', 'float32')}")
    return f"# {entry.title}\n\n{entry.description}\n\n" + "\n".join(rows)


def _use(checkpoint: Checkpoint) -> str:
    entry = checkpoint.entry
    levels = checkpoint.config["config"].get("preprocessing", {}).get("num_levels", 0)
    scored = "bits_per_dim" if levels else "log_prob"
    unit = "bits/dim" if levels else "nats"
    context = ", context=labels" if checkpoint.config["config"].get("context_size") else ""
    lines = [
        "import zoo",
        "from zoo.data import samples",
        "",
        f'model = zoo.load("{entry.name}")',
        f'rows = samples("{entry.recipe.dataset.name}")  # real test rows, in the package',
        f"model.{scored}(rows{context})  # [batch], {unit}",
        f"model.sample(16, seed=1{context})  # data units and dtype",
        f"model.decode(model.encode(rows{context}){context})  # the rows again",
    ]
    return "## Use\n\n```python\n" + "\n".join(lines) + "\n```"


def _data(checkpoint: Checkpoint) -> str:
    recipe = checkpoint.recipe or recipes.to_dict(checkpoint.entry.recipe)
    dataset = recipe["dataset"]
    values = checkpoint.config["config"].get("preprocessing", {})
    steps = []
    if values.get("num_levels"):
        steps.append(
            f"grey levels 0 to {values['num_levels'] - 1} get uniform noise from [0, 1) and are "
            + TRANSFORMS[values["transform"]].format(alpha=values.get("alpha", 0.0))
        )
    if values.get("whitening", "none") != "none":
        steps.append(f"rows are {WHITENINGS[values['whitening']]}")
    text = "; ".join(steps) if steps else "none"
    return (
        "## Data and preprocessing\n\n"
        f"TFDS `{dataset['name']}:{dataset['version']}`: training on `{dataset['train']}`, model "
        f"selection on `{dataset['validation']}`, figures from `{dataset['test']}`.\n\n"
        f"Preprocessing, part of the model: {text}. Its log-determinant is included: `log_prob` is "
        "in nats of the data as stored."
    )


def _results(checkpoint: Checkpoint) -> str:
    metrics = checkpoint.metrics
    if not metrics:
        return f"## Results\n\nNot evaluated yet: `zoo evaluate {checkpoint.name}`."
    paper = metrics.get("paper") or {}
    lines = ["| metric | this model | paper |", "| --- | ---: | ---: |"]
    for metric, value in metrics["metrics"].items():
        published = f"{paper['value']:g}" if paper.get("metric") == metric else ""
        lines.append(f"| {_label(metric, value)} | {figure(value)} | {published} |")
    text = (
        f"{metrics['count']:,} rows of the {metrics['split']} split of `{metrics['dataset']}`, "
        f"± two standard errors. Protocol: {metrics['protocol']}."
    )
    if paper.get("source"):
        text += f" The paper's figure: {paper['source']}."
    return "## Results\n\n" + "\n".join(lines) + f"\n\n{text}"


def _training(checkpoint: Checkpoint) -> str:
    recipe = checkpoint.recipe
    if not recipe:
        return ""
    run, metrics = checkpoint.run, checkpoint.metrics
    hours = run.get("train_hours", metrics.get("train_hours"))
    hardware = run.get("hardware", metrics.get("hardware"))
    facts = []
    if hours is not None:
        facts.append(f"{hours:.2g} hours on {hardware}" if hardware else f"{hours:.2g} hours")
    if run.get("step"):
        facts.append(f"{run['step']:,} steps, weights of step {run['best_step']:,}")
    rows = [
        f"| {key} | {_plain(value)} |"
        for key, value in _flat(recipe)
        if not key.startswith(("config", "dataset")) and key not in ("family", "notes", "paper")
    ]
    changes = _changes(recipes.to_dict(checkpoint.entry.recipe), recipe)
    overrides = [f"--set {shlex.quote(f'{path}={value}')}" for path, value in changes]
    command = " ".join([f"zoo train {checkpoint.name}", *overrides])
    parts = [
        "## Training",
        "; ".join(facts) + "." if facts else "",
        recipe.get("notes", ""),
        "| recipe | |\n| --- | --- |\n" + "\n".join(rows),
        f"```json\n{json.dumps(recipe['config'])}\n```",
        "Train and evaluate it again:",
        f"```sh\n{command}\nzoo evaluate {checkpoint.name} --weights runs/{checkpoint.name}\n```",
    ]
    return "\n\n".join(part for part in parts if part)


def _samples(checkpoint: Checkpoint) -> str:
    if not (checkpoint.folder / SAMPLES_FILE).is_file():
        return ""
    return f"## Samples\n\n![Samples of {checkpoint.name}]({SAMPLES_FILE})"


def _limits(checkpoint: Checkpoint) -> str:
    return (
        "## Intended use and limits\n\n"
        "For research and teaching: densities, latents and samples of this dataset. The density of "
        "other data says little, and high values do not mean that a row is typical.\n\n"
        f"{checkpoint.entry.limitations}"
    )


def _licences(checkpoint: Checkpoint) -> str:
    entry = checkpoint.entry
    data = DATA_LICENCES.get(entry.recipe.dataset.name, "see the dataset's own page")
    return (
        "## Licences\n\n"
        f"- Code: {entry.licence}\n- Weights: {entry.weights_licence}\n"
        f"- Data `{entry.recipe.dataset.name}`: {data}"
    )


def _checksums(checkpoint: Checkpoint) -> str:
    files = (checkpointing.WEIGHTS_FILE, checkpointing.CONFIG_FILE)
    lines = [
        f"{checkpointing.sha256_of(checkpoint.folder / file)}  {file}"
        for file in files
        if (checkpoint.folder / file).is_file()
    ]
    return "## Checksums\n\n```\n" + "\n".join(lines) + "\n```"


def _arxiv(number: str) -> str:
    return f"[arXiv:{number}](https://arxiv.org/abs/{number})"


def _label(metric: str, value: Mapping[str, Any]) -> str:
    """A metric with its unit: "log_prob_paper (nats, logit space)"."""
    unit = value.get("space") or UNITS.get(metric, "")
    return f"{metric} ({unit})" if unit else metric


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changes(registered: Mapping[str, Any], used: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The assignments that turn the registry's recipe into the one that was used, for `--set`."""
    before = dict(_flat(registered))
    return [
        (path, json.dumps(value, separators=(",", ":")))
        for path, value in _flat(used)
        if before.get(path, ...) != value and path not in ("notes", "paper")
    ]


# --- all cards


def render_cards(checkpoints: Sequence[Checkpoint]) -> str:
    """MODEL_CARDS.md: the cards without their front matter, then the recipes without weights."""
    parts = ["# Model cards\n\nGenerated by `tools/render_cards.py` from the checkpoints."]
    for checkpoint in checkpoints:
        body = card_body(checkpoint).replace(
            f"]({SAMPLES_FILE})", f"](checkpoints/{checkpoint.name}/{SAMPLES_FILE})"
        )
        parts.append(_demoted(body, f"## {checkpoint.name}"))
    present = {checkpoint.name for checkpoint in checkpoints}
    others = [entry for name, entry in registry.ENTRIES.items() if name not in present]
    if others:
        rows = [f"| `{e.name}` | {e.title} | {e.paper} |" for e in others]
        parts.append(
            "## Recipes without weights\n\n| name | what | paper |\n| --- | --- | --- |\n"
            + "\n".join(rows)
        )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _demoted(body: str, title: str) -> str:
    """The card under `title` in place of its own, its headings one level down; code is kept."""
    lines = body.splitlines()
    fenced = False
    out = [title, "", f"**{lines[0].removeprefix('# ')}.**"]
    for line in lines[1:]:
        fenced ^= line.startswith("```")
        out.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(out)


def results_table(checkpoints: Sequence[Checkpoint]) -> str:
    """The README's table: one row a model that has been evaluated."""
    lines = [
        "| model | dataset | metric | this model | paper | bits/dim | parameters | weights |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for checkpoint in checkpoints:
        metrics = checkpoint.metrics
        if not metrics:
            continue
        values = metrics["metrics"]
        headline = next(metric for metric in checkpoint.entry.metrics if metric in values)
        paper = metrics.get("paper") or {}
        weights = checkpoint.folder / checkpointing.WEIGHTS_FILE
        cells = [
            f"`{checkpoint.name}`",
            metrics["dataset"],
            _label(headline, values[headline]),
            figure(values[headline]),
            f"{paper['value']:g}" if paper.get("metric") == headline else "",
            figure(values["bits_per_dim"]) if "bits_per_dim" in values else "",
            f"{checkpoint.config.get('num_parameters', 0):,}",
            f"{weights.stat().st_size / 1e6:.1f} MB" if weights.is_file() else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if len(lines) == 2:
        return "No checkpoint in this checkout has been evaluated."
    return "\n".join(lines) + "\n\nTest split, ± two standard errors; sources in MODEL_CARDS.md."


def pictures(root: Path) -> str:
    """The README's pictures: those of `PICTURES` that lie in docs/."""
    found = [
        f"![{title}](docs/{file})\n\n{title}."
        for file, title in PICTURES.items()
        if (root / "docs" / file).is_file()
    ]
    return "\n\n".join(found) or "`make demo` draws them."


def fill(text: str, block: str, content: str) -> str:
    """The text with `content` between `<!-- block:begin -->` and `<!-- block:end -->`."""
    begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise SystemExit(f"README.md lacks {begin} … {end}.")
    return f"{before}{begin}\n{content}\n{end}{after}"


# --- files


def render(root: Path) -> dict[Path, str]:
    """Every generated file and its text."""
    checkpoints = read_checkpoints(root)
    files = {c.folder / CARD_FILE: render_card(c) for c in checkpoints}
    files[root / "MODEL_CARDS.md"] = render_cards(checkpoints)
    readme = root / "README.md"
    text = fill(readme.read_text(encoding="utf-8"), "results", results_table(checkpoints))
    files[readme] = fill(text, "pictures", pictures(root))
    return files


def problems(root: Path) -> list[str]:
    """What a person has to mend: folders, evaluations, figures without a source."""
    found = []
    checkpoints = read_checkpoints(root)
    folder = root / "checkpoints"
    folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    found += [
        f"checkpoints/{path.name} has no entry in zoo/registry.py"
        for path in folders
        if path.name not in registry.ENTRIES
    ]
    for checkpoint in checkpoints:
        metrics, path = checkpoint.metrics, f"checkpoints/{checkpoint.name}/{METRICS_FILE}"
        if not metrics:
            found.append(f"{path} is missing: zoo evaluate {checkpoint.name} --out {path}")
        elif metrics.get("name") != checkpoint.name:
            found.append(f"{path} is of {metrics.get('name')!r}")
        elif missing := [m for m in checkpoint.entry.metrics if m not in metrics["metrics"]]:
            found.append(f"{path} lacks {', '.join(missing)}: evaluate again")
        elif metrics.get("split") != "test":
            found.append(f"{path} is of the {metrics.get('split')} split: evaluate on test")
    allowed = [value for c in checkpoints for value in _figures(c.metrics)]
    prose = {root / "README.md": (root / "README.md").read_text(encoding="utf-8")}
    for entry in registry.ENTRIES.values():
        prose[Path(f"registry entry {entry.name}")] = f"{entry.description}\n{entry.limitations}"
    for checkpoint in checkpoints:
        prose[Path(f"checkpoints/{checkpoint.name}/recipe.json")] = str(
            checkpoint.recipe.get("notes", "")
        )
    for source, text in prose.items():
        found += [
            f"{source.name}: {figure_text!r} is in no {METRICS_FILE}"
            for figure_text in unsourced(text, allowed)
        ]
    return found


def _figures(metrics: Mapping[str, Any]) -> Iterator[float]:
    """Every value that a metrics.json vouches for: its metrics and the paper's."""
    for value in metrics.get("metrics", {}).values():
        yield value["value"]
    paper = metrics.get("paper") or {}
    if paper.get("value") is not None:
        yield paper["value"]


def unsourced(text: str, allowed: Sequence[float]) -> list[str]:
    """The results in nats or bits/dim that are no rounding of an allowed value."""
    found = []
    for match in _RESULT.finditer(text):
        number = match[1].replace(",", "").replace("−", "-")
        decimals = len(number.partition(".")[2])
        if all(f"{value:.{decimals}f}" != number for value in allowed):
            found.append(match[0])
    return found


def write(root: Path, path: Path, text: str) -> None:
    """Writes a generated file; the hashes of a card follow it."""
    checkpointing.write_text_atomic(path, text)
    if path.name != CARD_FILE:
        return
    digest = checkpointing.sha256_of(path)
    sums = path.parent / checkpointing.SUMS_FILE
    if sums.is_file():
        lines = [
            line
            for line in sums.read_text(encoding="utf-8").splitlines()
            if not line.endswith(f"  {CARD_FILE}")
        ]
        lines.append(f"{digest}  {CARD_FILE}")
        lines.sort(key=lambda line: line.partition("  ")[2])
        checkpointing.write_text_atomic(sums, "\n".join(lines) + "\n")
    pins_file = root / "zoo" / "pins.json"
    pins = _optional(pins_file)
    files = pins.get(path.parent.name, {}).get("files", {})
    if CARD_FILE in files:
        files[CARD_FILE] = {"sha256": digest, "size": path.stat().st_size}
        checkpointing.write_json_atomic(pins_file, pins)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on differences")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    options = parser.parse_args(arguments)
    root = options.root
    try:
        failed = problems(root)
        files = render(root)
    except ZooError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in files.items():
        old = path.read_text(encoding="utf-8") if path.is_file() else None
        if old == text:
            continue
        name = path.relative_to(root)
        if options.check:
            failed.append(f"{name} is not what its sources say: make cards")
        else:
            write(root, path, text)
            print(f"wrote {name}")
    for problem in failed:
        print(problem, file=sys.stderr)
    return 1 if failed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
