"""Reber strings: the grammar, by a regular expression; what a data set promises."""

import re
from itertools import islice

import numpy as np
import pytest

from keras_invprune_lab.data import check_name, load
from keras_invprune_lab.data.reber import (
    LETTERS,
    LONGEST,
    NEGATIVES,
    RELABELED,
    SHORTEST,
    encode,
    is_reber,
    reber,
    stream,
)

# Written down from the automaton, by eliminating its states.
LOOP = "T*V(PXT*V)*"
GRAMMAR = re.compile(f"B(TS*X(S|X{LOOP}(PS|V))|P{LOOP}(PS|V))E")
SEED_0 = ["BPVPXVPXVPXTVVE", "BTSSSXXTVPXVPXVVE", "BTSSSXXTTVVE"]
KINDS = [(kind, embedded) for kind in NEGATIVES for embedded in (False, True)]


def belongs(text, embedded=False):
    if not embedded:
        return GRAMMAR.fullmatch(text) is not None
    outer = re.fullmatch("B(T|P)(.*)(T|P)E", text)
    return outer is not None and outer[1] == outer[3] and belongs(outer[2])


@pytest.fixture(scope="module", params=KINDS, ids=str)
def drawn(request):
    """Negatives, whether embedded, and strings of a stream."""
    return *request.param, list(islice(stream(3, *request.param), 400))


@pytest.fixture(scope="module")
def data():
    return reber(2000, seed=1)


def words(codes):
    return [bytes(row[row > 0].astype("uint8")).decode() for row in codes]


def test_strings_of_a_stream_are_what_their_label_says(drawn):
    _, embedded, strings = drawn
    assert [belongs(text, embedded) for text, _ in strings] == [v for _, v in strings]
    assert 150 < sum(valid for _, valid in strings) < 250
    assert all(SHORTEST <= len(text) <= LONGEST for text, _ in strings)


def test_the_checker_agrees_with_the_expression(drawn):
    _, embedded, strings = drawn
    known = [(text, v) for text, v in strings if set(text) <= set(LETTERS)]
    assert len(known) > 150
    assert all(is_reber(text, embedded) == valid for text, valid in known)
    changed = [text[:k] + "S" + text[k:] for text, _ in known for k in (1, 2, 5, 8)]
    found = [is_reber(text, embedded) for text in changed]
    assert found == [belongs(text, embedded) for text in changed]
    assert {True, False} == set(found)


@pytest.mark.parametrize("text", ["", "B", "BTXS", "BTXSEE", "TXSE", "BTXSEBTXSE"])
def test_unfinished_and_overlong_strings_are_not_valid(text):
    assert not is_reber(text) and not is_reber(text, embedded=True)


@pytest.mark.parametrize("text", ["BTXSZE", "btxse", "BTXSE ", "BTXSÉ", "BT1SE"])
def test_foreign_letters_are_an_error(text):
    with pytest.raises(ValueError, match="has only the letters B, E, P, S, T, V and X"):
        is_reber(text)


@pytest.mark.parametrize("text", [None, 3, ["B"]])
def test_what_is_not_a_string_is_named(text):
    with pytest.raises(TypeError, match="`text` must be a string .* of type"):
        is_reber(text)


@pytest.mark.parametrize("seed", ["a", None, -1, 0.5, True])
def test_seeds_are_integers(seed):
    for draw in (stream, lambda seed: reber(80, seed)):
        with pytest.raises(ValueError, match="`seed` must be an integer"):
            draw(seed)


def test_a_seed_gives_the_same_strings_everywhere():
    # Python promises the numbers of `random.Random.random`; written down on Linux.
    found = [text for text, valid in islice(stream(0), 8) if valid]
    assert found == SEED_0
    assert list(islice(stream(1), 20)) != list(islice(stream(2), 20))


def test_one_letter_of_a_perturbed_string_is_wrong():
    texts = [t for t, valid in islice(stream(0, "perturbed"), 100) if not valid]
    letters = sorted(set(LETTERS))
    for text in texts:
        near = (text[:i] + c + text[i + 1 :] for i in range(len(text)) for c in letters)
        assert any(map(belongs, near))


def test_relabeled_strings_walk_through_the_same_automaton(data):
    texts = words(data.x_train[data.y_train == 0])
    machines = []
    for letters in RELABELED:
        # An expression over the edges, whose letters are then replaced.
        edges = dict(zip("abcdefghijkl", letters, strict=True))
        loop = "f*g(jhf*g)*"
        plain = f"a(bd*e(i|h{loop}(ji|k))|c{loop}(ji|k))l"
        machines.append(re.compile("".join(edges.get(sign, sign) for sign in plain)))
    counts = np.zeros(len(machines))
    for text in texts:
        fits = [machine.fullmatch(text) is not None for machine in machines]
        assert any(fits)
        counts += np.array(fits) / sum(fits)
    np.testing.assert_allclose(counts / len(texts), [*RELABELED.values()], atol=0.04)


def test_no_string_comes_twice_and_classes_are_balanced(data):
    assert data.x_train.shape == (1500, LONGEST) and data.x_test.shape == (500, LONGEST)
    assert data.y_train.mean() == 0.5 and data.y_test.mean() == 0.5
    assert data.names == ("invalid", "valid")
    texts = words(np.concatenate([data.x_train, data.x_test]))
    assert len(set(texts)) == 2000
    labels = np.concatenate([data.y_train, data.y_test])
    assert [belongs(text) for text in texts] == list(labels == 1)
    assert 0 < np.abs(np.diff(data.y_train)).mean() < 1  # mixed


def test_a_data_set_depends_on_its_seed_alone(data):
    again, other = reber(2000, seed=1), reber(2000, seed=2)
    np.testing.assert_array_equal(again.x_train, data.x_train)
    np.testing.assert_array_equal(again.y_test, data.y_test)
    assert not np.array_equal(other.x_train, data.x_train)


def test_codes_are_ascii_with_zeros_at_the_end():
    codes = encode(["BTXSE", "Z" * LONGEST])
    assert codes.dtype == "int32" and codes.shape == (2, LONGEST)
    assert [chr(code) for code in codes[0, :5]] == list("BTXSE")
    assert not codes[0, 5:].any() and (codes[1] == ord("Z")).all()


@pytest.mark.parametrize("text", ["B" * (LONGEST + 1), "Btxse", "B\x00E"])
def test_other_strings_are_not_encoded(text):
    with pytest.raises(ValueError, match="at most 53 letters, all from A to Z"):
        encode(["BTXSE", text])


def test_it_is_loaded_by_name():
    data = load("reber:80:embedded:perturbed", seed=4, validation=0.2)
    assert len(data.x_train) == 48 and len(data.x_valid) == 12 == 0.2 * 60
    assert all(belongs(t, embedded=True) for t in words(data.x_test[data.y_test == 1]))
    assert data.x_valid.dtype == "int32"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reber:many", "such as 'reber:25000'"),
        ("reber:", "such as|named"),
        ("reber:80:embeddet", "Did you mean 'embedded'"),
        ("reber:80:random:perturbed", "'negatives' is given twice"),
        ("rebar:80", "Did you mean 'reber:80'"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(ValueError, match=message):
        check_name(name)


@pytest.mark.parametrize("rows", [0, 4, 81, 200_000])
def test_wrong_numbers_of_strings(rows):
    with pytest.raises(ValueError, match="multiple of 8"):
        reber(rows)


def test_unknown_negatives():
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        stream(0, "randon")
