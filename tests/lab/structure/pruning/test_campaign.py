"""Networks trained, pruned and retrained: the table, and what an interruption costs."""

import contextlib
import functools
import shutil
from pathlib import Path

import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune_lab.models.recurrent import recurrent
from keras_invprune_lab.structure.pruning import campaign as module
from keras_invprune_lab.structure.pruning import networks
from keras_invprune_lab.structure.pruning.campaign import Campaign, prune
from keras_invprune_lab.structure.pruning.table import FIELDS, copy_of, read
from keras_invprune_lab.structure.reber import strings
from keras_invprune_lab.training.files import write_csv

pytestmark = pytest.mark.slow
DATASET = "reber:80"
SMALL = {"cells": ("rnn-tanh",), "seeds": (0,), "safe": True}
SMALL |= {"dataset": DATASET, "epochs": 2}
TESTS = [("none", "0", "0"), ("both", "80", "0"), ("both", "80", "1")]
TESTS += [("hidden_to_hidden", "100", "0"), ("hidden_to_hidden", "100", "1")]
RESULTS = Path(__file__).parents[4] / "docs" / "results" / "reber-pruning"


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Layers of few units, in place of the paper's, which XLA need not compile."""
    patch, compiled = pytest.MonkeyPatch(), networks.compiled

    def quick(model):
        compiled(model).jit_compile = False
        return model

    patch.setattr(networks, "compiled", quick)
    patch.setattr(networks, "recurrent", functools.partial(recurrent, width=4))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished campaign."""
    out = tmp_path_factory.mktemp("campaign") / "out"
    prune(Campaign(**SMALL), out)
    return out


@pytest.fixture
def folder(done, tmp_path):
    """A copy of it."""
    return shutil.copytree(done, tmp_path / "out")


def fails(costs):
    pytest.fail("trains")


def stopping(at):
    """A progress that is interrupted after so many epochs."""

    @contextlib.contextmanager
    def progress(costs):
        assert costs == {"rnn-tanh, seed 0": 4}

        def show(name, done, total):
            if done == at:
                raise KeyboardInterrupt

        yield show

    return progress


def test_a_row_for_each_test(done):
    rows = read(done / "pruned.csv")
    assert [(row["part"], row["percent"], row["epoch"]) for row in rows] == TESTS
    assert {(row["cell"], row["seed"]) for row in rows} == {("rnn-tanh", "0")}
    # Of 20 strings that are tested, each is 5 percent.
    assert all(float(row["test_accuracy"]) in range(0, 101, 5) for row in rows)
    names = {".lock", "config.json", "pruned.csv", "recovery.png"}
    names |= {"rnn-tanh-0.weights.h5"}
    assert {path.name for path in done.iterdir()} == names


def kernels(model):
    """Those of each recurrent layer: of the layer below, and of the last step."""
    hidden = [layer for layer in model.layers if layer.name.startswith("hidden")]
    return [w for layer in hidden for w in layer.cell.get_weights()[:2]]


def test_a_copy_keeps_what_is_large_and_stays_masked():
    data = strings(DATASET)
    model = networks.compiled(networks.network("rnn-tanh", data))
    before = [np.abs(weight) for weight in kernels(model)]
    limit = np.quantile(np.concatenate([w.ravel() for w in before]), 0.75)
    after = kernels(kip.strip_pruning(networks.pruned(model, "both", 75)))
    for weight, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(now != 0, weight > limit)
    bare = networks.pruned(model, "hidden_to_hidden", 100)
    networks.retrained(bare, data)
    assert [weight.any() for weight in kernels(kip.strip_pruning(bare))] == [
        True,
        False,
    ] * 3
    assert networks.tested(bare, data) in range(0, 101, 5)


def test_the_same_command_trains_nothing_twice(folder):
    before = (folder / "pruned.csv").read_bytes()
    prune(Campaign(**SMALL), folder, progress=fails)
    assert (folder / "pruned.csv").read_bytes() == before


def test_the_results_that_are_kept_are_complete(tmp_path):
    out = shutil.copytree(RESULTS, tmp_path / "out")
    before = (out / "pruned.csv").read_bytes()
    prune(Campaign(safe=True), out, progress=fails)
    assert (out / "pruned.csv").read_bytes() == before
    task = module.Task("gru", 0, Campaign(), out, read(out / "pruned.csv"))
    assert not task.done and task.cost == 50 + 30 * 10 and len(task.copies) == 31


def test_copies_that_a_table_lacks_are_made_of_the_same_network(folder):
    file, whole = folder / "pruned.csv", read(folder / "pruned.csv")
    marked = [row | {"test_accuracy": "99.5"} for row in whole[:3]]
    write_csv(file, [*marked, whole[3]], FIELDS)  # without the last epoch
    prune(Campaign(**SMALL), folder)
    assert read(file) == [*marked, *whole[3:]]


def test_without_its_weights_a_network_and_all_its_copies_are_made_again(folder):
    file, whole = folder / "pruned.csv", read(folder / "pruned.csv")
    other = dict(zip(FIELDS, ("gru", "7", "none", "0", "0", "99.5"), strict=True))
    marked = [row | {"test_accuracy": "99.5"} for row in whole[:3]]
    write_csv(file, [other, *marked], FIELDS)
    (folder / "rnn-tanh-0.weights.h5").unlink()
    prune(Campaign(**SMALL), folder)
    assert read(file) == [other, *whole]


def weights_of(folder):
    """Those of the network before pruning."""
    model = networks.network("rnn-tanh", strings(DATASET))
    model.load_weights(folder / "rnn-tanh-0.weights.h5")
    return model.get_weights()


def test_an_interruption_costs_a_copy_and_changes_nothing(done, tmp_path, monkeypatch):
    campaign, out = Campaign(**SMALL), tmp_path / "out"
    begun, restore = [], networks.Checkpoint.restore

    def noted(self, model):
        begun.append(restore(self, model))
        return begun[-1]

    monkeypatch.setattr(networks.Checkpoint, "restore", noted)
    with pytest.raises(KeyboardInterrupt):
        prune(campaign, out, progress=stopping(at=1))
    with pytest.raises(KeyboardInterrupt):
        prune(campaign, out, progress=stopping(at=3))
    assert begun == [0, 1]  # the second epoch was the only one left
    assert [copy_of(row)[0] for row in read(out / "rnn-tanh-0.csv")] == [
        *("none", "both", "both")
    ]
    (out / "rnn-tanh-0").mkdir()  # left by a kill, between weights and its removal
    prune(campaign, out)
    assert begun == [0, 1]
    assert {path.name for path in out.iterdir()} == {p.name for p in done.iterdir()}
    assert read(out / "pruned.csv") == read(done / "pruned.csv")
    weights = [weights_of(folder) for folder in (out, done)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_folders_of_others_are_left_alone(folder, tmp_path):
    before = (folder / "pruned.csv").read_bytes()
    with pytest.raises(FileExistsError, match="epochs: 2 there, 3 asked"):
        prune(Campaign(**SMALL | {"epochs": 3}), folder)
    assert (folder / "pruned.csv").read_bytes() == before
    with pytest.raises(FileExistsError, match="such as out. Choose another"):
        prune(Campaign(**SMALL), tmp_path)
    (folder / "pruned.csv").write_text("cell,seed\ngru,0\n")
    with pytest.raises(ValueError, match="is not a table of pruned networks"):
        prune(Campaign(**SMALL), folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cells": ("gru", "lstmm")}, "Unknown cell: 'lstmm'. Did you mean 'lstm'"),
        ({"cells": ()}, "Name a cell and a seed"),
        ({"seeds": ()}, "Name a cell and a seed"),
        ({"seeds": (0, -1)}, "`seed` must be an integer of at least 0"),
        ({"dataset": "sklearn:digits"}, "read Reber strings"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
    ],
)
def test_bad_input_leaves_nothing_behind(changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        prune(Campaign(**SMALL | changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()
