"""Many graphs trained: the table, and what an interruption costs."""

import contextlib
import csv
import functools
import json

import numpy as np
import pytest

from keras_invprune.priors import FEATURES, features
from keras_invprune.saving import UNFINISHED, write_json
from keras_invprune_lab.runs import configuration
from keras_invprune_lab.runs.configuration import CONFIG
from keras_invprune_lab.structure.prediction.proxies import PROXIES
from keras_invprune_lab.structure.recurrent import campaign as module
from keras_invprune_lab.structure.recurrent import networks
from keras_invprune_lab.structure.recurrent.campaign import Campaign, tasks, train
from keras_invprune_lab.structure.recurrent.networks import Drawn
from keras_invprune_lab.structure.recurrent.table import WITHOUT_SCORES, read
from keras_invprune_lab.structure.recurrent.training import Training
from keras_invprune_lab.training.files import write_csv

pytestmark = pytest.mark.slow
SMALL = {"cell": "tanh", "graphs": 2, "dataset": "reber:80", "epochs": 2}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Graphs of a few nodes, in place of the paper's, which XLA need not compile."""
    patch = pytest.MonkeyPatch()
    for each in (module, networks):
        patch.setattr(each, "FEWEST", 4)
        patch.setattr(each, "MOST", 5)
    quick = functools.partial(Training, jit_compile=False)
    patch.setattr(module, "Training", quick)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished campaign of one seed, then of two."""
    out = tmp_path_factory.mktemp("campaign")
    train(Campaign(**SMALL, seeds=1), out)
    before = (out / "trained.csv").read_text()
    train(Campaign(**SMALL, seeds=2), out)
    return out, before


def test_a_row_for_each_training(folder):
    out, _ = folder
    rows = read(out / "trained.csv")
    assert [(row["graph"], row["seed"]) for row in rows] == [
        ("watts-strogatz-0", "0"),
        ("barabasi-albert-1", "0"),
        ("watts-strogatz-0", "1"),
        ("barabasi-albert-1", "1"),
    ]
    for row, number in zip(rows, [0, 1, 0, 1], strict=True):
        graph = Drawn(number)
        assert row["prior"] == graph.prior and row["cell"] == "tanh"
        found = {name: float(row[name]) for name in FEATURES}
        assert found == pytest.approx(features(graph.graph))
        assert 0 <= float(row["test_accuracy"]) <= 1


def test_parameters_are_those_that_the_graph_has(folder):
    out, _ = folder
    for row in read(out / "trained.csv")[:2]:
        layers = Drawn(int(row["graph"].rpartition("-")[2])).layers
        sizes = [len(nodes) for nodes in layers.nodes]
        blocks = [(sizes[0] ** 2, 0)]
        blocks += [(int(mask.sum()), t) for (_, t), mask in layers.masks.items()]
        inner = sum(edges + sizes[t] ** 2 + sizes[t] for edges, t in blocks)
        assert int(row["parameters"]) == 27 * sizes[0] + inner + 2 * sizes[-1] + 2


def test_more_seeds_leave_the_first_rows_as_they_were(folder):
    out, before = folder
    rows = (out / "trained.csv").read_text().splitlines()
    assert rows[:3] == before.splitlines()
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "config.json",
        "trained.csv",
    ]


def test_the_same_command_trains_nothing_twice(folder):
    out, _ = folder
    before = (out / "trained.csv").read_bytes()
    train(Campaign(**SMALL, seeds=2), out, progress=lambda costs: pytest.fail("trains"))
    assert (out / "trained.csv").read_bytes() == before


def test_rows_that_another_process_adds_before_it_ends_are_kept(
    folder, tmp_path, monkeypatch
):
    table = folder[0] / "trained.csv"

    @contextlib.contextmanager
    def claimed(out):
        (out / "trained.csv").write_bytes(table.read_bytes())  # the other's last rows
        yield

    monkeypatch.setattr(configuration, "claimed", claimed)
    campaign = Campaign(**SMALL, seeds=2)
    train(campaign, tmp_path, progress=lambda costs: pytest.fail("trains"))
    assert (tmp_path / "trained.csv").read_bytes() == table.read_bytes()


def test_a_table_without_cheap_scores_gets_those_that_a_new_one_has(folder, tmp_path):
    whole = read(folder[0] / "trained.csv")
    rows = [{name: row[name] for name in WITHOUT_SCORES} for row in whole]
    rows[2:] = [row | {"cell": "relu"} for row in rows[2:]]
    table = tmp_path / "trained.csv"
    write_csv(table, rows)
    assert {row[name] for row in read(table) for name in PROXIES} == {""}
    train(Campaign(**SMALL, seeds=1), tmp_path)  # nothing is left to train
    found = read(table)
    assert [row for row in found if row["cell"] == "tanh"] == whole[:2]
    others = [row for row in found if row["cell"] == "relu"]
    assert [{name: row[name] for name in WITHOUT_SCORES} for row in others] == rows[2:]
    scores = np.array([[float(row[name]) for name in PROXIES] for row in found])
    assert np.isfinite(scores).all() and len(np.unique(scores[:, 1])) == len(found)
    before = table.read_bytes()
    train(Campaign(**SMALL, seeds=1), tmp_path, progress=lambda costs: pytest.fail())
    assert table.read_bytes() == before


def test_an_interrupted_training_ends_as_if_it_had_not_been(folder, tmp_path):
    campaign = Campaign(**SMALL, seeds=1)
    out, _ = folder
    task = tasks(campaign, tmp_path, [("barabasi-albert-1", "tanh", 0)])[0]
    assert task.networks.members == ((0, 0),)

    def stop(done, total):
        assert total == 2
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        task(stop)
    assert [path.name for path in tmp_path.iterdir()] == [task.state.name]
    shown = []
    (row,) = task(lambda *now: shown.append(now))
    assert shown == [(1, 2), (2, 2)]
    with np.load(task.state) as state:
        assert state["epochs"] == 2
    whole = read(out / "trained.csv")[0]
    assert row["test_accuracy"] == pytest.approx(float(whole["test_accuracy"]))


def interrupted(campaign, out):
    """The state of the first stack after its first epoch."""

    @contextlib.contextmanager
    def progress(costs):
        def show(name, done, total):
            if done == 1:
                raise KeyboardInterrupt

        yield show

    before = {*out.glob("stack-*")}
    with pytest.raises(KeyboardInterrupt):
        train(campaign, out, progress=progress)
    (state,) = {*out.glob("stack-*")} - before
    return state


def test_a_state_stays_until_nobody_can_resume_it(tmp_path):
    whole, part = Campaign(**SMALL, seeds=2), Campaign(**SMALL | {"graphs": 1}, seeds=1)
    write_json(tmp_path / CONFIG, whole.config)
    foreign = [tmp_path / name for name in ("stack-of-hay.npz", "stack-0123abcd.npz")]
    for file in foreign:
        file.write_bytes(b"not ours")
    np.savez(tmp_path / "stack-89abcdef.npz", cell="tanh", members=[(0, 0)])
    foreign.append(tmp_path / "stack-89abcdef.npz")  # this is not its name
    old = interrupted(whole, tmp_path)
    other = interrupted(Campaign(**SMALL | {"cell": "relu"}, seeds=1), tmp_path)
    (tmp_path / f"{UNFINISHED}{old.name}").write_bytes(b"half written")
    train(part, tmp_path)  # one of the rows of the first stack
    states = {*tmp_path.glob("*.npz")}
    assert states == {other, *foreign}
    first = (tmp_path / "trained.csv").read_text()
    train(whole, tmp_path)
    assert (tmp_path / "trained.csv").read_text().startswith(first)
    assert {*tmp_path.glob("*.npz")} == states


def test_stacks_hold_graphs_of_one_depth_and_are_not_too_large(tmp_path):
    campaign = Campaign("gru", graphs=40, seeds=3)
    found = tasks(campaign, tmp_path, [])
    members = [member for task in found for member in task.networks.members]
    assert sorted(members) == [(g, s) for g in range(40) for s in range(3)]
    for task in found:
        stack = task.networks
        assert len(stack.members) <= networks.TOGETHER
        depths = {len(Drawn(g).layers.nodes) for g, _ in stack.members}
        assert depths == {stack.depth}
    assert len({task.state for task in found}) == len(found)
    costs = [task.cost for task in found]
    assert costs == sorted(costs, reverse=True)


def test_a_folder_of_another_configuration(folder):
    out, _ = folder
    before = (out / "trained.csv").read_bytes()
    with pytest.raises(FileExistsError, match="epochs: 2 there, 3 asked"):
        train(Campaign(**SMALL | {"epochs": 3}), out)
    assert (out / "trained.csv").read_bytes() == before


def test_another_configuration_that_came_in_the_meantime(tmp_path, monkeypatch):
    other = Campaign(**SMALL | {"epochs": 3}).config

    @contextlib.contextmanager
    def claimed(out):
        out.mkdir()
        write_json(out / CONFIG, other)
        yield

    monkeypatch.setattr(configuration, "claimed", claimed)
    with pytest.raises(FileExistsError, match="epochs: 3 there, 2 asked"):
        train(Campaign(**SMALL), tmp_path / "out")
    assert json.loads((tmp_path / "out" / CONFIG).read_text()) == other


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError, match="such as precious.txt"):
        train(Campaign(**SMALL), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_table_that_is_not_ours(tmp_path):
    file = tmp_path / "trained.csv"
    with open(file, "w", newline="") as stream:
        csv.writer(stream).writerows([["graph", "accuracy"], ["a", "0.5"]])
    with pytest.raises(ValueError, match="is not a table of trained graphs"):
        train(Campaign(**SMALL), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trained.csv"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell": "gruu"}, "Unknown cell: 'gruu'. Did you mean 'gru'"),
        ({"dataset": "sklearn:digits"}, "read Reber strings"),
        ({"dataset": "reber:9"}, "multiple of 8"),
        ({"dataset": "reber:80:embeddet"}, "Did you mean 'embedded'"),
        ({"graphs": 0}, "`graphs` must be at least 1"),
        ({"seeds": 0}, "`seeds` must be at least 1"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
    ],
)
def test_bad_input_leaves_nothing_behind(changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(Campaign(**SMALL | changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()
