"""One model card: the checkpoint's own files and the registry's entry, as Markdown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.core import recipe as recipes
from zoo.core import recipe_json
from zoo.data.samples import sample_names
from zoo.media.console import error_text, figure
from zoo.store.files import read_json
from zoo.store.folder import CONFIG_FILE, RECIPE_FILE, read_config
from zoo.store.hashes import sha256_of
from zoo.store.weights import WEIGHTS_FILE

__all__ = [
    "Checkpoint",
    "card_body",
    "metric_label",
    "read_checkpoints",
    "read_optional",
    "render_card",
]

METRICS_FILE = "metrics.json"
RUN_FILE = "run.json"
SAMPLES_FILE = "samples.png"
SOUND_FILE = "samples.wav"
BASELINES_FILE = "baselines.json"
AUDIO_BENCHMARK = Path("benchmarks", "audio_cpu.json")
UNITS = {
    "bits_per_dim": "bits/dim",
    "log_prob": "nats",
    "log_prob_symmetrised": "nats, mixture over 8 symmetries",
    "log_prob_paper": "nats",
    "bits_per_sample": "bits a 16-bit sample",
    "bits_per_sample_mu_law": "bits a mu-law class",
    "recognised": "share of clips, by the listener",
    "silence_excess_db": "dB",
    "distillation_kl": "nats a sample",
    "negative_elbo": "nats",
    "reverse_kl": "nats",
    "forward_kl": "nats",
}
DATA_LICENCES = {
    "mnist": "LeCun, Cortes and Burges; CC BY-SA 3.0 is commonly stated",
    "binarized_mnist": "LeCun, Cortes and Burges, binarised by Larochelle; CC BY-SA 3.0 is stated",
    "fashion_mnist": "Zalando SE; MIT",
    "cifar10": "Krizhevsky; none stated",
    "bsds300": "Martin et al. 2001; for non-commercial research and education",
    "power": "Hebrail and Berard, UCI 235; CC BY 4.0",
    "gas": "Fonollosa et al., UCI 322; CC BY 4.0",
    "hepmass": "Baldi et al., UCI 347; CC BY 4.0",
    "miniboone": "Roe et al., UCI 199; CC BY 4.0",
    "magic": "Bock et al., UCI 159; CC BY 4.0",
    "spoken_digit": "Jackson et al., Free Spoken Digit Dataset; CC BY-SA 4.0",
    **dict.fromkeys(("energy_u1", "energy_u2", "energy_u3", "energy_u4"), "made from a formula"),
}
TRANSFORMS = {
    "unit": "scaled to [0, 1]",
    "symmetric": "scaled to [-1, 1]",
    "logit": "scaled to [alpha, 1 - alpha] and taken through the logit, alpha = {alpha:g}",
}
WHITENINGS = {
    "standardise": "standardised by the training set's mean and deviation of each dimension",
    "zca": "whitened by ZCA, fitted to the training set",
    "separable": "whitened along each axis of a row, fitted to the training set",
}
AUDIO_POLICY = (
    "Clips of 16-bit samples at 8 kHz as stored, from their first sample on, cut behind {samples} "
    "samples or followed by zeros; no value is changed. A split is a range of recordings of every "
    "digit and speaker, read from the file names; the test split is the authors'. The condition is "
    "the digit and the speaker, as one label 5 * digit + speaker or as a pair."
)
ENERGY_POLICY = (
    "The target is the density exp(-U) / Z of the energy U = `{energy}` "
    "(`zoo.data.targets.plane`). "
    "Training draws points from the model itself and asks the energy about them; the rows of the "
    "dataset, exact draws from the density that `zoo.data.energies` makes, only name the noise, "
    "and score the model from the other side."
)
WATTS_A_CORE = 15.0  # an assumption: a share of a server processor under load


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint folder's own account of itself, beside the registry's entry."""

    folder: Path
    entry: registry.Entry
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]  # {} before `zoo evaluate`
    run: Mapping[str, Any]
    baselines: Mapping[str, Any]  # of other models on the same rows; {} for none
    audio_rates: Mapping[str, Any]  # of `tools/audio_benchmark.py`; {} for none

    @property
    def name(self) -> str:
        """The model's name."""
        return self.entry.name


