"""Runs: what comes out, resumption, refusal."""

import json

import keras
import numpy as np
import pytest

from keras_invprune.allocation import ALLOCATIONS, Budget, Shuffled
from keras_invprune.allocation.budget import Sum, macs_of
from keras_invprune.exporting.folders import claimed
from keras_invprune.patterns import Units
from keras_invprune.runtimes import RUNTIMES
from keras_invprune.schedules import Gradual, OneShot, WhenConverged
from keras_invprune_lab.data import load
from keras_invprune_lab.models import get_model
from keras_invprune_lab.runs import run as runs
from keras_invprune_lab.runs.run import Run, execute
from keras_invprune_lab.runs.stopwatch import ELAPSED

QUICK = {"dataset": "sklearn:digits", "epochs": 2, "sparsity": 0.8}


def save(model, folder, data, batch_size):
    """In place of `export`: one of its files."""
    folder.mkdir()
    model.save(folder / "model.keras")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dense", "omp", "iunet"])
def test_a_run_of_each_method(tmp_path, monkeypatch, method):
    if method != "omp":  # one has all files, and so have those of tests/lab/cli
        monkeypatch.setattr(runs, "export", save)
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


class Counted:
    """A runtime whose files take a millisecond for each MAC, and more than it says."""

    def __init__(self):
        self.measured = []

    def milliseconds(self, models):
        self.measured += models
        return [1.01 * Budget(macs=1).measure(model) for model in models]

    def cost(self, model):
        return Sum(macs_of(model).each)


@pytest.mark.slow
def test_the_files_of_a_budget_are_compact_and_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "export", save)
    monkeypatch.setitem(RUNTIMES, "litert-cpu", Counted())
    dense = get_model(None, load("sklearn:digits", 0), None)
    limit = 0.4 * Budget(macs=1).measure(dense)
    choices = {"method": "omp", "sparsity": 0.0, "budget": f"milliseconds={limit}"}
    found = execute(Run(**{**QUICK, **choices}), tmp_path / "out")
    model = keras.saving.load_model(tmp_path / "out" / "model" / "model.keras")
    assert found["report"]["parameters"] == model.count_params() < dense.count_params()
    macs = Budget(macs=1).measure(model)
    measured = RUNTIMES["litert-cpu"].measured[-1]
    assert measured.count_params() == model.count_params()
    left = {"asked": choices["budget"], "left": 1.01 * macs, "unit": "milliseconds"}
    assert found["budget"] == left and left["left"] <= limit
    assert "requested" not in found["report"]["weights"]


@pytest.mark.slow
def test_interrupted_it_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "export", save)
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
    config = {**runs.asdict(Run(**QUICK)), "seed": 5, "batch_size": 128}
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
        ({"kappa": 0.0}, "`kappa` must be above 0"),
        ({"width": 0}, "`width` must be above 0"),
        ({"budget": "macs=0.5"}, "decides how much is removed.*Leave out --sparsity"),
        ({"sparsity": 0, "budget": "mac=0.5"}, "Did you mean 'macs'"),
        (
            {"sparsity": 0, "budget": "macs"},
            "macs=NUMBER, bytes=NUMBER.*Received: macs[.]",
        ),
        ({"sparsity": 0, "budget": "macs=1.5"}, "up to 1.*Pass an int"),
        (
            {"sparsity": 0, "budget": "macs=9", "schedule": "when_converged"},
            "ends after half of the training",
        ),
        ({"method": "dense", "sparsity": 0, "budget": "macs=9"}, "not use `budget`"),
        ({"views": "image"}, "Did you mean 'images'"),
        ({"schedule": "gradul"}, "Did you mean 'gradual'"),
        ({"method": "omp", "views": "images"}, "'omp' does not use `views`"),
        ({"method": "dense", "sparsity": 0, "kappa": 0.5}, "does not use `kappa`"),
        (
            {"method": "dense", "sparsity": 0, "schedule": "gradual"},
            "does not use `schedule`",
        ),
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


@pytest.fixture
def plans(monkeypatch):
    """The pruned models that runs are about to train; they go no further."""
    made = []

    def stop(model, run, *_):
        made.append((model, run))
        raise InterruptedError

    monkeypatch.setattr(runs, "train", stop)
    return made


