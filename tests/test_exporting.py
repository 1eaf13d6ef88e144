"""Exports: SavedModels that answer as the Keras model does, where only TensorFlow is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import capi_client
import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tiny_runs

from zoo import exporting, models
from zoo.errors import ExportError

NUM_ROWS = 5
NAMES = tuple(tiny_runs.RECIPES)
BASES = {"nice": scipy.stats.logistic, "realnvp": scipy.stats.norm, "maf": scipy.stats.norm}

# What a server does, with TensorFlow alone: argv is the folder of requests, then model names.
CLIENT = """
import sys
import numpy as np
import tensorflow as tf

for name in sys.argv[2:]:
    loaded = tf.saved_model.load(f"{sys.argv[1]}/{name}/1")
    requests, answers = {}, {}
    with np.load(f"{sys.argv[1]}/{name}.npz") as file:
        for key in file.files:
            request, _, argument = key.partition("/")
            requests.setdefault(request, {})[argument] = tf.constant(file[key])
    for request, arguments in requests.items():
        signature = request.partition(":")[0]
        for key, value in loaded.signatures[signature](**arguments).items():
            answers[f"{request}/{key}"] = value.numpy()
    np.savez(f"{sys.argv[1]}/{name}.answers.npz", **answers)
found = {"zoo", "tensorflow_probability", "tf_keras"} & set(sys.modules)
sys.exit(f"imported: {found}" if found else 0)
"""


def randomised(name: str) -> Any:
    """The tiny run's model, fitted to its rows, with weights that are no identity."""
    recipe = tiny_runs.RECIPES[name]
    model = models.build(recipe.family, recipe.config, name=f"tiny_{name}")
    rows = tiny_runs.load_arrays(recipe.dataset, "train")
    model.adapt(rows.x, rows.context)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0.0, 0.1, variable.shape))
    return model


