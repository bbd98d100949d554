"""What earlier versions saved is loaded, resumed and tabulated as they would."""

import json
import shutil
import zipfile
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest

from compat.make_saved import CASES, SAVED_AFTER, resumed
from compat.public_api import FILE, public_api
from keras_invprune_lab.bench.benchmark import Benchmark
from keras_invprune_lab.runs.run import Run, execute

HERE = Path(__file__).parent
SAVED = HERE / "saved_by_0_1"
LEDGER = HERE / "ledger"
RESULTS = HERE.parents[1] / "docs" / "results"


def saved(name):
    """The file of a model; skips the test if it was saved by a newer Keras."""
    file = SAVED / f"{name}.keras"
    with zipfile.ZipFile(file) as parts:
        needed = json.loads(parts.read("metadata.json"))["keras_version"]
    if parsed(needed) > parsed(version("keras")):
        pytest.skip(f"Keras {needed} saved it, and Keras reads no newer files")
    return file


def parsed(release):
    return tuple(map(int, release.split(".")[:2]))


def test_the_public_api_is_as_written_down():
    assert public_api() == FILE.read_text(), "If that is meant: make api"


@pytest.mark.parametrize("name", CASES)
def test_models_give_the_same_outputs(name):
    data, _, _ = CASES[name]
    loaded = keras.saving.load_model(saved(name))
    with np.load(SAVED / f"{name}.npz") as expected:
        outputs = loaded.predict(data()[0], verbose=0)
        np.testing.assert_allclose(outputs, expected["saved"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name != "own-score"])
def test_models_resume(name, views_are_compiled):
    data, _, _ = CASES[name]
    found = resumed(saved(name), data())
    with np.load(SAVED / f"{name}.npz") as expected:
        np.testing.assert_array_equal(found["zeros"], expected["zeros"])
        np.testing.assert_allclose(
            found["final"], expected["final"], rtol=1e-3, atol=1e-4
        )


def test_a_model_with_a_score_that_is_gone_says_so_when_it_is_used():
    file = saved("own-score")
    with pytest.raises(RuntimeError, match="saved with plan.score=nameless"):
        resumed(file, CASES["own-score"][0]())


@pytest.mark.slow
def test_an_interrupted_run_resumes(tmp_path):
    shutil.copytree(SAVED / "run.part", tmp_path / "run.part")
    config = json.loads((tmp_path / "run.part" / "config.json").read_text())
    epochs = []
    found = execute(
        Run(**config), tmp_path / "run", show=lambda _, done, total: epochs.append(done)
    )
    assert epochs[0] == SAVED_AFTER
    expected = json.loads((SAVED / "run.json").read_text())
    for part in ("schema", "parameters", "weights", "macs", "layers", "accuracy"):
        assert found["report"][part] == expected[part]


def tables_of(name, ledger, out):
    """Write the tables of a recipe from its ledger alone."""
    out.mkdir(parents=True)
    shutil.copy(ledger, out)
    Benchmark(name, out).write()


def test_a_ledger_gives_the_same_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(LEDGER / "conv-4.yaml", tmp_path)
    tables_of("conv-4.yaml", LEDGER / "runs.jsonl", Path("out"))
    for name in ("runs.csv", "table.csv", "comparisons.csv", "table.md"):
        assert Path("out", name).read_text() == (LEDGER / name).read_text(), name


@pytest.mark.parametrize(
    "name", ["cifar10-tuned", pytest.param("tabular-small", marks=pytest.mark.heavy)]
)
def test_the_tables_of_the_documentation_are_those_of_its_ledgers(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = Path("docs") / "results" / name  # as the page itself says
    tables_of(name, RESULTS / name / "runs.jsonl", out)
    for file in (RESULTS / name).glob("*.csv"):
        assert (out / file.name).read_text() == file.read_text(), file.name
    # Filters are drawn of weights, which a ledger has not.
    page, _, _ = (RESULTS / name / "table.md").read_text().partition("\n## First-layer")
    assert (out / "table.md").read_text() == page
