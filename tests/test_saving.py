"""Near names, whatever their case, and the arguments of callables."""

import functools

import pytest

from keras_invprune.saving import check_takes, did_you_mean, named, near_names, replaced
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
