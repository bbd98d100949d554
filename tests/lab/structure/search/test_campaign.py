"""Real trainings, from the command line to the files; kills and other accidents."""

import csv
import dataclasses
import inspect
import json
import shutil
import signal
import time

import keras
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from commands import started
from keras_invprune.exporting.folders import claimed
from keras_invprune.priors import FEATURES
from keras_invprune_lab.cli.main import app
from keras_invprune_lab.structure.prediction.csv_tables import read_csv
from keras_invprune_lab.structure.prediction.table import Rows
from keras_invprune_lab.structure.prediction.trained import Trained
from keras_invprune_lab.structure.search import results
from keras_invprune_lab.structure.search.campaign import Campaign, _flat
from keras_invprune_lab.structure.search.evaluations import Ledger
from keras_invprune_lab.structure.search.genome import graph_from, key_of, name_of
from keras_invprune_lab.structure.search.networks import accuracy, weights_file
from keras_invprune_lab.structure.search.pareto import ranks
from keras_invprune_lab.structure.search.pool import Trainers
from keras_invprune_lab.structure.search.recipe import load, parse
from keras_invprune_lab.structure.search.rows import read

pytestmark = pytest.mark.slow
NEWER = "edges" in inspect.signature(nx.node_link_graph).parameters
RECIPE = """
title: Tiny networks on digits
training:
  {dataset: "sklearn:digits", rows: 200, validation_rows: 200, epochs: 2, batch_size: 9}
network: {channels: 4, shrink: 4}
graphs: {min_nodes: 2, max_nodes: 3, max_edges: 3}  # of which there are five
strategies: [random, screened-pareto]
trainings: 5
population: 4
generation: 2
candidates: 2
predictor: bayesian-ridge
noise_graphs: 2
"""


