"""README, CHANGELOG and their tables: in step with the checkpoints and with the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import density_table
import render_cards

import zoo
from zoo.store import pins

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
            for name, hours in (("wavenet_fifth_speaker", 0.25), ("wavenet_four_speakers", 0.5))
        }
        assert density_table.training_hours("wavenet_fifth_speaker", published) == 0.75
        assert density_table.training_hours("wavenet_four_speakers", published) == 0.5
        stages = [{"hours": 1.5}, {"hours": None}, {"hours": 0.25}]
        published["wavenet_fifth_speaker"].run["lineage"] = stages
        assert density_table.training_hours("wavenet_fifth_speaker", published) == 2.25

    def test_speeds_stand_side_by_side(self, tmp_path: Path) -> None:
        assert "Not measured" in density_table.speed_table(tmp_path)
        (tmp_path / "benchmarks").mkdir()
        job = {"task": "speed", "model": "maf", "size": 6}
        results = [
            {**job, "library": "zoo", "log_prob": 2e5, "fit": 3e4, "sample": 1.0},
            {**job, "library": "zuko", "log_prob": 1e5, "fit": 4e4, "sample": 2.0},
            {**job, "library": "nflows", "error": "exit code -9"},
            {"task": "fit", "library": "zuko", "dataset": "magic", "model": "maf", "value": 1.0},
        ]
        (tmp_path / "benchmarks" / "peers_cpu.json").write_text(json.dumps({"results": results}))
        lines = density_table.speed_table(tmp_path).splitlines()
        assert "| maf | 6 | zoo | **200,000** | 30,000 | 1 |" in lines
        assert "| maf | 6 | zuko | 100,000 | **40,000** | **2** |" in lines
        assert "| maf | 6 | nflows | exit code -9 |  |  |" in lines
        assert "| maf | 6 | zoo / fastest | 2.00x | 0.75x | 0.50x |" in lines
