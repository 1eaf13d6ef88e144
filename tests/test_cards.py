"""What is generated from the checkpoints: in step with them, and nothing in it typed by hand."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import drawn_from
import numpy as np
import pytest
import render_cards
import tiny_checkpoints
import yaml
from edits import edit_json

import zoo
from zoo import registry
from zoo.core import recipe as recipes
from zoo.core import recipe_json
from zoo.core.recipe import variant
from zoo.data import sample_names
from zoo.media import pictures
from zoo.models import FAMILIES
from zoo.publishing.front_matter import to_yaml
from zoo.store.files import read_json, write_json_atomic
from zoo.store.folder import read_config
from zoo.store.hashes import sha256_of, verify_files, verify_sha256sums

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def project(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the tiny checkpoints, their pins and the README, rendered."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    project = tmp_path / "project"
    shutil.copytree(root, project / "checkpoints")
    (project / "zoo").mkdir()
    (project / "zoo" / "pins.json").write_text(json.dumps(pins))
    for page in PAGES:
        (project / page.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, project / page.relative_to(ROOT))
    shutil.copytree(ROOT / "benchmarks" / "studies", project / "benchmarks" / "studies")
    assert render_cards.main(["--root", str(project)]) == 0
    followed = json.loads((project / "zoo" / "pins.json").read_text())
    monkeypatch.setattr("zoo.store.pins.pins", lambda: followed)
    return project


def check(project: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The complaints of --check, which must leave every file as it is."""
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    capsys.readouterr()
    code = render_cards.main(["--root", str(project), "--check"])
    lines = capsys.readouterr().err.splitlines()
    assert code == (1 if lines else 0)
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    return lines


