"""`keras-invprune structure predict`, in this process."""

import pytest
from typer.testing import CliRunner

from keras_invprune_lab.cli.main import app
from keras_invprune_lab.structure.prediction.trained import Trained, check_target
from structures import table

SMALL = ["--predictors", "bayesian-ridge", "--folds", "3", "--repeats", "1"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("tables") / "table.csv"
    frame = table(graphs=20, seeds=2, noise=0.02, cells=("gru", "lstm"))
    frame.to_csv(file, index=False)
    return file


def run(*arguments):
    line = ["structure", "predict", *map(str, arguments)]
    return CliRunner().invoke(app, line)


def test_it_prints_each_cell_and_writes_figures_and_predictor(file, tmp_path):
    saved, out = tmp_path / "lstm.predictor", tmp_path / "out"
    options = ["--cell", "lstm", "--save", saved, "--out", out, "--splits", "2"]
    found = run(file, *SMALL, *options)
    assert found.exit_code == 0, found.output
    assert "lstm: test_accuracy of 20 graphs" in found.output
    assert "Noise ceiling of R²" in found.output
    assert "the paper's protocol" in found.output
    # The authors' split is number 7, which two splits do not reach.
    assert "the authors' split" not in found.output and "nan" not in found.output
    assert "gru" not in found.output
    assert (out / "metrics.csv").exists()
    assert Trained.load(saved).cell == "lstm"
    check_target(saved)  # it may be replaced


def test_without_a_cell_each_is_predicted_by_itself(file):
    found = run(file, *SMALL, "--splits", "0", "--target", "test_accuracy")
    assert found.exit_code == 0, found.output
    assert "gru: test" in found.output and "lstm: test" in found.output


def test_numbers_are_whole_in_80_columns(file):
    options = ["--predictors", "gradient-boosting", "--folds", "3", "--repeats", "1"]
    found = run(file, *options, "--cell", "gru", "--splits", "0")
    assert found.exit_code == 0, found.output
    assert "of ceiling" in found.output and "…" not in found.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--save", "{}/p"], "one kind of cell"),
        (["--cell", "gru", "--save", "{}/no/p"], "there is no folder"),
        (["--cell", "gru", "--save", "{}/mine.txt"], "which is something else"),
        (["--cell", "gru", "--save", "{}"], "which is something else"),
        (["--cell", "gruu"], "no cell 'gruu'"),
        (["--predictors", "bayesian"], "bayesian-ridge"),
        (["--target", "nodes"], "no target 'nodes'"),
        (["--folds", "30"], "30 folds"),
        (["--out", "{}"], "did not write, such as mine.txt"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    options, message, file, tmp_path
):
    (tmp_path / "mine.txt").write_text("")
    found = run(file, *(option.format(tmp_path) for option in options))
    assert found.exit_code == 1
    assert message in str(found.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
