"""keras-invprune structure, as far as it is the commands' own."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_invprune_lab.cli.main import app, main
from keras_invprune_lab.structure.pruning import campaign as pruning
from keras_invprune_lab.structure.recurrent import campaign
from keras_invprune_lab.structure.relational import campaign as relational


def test_what_is_asked_for_is_trained(monkeypatch, tmp_path):
    asked = []

    def train(wanted, out, jobs, progress):
        asked.append((wanted, out, jobs))
        with progress({"a stack": 2.0}) as show:
            show("a stack", 1, 2)
        return out / "trained.csv"

    monkeypatch.setattr(campaign, "train", train)
    line = ["structure", "train", "--cell", "lstm", "--graphs", "3", "--seeds", "1"]
    line += ["--epochs", "2", "--dataset", "reber:80", "--jobs", "2"]
    found = CliRunner().invoke(app, [*line, "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert asked == [
        (campaign.Campaign("lstm", 3, 1, "reber:80", 2), tmp_path, 2),
    ]
    assert "trained.csv" in re.sub(r"\s", "", found.output)


def test_what_is_asked_for_is_pruned(monkeypatch, tmp_path):
    asked = []

    def prune(wanted, out, jobs, progress):
        asked.append((wanted, out, jobs))
        with progress({"a network": 2.0}) as show:
            show("a network", 1, 2)
        return out / "pruned.csv"

    monkeypatch.setattr(pruning, "prune", prune)
    line = ["structure", "prune", "--out", str(tmp_path)]
    found = CliRunner().invoke(app, line)
    assert found.exit_code == 0, found.output
    line += ["--cells", "gru,lstm", "--seeds", "3", "--safe", "--epochs", "2"]
    found = CliRunner().invoke(app, [*line, "--dataset", "reber:80", "--jobs", "2"])
    assert found.exit_code == 0, found.output
    small = pruning.Campaign(("gru", "lstm"), (3,), True, "reber:80", 2)
    assert asked == [(pruning.Campaign(), tmp_path, 1), (small, tmp_path, 2)]
    assert "pruned.csv" in re.sub(r"\s", "", found.output)
    error = CliRunner().invoke(app, [*line, "--seeds", "one"]).exception
    assert "integers with commas between them" in str(error) and "'one'" in str(error)


def test_graphs_of_the_table_are_trained_and_compared(monkeypatch, tmp_path):
    asked = []

    def train(wanted, tables, out, jobs, progress):
        asked.append((wanted, tables, out, jobs))
        return [{"figure": "tau, ours", "value": -0.5, "low": -1.0, "high": 0.25}]

    monkeypatch.setattr(relational, "train", train)
    line = ["structure", "relational", "tables", "--out", str(tmp_path)]
    line += ["--graphs", "3", "--seeds", "1", "--images", "90", "--epochs", "5"]
    found = CliRunner().invoke(app, [*line, "--jobs", "2"])
    assert found.exit_code == 0, found.output
    wanted = relational.Campaign(3, 1, 90, 5)
    assert asked == [(wanted, Path("tables"), tmp_path, 2)]
    assert "tau, ours: -0.500 (-1.000 to 0.250)" in found.output


def test_a_wrong_cell_is_an_error_in_one_line(monkeypatch, tmp_path, capsys):
    line = ["structure", "train", "--cell", "gur", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["keras-invprune", *line])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "Unknown cell: 'gur'. Did you mean 'gru'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
