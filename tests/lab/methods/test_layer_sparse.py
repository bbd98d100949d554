"""Layer sparsity as a method: penalized, merged, refitted, resumed."""

import keras
import pytest

from keras_invprune_lab.methods import layer_sparse
from keras_invprune_lab.recipes.recipe import load
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand


def job_of(strength, epochs, **changes):
    small = dict(zip(("search_epochs", "finetune_epochs"), epochs, strict=True))
    small |= {"width": 32, "seeds": [0], "layer_strength": [strength], **changes}
    recipe = load("layer-digits").model_copy(update=small)
    (job,) = (job for job in expand(recipe) if job.method == "layers")
    return job


def test_layers_are_removed_and_the_rest_is_refitted(tmp_path):
    job = job_of(20.0, (12, 4))
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


def test_an_interrupted_run_resumes_in_either_phase(tmp_path):
    job = job_of(100.0, (2, 2), model="mlp", width=None)  # quicker to trace
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
