"""Strings of the Reber grammar, and strings that only look like them.

The grammar is the automaton of Reber (1967) with twelve edges::

    0 -B-> 1     1 -T-> 2     2 -S-> 2     3 -T-> 3     4 -X-> 3     5 -P-> 4
                 1 -P-> 3     2 -X-> 4     3 -V-> 5     4 -S-> 6     5 -V-> 6
    6 -E-> end

At each fork, both edges are equally likely. An embedded string is a Reber string
between two equal letters T or P, after a B and before an E. Whether it is valid depends
on letters that are far apart.

Source:
    Reber 1967, Implicit learning of artificial grammars; Stier et al. 2021
    (2107.12917): 25,000 distinct strings of 11 to 53 letters, half of them valid.
"""

import bisect
import random
import string as alphabets
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from typing import Literal

import numpy as np

from keras_invprune.arguments import check_seed
from keras_invprune.saving import named
from keras_invprune_lab.data.base import Data

SHORTEST, LONGEST = 11, 53
TESTED = 0.25  # of the strings, as in the paper
MOST = 100_000  # strings of a data set; a stream has no end
LETTERS = "BTPSXTVXSPVE"  # of the edges, in this order:
EDGES = ((0, 1), (1, 2), (1, 3), (2, 2), (2, 4), (3, 3))
EDGES += ((3, 5), (4, 3), (4, 6), (5, 4), (5, 6), (6, 7))
LAST = 7
NEXT = {(a, LETTERS[e]): b for e, (a, b) in enumerate(EDGES)}
# The negatives of the paper's data: the same automaton with other letters, and the
# share of each. The first three have letters of the grammar alone.
RELABELED = {
    "BPTSXTVXSPVE": 0.12,
    "BTPSXTVPVXSE": 0.12,
    "BTPXSVTXSPVE": 0.20,
    "BACDFJIHGLKE": 0.16,
    "BMNOQWVURZYE": 0.16,
    "BMNOQCAURFDE": 0.12,
    "BQOMNCAURFDE": 0.12,
}


def is_reber(text: str, embedded: bool = False) -> bool:
    """Return whether a string belongs to the grammar.

    Args:
        text: Of the letters B, E, P, S, T, V and X.
        embedded: Whether it must be an embedded string.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it has a letter that no string of the grammar has.

    Example:
        >>> is_reber("BTXSE"), is_reber("BTXPE"), is_reber("BTBTXSETE", embedded=True)
        (True, False, True)
    """
    if not isinstance(text, str):
        raise TypeError(
            "`text` must be a string of the letters B, E, P, S, T, V and X. Received: "
            f"{text!r} of type {type(text).__name__}."
        )
    foreign = sorted(set(text) - set(LETTERS))
    if foreign:
        raise ValueError(
            "A Reber string has only the letters B, E, P, S, T, V and X. Received: "
            f"{text!r}, which has {', '.join(map(repr, foreign))}. Write capital "
            "letters, or treat such a string as invalid."
        )
    if embedded:
        outer, inner = text[:2] + text[-2:], text[2:-2]
        return outer in ("BTTE", "BPPE") and is_reber(inner)
    state: int | None = 0
    for letter in text:
        state = NEXT.get((state, letter)) if state is not None else None
    return state == LAST


def _ways(letters) -> list[list[tuple[str, int]]]:
    """Return the (letter, next state) of the edges that leave each state."""
    return [
        [(letters[e], b) for e, (a, b) in enumerate(EDGES) if a == state]
        for state in range(LAST)
    ]


REBER = _ways(LETTERS)
OTHERS = [_ways(letters) for letters in RELABELED]
LIMITS = list(accumulate(RELABELED.values()))


def walk(lots: random.Random, ways: list[list[tuple[str, int]]] = REBER) -> str:
    """Return the string of one random walk through an automaton.

    Args:
        lots: Decides at the forks; only its method `random` is used, since Python
            promises that it gives the same numbers in all versions.
        ways: For each state, the (letter, next state) of its one or two edges.
    """
    state, found, lot = 0, [], lots.random
    while state != LAST:
        leaving = ways[state]
        letter, state = leaving[0] if len(leaving) == 1 or lot() < 0.5 else leaving[1]
        found.append(letter)
    return "".join(found)


def _relabeled(lots, drawn):
    """Walk through the automaton with other letters on its edges."""
    return drawn(OTHERS[bisect.bisect(LIMITS, lots.random() * LIMITS[-1])])


def _perturbed(lots, drawn):
    """Replace one letter of a valid string by another one of the grammar."""
    text = drawn(REBER)
    place = int(lots.random() * len(text))
    others = sorted(set(LETTERS) - {text[place]})
    return text[:place] + others[int(lots.random() * len(others))] + text[place + 1 :]


def _random(lots, drawn):
    """Draw each letter of A to Z, as many as a valid string has."""
    letters = alphabets.ascii_uppercase
    return "".join(letters[int(lots.random() * 26)] for _ in drawn(REBER))


Negatives = Literal["relabeled", "perturbed", "random"]
NEGATIVES: dict[str, Callable] = {
    "relabeled": _relabeled,
    "perturbed": _perturbed,
    "random": _random,
}


