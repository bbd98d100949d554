"""Runs: what comes out, resumption, refusal."""

import json

import keras
import numpy as np
import pytest

from keras_invprune.experiments import run as runs
from keras_invprune.experiments.resuming import ELAPSED
from keras_invprune.experiments.run import Run, execute
from keras_invprune.folders import claimed

QUICK = {"dataset": "sklearn:digits", "epochs": 2, "sparsity": 0.8}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dense", "omp", "iunet"])
def test_a_run_of_each_method(tmp_path, method):
    seen = []
    sparsity = 0.0 if method == "dense" else 0.8
    run = Run(**{**QUICK, "method": method, "sparsity": sparsity})
    found = execute(run, tmp_path / "out", show=lambda *now: seen.append(now))
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == found
    assert found["config"]["method"] == method
    prunable = found["report"]["layers"].keys() - found["report"]["left_alone"].keys()
    assert bool(prunable) == (method != "dense")
    model = keras.saving.load_model(tmp_path / "out" / "model" / "model.keras")
    assert model.count_params() == found["report"]["parameters"]
    history = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert len(history) == 3
    assert ("invariance_loss" in history[0]) == (method == "iunet")
    assert [now[1] for now in seen] == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.slow
def test_interrupted_it_goes_on_to_the_same_weights(tmp_path):
    run = Run(**{**QUICK, "epochs": 4})
    whole = execute(run, tmp_path / "whole")

    def interrupt(task, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(run, tmp_path / "out", show=interrupt)
    assert not (tmp_path / "out").exists()
    seen = []
    (tmp_path / "out.part" / ELAPSED).write_text("1000.0")
    found = execute(run, tmp_path / "out", show=lambda *now: seen.append(now[1]))
    assert seen == [3, 4] and found["seconds"] > 1000
    weights = [
        keras.saving.load_model(tmp_path / name / "model" / "model.keras").get_weights()
        for name in ("whole", "out")
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found["report"]["accuracy"] == whole["report"]["accuracy"]
    histories = [(tmp_path / n / "history.csv").read_text() for n in ("whole", "out")]
    assert histories[0] == histories[1]


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    part = tmp_path / "out.part"
    part.mkdir()
    config = {**runs.asdict(Run(**QUICK)), "seed": 5}
    (part / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileExistsError, match="seed: 5 there, 0 asked"):
        execute(Run(**QUICK), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.part"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "iunett"}, "Did you mean 'iunet'"),
        ({"sparsity": 90}, "Did you mean 0.9"),
        ({"method": "dense"}, "prunes nothing.*--sparsity 0"),
        ({"epochs": 1}, "an epoch to search and one to fine-tune"),
        ({"rate": 0.0}, "`rate` must be above 0"),
        ({"batch_size": -1}, "`batch_size` must be above 0"),
    ],
)
def test_wrong_values_are_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        Run(**{**QUICK, **changes})


def test_a_run_that_another_process_makes_is_refused(tmp_path):
    with (
        claimed(tmp_path / "run.part"),
        pytest.raises(BlockingIOError, match="another process is at work"),
    ):
        execute(Run(**QUICK), tmp_path / "run")
