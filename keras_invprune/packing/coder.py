"""Range coding by constriction: symbols in, bytes out, and back.

Probabilities are integers, so that a file means the same on every machine: a symbol's
frequency is its share of 2**24. constriction takes floats, but computes exactly these
integers from ``frequency - 1``, since those add up to 2**24 less the number of symbols,
so that its scale is 1. `docs/packed_format.md` has the decoder in plain Python.

All coders have the same method `code`, so that one function describes both directions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

PRECISION = 24
TOTAL = 1 << PRECISION
WORD = "<u4"


class Meter:
    """Counts bits and codes nothing.

    Attributes:
        bits: The information in the symbols so far, -log2 of their probabilities.
    """

    def __init__(self) -> None:
        self.bits = 0.0

    def code(
        self, count: int, frequencies: np.ndarray, symbols: Any = None
    ) -> np.ndarray:
        """Count the bits of symbols.

        Args:
            count: Their number n.
            frequencies: [k] for all of them, or [n, k]. Integers of at least 1, which
                add up to 2**24. There are at least two symbols, k > 1.
            symbols: Integers in [0, k), [n]; a decoder ignores them.

        Returns:
            `symbols`.
        """
        del count
        if frequencies.ndim == 1:
            chosen = frequencies[symbols]
        else:
            places = symbols[:, None].astype(np.intp)
            chosen = np.take_along_axis(frequencies, places, 1)
        self.bits += float(np.sum(PRECISION - np.log2(chosen)))
        return symbols


class Encoder(Meter):
    """Codes symbols into one stream."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = _constriction()
        self._coder = self._stream.queue.RangeEncoder()

    def code(
        self, count: int, frequencies: np.ndarray, symbols: Any = None
    ) -> np.ndarray:
        """Append symbols to the stream; see `Meter.code`."""
        if count:
            given = np.ascontiguousarray(symbols, np.int32)
            self._coder.encode(given, *_model(self._stream, frequencies))
        return super().code(count, frequencies, symbols)

    def to_bytes(self) -> bytes:
        """Return the stream: 32-bit words, the lowest byte first."""
        return self._coder.get_compressed().astype(WORD).tobytes()


class Decoder:
    """Reads symbols from a stream; past its end, it reads zeros.

    Args:
        content: What `Encoder.to_bytes` returned: a multiple of 4 bytes.
    """

    def __init__(self, content: bytes | memoryview):
        self._stream = _constriction()
        words = np.frombuffer(content, WORD).astype(np.uint32, copy=False)
        self._coder = self._stream.queue.RangeDecoder(words)

    def code(
        self, count: int, frequencies: np.ndarray, symbols: Any = None
    ) -> np.ndarray:
        """Return the next symbols, [count]; see `Meter.code`.

        Raises:
            ValueError: If no symbols have this code.
        """
        del symbols
        if not count:
            return np.zeros(0, np.int32)
        model = _model(self._stream, frequencies)
        try:
            return self._coder.decode(*model, *(() if len(model) == 2 else (count,)))
        except AssertionError as error:  # its error if one model is for all symbols
            raise ValueError(str(error)) from error

    def is_exhausted(self) -> bool:
        """Return whether the stream may end here."""
        return self._coder.maybe_exhausted()


Coder = Meter | Decoder


def _constriction() -> Any:
    try:
        from constriction import stream
    except ImportError as error:
        raise ImportError(
            "Packed files are coded by constriction: pip install '.[pack]'."
        ) from error
    return stream


def _model(stream: Any, frequencies: np.ndarray) -> tuple:
    """Return constriction's model, and its parameters if it has any."""
    weights = np.ascontiguousarray(frequencies - 1, np.float64)
    categorical: Callable = stream.model.Categorical
    if weights.ndim == 1:
        return (categorical(weights, perfect=False),)
    return categorical(perfect=False), weights
