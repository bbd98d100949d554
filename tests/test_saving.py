"""Near names, the arguments of callables, and files that are whole or not there."""

import functools
import json
import os

import numpy as np
import pytest

from keras_invprune.saving import (
    UNFINISHED,
    check_takes,
    did_you_mean,
    load_arrays,
    named,
    near_names,
    replaced,
    save_arrays,
    write_json,
)
from keras_invprune_lab.data.kadra import TASKS


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("OMP", ["omp", "iunet"], ["omp"]),
        ("SR-STE", ["sr_ste", "set"], ["sr_ste"]),
        ("logit snip", ["snip", "logit_snip"], ["logit_snip"]),
        ("Credit_G", [task.name for task in TASKS], ["credit-g"]),
        ("miniboon", [task.name for task in TASKS], ["MiniBooNE"]),
        ("q", [task.name for task in TASKS], []),
        (3, ["3"], ["3"]),
    ],
)
def test_near_names(name, known, near):
    assert near_names(name, known) == near


def test_the_question_names_one_or_several():
    assert did_you_mean([]) == ""
    assert did_you_mean(["a"]) == " Did you mean 'a'?"
    assert did_you_mean(["a", "b"]) == " Did you mean 'a' or 'b'?"
    with pytest.raises(ValueError, match="Unknown model: 'B'. Did you mean 'b'"):
        named("B", {"b": 1}, "model")


def of_two(a, b):
    return a, b


class Called:
    def __call__(self, a, b, c=3):
        return a, b, c


@pytest.mark.parametrize("own", [of_two, Called(), lambda *all: all, max])
def test_callables_that_take_the_arguments_pass(own):
    check_takes(own, ("weights", "model"), "score")


@pytest.mark.parametrize("own", [of_two, Called(), functools.partial(of_two, 1, 2)])
def test_others_are_refused_with_what_they_take(own):
    with pytest.raises(TypeError, match=r"^A score is called with \(w\).*takes \("):
        check_takes(own, ("w",), "score")


def test_a_file_is_replaced_once_the_new_one_is_complete(tmp_path):
    file = tmp_path / "state.txt"
    with replaced(file) as new:
        new.write_text("old")
    with pytest.raises(OSError, match="full"), replaced(file) as new:
        new.write_text("ne")
        raise OSError("full")
    assert file.read_text() == "old" and [*tmp_path.iterdir()] == [file]
    with replaced(file) as new:
        new.write_text("new")
    assert file.read_text() == "new" and [*tmp_path.iterdir()] == [file]


def test_replacing_a_file_touches_no_other_one(tmp_path):
    other = tmp_path / "new-state.txt"
    other.write_text("mine")
    with replaced(tmp_path / "state.txt") as new:
        new.write_text("theirs")
    with pytest.raises(OSError, match="full"), replaced(tmp_path / "state.txt"):
        raise OSError("full")
    assert other.read_text() == "mine"


def test_a_shared_file_is_written_under_a_name_of_its_own(tmp_path):
    file = tmp_path / "runs.jsonl"
    with replaced(file, shared=True) as mine, replaced(file) as theirs:
        assert mine != theirs and str(os.getpid()) in mine.name
        assert mine.name.startswith(UNFINISHED)
        for path, text in ((mine, "mine"), (theirs, "theirs")):
            path.write_text(text)
    assert file.read_text() == "mine" and [*tmp_path.iterdir()] == [file]


def test_arrays_come_back_by_name_and_in_order(tmp_path):
    file = tmp_path / "state.npz"
    weights = [np.full((2, 3), n, "float32") for n in range(11)]
    save_arrays(file, *weights, cell="gru", epochs=3)
    found = load_arrays(file)
    assert str(found.pop("cell")) == "gru" and found.pop("epochs") == 3
    for before, after in zip(weights, found.values(), strict=True):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_torn_file_of_arrays_is_refused(keep, tmp_path):
    file = tmp_path / "state.npz"
    save_arrays(file, np.arange(100))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="state.npz is torn, or does not hold arrays"):
        load_arrays(file)


def test_other_files_hold_no_arrays(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none.npz")
    np.save(tmp_path / "one.npy", np.arange(3))
    with pytest.raises(ValueError, match="one.npy is torn, or does not hold arrays"):
        load_arrays(tmp_path / "one.npy")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    file = tmp_path / "report.json"
    write_json(file, {"a": [1, None]})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": [1, None]}
    assert [*tmp_path.iterdir()] == [file]
