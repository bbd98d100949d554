"""Runs of every method: what comes out, and what is refused."""

import json
import shutil
import warnings

import h5py
import keras
import numpy as np
import pytest

from keras_invprune_lab.data import Data
from keras_invprune_lab.methods import network as networks
from keras_invprune_lab.methods import search as searches
from keras_invprune_lab.methods import tangent
from keras_invprune_lab.methods import xgboost as boosting
from keras_invprune_lab.methods.base import METHODS, Work
from keras_invprune_lab.methods.build import make_network, sparsity_for
from keras_invprune_lab.models import mlp, mlp_tab
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.configuration import CONFIG
from keras_invprune_lab.runs.execute import execute, is_done
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.runs.stopwatch import ELAPSED
from keras_invprune_lab.training import evaluate
from keras_invprune_lab.training.checkpoint import STATE
from keras_invprune_lab.training.evaluate import first_filters

pytestmark = pytest.mark.timeout(1800)  # many small runs
# Of the sanity checks those of one method; the transfer's own are below, as is SNIP's
# number of examples. Folding needs ReLU layers, and has a test of its own. Of those
# that retrain, "class-blinded", "obd" and the control are here. Of methods that differ
# in nothing but the score, which has tests of its own, one of each kind is here.
LATER = ("grasp-", "synflow-", "ntt-", "snip-5000", "folding")
LATER += ("class-uniform", "class-distributed", "random-retrained")
LATER += ("omp-before", "random-before", "logit-snip", "fisher", "taylor", "set")
LATER += ("movement", "quantized")
ONCE = [m for m in METHODS if not m.startswith(LATER)]
QUICK = {
    "title": "",
    "datasets": ["sklearn:digits"],
    "methods": ONCE,
    "model": "mlp",
    "compressions": [4],
    "search_epochs": 1,
    "finetune_epochs": 2,
    "epoch_steps": 3,
    "optimizer": {"rate": 0.05},
    "search": {"views": "images"},
    "kappas": [0.5],
    "lasso": [1e-4],
    "transfer_epochs": 1,
}


def jobs_of(*methods, **changes):
    return expand(Recipe(**{**QUICK, "methods": methods, **changes}))


def work_of(job, root):
    """What the method of a job trains with."""
    return Work(job, runs.load_data(job), root, root, lambda *_: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """``{label: report}`` of one run of every method, and their folder."""
    root = tmp_path_factory.mktemp("runs")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "GRID", boosting.GRID[::6])
        patch.setattr(boosting, "ROUNDS", 10)
        patch.setattr(evaluate, "consistency", lambda *_, **__: {})  # tested below
        # Nine steps are too few for the connections of RigL and SET to move.
        warnings.filterwarnings("ignore", "Rewire updates the masks only once")
        return {job.label: execute(job, root) for job in jobs_of(*ONCE)}, root


@pytest.mark.slow
def test_every_method_reports_all_its_figures(finished):
    reports, root = finished
    figures = {"accuracy", "balanced_accuracy", "macro_precision"}
    for report in reports.values():
        for part in ("validation", "test"):
            assert report[part].keys() == figures
            assert all(0 <= value <= 1 for value in report[part].values())
    methods = {report["config"]["method"] for report in reports.values()}
    assert methods == {*ONCE, "search"}
    search, unpruned = (reports[k] for k in ("search-invariance-k0.5", "unpruned-k0.5"))
    assert unpruned["test"] == search["test"]
    assert not list(root.rglob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["l1", "unit-lasso"])
def test_a_light_penalty_removes_no_layer(finished, method):
    (report,) = (
        report
        for report in finished[0].values()
        if report["config"]["method"] == method
    )
    assert report["merged"]["depth"] == [3, 3]


@pytest.mark.slow
def test_compression_counts_every_trained_weight(finished):
    for report in finished[0].values():
        if report["config"]["compression"]:
            weights = report["weights"]
            wanted = weights["total"] / report["config"]["compression"]
            # Early masks leave units that hear nothing, whose biases stay zero.
            early = METHODS[report["config"]["method"]].search is None
            units = 300 + 100 if early else 20
            assert wanted - units < weights["nonzero"] < wanted + 20
    dense = finished[0]["dense"]["weights"]
    assert dense["nonzero"] > 0.99 * dense["total"]


@pytest.mark.slow
def test_sanity_checks_have_the_densities_of_the_masks_they_check(finished):
    reports, _ = finished
    mine = reports["iunet-k0.5-c4"]["densities"]
    assert len(set(mine.values())) > 1
    for label in ("shuffled-k0.5-c4", "random-k0.5-c4"):
        assert reports[label]["config"]["kappa"] == 0.5
        for key, share in reports[label]["densities"].items():
            assert share == pytest.approx(mine[key], abs=1e-3)


@pytest.mark.slow
def test_a_finished_run_is_not_repeated(finished, monkeypatch):
    reports, root = finished
    monkeypatch.setattr(runs, "load_data", None)
    for job in jobs_of(*ONCE):
        assert execute(job, root) == reports[job.label]