class TestCard:
    def test_front_matter_as_the_hub_specifies_it(self, project: Path) -> None:
        text = (project / "checkpoints" / "tiny_images" / "card.md").read_text(encoding="utf-8")
        empty, matter, body = text.split("---\n", 2)
        assert empty == ""
        assert yaml.safe_load(matter) == {
            "library_name": "keras",
            "license": "apache-2.0",
            "datasets": ["mnist"],
            "metrics": ["bits_per_dim", "log_prob_paper"],
            "tags": [
                "normalizing-flows",
                "density-estimation",
                "tensorflow-probability",
                "nice",
                "arxiv:1410.8516",
            ],
            "model-index": [
                {
                    "name": "tiny_images",
                    "results": [
                        {
                            "task": {"type": "density-estimation", "name": "Density estimation"},
                            "dataset": {"type": "mnist", "name": "mnist:3.0.1", "split": "test"},
                            "metrics": [
                                {
                                    "type": "bits_per_dim",
                                    "name": "bits_per_dim (bits/dim)",
                                    "value": 4.36254,
                                },
                                {
                                    "type": "log_prob_paper",
                                    "name": "log_prob_paper (nats, pixels in [0, 1])",
                                    "value": 1980.512,
                                },
                            ],
                        }
                    ],
                }
            ],
        }
        assert body.startswith("\n# A tiny nice\n")

    @pytest.mark.parametrize(
        "value",
        [
            {"a": {"b": [1, {"c": "d: e", "f": []}], "g": None}, "h": ["x", "- y", "#"]},
            {"text": "a \"quoted\" ± 'text': yes", "flag": True, "number": -1.5e-7, "empty": {}},
        ],
    )
    def test_yaml_is_read_back(self, value: dict) -> None:
        assert yaml.safe_load(to_yaml(value)) == value

    def test_body(self, project: Path) -> None:
        folder = project / "checkpoints" / "tiny_images"
        text = (folder / "card.md").read_text(encoding="utf-8")
        weights = sha256_of(folder / "model.weights.h5")
        for part in (
            "| bits_per_dim (bits/dim) | 4.363 ± 0.012 | 1.25 |",
            "| log_prob_paper (nats, pixels in [0, 1]) | 1980.5 ± 1.9 |  |",
            "10,000 rows of the test split of `mnist:3.0.1`",
            "grey levels 0 to 255 get uniform noise from [0, 1) and are scaled to [0, 1]",
            "2.1 hours on 2 CPU cores",
            "| batch_size | 8 |",
            "zoo train tiny_images\n",
            "CC BY-SA 3.0",
            f"{weights}  model.weights.h5",
        ):
            assert part in text
        assert "![Samples" not in text
        assert "| seed |" not in text  # a default
        assert "context=labels" not in text

    def test_the_code_of_every_card_runs(self, project: Path, monkeypatch) -> None:
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(project / "checkpoints"))
        rows = {
            "tiny_images": np.zeros([3, 4, 4, 1], np.uint8),
            "tiny_features": np.zeros([3, 5], np.float32),
            "tiny_labels": np.zeros([3, 3], np.float32),
        }
        for name, x in rows.items():
            text = (project / "checkpoints" / name / "card.md").read_text(encoding="utf-8")
            code = text.partition("```python\n")[2].partition("```")[0]
            code = re.sub("from zoo.data import .*", "", code).replace("sample(16", "sample(3")
            scope = {"samples": lambda _, x=x: x, "sample_labels": lambda _: np.array([0, 1, 2])}
            exec(code, scope)
            assert scope["rows"] is x
            assert type(scope["model"]).__name__ == (
                "MADEModel" if name == "tiny_labels" else "NICE"
            )

    def test_a_recipe_that_is_not_the_registrys_is_reproduced_by_overrides(
        self, project: Path, monkeypatch
    ) -> None:
        entry = registry.ENTRIES["tiny_features"]
        recipe = variant(
            entry.recipe, config={**entry.recipe.config, "hidden_units": [8, 9]}, max_epochs=9
        )
        changed = dataclasses.replace(entry, recipe=recipe)
        monkeypatch.setitem(registry.ENTRIES, "tiny_features", changed)
        render_cards.main(["--root", str(project)])
        text = (project / "checkpoints" / "tiny_features" / "card.md").read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("zoo train"))
        words = shlex.split(line)
        assert words[:3] == ["zoo", "train", "tiny_features"]
        stored = read_json(project / "checkpoints" / "tiny_features" / "recipe.json")
        again = recipes.override(recipe, words[4::2])
        assert recipe_json.to_dict(again) == stored

    def test_samples_and_run_facts_where_they_are(self, project: Path) -> None:
        folder = project / "checkpoints" / "tiny_images"
        pictures.save_png(folder / "samples.png", np.zeros([4, 4, 1], np.uint8))
        run = {"train_hours": 0.5, "hardware": "9 CPU cores", "step": 1200, "best_step": 1100}
        write_json_atomic(folder / "run.json", run)
        render_cards.main(["--root", str(project)])
        text = (folder / "card.md").read_text(encoding="utf-8")
        assert "![Samples of tiny_images](samples.png)" in text
        facts = (
            "0.5 hours on 9 CPU cores; about 0.068 kWh, at 15 W a core; "
            "1,200 steps, weights of step 1,100."
        )
        assert facts in text

    def test_certificate_other_data_and_the_slow_direction(self, project: Path) -> None:
        folder = project / "checkpoints" / "tiny_images"
        edit_json(
            folder / "metrics.json",
            certificate={
                "rows": 1234,
                "float32": {"invertibility": 0.00123, "log_det": 0.5},
                "bfloat16": {"invertibility": 1.5, "log_det": 2.0},
            },
            other_data={"constant images (64)": 1.125},
            slow_direction="sampling",
        )
        render_cards.main(["--root", str(project)])
        text = (folder / "card.md").read_text(encoding="utf-8")
        assert "| float32 | 0.00123 | 0.5 |\n| bfloat16 | 1.5 | 2 |" in text
        assert "1,234 rows of the test split" in text
        assert "| constant images (64) | 1.125 |" in text
        assert "Draws are slow: up to one pass of the network per dimension." in text

    def test_the_index_has_figures_sizes_and_rates(self, project: Path) -> None:
        (project / "benchmarks").mkdir(exist_ok=True)
        modes = [
            {"model": "tiny_images", "log_prob": {"rows_per_second": rate},
             "sample": {"rows_per_second": 10.0 * rate}}
            for rate in (50.0, 1234.5)
        ]  # fmt: skip
        text = json.dumps({"results": modes})
        (project / "benchmarks" / "cpu.json").write_text(text)
        render_cards.main(["--root", str(project)])
        index = (project / "MODEL_CARDS.md").read_text(encoding="utf-8").partition("\n## ")[0]
        row = next(line for line in index.splitlines() if "`tiny_images`" in line)
        assert "| nice | mnist:3.0.1 | bits_per_dim (bits/dim) ↓ | 1.25 | 4.363 ± 0.012 |" in row
        assert row.startswith("| [`tiny_images`](checkpoints/tiny_images/card.md) |")
        assert "| 1,234 | 12,345 |" in row
        assert index.count("\n| [") == 3


