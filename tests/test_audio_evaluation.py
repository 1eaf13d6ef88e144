"""Audio's figures: bits a sample of a known density, the listener, the command line on clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import soundfile
from typer.testing import CliRunner

from zoo import cli, models, registry
from zoo.data.samples import sample_labels, samples
from zoo.data.sources import Arrays
from zoo.data.spoken_digit import clip_lengths
from zoo.errors import ConfigError
from zoo.evaluation import audio, evaluating, recognition
from zoo.evaluation.task import Task
from zoo.store.folder import save_checkpoint

CLIP = 400
TINY = {
    "event_shape": (CLIP,),
    "num_stacks": 1,
    "layers_per_stack": 2,
    "residual_channels": 4,
    "skip_channels": 4,
    "context_size": 6,
    "context_factors": (3, 2),
    "context_channels": 4,
}


class _Uniform:
    """Every 16-bit value equally likely at every step."""

    def clip_context(self, x, labels):
        return labels

    def stepwise_log_prob(self, x, context):
        assert len(context) == len(x)
        return np.full(x.shape, -16.0 * np.log(2.0), np.float32)

    def stepwise_class_offset(self, x):
        return np.full(x.shape, 8.0 * np.log(2.0), np.float32)


def test_a_uniform_model_takes_sixteen_bits_a_sample() -> None:
    rows = Arrays(samples("spoken_digit"), sample_labels("spoken_digit"))
    seen = []
    task = Task(
        model=_Uniform(), rows=rows, progress=lambda done, total: seen.append((done, total))
    )
    found, protocol = audio.bits_metrics(task, ("bits_per_sample", "bits_per_sample_mu_law"))
    assert protocol == "exact probability of the stored samples"
    assert found["bits_per_sample"]["value"] == pytest.approx(16.0, abs=1e-5)
    assert found["bits_per_sample_mu_law"]["value"] == pytest.approx(8.0, abs=1e-5)
    assert found["bits_per_sample"]["two_standard_errors"] < 1e-4
    assert found["bits_per_sample"]["samples"] == clip_lengths(rows.x).sum()
    assert seen == [(8, 8)]


def test_the_error_of_a_ratio_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1000, 6000, 250)
    sums = counts * rng.normal(7.0, 0.8, 250)
    found = audio.ratio_with_error(sums, counts)
    assert found["value"] == pytest.approx(sums.sum() / counts.sum(), abs=1e-5)
    draws = rng.integers(0, 250, (2000, 250))
    bootstrap = (sums[draws].sum(1) / counts[draws].sum(1)).std()
    assert found["two_standard_errors"] == pytest.approx(2 * bootstrap, rel=0.1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (7, 10), (188, 200), (200, 200)])
def test_intervals_are_wilsons(successes, trials) -> None:
    found = recognition.wilson_interval(successes, trials)
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_listener_understands_the_real_clips() -> None:
    clips, labels = samples("spoken_digit"), sample_labels("spoken_digit")
    np.testing.assert_array_equal(recognition.recognised_digits(clips), labels // 5)
    quiet = (clips // 4).astype(np.int16)
    np.testing.assert_array_equal(recognition.recognised_digits(quiet), labels // 5)


def test_the_listener_names_the_share_of_clips_that_say_their_label() -> None:
    clips, labels = samples("spoken_digit"), sample_labels("spoken_digit")
    assert audio.recognised_share(clips, labels)["value"] == 1.0
    wrong = labels.copy()
    wrong[:2] = (wrong[:2] + 5) % 50
    found = audio.recognised_share(clips, wrong)
    assert found["value"] == 0.75
    assert found["interval"][0] < 0.75 < found["interval"][1]
    assert found["clips"] == 8


class _Speaker:
    """Says the package's clips, whatever it is asked for."""

    def sample(self, count, seed, context):
        return samples("spoken_digit")[:count]


def test_a_students_figures_say_how_they_were_measured(monkeypatch) -> None:
    figures = {"value": 0.25, "two_standard_errors": 0.01, "samples": 8}
    monkeypatch.setattr(audio, "distillation_kl", lambda *_, **__: figures)
    rows = Arrays(samples("spoken_digit"), sample_labels("spoken_digit"))
    recipe = registry.get("parallel_wavenet_digits").recipe
    task = Task(model=_Speaker(), rows=rows, recipe=recipe, seed=3)
    found = evaluating.measure(task, ("distillation_kl", "recognised", "silence_excess_db"))
    assert found.metrics["distillation_kl"] == figures
    assert found.metrics["recognised"]["clips"] == 4 * len(np.unique(rows.context))
    assert found.protocol == (
        "a draw for every row; 4 clips of every label, drawn with seed 3, are listened to"
    )
    untaught = Task(model=_Speaker(), rows=rows)
    with pytest.raises(ConfigError, match="distillation_kl compares with a teacher"):
        audio.distillation_metrics(untaught, ("distillation_kl",))


def test_hiss_is_above_the_floor_of_real_clips() -> None:
    clips, labels = samples("spoken_digit"), sample_labels("spoken_digit")
    rows = Arrays(clips, labels)
    assert audio.silence_excess_db(clips, labels, rows)["value"] == 0.0
    quiet = (clips // 2).astype(np.int16)
    assert abs(audio.silence_excess_db(quiet, labels, rows)["value"]) < 1.5
    rng = np.random.default_rng(0)
    faint = np.where(clips == 0, rng.integers(-2, 3, clips.shape), clips).astype(np.int16)
    assert abs(audio.silence_excess_db(faint, labels, rows)["value"]) < 0.5
    noise = 0.2 * np.abs(clips).max(1, keepdims=True) * rng.normal(size=clips.shape)
    hissing = np.where(clips != 0, clips + noise, 0).astype(np.int16)
    assert audio.silence_excess_db(hissing, labels, rows)["value"] > 6.0


# The command line.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "tiny_wavenet"
    model = models.create("wavenet", **TINY)
    recipe = registry.get("wavenet_digits").recipe
    save_checkpoint(path, model, family="wavenet", recipe=recipe)
    return path


def run(*arguments: object):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_a_model_speaks_into_a_file_and_scores_it(folder, tmp_path) -> None:
    path = tmp_path / "clips.wav"
    result = run("sample", folder, "-n", 2, "--seed", 1, "--context", 5, "-o", path)
    assert result.exit_code == 0, result.output
    assert soundfile.info(path).frames == 2 * CLIP
    assert soundfile.info(path).samplerate == 8000
    clip = tmp_path / "one.flac"
    soundfile.write(clip, soundfile.read(path, dtype="int16")[0][: CLIP - 50] // 2, 8000)
    result = run("score", folder, clip, "--context", 5, "--json")
    assert result.exit_code == 0, result.output
    assert '"count": 1' in result.stdout


def test_unfit_clips_and_files_are_refused(folder, tmp_path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.full(CLIP + 1, 900, np.int16), 8000)
    fast = tmp_path / "fast.wav"
    soundfile.write(fast, np.full(CLIP, 900, np.int16), 16000)
    cases = {
        ("score", folder, long, "--context", 1): "cut it",
        ("score", folder, fast, "--context", 1): "Expected 8000 samples a second",
        ("score", folder, long.with_suffix(".flac"), "--context", 1): "cannot be read as audio",
        ("sample", folder, "--context", 1, "-o", tmp_path / "x.png"): "not images",
        ("sample", folder, "--context", 9, "-o", tmp_path / "x.wav"): r"0..5",
        ("sample", folder, "--context", 1, "-o", tmp_path / "x.mp3"): ".wav, .flac",
    }
    for arguments, message in cases.items():
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.stderr.split()), result.stderr