@pytest.mark.slow
def test_a_search_whose_state_is_gone_is_made_again_only_if_needed(finished):
    _, root = finished
    search = jobs_of("omp")[0]
    state = root / search.name / STATE
    state.rename(state.with_suffix(".kept"))
    assert not is_done(search, root)
    state.with_suffix(".kept").rename(state)
    assert is_done(search, root)


@pytest.mark.slow
def test_interrupted_it_resumes_to_the_same_report(tmp_path):
    *_, job = jobs_of("iunet", search_epochs=2, finetune_epochs=3)
    execute(job.needs, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    whole = execute(job, tmp_path / "a")

    elapsed = tmp_path / "b" / f"{job.name}.part" / ELAPSED

    def interrupt(done, total):
        if done == 2:
            assert elapsed.exists()  # a process that is killed writes nothing more
            raise KeyboardInterrupt

    # Every epoch is saved, where else seconds have to pass.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_invprune_lab.training.selecting.PAUSE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            execute(job, tmp_path / "b", interrupt)
    elapsed.write_text("1000.0")
    again = execute(job, tmp_path / "b")
    assert 1000 < again["seconds"] < 2000  # what was before is counted once
    for name in ("validation", "test", "consistency", "best_epoch", "densities"):
        assert again[name] == whole[name], name
    assert again["consistency"].keys() == {"shift", "scale", "rotation"}


@pytest.mark.slow
def test_the_second_optimizer_trains_all_that_is_reported(tmp_path, monkeypatch):
    rates, compile_model = {}, networks.compile_model

    def compiled(model, recipe, settings, *rest):
        rates[job.method] = settings.rate  # the last one
        compile_model(model, recipe, settings, *rest)

    for module in (networks, searches):
        monkeypatch.setattr(module, "compile_model", compiled)
    for job in jobs_of("dense", "omp", finetune_optimizer={"rate": 0.01}):
        execute(job, tmp_path)
    assert rates == {"dense": 0.01, "search": 0.05, "omp": 0.01}


@pytest.mark.slow
@pytest.mark.parametrize("rewind", ["none", "initial"])
def test_without_rewinding_training_goes_on_from_the_search(
    tmp_path, monkeypatch, rewind
):
    search, job = jobs_of("omp", rewind=rewind)
    execute(search, tmp_path)
    found, train = [], networks.train

    def trained(model, *rest, **options):
        found.append({k: v.numpy() for k, v in model.masked.prunable.items()})
        return train(model, *rest, **options)

    monkeypatch.setattr(networks, "train", trained)
    work = work_of(search, tmp_path)
    model = search.kind.build(work)
    search.kind.start(model, work)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / search.name / STATE)
    after = {key: v.numpy() for key, v in model.masked.prunable.items()}
    execute(job, tmp_path)
    kept = {key: values != 0 for key, values in found[0].items()}
    same = [np.array_equal(found[0][k][kept[k]], after[k][kept[k]]) for k in kept]
    assert all(same) if rewind == "none" else not any(same)


