"""`import zoo` is light, and its public names are those that are documented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.media import startup

PUBLIC = {
    *(
        "list_models",
        "from_preset",
        "info",
        "load",
        "convert",
        "create",
        "fit",
        "export",
        "evaluate",
    ),
    *("ModelInfo", "ZooError"),
    "save",
}
HEAVY = ("tensorflow", "keras", "tensorflow_probability", "tensorflow_datasets", "h5py", "numpy")


def run_python(code: str, *, quiet: bool = True) -> str:
    """What `code` prints in a new interpreter; errors fail the test, words on stderr if `quiet`."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={key: value for key, value in os.environ.items() if key != startup.LEVEL},
    )
    assert done.returncode == 0, done.stderr
    assert not quiet or done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "use",
    [
        "import zoo",
        "import zoo; zoo.list_models(); zoo.list_models(pretrained=True)",
        "import zoo; [print(zoo.info(name)) for name in zoo.list_models()]",
        "import zoo; dir(zoo); zoo.ModelInfo; zoo.ZooError; zoo.load; zoo.create",
        "import zoo.errors, zoo.core.recipe, zoo.registry, zoo.store.folder, zoo.loading",
    ],
    ids=["import", "list", "info", "names", "light-modules"],
)
def test_imports_nothing_heavy(use: str) -> None:
    code = f"{use}\nimport sys\nprint('heavy:', *(n for n in {HEAVY} if n in sys.modules))"
    assert run_python(code).splitlines()[-1] == "heavy:"


def test_the_public_names_are_the_documented_ones() -> None:
    assert set(zoo.__all__) == PUBLIC
    assert set(dir(zoo)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(zoo, name).__name__ == name
    assert getattr(zoo, name).__doc__


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = zoo.lod


@pytest.mark.parametrize("order", ["import zoo, keras", "import keras, zoo"])
def test_keras_loads_a_saved_model_after_import_zoo_alone(order: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model = zoo.create("nice", event_shape=(3,), hidden_units=(4,))
    model.save(path)
    expected = model.log_prob([[0.25, -1.0, 2.0]]).numpy()[0]
    code = (
        f"import warnings; warnings.simplefilter('ignore'); {order}; "
        f"model = keras.saving.load_model({str(path)!r}); "
        "print(type(model).__name__, float(model.log_prob([[0.25, -1.0, 2.0]])[0]))"
    )
    name, value = run_python(code, quiet=order.startswith("import zoo")).split()
    assert name == "NICE"
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_probability_is_imported_as_if_before_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It then leaves its Keras 2 layers for later; TensorFlow's names are all there again."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    from zoo.core import lazy

    names, seen = dir(tf), []
    assert len(names) > 100
    monkeypatch.delitem(sys.modules, "tensorflow_probability")
    monkeypatch.setattr(lazy.importlib, "import_module", lambda _: seen.append(dir(tf)))
    lazy._import_probability()
    assert seen == [[]]
    assert dir(tf) == names
    monkeypatch.setitem(sys.modules, "tensorflow_probability", tfp)
    lazy._import_probability()
    assert len(seen) == 1