def read_checkpoints(root: Path) -> list[Checkpoint]:
    """The checkpoints under root/checkpoints that the registry knows, in the table's order."""
    benchmark = read_optional(root / AUDIO_BENCHMARK)
    machine = {key: benchmark.get(key) for key in ("hardware", "load_average")}
    rates = {found["model"]: {**machine, **found} for found in benchmark.get("models", [])}
    return [
        Checkpoint(
            folder=folder,
            entry=entry,
            config=read_config(folder),
            recipe=read_optional(folder / RECIPE_FILE),
            metrics=read_optional(folder / METRICS_FILE),
            run=read_optional(folder / RUN_FILE),
            baselines=read_optional(folder / BASELINES_FILE),
            audio_rates=rates.get(name, {}),
        )
        for name, entry in registry.ENTRIES.items()
        if (folder := root / "checkpoints" / name).is_dir()
    ]


def read_optional(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} where there is no file."""
    return read_json(path) if path.is_file() else {}


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
                "name": metric_label(metric, value),
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
        _certificate(checkpoint),
        _speed(checkpoint),
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
    latent_variable = "latent_size" in checkpoint.config["config"]
    scored = "elbo" if latent_variable else "bits_per_dim" if levels else "log_prob"
    unit = "bits/dim" if scored == "bits_per_dim" else "nats"
    dataset = entry.recipe.dataset.name
    conditional = bool(checkpoint.config["config"].get("context_size"))
    context = ", context=labels" if conditional else ""
    count = "len(rows)" if conditional else "16"
    stored = dataset in sample_names()
    labels_too = "sample_labels, " if conditional else ""
    lines = [
        "import zoo",
        *([f"from zoo.data import {labels_too}samples"] if stored else []),
        "",
        f'model = zoo.load("{entry.name}")',
        f'rows = samples("{dataset}")  # real test rows, in the package'
        if stored
        else "rows = model.sample(16, seed=1)  # or your own, as the dataset stores them",
        *([f'labels = sample_labels("{dataset}")'] if conditional else []),
        f"model.{scored}(rows{context})  # [batch], {unit}",
    ]
    if entry.family == "parallel_wavenet":  # which speaks: a score takes a pass a sample
        lines = ["import zoo", "", f'model = zoo.load("{entry.name}")']
    if dataset == "spoken_digit":
        lines += [
            "clips = model.sample(2, seed=1, context=[[7, 0], [3, 4]])  # (digit, speaker); int16",
            *_streaming(entry.family),
        ]
    elif latent_variable:
        lines += [
            "model.log_prob(rows, num_importance_samples=100)  # a tighter bound",
            "model.sample(16, seed=1)  # data units and dtype",
            "model.reconstruct(rows)  # probabilities of a 1",
        ]
    else:
        lines += [
            f"model.sample({count}, seed=1{context})  # data units and dtype",
            f"model.decode(model.encode(rows{context}){context})  # the rows again",
        ]
    return "## Use\n\n```python\n" + "\n".join(lines) + "\n```"


def _streaming(family: str) -> list[str]:
    if family != "wavenet":
        return []
    return [
        "for chunk in model.sample_stream(1, context=35, chunk_size=800):",
        "    chunk  # the next 100 ms",
    ]


def _data(checkpoint: Checkpoint) -> str:
    recipe = checkpoint.recipe or recipe_json.to_dict(checkpoint.entry.recipe)
    dataset = recipe["dataset"]
    values = checkpoint.config["config"].get("preprocessing", {})
    steps = []
    if "latent_size" in checkpoint.config["config"]:
        return f"## Data and preprocessing\n\n{_splits(dataset)}\n\n" + _binarization(
            checkpoint.entry.recipe
        )
    if checkpoint.entry.recipe.energy:
        return "## Target\n\n" + ENERGY_POLICY.format(energy=checkpoint.entry.recipe.energy)
    if values.get("num_levels"):
        steps.append(
            f"grey levels 0 to {values['num_levels'] - 1} get uniform noise from [0, 1) and are "
            + TRANSFORMS[values["transform"]].format(alpha=values.get("alpha", 0.0))
        )
    if values.get("whitening", "none") != "none":
        steps.append(f"rows are {WHITENINGS[values['whitening']]}")
    text = "; ".join(steps) if steps else "none"
    rows = f"## Data and preprocessing\n\n{_splits(dataset)}\n\n"
    if dataset["name"] == "spoken_digit":
        return rows + AUDIO_POLICY.format(samples=checkpoint.config["config"]["event_shape"][0])
    return rows + (
        f"Preprocessing, part of the model: {text}. Its log-determinant is included: `log_prob` is "
        "in nats of the data as stored."
    )


def _splits(dataset: Mapping[str, str]) -> str:
    more = dataset.get("more_train")
    also = f" and on `{more}:{dataset['version']}`" if more else ""
    return (
        f"TFDS `{dataset['name']}:{dataset['version']}`: training on `{dataset['train']}`{also}, "
        f"model selection on `{dataset['validation']}`, figures from `{dataset['test']}`."
    )


def _binarization(recipe: recipes.Recipe) -> str:
    if recipe.training.binarises:
        return "Pixels are drawn anew at every step, 1 with the probability of the grey level."
    return "Pixels are 0 and 1 as the dataset stores them: the static binarisation."


def _results(checkpoint: Checkpoint) -> str:
    metrics = checkpoint.metrics
    if not metrics:
        return f"## Results\n\nNot evaluated yet: `zoo evaluate {checkpoint.name}`."
    paper = metrics.get("paper") or {}
    lines = ["| metric | this model | paper |", "| --- | ---: | ---: |"]
    for metric, value in metrics["metrics"].items():
        published = f"{paper['value']:g}" if paper.get("metric") == metric else ""
        lines.append(f"| {metric_label(metric, value)} | {figure(value)} | {published} |")
    text = (
        f"{metrics['count']:,} rows of the {metrics['split']} split of `{metrics['dataset']}`, "
        f"± two standard errors. Protocol: {metrics['protocol']}."
    )
    if paper.get("source"):
        text += f" The paper's figure: {paper['source']}."
    return "## Results\n\n" + "\n".join(lines) + f"\n\n{text}" + _baselines(checkpoint)


def _baselines(checkpoint: Checkpoint) -> str:
    """Other models' figures on the same rows, by `tools/audio_baselines.py`."""
    lines = [
        f"| {name.replace('_', ' ')} | {figure(found['bits_per_sample'])} |"
        for name, found in checkpoint.baselines.items()
        if isinstance(found, Mapping)
    ]
    if not lines:
        return ""
    return (
        "\n\nBaselines fitted to the same training clips, scored on the same test samples "
        "(`tools/audio_baselines.py`):\n\n"
        f"| baseline | {UNITS['bits_per_sample']} |\n| --- | ---: |\n" + "\n".join(lines)
    )