@pytest.mark.slow
def test_an_interrupted_transfer_resumes_to_the_same_masks_and_weights(tmp_path):
    (job,) = jobs_of("ntt", transfer_epochs=3, kernel_rows=4, finetune_epochs=1)
    seen = []

    def interrupt(done, total):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    whole = execute(job, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        execute(job, tmp_path / "parts", interrupt)
    first = len(seen)
    found = execute(job, tmp_path / "parts", lambda done, total: seen.append(done))
    assert seen[:first] == [1, 2] and seen[first] == 3
    states = [
        tangent_state(tmp_path / name / job.name / tangent.TRANSFER / STATE)
        for name in ("whole", "parts")
    ]
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found["test"] == whole["test"]


def tangent_state(file):
    """The arrays of a saved state, weights and masks among them."""
    arrays = []
    with h5py.File(file) as state:
        state.visititems(
            lambda _, one: arrays.append(one[()]) if hasattr(one, "shape") else None
        )
    return arrays


@pytest.mark.slow
def test_weights_are_redrawn_under_the_same_masks(tmp_path):
    (job,) = jobs_of("snip-redrawn")
    work = work_of(job, tmp_path)
    keras.utils.set_random_seed(job.seed)
    model = job.kind.build(work)
    before = {key: v.numpy() for key, v in model.masked.prunable.items()}
    job.kind.start(model, work)
    for key, variable in model.masked.prunable.items():
        mask, after = model.masks[key].numpy() == 1, variable.numpy()
        assert np.all(after[mask] != before[key][mask]) and np.all(after[~mask] == 0)


@pytest.mark.parametrize(("method", "rows"), [("snip", 128), ("snip-5000", 5000)])
def test_a_method_says_how_many_examples_its_score_looks_at(tmp_path, method, rows):
    (job,) = jobs_of(method)
    work = work_of(job, tmp_path)
    model = job.kind.build(work)
    job.kind.start(model, work)
    assert len(model.examples[0]) == min(rows, len(work.data.x_train))
    assert 0.7 < model.sparsity < 0.8  # of the kernels, for a quarter of all weights


def test_kernels_are_drawn_by_the_recipe_s_initializer():
    def kernels(**changes):
        (job,) = jobs_of("dense", **changes)
        keras.utils.set_random_seed(job.seed)
        model = make_network(job, runs.load_data(job))
        return [v.numpy() for v in model.weights if v.name == "kernel"]

    own, drawn = kernels(), kernels(initializer="lecun_normal")
    again = kernels(initializer="lecun_normal")
    for before, kernel, same in zip(own, drawn, again, strict=True):
        np.testing.assert_array_equal(kernel, same)
        assert not np.isclose(before, kernel).all()
        assert kernel.std() == pytest.approx(len(kernel) ** -0.5, rel=0.1)


@pytest.mark.slow
def test_a_transfer_is_made_once_also_for_other_weights_under_its_masks(
    tmp_path, monkeypatch
):
    first, redrawn = jobs_of("ntt-redrawn")
    assert first.method == "ntt" and redrawn.needs == first
    with monkeypatch.context() as patch:
        patch.setattr("keras_invprune_lab.training.selecting.PAUSE", 0.0)
        patch.setattr(networks, "figures", None)  # fails after the training
        with pytest.raises(TypeError):
            execute(first, tmp_path)
    assert [*tmp_path.rglob(tangent.TRANSFER)]
    assert not [*tmp_path.rglob(tangent.UNFINISHED)]
    monkeypatch.setattr(tangent, "neural_tangent_transfer", None)
    reports = [execute(job, tmp_path) for job in (first, redrawn)]
    assert all(report["weights"]["nonzero"] > 0 for report in reports)
    assert reports[0]["densities"] == reports[1]["densities"]
    files = [tmp_path / job.name / tangent.TRANSFER / STATE for job in (first, redrawn)]
    assert files[0].read_bytes() == files[1].read_bytes()
    histories = [(tmp_path / j.name / "history.csv") for j in (first, redrawn)]
    assert histories[0].read_text() != histories[1].read_text()


def test_another_configuration_is_refused(tmp_path):
    (job,) = jobs_of("dense")
    folder = tmp_path / job.name
    folder.mkdir(parents=True)
    config = json.dumps(job.config | {"batch_size": 5})
    (folder / CONFIG).write_text(config)
    with pytest.raises(FileExistsError, match="batch_size: 5 there, 128 asked"):
        execute(job, tmp_path)


def test_the_sparsity_for_a_compression():
    model = mlp((4,), 3, (10,))  # 40 prunable of 40 + 10 + 30 + 3
    keys = ["hidden_1/kernel"]
    assert sparsity_for(model, keys, 1.5) == pytest.approx(1 - (83 / 1.5 - 43) / 40)
    with pytest.raises(ValueError, match="leaves 42 of 83 weights, and 43 cannot"):
        sparsity_for(model, keys, 2)


def test_first_filters_are_the_largest_in_the_shape_of_the_input():
    image, rows = (
        Data(np.zeros((2, *shape), "float32"), np.arange(2), None, None)
        for shape in ((4, 4, 1), (5,))
    )
    model = mlp((4, 4, 1), 2, (100,))
    found = first_filters(model, image)
    assert found.shape == (64, 4, 4, 1)
    norms = np.linalg.norm(model.layers[1].kernel.numpy(), axis=0)
    kept = np.linalg.norm(found.astype("float32").reshape(64, -1), axis=1)
    np.testing.assert_allclose(kept, np.sort(norms)[::-1][:64], rtol=1e-2)
    assert first_filters(mlp_tab((5,), 2, 7), rows).shape == (7, 5)


def test_a_seed_splits_the_rows_where_it_shall():
    def tests_of(**changes):
        jobs = jobs_of("dense", datasets=["sklearn:wine"], seeds=[0, 1], **changes)
        return [runs.load_data(job).x_test for job in jobs]

    same, other = tests_of(), tests_of(vary_split=True)
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(*other)


def test_boosting_resumes_to_the_same_trees(tmp_path, monkeypatch):
    xgboost = pytest.importorskip("xgboost")
    monkeypatch.setattr(boosting, "GRID", boosting.GRID[::3])
    (job,) = jobs_of("xgboost", datasets=["sklearn:wine"])
    data, folders = runs.load_data(job), (tmp_path / "whole", tmp_path / "parts")
    for folder in folders:
        folder.mkdir()
    whole = boosting.boost(job, folders[0], data, lambda *now: None)
    seen = []

    def interrupt(done, total):
        seen.append(done)
        if seen == [0, 1, 2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boosting.boost(job, folders[1], data, interrupt)
    assert boosting.boost(job, folders[1], data, interrupt) == whole
    assert seen == [0, 1, 2, 2, 3, 4]
    # It is chosen by validation rows, and what is tested is what was chosen.
    validation, test, _ = whole
    tried = json.loads((folders[0] / boosting.TRIED).read_text())
    assert validation["accuracy"] == max(t["validation"]["accuracy"] for t in tried)
    model = xgboost.XGBClassifier()
    model.load_model(folders[0] / boosting.BEST)
    for x, y, found in (
        (data.x_valid, data.y_valid, validation),
        (data.x_test, data.y_test, test),
    ):
        assert np.mean(model.predict(x) == y) == pytest.approx(found["accuracy"])
