"""Layer sparsity as a method: penalized, merged, refitted, resumed."""

import keras
import pytest

from keras_invprune_lab.methods import layer_sparse
from keras_invprune_lab.recipes.recipe import load
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand

KEYS = {"layers": "layer", "l1": "l1", "unit-lasso": "unit"}


def jobs(method, strength, epochs=(2, 1)):
    small = dict(zip(("search_epochs", "finetune_epochs"), epochs, strict=True))
    small |= {"width": 32, "seeds": [0], f"{KEYS[method]}_strength": [strength]}
    recipe = load("layer-digits").model_copy(update=small)
    return [job for job in expand(recipe) if job.method == method]


def test_layers_are_removed_and_the_rest_is_refitted(tmp_path):
    (job,) = jobs("layers", 20.0, (12, 4))
    shown = []
    report = execute(job, tmp_path, lambda done, total: shown.append((done, total)))
    merged = report["merged"]
    assert merged["depth"][0] == 9 and merged["depth"][1] < 9 and merged["exact"]
    assert merged["active"] < 8
    assert report["test"]["accuracy"] > 0.5
    assert shown[0] == (0, 16) and shown[-1] == (16, 16) and (12, 16) in shown
    folder = tmp_path / job.name
    model = keras.models.load_model(folder / layer_sparse.MERGED)
    assert sum("hidden" in x.name for x in model.layers) == merged["depth"][1] - 1


@pytest.mark.parametrize("method", ["l1", "unit-lasso"])
def test_other_penalties_remove_no_layer(tmp_path, method):
    (job,) = jobs(method, 0.01)
    assert execute(job, tmp_path)["merged"]["depth"] == [9, 9]


def test_an_interrupted_run_resumes_in_either_phase(tmp_path):
    (job,) = jobs("layers", 100.0, (2, 2))
    for last in (1, 3):

        def stop(done, total, last=last):
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            execute(job, tmp_path / "stopped", stop)
    resumed = execute(job, tmp_path / "stopped")
    whole = execute(job, tmp_path / "whole")
    assert resumed["merged"] == whole["merged"]
    assert resumed["test"] == whole["test"]
