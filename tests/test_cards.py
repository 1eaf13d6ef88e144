"""What is generated from the checkpoints: in step with them, and nothing in it typed by hand."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_checkpoints
import typer
import yaml

import zoo
from zoo import cli, registry
from zoo.core import recipe as recipes
from zoo.core import recipe_json
from zoo.core.recipe import variant
from zoo.data import sample_names
from zoo.media import pictures
from zoo.store import pins
from zoo.store.files import read_json, write_json_atomic
from zoo.store.folder import read_config
from zoo.store.hashes import sha256_of, verify_files, verify_sha256sums

ROOT = Path(__file__).resolve().parent.parent
DTYPES = ("float32", "bfloat16")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_tool(name: str):
    """A script of tools/ as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses look their module up
    specification.loader.exec_module(module)
    return module


render_cards = load_tool("render_cards")
density_table = load_tool("density_table")
model_card = load_tool("model_card")


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    root = tmp_path_factory.mktemp("master")
    return root, tiny_checkpoints.publish(root)


@pytest.fixture
def project(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the tiny checkpoints, their pins and the README, rendered."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    project = tmp_path / "project"
    shutil.copytree(root, project / "checkpoints")
    (project / "zoo").mkdir()
    (project / "zoo" / "pins.json").write_text(json.dumps(pins))
    (project / "README.md").write_text(README, encoding="utf-8")
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


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class TestThisProject:
    def test_everything_generated_is_in_step(self, capsys) -> None:
        render_cards.main(["--check"])
        assert capsys.readouterr().err == ""

    def test_the_changelog_knows_this_version(self) -> None:
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)[0] == zoo.__version__

    def test_the_changelog_knows_every_change_of_weights(self) -> None:
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        told = changelog.partition("### Checkpoints")[2].partition("### Fixed")[0]
        versions = {name: pin["version"] for name, pin in pins.pins().items()}
        lines = [line for line in told.split("\n- ") if line]
        for name, version in versions.items():
            pattern = rf"`{name}` [^`:]*\b{version}\b"
            assert version == 1 or any(re.search(pattern, line) for line in lines), name

    def test_the_commands_of_the_readme_exist(self) -> None:
        block = README.partition("<!-- commands -->\n```sh\n")[2].partition("```")[0]
        commands = typer.main.get_command(cli.app).commands
        lines = [shlex.split(line, comments=True) for line in block.splitlines()]
        for program, name, *rest in lines:
            assert program == "zoo"
            known = {option for param in commands[name].params for option in param.opts}
            assert {word for word in rest if re.match("--?[a-z]", word)} <= known, (name, rest)
        assert {line[1] for line in lines} == set(commands)

    def test_links_of_the_readme_lead_somewhere(self) -> None:
        targets = re.findall(r"\]\(([^)#:]+)\)", README)
        assert {"MODEL_CARDS.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"} <= set(targets)
        assert [target for target in targets if not (ROOT / target).exists()] == []


