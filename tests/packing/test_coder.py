import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune.packing.coder import TOTAL, Decoder, Encoder, Meter
from keras_invprune.packing.symbols import code_symbols, frequencies_of
from packed_format import decoder


@st.composite
def coded(draw):
    """(symbols, frequencies, the frequencies of each symbol) of several calls."""
    random, calls = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), []
    for _ in range(draw(st.integers(0, 3))):
        count, alphabet = draw(st.integers(0, 20)), draw(st.integers(2, 256))
        spread = draw(st.integers(1, 24))
        rows = [
            frequencies_of(random.integers(1, 1 << spread, alphabet, endpoint=True))
            for _ in range(count)
        ]
        if count and draw(st.booleans()):  # all symbols have the same frequencies
            frequencies, rows = rows[0], [rows[0]] * count
        else:
            frequencies = np.array(rows, np.int64).reshape(count, alphabet)
        likely = draw(st.booleans())
        symbols = [
            int(row.argmax() if likely else random.integers(alphabet)) for row in rows
        ]
        calls.append((np.array(symbols, np.int64), frequencies, rows))
    return calls


@given(coded())
def test_symbols_come_back_here_and_by_the_documented_decoder(calls):
    encoder = Encoder()
    for symbols, frequencies, _ in calls:
        encoder.code(len(symbols), frequencies, symbols)
    content = encoder.to_bytes()
    ours, documented = Decoder(content), decoder()["Stream"](content)
    for symbols, frequencies, rows in calls:
        np.testing.assert_array_equal(ours.code(len(symbols), frequencies), symbols)
        assert [documented.symbol(row.tolist()) for row in rows] == symbols.tolist()
    assert ours.is_exhausted()


@given(coded())
def test_bits_are_those_of_the_probabilities(calls):
    meter, encoder, expected = Meter(), Encoder(), 0.0
    for symbols, frequencies, rows in calls:
        meter.code(len(symbols), frequencies, symbols)
        encoder.code(len(symbols), frequencies, symbols)
        for symbol, row in zip(symbols, rows, strict=True):
            expected -= np.log2(row[symbol] / TOTAL)
    assert meter.bits == pytest.approx(expected) == encoder.bits
    assert 8 * len(encoder.to_bytes()) < meter.bits + 64


@given(st.lists(st.integers(1, 2**30), min_size=1, max_size=256))
def test_frequencies_are_whole_shares(counts):
    found, shares = frequencies_of(np.array(counts)), np.array(counts) / sum(counts)
    assert found.sum() == TOTAL and found.min() >= 1
    np.testing.assert_allclose(found / TOTAL, shares, atol=2**-10 + 2**-22)


@given(st.integers(0, 300), st.integers(1, 256), st.integers(0, 99))
def test_runs_of_symbols_come_back(count, alphabet, seed):
    symbols = np.random.default_rng(seed).integers(0, alphabet, count)
    encoder = Encoder()
    code_symbols(encoder, count, alphabet, symbols)
    content = encoder.to_bytes()
    found = code_symbols(Decoder(content), count, alphabet)
    np.testing.assert_array_equal(found, symbols)
    documented = decoder()["Stream"](content).run(count, alphabet)
    np.testing.assert_array_equal(documented, symbols)


def test_a_run_costs_little_more_than_its_entropy():
    shares = np.array([0.7, 0.1, 0.1, 0.05, 0.05])
    symbols = np.random.default_rng(0).choice(5, 5000, p=shares)
    meter = Meter()
    code_symbols(meter, len(symbols), 5, symbols)
    counts = np.bincount(symbols)
    entropy = -np.sum(counts * np.log2(counts / counts.sum()))
    assert entropy < meter.bits < 1.01 * entropy


@pytest.mark.parametrize("rows", [1, 5000])
def test_garbage_is_refused_or_decoded_but_never_crashes(rows):
    frequencies = np.array([TOTAL // 4, 3 * (TOTAL // 4)])
    if rows > 1:
        frequencies = np.tile(frequencies, (rows, 1))
    random, refused = np.random.default_rng(0), 0
    for _ in range(40):
        try:
            Decoder(random.bytes(4000)).code(5000, frequencies)
        except ValueError as error:
            assert "invalid" in str(error)
            refused += 1
    assert 0 < refused


def test_what_lacks_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"pip install '.\[pack\]'"):
        Encoder()
