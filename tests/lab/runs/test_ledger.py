"""Finished runs in one file: unpacked again, also after an interruption."""

import json

import pytest

from keras_invprune_lab.runs.ledger import unpack


def test_an_interrupted_unpacking_is_done_again(tmp_path):
    report = {"name": "a/dense/seed0", "history": {"loss": [1.0]}}
    line = json.dumps(report | {"report": {"config": {"seed": 0}}})
    (tmp_path / "runs.jsonl").write_text(f"{line}\n")
    folder = tmp_path / "runs" / "a" / "dense" / "seed0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    unpack(tmp_path)
    assert json.loads((folder / "report.json").read_text())["config"] == {"seed": 0}
    assert json.loads((folder / "config.json").read_text()) == {"seed": 0}


def test_a_broken_ledger_is_named_with_its_line(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"name": 1}\n')
    with pytest.raises(ValueError, match="Line 1 of .*runs.jsonl is not a run"):
        unpack(tmp_path)