def _speed(checkpoint: Checkpoint) -> str:
    """Rates of an audio model, by `tools/audio_benchmark.py`."""
    rates = checkpoint.audio_rates
    if not rates:
        return ""
    rows = []
    for batch in (1, 16):
        wall = rates[f"samples_per_second_batch_{batch}"]
        processor = rates[f"samples_per_cpu_second_batch_{batch}"]
        rows.append(f"| batch {batch} | {wall:,.0f} | {processor:,.0f} |")
    if "naive_samples_per_second" in rates:
        wall = rates["naive_samples_per_second"]
        processor = rates["naive_samples_per_cpu_second"]
        rows.append(f"| naive, batch 1 | {wall:,.0f} | {processor:,.0f} |")
    return (
        "## Speed\n\n"
        "| sampling | samples/s | samples per second of processor time |\n| --- | ---: | ---: |\n"
        + "\n".join(rows)
        + f"\n\n{rates['real_time']:g} times real time at batch 1. `tools/audio_benchmark.py`, "
        f"{rates['hardware']}, load average {rates['load_average']:g}; naive: the whole receptive "
        "field computed anew for every sample."
    )


def _certificate(checkpoint: Checkpoint) -> str:
    certificate = checkpoint.metrics.get("certificate")
    if not certificate:
        return ""
    lines = [
        "| conditioners | max abs(x − g(f(x))), data units | max abs(sum of both log-dets), nats |",
        "| --- | ---: | ---: |",
    ]
    for dtype in ("float32", "bfloat16"):
        found = certificate[dtype]
        lines.append(
            f"| {dtype} | {error_text(found['invertibility'])} | {error_text(found['log_det'])} |"
        )
    return (
        "## Certificate\n\n" + "\n".join(lines) + "\n\n"
        f"{certificate['rows']:,} rows of the {checkpoint.metrics['split']} split; f maps data "
        "to latents, g back; the flow and its log-determinants are float32 in both."
    )