class TestDensityTable:
    def test_a_row_says_what_was_run_and_what_was_not(self, tmp_path: Path) -> None:
        peer = {"task": "fit", "dataset": "bsds300", "model": "maf", "two_standard_errors": 0.25}
        (tmp_path / "benchmarks").mkdir()
        results = [
            {**peer, "library": "nflows", "value": 153.0},
            {**peer, "library": "zuko", "value": 154.5},
            {**peer, "library": "zoo", "value": 170.0},
            {**peer, "library": "flowjax", "error": "not done after 9 s"},
            {"task": "speed", "library": "nflows", "model": "maf", "size": 6},
        ]
        (tmp_path / "benchmarks" / "peers_cpu.json").write_text(json.dumps({"results": results}))
        read = density_table.read_optional(ROOT / "checkpoints/made_bsds300/metrics.json")
        checkpoint = SimpleNamespace(name="made_bsds300", metrics=read, run={"train_hours": 0.55})
        rows = {
            cells[1].strip(" `"): [cell.strip() for cell in cells]
            for line in density_table.density_table([checkpoint], tmp_path).splitlines()
            if len(cells := line.strip("|").split("|")) == 8
        }
        ours, mixture = (
            f"{read['metrics'][metric]['value']:.2f} ± 0.28"
            for metric in ("log_prob", "log_prob_symmetrised")
        )
        assert rows["made_bsds300"][2:] == ["148.85", "157.98", "", ours, mixture, "33"]
        peer = "zuko 154.50 ± 0.25"
        assert rows["maf_bsds300"][2:] == ["155.69", "157.98", peer, "not run", "", ""]
        assert rows["maf_magic"][2:] == ["", "", "", "not run", "", ""]
        assert set(density_table.NAMES) <= set(rows)

    def test_the_voice_held_out_stands_before_and_after(self, tmp_path: Path) -> None:
        assert "Not measured" in render_cards.held_out_table(tmp_path)
        for number, file in enumerate(
            (
                "benchmarks/held_out_speaker/wavenet_four_speakers.json",
                "checkpoints/wavenet_fifth_speaker/metrics.json",
                "benchmarks/held_out_speaker/wavenet_digits.json",
            )
        ):
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            bits = {"value": 8.5 - number, "two_standard_errors": 0.25}
            heard = {"value": 0.5 + 0.1 * number, "clips": 40}
            path.write_text(json.dumps({"metrics": {"bits_per_sample": bits, "recognised": heard}}))
        assert render_cards.held_out_table(tmp_path).splitlines()[2:] == [
            "| `wavenet_four_speakers` | 8.50 ± 0.25 | 50% of 40 |",
            "| `wavenet_fifth_speaker` | 7.50 ± 0.25 | 60% of 40 |",
            "| `wavenet_digits` | 6.50 ± 0.25 | 70% of 40 |",
        ]

    def test_hours_count_those_of_the_weights_that_a_model_starts_from(self) -> None:
        published = {
            name: SimpleNamespace(run={"train_hours": hours})
            for name, hours in (("maf_bsds300", 0.25), ("maf_bsds300_base", 0.5))
        }
        assert density_table.training_hours("maf_bsds300", published) == 0.75
        assert density_table.training_hours("maf_bsds300_base", published) == 0.5

    def test_speeds_stand_side_by_side(self, tmp_path: Path) -> None:
        assert "Not measured" in density_table.speed_table(tmp_path)
        (tmp_path / "benchmarks").mkdir()
        job = {"task": "speed", "model": "maf", "size": 6}
        results = [
            {**job, "library": "zoo", "log_prob": 2e5, "training_step": 3e4, "sample": 1.0},
            {**job, "library": "zuko", "log_prob": 1e5, "training_step": 4e4, "sample": 2.0},
            {**job, "library": "nflows", "error": "exit code -9"},
            {"task": "fit", "library": "zuko", "dataset": "magic", "model": "maf", "value": 1.0},
        ]
        (tmp_path / "benchmarks" / "peers_cpu.json").write_text(json.dumps({"results": results}))
        lines = density_table.speed_table(tmp_path).splitlines()
        assert "| maf | 6 | zoo | **200,000** | 30,000 | 1 |" in lines
        assert "| maf | 6 | zuko | 100,000 | **40,000** | **2** |" in lines
        assert "| maf | 6 | nflows | exit code -9 |  |  |" in lines


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
        assert yaml.safe_load(model_card.to_yaml(value)) == value

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
        assert "## Samples" not in text
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
        cards = (project / "MODEL_CARDS.md").read_text(encoding="utf-8")
        assert "](checkpoints/tiny_images/samples.png)" in cards

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
        assert "The slow direction is sampling" in text

    def test_the_index_has_figures_sizes_and_rates(self, project: Path) -> None:
        (project / "benchmarks").mkdir()
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
        assert "| nice | mnist:3.0.1 | bits_per_dim (bits/dim) | 1.25 | 4.363 ± 0.012 |" in row
        assert "| 1,234 | 12,345 |" in row
        assert index.count("\n| [") == 3