class TestFiles:
    def test_rendered_once_they_are_in_step(self, project: Path, capsys) -> None:
        assert check(project, capsys) == []

    def test_the_table_has_a_row_for_each_evaluated_model(self, project: Path) -> None:
        text = (project / "docs" / "results.md").read_text(encoding="utf-8")
        table = text.partition("<!-- results:begin -->")[2].partition("<!-- results:end -->")[0]
        size = (project / "checkpoints" / "tiny_images" / "model.weights.h5").stat().st_size / 1e6
        count = read_config(project / "checkpoints" / "tiny_images")["num_parameters"]
        assert (
            "| `tiny_images` | mnist:3.0.1 | bits_per_dim (bits/dim) | 4.363 ± 0.012 | 1.25 "
            f"| 4.363 ± 0.012 | {count} | {size:.1f} MB |"
        ) in table
        assert (
            "| `tiny_labels` | magic:3.0.1 | log_prob (nats) | -23.75 ± 0.25 | 1.25 |  |" in table
        )
        assert "tiny_recipe" not in table

    def test_model_cards_link_every_card_and_list_the_recipes_without(self, project: Path) -> None:
        text = (project / "MODEL_CARDS.md").read_text(encoding="utf-8")
        links = re.findall(r"^\| \[`(\w+)`\]\((.+?)\) \|", text, flags=re.MULTILINE)
        assert [name for name, _ in links] == list(tiny_checkpoints.NAMES)
        assert all((project / path).is_file() for _, path in links)
        assert re.findall("^## (.+)$", text, flags=re.MULTILINE) == ["Recipes without weights"]
        assert "| `tiny_recipe` |" in text

    def test_pictures_are_shown_once_they_exist(self, project: Path) -> None:
        page = project / "docs" / "results.md"
        assert "](interpolations.png)" not in page.read_text(encoding="utf-8")
        picture = np.zeros([4, 4, 3], np.uint8)
        pictures.save_png(project / "docs" / "interpolations.png", picture)
        render_cards.main(["--root", str(project)])
        text = page.read_text(encoding="utf-8")
        assert "](interpolations.png)" in text
        assert "samples_maf_mnist.png" not in text

    def test_a_picture_of_other_weights_is_a_fault(self, project: Path, capsys) -> None:
        path = project / "docs" / "grid.png"
        picture = np.zeros([4, 4, 3], np.uint8)
        pictures.save_png(path, picture, text=drawn_from.weights_text(["tiny_images"]))
        assert check(project, capsys) == []
        pictures.save_png(path, picture, text={"weights": f"tiny_images {'0' * 64}"})
        fault = "docs/grid.png was drawn with other weights of tiny_images: make pictures"
        assert check(project, capsys) == [fault]
        pictures.save_png(path, picture, text={"weights": f"gone {'0' * 64}"})
        assert "other weights of gone" in check(project, capsys)[0]
        pictures.save_png(path, picture)
        assert "does not say which weights" in check(project, capsys)[0]

    def test_without_any_checkpoint(self, project: Path, capsys) -> None:
        shutil.rmtree(project / "checkpoints")
        assert any("MODEL_CARDS.md" in line for line in check(project, capsys))
        assert render_cards.main(["--root", str(project)]) == 0
        assert check(project, capsys) == []
        page = project / "docs" / "results.md"
        assert "has been evaluated" in page.read_text(encoding="utf-8")

    def test_hashes_of_a_pinned_card_follow_it_and_no_others(self, project: Path) -> None:
        pins = json.loads((project / "zoo" / "pins.json").read_text())
        for name, pin in pins.items():
            folder = project / "checkpoints" / name
            verify_files(folder, pin["files"])
            assert verify_sha256sums(folder)
        folder = project / "checkpoints" / "tiny_images"
        weights = folder / "model.weights.h5"
        weights.write_bytes(weights.read_bytes() + b"x")
        render_cards.main(["--root", str(project)])
        after = json.loads((project / "zoo" / "pins.json").read_text())
        for file, pin in after["tiny_images"]["files"].items():
            assert (pin == pins["tiny_images"]["files"][file]) == (file != "card.md")
        with pytest.raises(zoo.ZooError, match=r"model\.weights\.h5"):
            verify_sha256sums(folder)