def _energy(hours: float, hardware: str) -> str:
    """An estimate for processors; "" for other hardware."""
    cores = re.fullmatch(r"(\d+) CPU cores?", hardware or "")
    if not cores:
        return ""
    energy = hours * int(cores[1]) * WATTS_A_CORE / 1000.0
    return f"about {energy:.2g} kWh, at {WATTS_A_CORE:g} W a core"


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
        if energy := _energy(hours, hardware):
            facts.append(energy)
    if run.get("step"):
        facts.append(f"{run['step']:,} steps, weights of step {run['best_step']:,}")
    rows = [
        f"| {key} | {_plain(value)} |"
        for key, value in _flat(recipe)
        if not key.startswith(("config", "dataset")) and key not in ("family", "notes", "paper")
    ]
    changes = _changes(recipe_json.to_dict(checkpoint.entry.recipe), recipe)
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
        f"`zoo verify {checkpoint.name} --full` recomputes the figures of the published weights.",
    ]
    return "\n\n".join(part for part in parts if part)


def _samples(checkpoint: Checkpoint) -> str:
    if not (checkpoint.folder / SAMPLES_FILE).is_file():
        return ""
    picture = f"## Samples\n\n![Samples of {checkpoint.name}]({SAMPLES_FILE})"
    if not (checkpoint.folder / SOUND_FILE).is_file():
        return picture
    return (
        f"{picture}\n\n[{SOUND_FILE}]({SOUND_FILE}) says the ten digits, the speakers in turn. The "
        "picture shows spectrograms, time to the right, 0 to 4 kHz upwards: real test clips of the "
        "same digits and speakers in the first row, this model's in the last; a student's teacher "
        "in between."
    )


def _limits(checkpoint: Checkpoint) -> str:
    parts = [
        "## Intended use and limits",
        "For research and teaching: densities, latents and samples of this dataset.",
        checkpoint.entry.limitations,
    ]
    slow = checkpoint.metrics.get("slow_direction", "none")
    if slow != "none":
        parts.append(f"The slow direction is {slow}: up to one network pass a dimension.")
    other = checkpoint.metrics.get("other_data")
    if other:
        rows = [f"| {name} | {value:g} |" for name, value in other.items()]
        parts += [
            "A likelihood is no test for foreign data: simple images can score better than those "
            "that the model was trained on. Measured with this model (number of images):",
            "| images | bits/dim |\n| --- | ---: |\n" + "\n".join(rows),
        ]
    else:
        parts.append(
            "The density of other data says little, and high values do not mean that a row is "
            "typical."
        )
    return "\n\n".join(parts)


def _licences(checkpoint: Checkpoint) -> str:
    entry = checkpoint.entry
    data = DATA_LICENCES.get(entry.recipe.dataset.name, "see the dataset's own page")
    return (
        "## Licences\n\n"
        f"- Code: {entry.licence}\n- Weights: {entry.weights_licence}\n"
        f"- Data `{entry.recipe.dataset.name}`: {data}"
    )


def _checksums(checkpoint: Checkpoint) -> str:
    files = (WEIGHTS_FILE, CONFIG_FILE)
    lines = [
        f"{sha256_of(checkpoint.folder / file)}  {file}"
        for file in files
        if (checkpoint.folder / file).is_file()
    ]
    return "## Checksums\n\n```\n" + "\n".join(lines) + "\n```"


def _arxiv(number: str) -> str:
    return f"[arXiv:{number}](https://arxiv.org/abs/{number})"


def metric_label(metric: str, value: Mapping[str, Any]) -> str:
    """A metric with its unit: "log_prob_paper (nats, logit space)"."""
    unit = value.get("space") or UNITS.get(metric, "")
    if "num_importance_samples" in value:
        unit = f"nats, {value['num_importance_samples']} importance samples a row"
    if "log_normaliser" in value:
        unit = f"nats, log Z = {value['log_normaliser']:.4f}"
    if "of" in value:
        unit = f"of {value['of']} latents"
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