def command(*arguments):
    return CliRunner().invoke(app, ["structure", "search", *map(str, arguments)])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def done(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "out"
    result = command(recipe, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result.output


def rows_of(out, name):
    with open(out / name, newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_command_prints_and_writes_what_it_found(done):
    out, output = done
    assert "screened-pareto" in output
    assert {path.name for path in out.iterdir()} >= {
        "trainings.jsonl",
        "graphs.csv",
        "fronts.csv",
        "summary.csv",
        "noise.json",
        "graphs.json",
        "table.md",
        "curves.png",
        "accuracy_macs.png",
    }
    found = rows_of(out, "graphs.csv")
    assert [row["number"] for row in found] == [*map(str, range(1, 6))] * 2
    own = [row for row in found if row["strategy"] == "random"]
    best = np.maximum.accumulate([float(row["accuracy"]) for row in own])
    np.testing.assert_allclose([float(row["best"]) for row in own], best)
    (summary, _) = rows_of(out, "summary.csv")
    assert float(summary["best"]) == best[-1]
    assert float(summary["area"]) == pytest.approx(best.mean(), abs=1e-5)
    reached = 1 + int(np.argmax(best == best[-1]))
    assert int(summary["reached_after"]) == reached
    noise = json.loads((out / "noise.json").read_text())
    assert noise["repeated"] == 2


def test_no_graph_on_a_front_is_beaten(done):
    out, _ = done
    for strategy in ("random", "screened-pareto"):
        every, front = (
            np.array(
                [
                    (float(row["accuracy"]), -int(row["macs"]))
                    for row in rows_of(out, name)
                    if row["strategy"] == strategy
                ]
            )
            for name in ("graphs.csv", "fronts.csv")
        )
        best = every[ranks(every) == 0]
        assert {tuple(point) for point in best} == {tuple(point) for point in front}


def test_the_best_model_is_the_one_of_the_ledger(done):
    out, _ = done
    rows = [row for row in rows_of(out, "fronts.csv") if row["strategy"] == "random"]
    best = max(rows, key=lambda row: float(row["accuracy"]))
    model = keras.saving.load_model(out / "best" / "random-seed0.keras")
    found = accuracy(model, read(out / "rows", "valid"))
    assert found == pytest.approx(float(best["accuracy"]), abs=1e-5)
    tested = accuracy(model, read(out / "rows", "test"))
    assert tested == pytest.approx(float(best["test_accuracy"]), abs=1e-5)
    written = json.loads((out / "graphs.json").read_text())[best["graph"]]
    # networkx calls the option "link" until 3.3, and its default was "links".
    data = {**written, "links": written["edges"]}
    graph = nx.node_link_graph(data, **{"edges" if NEWER else "link": "links"})
    assert name_of(key_of(graph)) == best["graph"]
    assert len(graph) == int(best["nodes"])


def test_parts_of_the_rows_do_not_overlap(done):
    out, _ = done
    train, valid = (read(out / "rows", part).x for part in ("train", "valid"))
    assert train.shape == valid.shape == (200, 8, 8, 1)
    both = np.concatenate([train, valid]).reshape(400, -1)
    assert len(np.unique(both, axis=0)) == 400


def test_a_finished_search_trains_nothing(done, recipe):
    out, _ = done
    before = (out / "trainings.jsonl").read_bytes(), (out / "fronts.csv").read_bytes()
    assert command(recipe, "--out", out).exit_code == 0
    after = (out / "trainings.jsonl").read_bytes(), (out / "fronts.csv").read_bytes()
    assert after == before


def test_lost_weights_are_trained_again_and_compared(done, caplog):
    out, _ = done
    campaign = Campaign(load_recipe(out), out)
    one = next(iter(campaign.ledger))
    file = weights_file(out, one.graph, one.seed)
    file.unlink()
    (out / "tests.json").unlink()
    found = campaign.run()
    tester = results._Tester(found, out)
    model = tester.trained(one.graph, one.seed)
    assert accuracy(model, tester.rows["valid"]) == one.accuracy
    assert not caplog.records
    file.unlink()
    other = dataclasses.replace(one, accuracy=0.125)
    tester.ledger._found[one.graph, one.seed] = other
    tester.trained(one.graph, one.seed)
    (record,) = caplog.records
    assert name_of(one.graph) in record.message and "had 12.50 %" in record.message


def load_recipe(out):
    file = out.parent / "again.yaml"
    file.write_text(RECIPE)
    return load(str(file))


def test_a_folder_of_another_configuration_is_refused(done, tmp_path):
    out, _ = done
    before = (out / "trainings.jsonl").read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text(RECIPE.replace("epochs: 2", "epochs: 3"))
    error = command(other, "--out", out).exception
    assert isinstance(error, FileExistsError)
    assert "training.epochs: 2 there, 3 asked" in str(error)
    assert (out / "trainings.jsonl").read_bytes() == before


def save_predictor(file, features=FEATURES, seed=0):
    random = np.random.default_rng(seed)
    x = pd.DataFrame(random.random((8, len(features))), columns=list(features))
    x.index = [str(graph) for graph in range(8)]
    runs = [np.array([value]) for value in random.random(8)]
    about = features, (), "valid_accuracy", "convolutional"
    rows = Rows(x, runs, np.arange(8), *about)
    Trained.fit(rows, "bayesian-ridge", features).save(file)


def starting(file):
    return parse(f"{RECIPE}start_from: {file}\n")


def test_a_predictor_counts_by_what_its_file_holds(tmp_path):
    file, copy = tmp_path / "one.predictor", tmp_path / "copy.predictor"
    save_predictor(file)
    copy.write_bytes(file.read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    config = json.dumps(_flat(starting(file).decided()))
    (out / "config.json").write_text(config)
    campaign = Campaign(starting(copy), out)
    screened = next(s for s in campaign.searches if s.strategy.startswith("screened"))
    chosen = screened.first()
    assert all(proposal.predicted is not None for proposal in chosen)
    save_predictor(file, seed=1)
    for recipe in (starting(file), parse(RECIPE)):
        with pytest.raises(FileExistsError, match="start_from: 'sha256:.* there, "):
            Campaign(recipe, out)
    copy.unlink()  # it was read when the campaign was made
    assert campaign.searches[1].first() == chosen
    assert [path.name for path in out.iterdir()] == ["config.json"]


def test_a_predictor_that_cannot_choose_is_refused_before_anything_is_written(tmp_path):
    save_predictor(tmp_path / "size.predictor", ("size",))
    (tmp_path / "torn.predictor").write_text("PK")
    for name, fact in {
        "size": "1 of them are missing: size",
        "torn": "is damaged, or is not a predictor",
        "no": "There is no file",
    }.items():
        recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
        recipe.write_text(f"{RECIPE}start_from: {tmp_path}/{name}.predictor\n")
        error = command(recipe, "--out", out).exception
        assert isinstance(error, ValueError | FileNotFoundError)
        assert fact in str(error)
        assert not out.exists()


def test_a_folder_that_another_search_takes_first_is_refused(done, tmp_path):
    campaign = Campaign(parse(RECIPE.replace("epochs: 2", "epochs: 3")), tmp_path)
    content = (done[0] / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(FileExistsError, match="epochs: 2 there, 3 asked"):
        campaign.run()
    assert (tmp_path / "config.json").read_bytes() == content
    assert not (tmp_path / "rows").exists()


def test_nothing_is_written_next_to_another_process(done):
    campaign = Campaign(load_recipe(done[0]), done[0])
    found = campaign.run()
    before = (done[0] / "fronts.csv").stat().st_mtime_ns
    with claimed(done[0]):
        for work in (campaign.run, lambda: results.finish(found, done[0])):
            with pytest.raises(BlockingIOError, match="another process is at work"):
                work()
    assert (done[0] / "fronts.csv").stat().st_mtime_ns == before


def test_a_folder_of_something_else_is_refused(recipe, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    error = command(recipe, "--out", tmp_path).exception
    assert isinstance(error, FileExistsError)
    assert "mine.txt" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    error = command(recipe, "--out", tmp_path / "mine.txt").exception
    assert isinstance(error, NotADirectoryError)


@pytest.mark.parametrize(
    "change, fact",
    [
        ('"sklearn:iris", rows: 20, validation_rows: 20', "need images"),
        ('"sklearn:digits", rows: 2000, validation_rows: 200', "training rows"),
    ],
)
def test_data_that_do_not_fit_are_refused(change, fact, tmp_path):
    text = RECIPE.replace('"sklearn:digits", rows: 200, validation_rows: 200', change)
    (tmp_path / "bad.yaml").write_text(text)
    error = command(tmp_path / "bad.yaml", "--out", tmp_path / "out").exception
    assert isinstance(error, ValueError)
    assert fact in str(error)
    assert not (tmp_path / "out" / "config.json").exists()


def test_the_table_of_trainings_is_one_for_predictors(done):
    table = read_csv(done[0] / "trained.csv")
    assert len(table.frame) == len(Ledger(done[0]))
    rows = table.rows("convolutional", "valid_accuracy")
    assert sum(map(len, rows.runs)) == len(table.frame)


def test_recipes_are_listed():
    assert "cifar10-small" in command().output


def begun(done, out, trainings):
    """A copy of a search after its first trainings."""
    shutil.copytree(done / "rows", out / "rows")
    shutil.copy(done / "config.json", out)
    lines = (done / "trainings.jsonl").read_text().splitlines(keepends=True)
    (out / "trainings.jsonl").write_text("".join(lines[:trainings]))
    for one in Ledger(out):
        file = weights_file(out, one.graph, one.seed)
        file.parent.mkdir(exist_ok=True)
        shutil.copy(weights_file(done, one.graph, one.seed), file)


def test_after_kill_9_the_same_is_found(done, recipe, tmp_path):
    out, said = tmp_path / "out", tmp_path / "said.txt"
    begun(done[0], out, 2)
    whole, ledger = (folder / "trainings.jsonl" for folder in (done[0], out))
    arguments = "structure", "search", recipe, "--out", out
    process = started(said, *arguments, "--jobs", 2)
    while process.is_alive() and ledger.read_bytes().count(b"\n") < 4:
        time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, said.read_text()
    assert ledger.read_bytes().count(b"\n") < whole.read_bytes().count(b"\n")
    assert command(recipe, "--out", out).exit_code == 0
    for name in ("graphs.csv", "fronts.csv", "summary.csv"):
        assert (out / name).read_bytes() == (done[0] / name).read_bytes()


def test_a_process_that_dies_is_replaced(done, tmp_path):
    recipe = load_recipe(done[0])
    (tmp_path / "rows").symlink_to(done[0] / "rows")
    ledger = Ledger(tmp_path)
    with Trainers(recipe.training, recipe.network, tmp_path) as trainers:

        def add(one):
            ledger.add(one)
            if len(ledger) == 1:
                for child in trainers._children._children:
                    child.process.kill()

        trainers.train([("2:0-1", seed) for seed in range(3)], add)
        assert sorted(one.seed for one in ledger) == [0, 1, 2]
        with pytest.raises(RuntimeError, match="graph 1:0-0 with seed 0 failed"):
            trainers.train([("1:0-0", 0)], add)


def test_key_and_graph_of_the_ledger_agree(done):
    for one in Ledger(done[0]):
        assert key_of(graph_from(one.graph)) == one.graph