class TestCheck:
    def test_a_changed_metric_is_seen_in_all_three(self, project: Path, capsys) -> None:
        path = project / "checkpoints" / "tiny_features" / "metrics.json"
        edit_json(path, metrics={"log_prob": {"value": -20.0, "two_standard_errors": 0.25}})
        assert [line.split()[0] for line in check(project, capsys)] == [
            "checkpoints/tiny_features/card.md",
            "MODEL_CARDS.md",
            "docs/results.md",
        ]

    @pytest.mark.parametrize(
        "file", ["docs/results.md", "MODEL_CARDS.md", "checkpoints/tiny_images/card.md"]
    )
    def test_a_figure_changed_by_hand_is_seen(self, project: Path, capsys, file: str) -> None:
        path = project / file
        text = path.read_text(encoding="utf-8")
        assert "4.363" in text
        path.write_text(text.replace("4.363", "3.363"), encoding="utf-8")
        assert check(project, capsys) == [f"{file} is not what its sources say: make cards"]

    def test_a_figure_in_the_readmes_prose_needs_a_source(self, project: Path, capsys) -> None:
        path = project / "README.md"
        text = path.read_text(encoding="utf-8")
        path.write_text(f"{text}\nIt reaches 4.36 bits/dim.\n", encoding="utf-8")
        assert check(project, capsys) == []
        path.write_text(f"{text}\nIt reaches 3.99 bits/dim.\n", encoding="utf-8")
        assert check(project, capsys) == ["README.md: '3.99 bits/dim' is in no metrics.json"]

    def test_a_figure_in_an_entrys_prose_needs_a_source(
        self, project: Path, capsys, monkeypatch
    ) -> None:
        entry = dataclasses.replace(registry.ENTRIES["tiny_recipe"], limitations="Only 1900 nats.")
        monkeypatch.setitem(registry.ENTRIES, "tiny_recipe", entry)
        assert "registry entry tiny_recipe: '1900 nats' is in no metrics.json" in check(
            project, capsys
        )

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("reaches 1,980.5 nats, or 1980.51 nats, or 1981 nats", []),
            ("-23.8 nats and −23.75 ± 0.3 nats", []),
            ("4.4 bits per dimension at 4.36 bits/dim", []),
            ("1980.6 nats", ["1980.6 nats"]),
            ("23.75 nats", ["23.75 nats"]),
            ("1,979 nats", ["1,979 nats"]),
            ("4.37 ± 0.01 bits/dim, 4.3bpd", ["4.37 ± 0.01 bits/dim", "4.3bpd"]),
            ("64 nats? v2 nats, 5 MB, 2 bits", ["64 nats"]),
        ],
    )
    def test_what_counts_as_a_figure_with_a_source(self, text: str, found: list[str]) -> None:
        assert render_cards.unsourced(text, [4.36254, 1980.512, -23.75]) == found

    def test_a_checkpoint_that_is_not_evaluated(self, project: Path, capsys) -> None:
        (project / "checkpoints" / "tiny_images" / "metrics.json").unlink()
        render_cards.main(["--root", str(project)])
        assert check(project, capsys) == [
            "checkpoints/tiny_images/metrics.json is missing: zoo evaluate tiny_images "
            "--out checkpoints/tiny_images/metrics.json"
        ]
        card = (project / "checkpoints" / "tiny_images" / "card.md").read_text(encoding="utf-8")
        assert "Not evaluated yet" in card
        assert "model-index" not in card

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"name": "other"}, "is of 'other'"),
            ({"split": "validation"}, "is of the validation split"),
            ({"metrics": {"bits_per_dim": {"value": 1.0}}}, "lacks log_prob_paper"),
        ],
    )
    def test_metrics_of_something_else(self, project: Path, capsys, changes, message) -> None:
        edit_json(project / "checkpoints" / "tiny_images" / "metrics.json", **changes)
        render_cards.main(["--root", str(project)])
        lines = check(project, capsys)
        assert len(lines) == 1
        assert message in lines[0]

    def test_a_folder_that_the_registry_does_not_know(self, project: Path, capsys) -> None:
        (project / "checkpoints" / "stranger").mkdir()
        assert check(project, capsys) == ["checkpoints/stranger has no entry in zoo/registry"]

    def test_a_folder_without_a_config(self, project: Path, capsys) -> None:
        (project / "checkpoints" / "tiny_images" / "config.json").unlink()
        assert "config.json is missing" in check(project, capsys)[0]


