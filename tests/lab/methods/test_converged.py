"""The network that methods start from: the stages of its training."""

import numpy as np
import pytest

from keras_invprune_lab.methods.converged import Convergence
from keras_invprune_lab.recipes.recipe import Optimizer
from keras_invprune_lab.runs import execute as runs
from retrainings import blobs, executed, history


@pytest.fixture(autouse=True)
def data(monkeypatch):
    monkeypatch.setattr(runs.datasets, "load", blobs)


def test_stages_of_the_paper():
    first = Optimizer(rate=0.01, momentum=0.0)
    stages = Convergence().stages(first)
    assert [(s.rate, s.momentum) for s in stages] == [(0.01, 0.0), (0.001, 0.5)]
    lower = Convergence(lowest=1e-6, factor=0.5, momentum=0.9).stages(first)
    assert len(lower) == 14 and lower[-1].rate > 1e-6 > lower[-1].rate / 2


def test_the_dense_network_ends_at_the_lowest_rate(tmp_path):
    own = {"gain": 1.0, "patience": 1}  # no epoch gains so much
    report = executed(tmp_path, "converged", converge=own)["converged"]
    found = history(tmp_path, "converged")
    assert found["rate"] == [0.01, 0.01, 0.001, 0.001]
    best = int(np.argmax(found["val_accuracy"]))
    assert report["best_epoch"] == best + 1
    assert report["validation"]["accuracy"] == pytest.approx(
        found["val_accuracy"][best], abs=1e-5
    )


def test_it_ends_after_the_last_epoch_at_the_latest(tmp_path):
    executed(tmp_path, "converged", converge={"gain": 0, "patience": 6})
    assert len(history(tmp_path, "converged")["rate"]) == 6