def requests_of(model: Any, name: str) -> dict[str, np.ndarray]:
    """`request/argument` -> array; what follows a colon in `request` tells requests apart."""
    rng = np.random.default_rng(2)
    rows = tiny_runs.load_arrays(tiny_runs.RECIPES[name].dataset, "train").take(NUM_ROWS)
    seed = rng.integers(-(2**31), 2**31, (NUM_ROWS, 2), dtype="int64").astype("int32")
    temperature = np.array([1.0, 0.7, 0.0, 1.3, 1.0], "float32")
    latents = rng.normal(size=(NUM_ROWS, model.config.event_size)).astype("float32")
    requests = {
        "log_prob": {"x": rows.x},
        "serving_default": {"x": rows.x},
        "encode": {"x": rows.x},
        "decode": {"z": latents},
        "sample": {"seed": seed, "temperature": temperature},
        "sample:reversed": {"seed": seed[::-1], "temperature": temperature[::-1]},
        "sample:alone": {"seed": seed[3:4], "temperature": temperature[3:4]},
    }
    labels = {"reversed": slice(None, None, -1), "alone": slice(3, 4)}
    if rows.context is not None:
        for request, arguments in requests.items():
            chosen = labels.get(request.partition(":")[2], slice(None))
            arguments["context"] = rows.context[chosen]
    return {f"{r}/{k}": np.array(v) for r, a in requests.items() for k, v in a.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Every tiny model, its SavedModel, the requests, and the answers of a process of its own."""
    root = tmp_path_factory.mktemp("export")
    built, folders, requests, answers = {}, {}, {}, {}
    for name in NAMES:
        built[name] = randomised(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporting.loading, "load", lambda name: built[name])
            folders[name] = exporting.export(name, root)
        requests[name] = requests_of(built[name], name)
        np.savez(root / f"{name}.npz", **requests[name])
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, str(root), *NAMES],
        cwd=root,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == 0, client.stderr
    for name in NAMES:
        with np.load(root / f"{name}.answers.npz") as file:
            answers[name] = {key: file[key] for key in file.files}
    return SimpleNamespace(
        root=root, models=built, folders=folders, requests=requests, answers=answers
    )


def assert_close(actual: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    """Floats within the tolerance; a grey level may be the next one where rounding decides."""
    expected = np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype == np.uint8:
        difference = np.abs(actual.astype(int) - expected.astype(int))
        assert difference.max() <= 1
        assert np.mean(difference > 0) <= 0.05
        return
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_signatures(name: str, exported: SimpleNamespace) -> None:
    folder = exported.root / name / "1"
    assert exported.folders[name] == str(folder)
    assert (folder / "saved_model.pb").is_file()
    assert (folder / "variables" / "variables.index").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["1"]  # nothing unfinished is left
    image = name != "maf"
    context = {} if image else {"context": ([-1], "int32")}
    x = ([-1, 4, 4, 1], "uint8") if image else ([-1, 3], "float32")
    z = ([-1, 16 if image else 3], "float32")
    row = ([-1], "float32")
    scores = {"log_prob": row, "bits_per_dim": row}
    expected = {
        "serving_default": ({"x": x, **context}, scores),
        "log_prob": ({"x": x, **context}, scores),
        "encode": ({"x": x, **context}, {"z": z}),
        "decode": ({"z": z, **context}, {"x": x}),
        "sample": ({"seed": ([-1, 2], "int32"), "temperature": row, **context}, {"x": x}),
    }
    assert signature_shapes(folder) == expected


def signature_shapes(folder: Path) -> dict[str, Any]:
    """signature -> (arguments, outputs), each name -> (shape, dtype), from the file itself."""
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())

    def side(tensors: Any) -> dict[str, Any]:
        return {
            key: ([d.size for d in info.tensor_shape.dim], tf.as_dtype(info.dtype).name)
            for key, info in tensors.items()
        }

    definitions = message.meta_graphs[0].signature_def
    return {
        key: (side(value.inputs), side(value.outputs))
        for key, value in definitions.items()
        if not key.startswith("__")
    }


@pytest.mark.parametrize("name", NAMES)
def test_scores_and_codes_agree_with_the_keras_model(name: str, exported: SimpleNamespace) -> None:
    model, requests, answers = (
        exported.models[name],
        exported.requests[name],
        exported.answers[name],
    )
    context = requests.get("log_prob/context")
    x, z = requests["log_prob/x"], requests["decode/z"]
    for signature in ("log_prob", "serving_default"):
        assert_close(answers[f"{signature}/log_prob"], model.log_prob(x, context))
        assert_close(answers[f"{signature}/bits_per_dim"], model.bits_per_dim(x, context))
    assert_close(answers["encode/z"], model.encode(x, context))
    assert_close(answers["decode/x"], model.decode(z, context))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_decoded_quantiles_of_their_own_seeds(
    name: str, exported: SimpleNamespace
) -> None:
    model, requests, answers = (
        exported.models[name],
        exported.requests[name],
        exported.answers[name],
    )
    seed, temperature = requests["sample/seed"], requests["sample/temperature"]
    uniform = np.stack(
        [
            tf.random.stateless_uniform([model.config.event_size], row, alg="philox").numpy()
            for row in seed
        ]
    )
    uniform = 1e-7 + (1.0 - 1e-7) * uniform.astype(np.float64)
    latents = temperature[:, None] * BASES[name].ppf(uniform)
    expected = model.decode(latents.astype("float32"), requests.get("sample/context"))
    # Quantiles in float32 against SciPy's in float64.
    assert_close(answers["sample/x"], expected, tolerance=1e-4)
    assert len(np.unique(answers["sample/x"].reshape(NUM_ROWS, -1), axis=0)) == NUM_ROWS


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_does_not_depend_on_its_batch_mates(name: str, exported: SimpleNamespace) -> None:
    answers = exported.answers[name]
    assert_close(answers["sample:reversed/x"][::-1], answers["sample/x"])
    assert_close(answers["sample:alone/x"], answers["sample/x"][3:4])


@pytest.mark.parametrize("name", ["nice", "maf"])
def test_the_cpp_loader_gives_the_same_answers(name: str, exported: SimpleNamespace) -> None:
    """TensorFlow's C++ SavedModel loader and session, without XLA, without its Python."""
    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if not library.is_file():
        pytest.skip(f"this TensorFlow has no {library.name}")
    requests = exported.root / f"{name}.capi.npz"
    plain = {k: v for k, v in exported.requests[name].items() if ":" not in k}
    np.savez(requests, **plain)
    answers = exported.root / f"{name}.capi.answers.npz"
    client = subprocess.run(
        [
            sys.executable,
            capi_client.__file__,
            str(library),
            exported.folders[name],
            str(requests),
            str(answers),
        ],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == 0, client.stderr
    expected = {k: v for k, v in exported.answers[name].items() if ":" not in k}
    with np.load(answers) as file:
        assert set(file.files) == set(expected)
        for key in file.files:
            assert_close(file[key], expected[key])


# Refusals.


@pytest.fixture(scope="module")
def model() -> Any:
    recipe = tiny_runs.RECIPES["nice"]
    return models.build(recipe.family, recipe.config, name="plain")


def test_an_existing_version_is_refused(exported: SimpleNamespace) -> None:
    model = exported.models["nice"]
    model.name = "nice"
    before = (exported.root / "nice" / "1" / "saved_model.pb").read_bytes()
    with pytest.raises(ExportError, match="immutable: export version 2"):
        exporting.export(model, exported.root)
    assert (exported.root / "nice" / "1" / "saved_model.pb").read_bytes() == before


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True])
def test_versions_are_positive_integers(version: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="version must be a positive integer"):
        exporting.export(model, tmp_path, version)


@pytest.mark.parametrize("thing", [keras.Sequential(), 3, None], ids=["keras", "int", "None"])
def test_only_density_models_are_exported(thing: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Expected a registered name or a density model"):
        exporting.export(thing, tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_interrupted_export_leaves_no_version(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def track(self, model: Any) -> None:
            pass

        def add_endpoint(self, name: str, function: Any, input_signature: Any) -> None:
            pass

        def write_out(self, path: str, verbose: bool) -> None:
            Path(path).mkdir(parents=True)
            (Path(path) / "saved_model.pb").write_bytes(b"half of it")
            raise OSError("No space left on device")

    monkeypatch.setattr(keras.export, "ExportArchive", Interrupted)
    with pytest.raises(OSError, match="No space left"):
        exporting.export(model, tmp_path)
    left = [path.name for path in (tmp_path / "plain").iterdir()]
    assert not any(name.isdigit() for name in left)  # what a server would take for a version
