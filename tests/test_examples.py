"""The examples and the demo, run as a user runs them."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_invprune.exporting import litert
from keras_invprune.exporting.accuracy import accuracy
from keras_invprune.exporting.folders import check_free
from keras_invprune_lab.data import digits
from keras_invprune_lab.demo import run_demo

ROOT = Path(__file__).resolve().parent.parent
# As in pyproject.toml, whose exceptions a process of its own does not know.
WARNINGS = (
    "error",
    "ignore:The truth value of an empty array is ambiguous:DeprecationWarning",
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:distutils Version classes are deprecated:DeprecationWarning",
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script with arguments, as its own main program; returns what it prints."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(ROOT / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def run_alone(script, *arguments):
    """Runs a script in a new process, where nothing has been set up for it."""
    options = [part for rule in WARNINGS for part in ("-W", rule)]
    command = [sys.executable, *options, ROOT / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_quickstart(tmp_path):
    printed = run_alone("examples/quickstart.py", tmp_path / "out")
    accuracy = float(printed.split("test accuracy ")[1].split(",")[0])
    assert accuracy > 0.9 and "zeros 90.0%" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["files"]) == {"model.keras", "saved_model", "model.tflite"}


@pytest.mark.slow
def test_image(run, mnist, tmp_path):
    options = ("--epochs", "2", "--rows", "4000", "--out", tmp_path / "out")
    printed = run("examples/image.py", *options)
    assert float(printed.split("test accuracy: ")[1].split()[0]) > 0.5
    assert (tmp_path / "out" / "model.tflite").exists()


@pytest.mark.slow
def test_custom_loop(run):
    printed = run("examples/custom_loop.py", "--epochs", "20")
    assert float(printed.split("test accuracy ")[1]) > 0.8
    shares = [line.split("zeros ")[1] for line in printed.splitlines()[:-1]]
    assert shares == ["0.0%"] * 10 + ["90.0%"] * 10


@pytest.mark.slow
def test_watch_training(run, tmp_path):
    run("examples/watch_training.py", "--epochs", "2", "--out", tmp_path / "board")
    assert {p.name for p in (tmp_path / "board").iterdir()} == {"train", "pruning"}


@pytest.mark.slow
def test_own_parts(run):
    printed = run("examples/own_parts.py", "--epochs", "8")
    assert float(printed.split("test accuracy ")[1].split(",")[0]) > 0.5


@pytest.mark.slow
def test_tabular(run, request):
    try:
        request.getfixturevalue("openml")
        dataset = "openml:credit-g"  # has categories
    except pytest.skip.Exception:
        dataset = "sklearn:wine"
    printed = run("examples/tabular.py", "--dataset", dataset, "--epochs", "4")
    assert "dense" in printed and "(89." in printed.split("zeros in kernels")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        [ROOT / "saved_models" / "digits" / "model.keras"],
        pytest.param([], marks=pytest.mark.heavy),  # a page of the guides does this
    ],
)
def test_pretrained(run, arguments):
    printed = run("examples/pretrained.py", *arguments, "--epochs", "20")
    before, after = (float(part[:6]) for part in printed.split("accuracy ")[-2:])
    assert before > 0.95 and after > before - 0.03


@pytest.mark.slow
def test_mirrored():
    printed = run_alone("examples/mirrored.py", "--epochs", "2")
    assert printed.splitlines()[-1].startswith("2 replicas, accuracy 0.")


def test_phone(run):
    printed = run("examples/phone.py", ROOT / "saved_models/digits/model.tflite")
    assert int(printed.splitlines()[-1].split()[0]) > 0.95 * 450


@pytest.mark.heavy  # `make saved-model` runs it, and quickstart is much the same
def test_the_saved_model_can_be_made_again(run, tmp_path):
    printed = run("saved_models/build.py", "--epochs", "3", "--out", tmp_path)
    assert (tmp_path / "README.md").read_text().strip() == printed.strip()
    assert (tmp_path / "digits" / "model.tflite").exists()


def test_the_saved_model_is_what_its_card_and_report_say():
    folder = ROOT / "saved_models" / "digits"
    check_free(folder)  # no file is there that the report does not have
    report = json.loads((folder / "report.json").read_text())
    data = digits()
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    found = accuracy(model.predict(data.x_test, verbose=0), data.y_test)
    assert found == pytest.approx(report["accuracy"], abs=1e-6)
    assert f"{found:.2%} (before" in (folder.parent / "README.md").read_text()
    run_tflite = litert.runtime((folder / "model.tflite").read_bytes(), delegate=True)
    (outputs,) = run_tflite({"input": data.x_test}).values()
    np.testing.assert_allclose(outputs, model(data.x_test), atol=1e-4)


@pytest.mark.slow
def test_demo(tmp_path):
    seen = []
    out = tmp_path / "demo"
    report = run_demo(out, epochs=8, show=lambda *now: seen.append(now))
    assert report == json.loads((out / "report.json").read_text())
    dense, pruned = report["dense"], report["pruned"]
    assert dense["test_accuracy"] > 0.9 and 0.5 < pruned["test_accuracy"] <= 1
    assert pruned["sparsity"] == pytest.approx(0.9, abs=1e-4)
    assert set(pruned["consistency"]) == {"shift", "scale", "rotation"}
    assert pruned["tflite_bytes"] < dense["tflite_bytes"] / 2
    assert all(file["max_abs_error"] < 1e-3 for file in report["files"].values())
    assert np.shape(pruned["inputs_used"]) == (8, 8)
    assert len(seen) == 16 and seen[-1][1:] == (8, 8)


def test_demo_refuses_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file"):
        run_demo(tmp_path / "file")
    with pytest.raises(FileExistsError, match="keras_invprune did not write: file"):
        run_demo(tmp_path)
    with pytest.raises(ValueError, match="Did you mean 0.9"):
        run_demo(tmp_path / "new", sparsity=90)
