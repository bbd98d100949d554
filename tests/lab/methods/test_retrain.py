"""Retraining after pruning: rounds, what is pruned, resuming."""

import numpy as np
import pytest

from keras_invprune_lab.bench.setup_text import setting
from keras_invprune_lab.methods.base import METHODS, Work
from keras_invprune_lab.methods.retrain import sparsities
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.training import selecting
from keras_invprune_lab.training.checkpoint import STATE
from retrainings import blobs, executed, history, recipe


@pytest.fixture(autouse=True)
def data(monkeypatch):
    monkeypatch.setattr(runs.datasets, "load", blobs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.datasets, "load", blobs)
        names = ("class-blinded", "class-uniform", "continued")
        own = {"removed_at_once": 0.5, "retrain_gain": None}
        return executed(root, *names, **own), root


def test_rounds_remove_shares_of_what_is_left():
    assert sparsities(None, 0.8) == [0.8]
    np.testing.assert_allclose(sparsities(0.5, 0.8), [0.5, 0.75, 0.8])
    np.testing.assert_allclose(sparsities(0.5, 0.875), [0.5, 0.75, 0.875])
    assert sparsities(0.9, 0.8) == [0.8]


def test_each_round_starts_from_the_best_epoch_of_the_last(finished):
    reports, _ = finished
    rounds = reports["class-blinded"]["rounds"]
    shares = [one["sparsity"] for one in rounds]
    np.testing.assert_allclose(shares, [0.5, 0.75, 0.8])
    dense = reports["converged"]
    for part in ("validation", "test"):
        before = [one[part]["before"] for one in rounds]
        after = [one[part]["retrained"] for one in rounds]
        assert before == [dense[part]["accuracy"], *after[:-1]]
        assert after[-1] == reports["class-blinded"][part]["accuracy"]


def test_the_history_has_the_epochs_of_all_rounds(finished):
    reports, root = finished
    found, rounds = history(root, "class-blinded"), reports["class-blinded"]["rounds"]
    assert found["round"] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [one["epochs"] for one in rounds] == [3, 3, 3]
    curve = np.reshape(found["val_accuracy"], (3, 3))
    best = [1 + int(np.argmax(one)) for one in curve]
    assert [one["best_epoch"] for one in rounds] == best
    assert reports["class-blinded"]["best_epoch"] == 6 + best[-1]
    kept = [one["validation"]["retrained"] for one in rounds]
    np.testing.assert_allclose(kept, curve.max(axis=1), atol=1e-5)


def test_class_uniform_prunes_each_kernel_alike_and_class_blinded_does_not(finished):
    blinded, even = (finished[0][f"class-{kind}"] for kind in ("blinded", "uniform"))
    assert list(even["densities"].values()) == pytest.approx([0.2, 0.2])
    assert len(set(blinded["densities"].values())) == 2
    kernels = 6 * 100 + 100 * 3
    for report in (blinded, even):
        assert report["weights"]["nonzero"] <= 0.2 * kernels + 103  # with biases
        empty = [key for key, share in report["densities"].items() if share == 0]
        assert report["collapsed"] == empty
    assert even["collapsed"] == []  # blinded, the small weights of the logits go


def test_the_control_is_retrained_but_not_pruned(finished):
    reports, _ = finished
    (only,) = reports["continued"]["rounds"]
    assert only["sparsity"] == 0 and only["epochs"] == 3
    assert only["test"]["before"] == only["test"]["pruned"]
    assert reports["continued"]["weights"] == reports["converged"]["weights"]


def test_retraining_ends_once_validation_no_longer_gains(tmp_path):
    own = {"retrain_gain": 1.0, "retrain_patience": 2, "finetune_epochs": 5}
    report = executed(tmp_path, "obd", **own)["obd"]
    assert [one["epochs"] for one in report["rounds"]] == [2]


def test_interrupted_anywhere_it_resumes_to_the_same_report(
    tmp_path, monkeypatch, finished
):
    monkeypatch.setattr(selecting, "PAUSE", 0.0)
    own = {"removed_at_once": 0.5, "retrain_gain": None}
    for job in expand(recipe("class-blinded", **own)):
        for last in (2, 5):

            def stop(done, total, last=last):
                if done == last:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                execute(job, tmp_path, stop)
            assert list(tmp_path.rglob("*.weights.h5"))
        resumed, whole = execute(job, tmp_path), finished[0][job.method]
        timeless = whole.keys() - {"seconds", "sha256"}  # of files with times in them
        assert {k: resumed[k] for k in timeless} == {k: whole[k] for k in timeless}


def test_only_the_kernels_that_are_named_are_pruned(finished):
    job = next(j for j in expand(recipe("class-blinded")) if j.compression)
    model = METHODS["class-blinded"].build(_work(job, finished[1]))
    assert list(model.masks) == ["hidden_1/kernel", "logits/kernel"]
    wanted = recipe("class-blinded", pruned_weights="recurrent_kernel")
    other = next(j for j in expand(wanted) if j.compression)
    with pytest.raises(ValueError, match="No weight to prune is named 'recurrent"):
        METHODS["class-blinded"].build(_work(other, finished[1]))


def test_a_compression_that_leaves_less_than_a_weight_removes_all(finished):
    wanted = recipe("class-blinded", compressions=[100000])
    job = next(j for j in expand(wanted) if j.compression)
    kind, work = METHODS["class-blinded"], _work(job, finished[1])
    model = kind.build(work)
    for sparsity in kind.sparsities(model, job.recipe):
        kind.prune(model, work, sparsity)
    assert model.sparsity == 1.0 and model.finished


def _work(job, root):
    """What the method of a job trains with; its needs are in `root`."""
    assert (root / job.needs.name / STATE).exists()
    return Work(job, blobs(), root, root, lambda *_: None)


def test_pages_say_when_training_ends():
    own = recipe("converged", "class-blinded", removed_at_once=0.5)
    texts = [METHODS[name].about(own) for name in own.methods]
    assert "after an epoch without a gain of 0.001 points" in texts[0]
    assert "by 50% of what is left, again and again" in texts[1]

    class Table:
        cells = {}

    told = setting(own, Table, [])
    assert "epochs before pruning" not in told and all(one in told for one in texts)
    mixed = setting(recipe("dense", "class-blinded"), Table, [])
    assert "6 epochs before pruning and 3 after" in mixed
