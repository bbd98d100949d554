"""The comparison of predictors as a whole, its files and plots."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from keras_invprune_lab.structure.prediction.plots import draw
from keras_invprune_lab.structure.prediction.predict import (
    Settings,
    entry_figures,
    predict,
)
from keras_invprune_lab.structure.prediction.reading import read
from keras_invprune_lab.structure.prediction.results import (
    METRICS,
    check_folder,
    write,
)
from structures import table

FEW = Settings(("bayesian-ridge", "support-vectors"), folds=4, repeats=2, splits=8)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    file = tmp_path_factory.mktemp("tables") / "table.csv"
    table(graphs=60, seeds=2, noise=0.02, proxies=True).to_csv(file, index=False)
    return predict(read(file).rows("gru", "test_accuracy"), FEW)


def test_cheap_scores_that_know_more_are_seen_to_help(found):
    # Of nodes + edges², a line in the structure knows the first part, the score the
    # second.
    by_name = {(e.inputs, e.predictor): e for e in found.entries}
    assert len(by_name) == 6
    assert found.best.inputs == "both"
    assert found.best.predictor == "bayesian-ridge"
    assert found.best.scores.r2 > 0.9
    mean, low, high = found.best.lead
    assert 0 < low < mean < high
    assert by_name["structure", "bayesian-ridge"].lead is None
    assert found.ceiling.r2 > found.best.scores.r2


def test_what_is_undefined_is_null_since_json_has_no_nan(found):
    best = found.best
    scores = dataclasses.replace(best.scores, fold_r2=np.nan, fold_r2_low=np.nan)
    changed = dataclasses.replace(best, scores=scores, lead=(0.5, np.nan, np.nan))
    figures = entry_figures(found, changed)
    read_again = json.loads(json.dumps(figures, allow_nan=False))
    assert read_again["fold_r2"] is None and read_again["lead_low"] is None
    assert read_again["lead"] == 0.5
    assert figures["r2"] == best.scores.r2


def test_the_features_of_the_truth_are_the_important_ones(found):
    names = [one["feature"] for one in found.to_json()["importances"]]
    assert set(names[:2]) == {"proxy_synflow", "nodes"}


def test_files_and_plots_are_written_and_may_be_written_again(found, tmp_path):
    out = tmp_path / "new" / "result"
    check_folder(out)
    write([found], "our own: table.csv", out)
    check_folder(out)
    names = ("features", "predicted", "importances", "protocol")
    assert {file.stem for file in out.glob("*.png")} == {f"{n}-gru" for n in names}
    content = json.loads((out / METRICS).read_text())
    assert content["cells"][0] == found.to_json()
    with open(out / "metrics.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    r2 = [float(line["r2"]) for line in lines]
    np.testing.assert_allclose(r2, [entry.scores.r2 for entry in found.entries])
    with open(out / "predictions.csv", newline="") as stream:
        figures = [float(line["figure"]) for line in csv.DictReader(stream)]
    np.testing.assert_allclose(figures, found.rows.y)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError, match="such as precious.txt"):
        check_folder(tmp_path)
    (tmp_path / METRICS).write_text("[]")
    with pytest.raises(FileExistsError, match="such as metrics.json"):
        check_folder(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        check_folder(tmp_path / "precious.txt")


def test_unknown_or_no_predictors_are_refused():
    with pytest.raises(ValueError, match="random-forest"):
        Settings(("random_forrest",))
    with pytest.raises(ValueError, match="Name a predictor"):
        Settings(())


def test_figures_that_are_all_equal_are_refused(tmp_path):
    table(graphs=12).assign(test_accuracy=0.5).to_csv(tmp_path / "t.csv", index=False)
    rows = read(tmp_path / "t.csv").rows("gru", "test_accuracy")
    with pytest.raises(ValueError, match="the same test_accuracy, 0.5"):
        predict(rows, FEW)


def test_the_number_of_fits_is_shown(found):
    seen = []
    few = Settings(("bayesian-ridge",), folds=3, repeats=1, splits=0)
    predict(found.rows, few, lambda *news: seen.append(news))
    assert seen[:3] == [("gru structure bayesian-ridge", k, 3) for k in (1, 2, 3)]
    assert len(seen) == 9


def test_of_ten_graphs_the_paper_s_protocol_would_test_one_and_is_left_out(tmp_path):
    table(graphs=10).to_csv(tmp_path / "t.csv", index=False)
    rows = read(tmp_path / "t.csv").rows("gru", "test_accuracy")
    found = predict(rows, Settings(("bayesian-ridge",), folds=5, repeats=1))
    assert found.protocol == []
    write([found], "our own: t.csv", tmp_path / "out")
    assert "NaN" not in (tmp_path / "out" / METRICS).read_text()
    with pytest.raises(ValueError, match="10 folds of 10 graphs. Use fewer folds"):
        predict(rows, Settings(("bayesian-ridge",), folds=10, repeats=1))


def test_plots_stay_in_their_folder_whatever_a_cell_is_called(found, tmp_path):
    rows = dataclasses.replace(found.rows, cell="../g/ru")
    drawn = draw(dataclasses.replace(found, rows=rows, protocol=[]), tmp_path)
    assert len(drawn) == 3 and {file.parent for file in drawn} == {tmp_path}
    assert {*drawn} == {*tmp_path.iterdir()}