def stopped(run, out):
    with pytest.raises(InterruptedError):
        execute(run, out)


def test_older_runs_go_on_with_the_choices_that_came_later(tmp_path, plans):
    config = runs.asdict(Run(**QUICK, batch_size=128))
    old = {name: value for name, value in config.items() if name not in runs.DEFAULTS}
    part = tmp_path / "out.part"
    part.mkdir()
    (part / "config.json").write_text(json.dumps(old))
    with pytest.raises(FileExistsError, match="kappa: None there, 0.25 asked"):
        execute(Run(**QUICK, kappa=0.25), tmp_path / "out")
    stopped(Run(**QUICK), tmp_path / "out")
    assert len(plans) == 1


def test_choices_reach_the_plan(tmp_path, plans):
    choices = {"kappa": 0.125, "views": "images", "weight": 2.0}
    for method in ("iunet", "shuffled"):
        run = Run("sklearn:digits", method, 0.8, epochs=6, **choices)
        stopped(run, tmp_path / method)
    stopped(Run("sklearn:digits", "omp", 0.8, kappa=0.25), tmp_path / "omp")
    stopped(
        Run("sklearn:digits", "omp", 0.8, epochs=6, schedule="gradual"),
        tmp_path / "gradual",
    )
    for method in ("omp", "iunet"):
        run = Run("sklearn:digits", method, epochs=6, schedule="when_converged")
        stopped(run, tmp_path / f"converged-{method}")
    iunet, shuffled, omp, gradual, *converged = (model.plan for model, _ in plans)
    for plan in (iunet, shuffled):
        assert plan.initial_scale == 0.125 and plan.objective.weight == 2.0
        assert not isinstance(plan.objective.views, tuple)  # drawn twice
    assert isinstance(shuffled.allocation, Shuffled)
    assert not isinstance(iunet.allocation, Shuffled)
    assert omp.initial_scale == 0.25 and omp.objective is None
    assert isinstance(gradual.schedule, Gradual) and gradual.schedule.end == 0.5
    schedules = [plan.schedule for plan in converged]
    assert all(isinstance(one, WhenConverged) for one in schedules)
    assert [one.monitor for one in schedules] == ["loss", "invariance_loss"]
    assert [one.at_latest for one in schedules] == [0.5, 0.5]


def test_a_budget_reaches_the_plan(tmp_path, plans):
    for method in ("iunet", "shuffled", "omp"):
        run = Run("sklearn:digits", method, 0.0, epochs=6, budget="macs=0.5")
        stopped(run, tmp_path / method)
    for model, run in plans:
        plan = model.plan
        assert plan.budget == run.left == Budget(macs=0.5)
        assert isinstance(plan.pattern, Units) and plan.sparsity == 0.5
        assert isinstance(plan.schedule, OneShot) and plan.schedule.at == 0.5
    shuffled = plans[1][0]
    assert shuffled.plan.allocation.shuffles is ALLOCATIONS["uniform"]
    shuffled.prune_to(0.5)
    assert shuffled.state.removed >= 0.5
    assert Run("sklearn:digits", "omp", 0.0, budget="macs=9").left == Budget(macs=9)


def test_a_width_reaches_the_network(tmp_path, plans):
    run = Run("sklearn:wine", "omp", 0.8, model="mlp-tab", width=16)
    stopped(run, tmp_path / "out")
    model, _ = plans[0]
    shapes = [mask.shape for mask in model.masks.values()]
    assert shapes[0] == (13, 16) and set(shapes[1:]) == {(16, 16)}


def test_the_budget_of_a_table_is_recorded_and_too_small_a_one_is_said(
    tmp_path, plans, caplog
):
    stopped(Run("sklearn:wine", "omp"), tmp_path / "enough")
    stopped(Run("sklearn:digits", "omp", epochs=2), tmp_path / "images")
    assert not caplog.records
    stopped(Run("sklearn:wine", "omp", epochs=4), tmp_path / "little")
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("4 epochs of 142 rows in batches of 32 are 10 steps a phase")
    found = [(run.epochs, run.batch_size) for _, run in plans]
    assert found == [(600, 32), (2, 128), (4, 32)]
    config = json.loads((tmp_path / "enough.part" / "config.json").read_text())
    assert (config["epochs"], config["batch_size"]) == (600, 32)
