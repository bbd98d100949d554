"""The ledger: nothing twice, nothing lost."""

import pytest

from keras_invprune_lab.structure.search.evaluations import Evaluation, Ledger


def training(graph="2:0-1", seed=0, accuracy=0.5):
    return Evaluation(graph, seed, accuracy, 1.25, 1000, 50, 2.0)


def test_what_is_added_is_read_again(tmp_path):
    ledger = Ledger(tmp_path)
    every = [training(), training(seed=1, accuracy=1 / 3), training("3:0-1,0-2")]
    for one in every:
        ledger.add(one)
    again = Ledger(tmp_path)
    assert list(again) == list(ledger) == every
    assert again["2:0-1", 1].accuracy == 1 / 3
    assert ("3:0-1,0-2", 1) not in again
    assert len(again) == 3


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_line_that_was_cut_off_is_dropped(tmp_path, cut):
    ledger = Ledger(tmp_path)
    ledger.add(training())
    ledger.add(training(seed=1))
    content = ledger.file.read_bytes()
    ledger.file.write_bytes(content[:-cut])
    again = Ledger(tmp_path)
    assert len(again) == 1
    # It may be a line that another process is just writing.
    assert ledger.file.read_bytes() == content[:-cut]
    again.add(training(seed=1))
    assert ledger.file.read_bytes() == content


@pytest.mark.parametrize("line", ["{}", "no JSON", '{"graph": "2:0-1"}'])
def test_a_foreign_line_is_named(tmp_path, line):
    ledger = Ledger(tmp_path)
    ledger.add(training())
    with ledger.file.open("a") as stream:
        stream.write(f"{line}\n")
    ledger.add(training(seed=1))
    with pytest.raises(ValueError, match="Line 2 of .* is not a training"):
        Ledger(tmp_path)