def stream(
    seed: int, negatives: Negatives = "relabeled", embedded: bool = False
) -> Iterator[tuple[str, bool]]:
    """Yield strings without end, and whether they are valid.

    Strings have `SHORTEST` to `LONGEST` letters. Both labels are equally likely.
    Strings may come again, since none is remembered.

    Args:
        seed: The same one gives the same strings on every machine.
        negatives: The strings that are not valid: "relabeled" (the paper's: the
            automaton with other letters on its edges, for 56 % of them letters that are
            not of the grammar), "perturbed" (a valid string with one letter replaced by
            another of the grammar) or "random" (letters from A to Z).
        embedded: Whether valid strings are embedded.

    Raises:
        ValueError: If there are no such negatives; near names are given. Or if the
            seed is not an integer of at least 0.
    """
    named(negatives, NEGATIVES, "kind of negatives")
    return _mixed(_lots(seed), negatives, embedded)


def _lots(seed) -> random.Random:
    check_seed(seed)  # Python would take a string as well
    return random.Random(int(seed))


def _mixed(lots, negatives, embedded):
    invalid, valid = (_strings(lots, kind, embedded) for kind in (negatives, None))
    while True:
        label = lots.random() < 0.5
        yield next(valid if label else invalid), label


def _strings(lots, negatives, embedded) -> Iterator[str]:
    """Yield valid strings, or, if `negatives` names some, those."""

    def drawn(ways):
        text = walk(lots, ways)
        if embedded:
            end = "TP"[lots.random() < 0.5]
            text = f"B{end}{text}{end}E"
        return text

    while True:
        text = NEGATIVES[negatives](lots, drawn) if negatives else drawn(REBER)
        if SHORTEST <= len(text) <= LONGEST:
            if not negatives or not _known(text, embedded):
                yield text


def _known(text, embedded) -> bool:
    return set(text) <= set(LETTERS) and is_reber(text, embedded)


def encode(texts: list[str]) -> np.ndarray:
    """Return the ASCII codes of strings, with zeros at the end.

    Args:
        texts: n strings of letters from A to Z, of at most `LONGEST`.

    Returns:
        int32 [n, LONGEST].

    Raises:
        ValueError: If a string has other letters or is longer.
    """
    codes = np.zeros((len(texts), LONGEST), "int32")
    for row, text in zip(codes, texts, strict=True):
        if len(text) > LONGEST or not set(text) <= set(alphabets.ascii_uppercase):
            raise ValueError(
                f"A string must have at most {LONGEST} letters, all from A to Z. "
                f"Received: {text!r}."
            )
        row[: len(text)] = list(text.encode("ascii"))
    return codes


def reber(
    rows: int, seed: int = 0, negatives: Negatives = "relabeled", embedded: bool = False
) -> Data:
    """Return a data set of distinct strings; a quarter is the test set.

    As no string comes twice, none of the test set is in the training set. (In the
    paper's files, one is.) In both parts, half of the strings are valid. Since the
    short strings run out, the valid ones become longer the more there are, on average
    23 letters of 12,500.

    Args:
        rows: Number of strings, a multiple of 8 of at most `MOST`.
        seed: Of the strings and the split.
        negatives: See `stream`.
        embedded: See `stream`.

    Returns:
        `Data` of ASCII codes, int32 [n, LONGEST]. Class 1 is valid.

    Raises:
        ValueError: If the number of rows is out of range, if there are no such
            negatives, or if the seed is not an integer of at least 0.
    """
    _check_rows(rows)
    named(negatives, NEGATIVES, "kind of negatives")
    lots = _lots(seed)
    classes = [
        _distinct(_strings(lots, kind, embedded), rows // 2)
        for kind in (negatives, None)
    ]
    tested = int(TESTED * rows / 2)
    parts: dict[str, list] = {"train": [], "test": []}
    for label, texts in enumerate(classes):
        mixed = sorted(texts, key=lambda _: lots.random())
        parts["test"] += [(text, label) for text in islice(mixed, tested)]
        parts["train"] += [(text, label) for text in islice(mixed, tested, None)]
    arrays = []
    for part in parts.values():
        part.sort(key=lambda _: lots.random())
        arrays += [encode([t for t, _ in part]), np.array([y for _, y in part])]
    return Data(*arrays, names=("invalid", "valid"))


def _check_rows(rows):
    if not 8 <= rows <= MOST or rows % 8:
        raise ValueError(
            "A set of Reber strings has a number of rows that is a multiple of 8 (two "
            f"classes, a quarter for the test), from 8 to {MOST}. Received: {rows}."
        )


def _distinct(texts, count) -> list[str]:
    """Return the first different ones."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[next(texts)] = None
    return list(found)


OPTIONS = ("embedded", *NEGATIVES)


def parse_name(rest: str) -> dict:
    """Return the arguments of `reber` that ``"25000:embedded:perturbed"`` stands for.

    Raises:
        ValueError: If it is not such a name.
    """
    rows, *options = rest.split(":")
    if not rows.isdecimal():
        raise ValueError(
            "Reber strings are named 'reber:ROWS', such as 'reber:25000', and options "
            f"{', '.join(OPTIONS)} after another colon. Received: 'reber:{rest}'."
        )
    _check_rows(int(rows))
    found: dict = {"rows": int(rows)}
    for option in options:
        named(option, dict.fromkeys(OPTIONS), "option of Reber strings")
        embedded = option == "embedded"
        key = "embedded" if embedded else "negatives"
        if key in found:
            raise ValueError(f"{key!r} is given twice. Received: 'reber:{rest}'.")
        found[key] = embedded or option
    return found
