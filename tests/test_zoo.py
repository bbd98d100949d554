"""Every kind of model is pruned, stripped, saved and loaded; most are searched."""

import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

import keras_invprune as kip
import zoo
from keras_invprune.graph.weights import walk, weights_by_key
from keras_invprune.masks.selection import keep_count

ROOT = Path(__file__).resolve().parent.parent
SPARSITY = 0.5
COPIED = [name for name in zoo.CASES if name not in zoo.NOT_COPIED]
LOADED = [name for name in zoo.CASES if name not in zoo.NOT_LOADED]

every_kind = pytest.mark.parametrize("name", zoo.CASES)
every_copied_kind = pytest.mark.parametrize("name", COPIED)
every_loaded_kind = pytest.mark.parametrize("name", LOADED)


class Trained(NamedTuple):
    case: zoo.Case
    before: dict  # weights of the caller's model
    pruned: kip.PrunedModel


def values(model):
    return {key: w.variable.numpy() for key, w in weights_by_key(model).items()}


def masks(pruned):
    return {key: mask.numpy() for key, mask in pruned.masks.items()}


def assert_all_equal(found, expected, tolerance=0.0):
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, tolerance, tolerance)


@functools.cache  # training is most of the time, and no test changes the masks
def trained(name):
    """Three steps, the first of which is dense."""
    case = zoo.CASES[name]()
    before = values(case.model)
    schedule = kip.schedules.OneShot(SPARSITY, at=1)
    options = {"schedule": schedule, "select": case.select, "copy": case.copy}
    pruned = kip.prune(case.model, SPARSITY, **options)
    # Momentum goes on pushing at masked weights. (Adam would take longer to trace.)
    pruned.compile(keras.optimizers.SGD(0.1, 0.9), case.loss, jit_compile=False)
    pruned.fit(case.x, case.y, batch_size=2, verbose=0)
    return Trained(case, before, pruned)


@every_kind
def test_what_is_pruned_stays_zero_and_the_rest_is_trained(name):
    pruned = trained(name).pruned
    kept = masks(pruned)
    before = values(pruned.inner)
    pruned.fit(trained(name).case.x, trained(name).case.y, batch_size=2, verbose=0)
    after = values(pruned.inner)
    size = sum(mask.size for mask in kept.values())
    count = sum(np.count_nonzero(after[key]) for key in kept)
    assert count == keep_count(size, SPARSITY)
    assert pruned.sparsity == pytest.approx(1 - count / size)
    assert_all_equal(masks(pruned), kept)
    for key, mask in kept.items():
        assert not after[key][mask == 0].any()
    moved = [
        np.any(after[key][kept[key] == 1] != before[key][kept[key] == 1])
        for key in kept
    ]
    assert any(moved)


@every_copied_kind
def test_the_callers_model_is_untouched(name):
    case, before, _ = trained(name)
    assert_all_equal(values(case.model), before)


@every_kind
def test_the_stripped_model_is_plain_and_gives_the_same_outputs(name):
    case, before, pruned = trained(name)
    stripped = kip.strip_pruning(pruned)
    assert (stripped is case.model) == (not case.copy)
    kinds = [(path, type(layer)) for path, layer in walk(case.model)]
    assert [(path, type(layer)) for path, layer in walk(stripped)] == kinds
    assert values(stripped).keys() == before.keys()
    assert stripped.dtype_policy == case.model.dtype_policy
    assert_all_equal(stripped(case.x), pruned.predict(case.x, verbose=0), 1e-6)


def test_statistics_move_and_dropout_draws_anew():
    case, before, pruned = trained("batch_norm_and_dropout")
    for name in ("norm/moving_mean", "norm/moving_variance"):
        assert np.all(values(pruned.inner)[name] != before[name])
    seed = pruned.inner.get_layer("dropout").seed_generator.state
    drawn = seed.numpy()
    pruned.fit(case.x, case.y, batch_size=2, verbose=0)
    assert np.any(seed.numpy() != drawn)


@every_loaded_kind
def test_the_config_makes_the_same_model(name):
    case, _, pruned = trained(name)
    again = kip.PrunedModel.from_config(pruned.get_config())
    again.set_weights(pruned.get_weights())
    assert list(again.masks) == list(pruned.masks)
    assert_all_equal(again(case.x), pruned(case.x), 1e-6)


def test_the_config_makes_the_same_plan():
    pruned = trained("dense").pruned
    again = kip.PrunedModel.from_config(pruned.get_config())
    assert again.plan.save() == pruned.plan.save()


LOAD = """
import pathlib, pickle, sys
import keras, numpy as np
import keras_invprune
sys.path.insert(0, "tests")
import zoo

for file in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    x, outputs, masks, sparsity = pickle.loads(file.with_suffix(".pickle").read_bytes())
    model = keras.models.load_model(file)
    wrong = [
        key for key, mask in model.masks.items() if (mask.numpy() != masks[key]).any()
    ]
    found = keras.tree.flatten(model(x))
    close = all(map(np.allclose, found, outputs, [1e-5] * 9, [1e-5] * 9))
    same = close and not wrong and model.sparsity == sparsity and model.finished
    print(file.stem, "same" if same and model.masks.keys() == masks.keys() else "WRONG")
"""


@pytest.mark.slow
def test_a_fresh_process_loads_what_was_saved(tmp_path):
    for name in LOADED:
        case, _, pruned = trained(name)
        outputs = [np.asarray(part) for part in keras.tree.flatten(pruned(case.x))]
        expected = case.x, outputs, masks(pruned), pruned.sparsity
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(expected))
        pruned.save(tmp_path / f"{name}.keras")
    command = [sys.executable, "-c", LOAD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    found = dict(line.split() for line in result.stdout.splitlines())
    assert found == dict.fromkeys(sorted(LOADED), "same")


@pytest.mark.parametrize("name", zoo.NOT_COPIED)
def test_what_cannot_be_rebuilt_is_refused_with_the_way_out(name):
    case = zoo.CASES[name]()
    with pytest.raises(ValueError, match="cannot be rebuilt.*copy=False"):
        kip.prune(case.model, SPARSITY)