LINEAGE = [
    {"recipe": "12ab", "weights": "ab" * 32, "hours": 0.25, "note": ""},
    {"recipe": "34cd", "weights": "cd" * 32, "hours": None, "note": "Averaged a|b by hand."},
]


def test_a_card_begins_with_what_a_hand_did_and_lists_the_stages(project: Path) -> None:
    folder = project / "checkpoints" / "tiny_images"
    write_json_atomic(folder / "run.json", {"lineage": LINEAGE})
    render_cards.main(["--root", str(project)])
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "# A tiny nice\n\n**Partly made by hand:** Averaged a|b by hand.\n\nTwo" in text
    assert f"| 1 | 0.25 | `{'ab' * 8}…` |  |\n" in text
    assert f"| 2 | unknown | `{'cd' * 8}…` | Averaged a\\|b by hand. |\n" in text
    write_json_atomic(folder / "run.json", {"lineage": LINEAGE[:1]})
    render_cards.main(["--root", str(project)])
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert "by hand:" not in text
    assert "| 1 | 0.25 |" in text


def test_cards_name_no_family() -> None:
    for path in (ROOT / "zoo" / "publishing").glob("*.py"):
        words = set(re.findall(r'"(\w+)"', path.read_text(encoding="utf-8")))
        datasets = {entry.recipe.dataset.name for entry in registry.ENTRIES.values()}
        assert not words & (set(FAMILIES) | datasets | {"latent_size"}), path.name


def test_the_rows_that_cards_score_are_in_the_package() -> None:
    cards = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("checkpoints/*/card.md"))
    assert set(re.findall(r'= samples\("(\w+)"\)', cards)) <= set(sample_names())
    assert "rows = model.sample(16, seed=1)" in cards  # of datasets that it lacks