class TestFiles:
    def test_rendered_once_they_are_in_step(self, project: Path, capsys) -> None:
        assert check(project, capsys) == []

    def test_the_table_has_a_row_for_each_evaluated_model(self, project: Path) -> None:
        text = (project / "README.md").read_text(encoding="utf-8")
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

    def test_model_cards_hold_every_card_and_the_recipes_without(self, project: Path) -> None:
        text = (project / "MODEL_CARDS.md").read_text(encoding="utf-8")
        assert re.findall("^## (.+)$", text, flags=re.MULTILINE) == [
            *tiny_checkpoints.NAMES,
            "Recipes without weights",
        ]
        assert text.count("### Results") == 3
        assert "library_name" not in text
        assert "| `tiny_recipe` |" in text

    def test_pictures_are_shown_once_they_exist(self, project: Path) -> None:
        assert "](docs/interpolations.png)" not in (project / "README.md").read_text(
            encoding="utf-8"
        )
        picture = np.zeros([4, 4, 3], np.uint8)
        pictures.save_png(project / "docs" / "interpolations.png", picture)
        render_cards.main(["--root", str(project)])
        text = (project / "README.md").read_text(encoding="utf-8")
        assert "](docs/interpolations.png)" in text
        assert "samples_maf_mnist.png" not in text

    def test_without_any_checkpoint(self, project: Path, capsys) -> None:
        shutil.rmtree(project / "checkpoints")
        assert any("MODEL_CARDS.md" in line for line in check(project, capsys))
        assert render_cards.main(["--root", str(project)]) == 0
        assert check(project, capsys) == []
        assert "has been evaluated" in (project / "README.md").read_text(encoding="utf-8")

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
            "README.md",
        ]

    @pytest.mark.parametrize(
        "file", ["README.md", "MODEL_CARDS.md", "checkpoints/tiny_images/card.md"]
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


def test_the_rows_that_cards_score_are_in_the_package() -> None:
    cards = (ROOT / "MODEL_CARDS.md").read_text(encoding="utf-8")
    assert set(re.findall(r'= samples\("(\w+)"\)', cards)) <= set(sample_names())
    assert "rows = model.sample(16, seed=1)" in cards  # of datasets that it lacks


def test_released_weights_are_replaced_by_a_new_version_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = load_tool("publish")
    monkeypatch.setattr("zoo.store.pins.pins", lambda: {"nice_mnist": {"version": 3}})
    own = ROOT / "checkpoints" / "nice_mnist"
    assert publish.version_of("nice_mnist", own, None) == 3  # evaluated again
    assert publish.version_of("nice_mnist", tmp_path, 4) == 4
    assert publish.version_of("new", tmp_path, None) == 1
    for given in (None, 3):
        with pytest.raises(ValueError, match=r"nice_mnist 3 is released: give .* --version 4"):
            publish.version_of("nice_mnist", tmp_path, given)


def test_a_run_that_was_ended_is_not_published(tmp_path: Path) -> None:
    publish = load_tool("publish")
    publish.check_finished(ROOT / "checkpoints" / "nice_mnist")  # published once, evaluated again
    for reason in ("finished", "early stopping"):
        (tmp_path / "run.json").write_text(json.dumps({"reason": reason}))
        publish.check_finished(tmp_path)
    for reason in ("signal SIGTERM", "time limit"):
        (tmp_path / "run.json").write_text(json.dumps({"reason": reason}))
        with pytest.raises(ValueError, match=f"ended by {reason}, and its recipe goes on"):
            publish.check_finished(tmp_path)


def test_a_flow_that_overflows_is_not_published() -> None:
    publish = load_tool("publish")
    sound = {"rows": 3, **{d: {"invertibility": 1e-5, "log_det": 1e-4} for d in DTYPES}}
    for metrics in ({}, {"certificate": sound}):
        publish.check_certificate("nice_mnist", metrics)
    for dtype in DTYPES:
        spoilt = sound | {dtype: {"invertibility": 1e-5, "log_det": None}}
        with pytest.raises(ValueError, match=f"nice_mnist is not to be published: {dtype} errors"):
            publish.check_certificate("nice_mnist", {"certificate": spoilt})
    nearly = {dtype: {"invertibility": 2250.0, "log_det": 400.0} for dtype in DTYPES}
    publish.check_certificate(
        "nice_mnist", {"certificate": sound | {"bfloat16": nearly["bfloat16"]}}
    )
    with pytest.raises(ValueError, match=r"float32 errors .*'log_det': 400\.0"):
        publish.check_certificate("nice_mnist", {"certificate": sound | nearly})
