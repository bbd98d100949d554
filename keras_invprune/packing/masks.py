"""Masks as symbols: which weights are not zero, and how likely that is.

A mask is coded row by row. The probability that a weight is not zero is that of its
row, which a context predicts, times the relative weight of its column, which the rows
before tell. With n_i ones expected in row i of C columns, c_j ones seen in column j
and T ones seen at all, it is n_i (c_j + 1/2) / (T + C/2). All numbers are integers, so
that every machine computes the same.
"""

import dataclasses
import math

import numpy as np

from keras_invprune.packing.coder import PRECISION, TOTAL, Coder

SINGLE, ALIKE, NEIGHBORS, PREVIOUS = range(4)
LEAST = TOTAL >> 10  # frequency of the less likely symbol, at least
FINE = 40  # bits of a fraction
# Each row takes a call, and the products below must stay under 2**63.
NARROWEST, WIDEST = 16, 1 << 14
CHUNK = 1 << 16  # symbols of one row that are coded at once
LAGS = 4096  # rows that are searched for similar ones
SIMILAR = 0.2  # correlation of rows that may be similar
STRIDES = 2  # how many distances are tried


@dataclasses.dataclass(frozen=True)
class Context:
    """What predicts the number of ones in a row.

    Attributes:
        kind: SINGLE: the whole array is one row. ALIKE: all rows are alike. NEIGHBORS:
            the row before, and those around `stride` rows before. PREVIOUS: the column
            of the previous mask that makes what this row reads.
        transposed: Whether the columns are the first axis instead of the last one.
        stride: A number of rows, for NEIGHBORS.
    """

    kind: int = SINGLE
    transposed: bool = False
    stride: int = 0

    def matrix(self, array: np.ndarray) -> np.ndarray:
        """Return a view of an array as [rows, columns]."""
        if self.kind == SINGLE:
            return array.reshape(1, -1)
        if self.transposed:
            return array.reshape(array.shape[0], -1).T
        return array.reshape(-1, array.shape[-1])

    def fault(self, shape: tuple[int, ...], previous: np.ndarray) -> str:
        """Return why it does not suit an array, or ""."""
        if self.kind == SINGLE:
            return ""
        if self.kind > PREVIOUS or len(shape) < 2 or 0 in shape:
            return "its context is unknown, or has no rows"
        columns = shape[0] if self.transposed else shape[-1]
        if not NARROWEST <= columns <= WIDEST:
            return f"its rows have {columns} columns"
        rows = math.prod(shape) // columns
        if self.kind == PREVIOUS and (not len(previous) or rows % len(previous)):
            return "the mask before it has other columns"
        if self.kind == NEIGHBORS and not 1 <= self.stride <= rows:
            return f"rows at a distance of {self.stride} cannot be similar"
        return ""


def contexts(mask: np.ndarray, previous: np.ndarray) -> list[Context]:
    """Return the contexts that are worth a try.

    Args:
        mask: Truth values, of the array's shape.
        previous: The ones in each column of the previous mask.
    """
    found = [Context()]
    for transposed in (False, True) if mask.ndim > 1 and mask.size else ():
        one = Context(ALIKE, transposed)
        in_rows = one.matrix(mask)[:LAGS].sum(axis=1)
        found += [one, Context(PREVIOUS, transposed), Context(NEIGHBORS, transposed, 1)]
        found += [Context(NEIGHBORS, transposed, lag) for lag in _lags(in_rows)]
    return [one for one in found if not one.fault(mask.shape, previous)]


def _lags(in_rows: np.ndarray) -> list[int]:
    """Return the distances at which rows have similar numbers of ones."""
    values = in_rows - in_rows.mean()
    half = len(values) // 2
    if half < 3 or not values.any():
        return []
    alike = np.correlate(values, values, "full")[len(values) - 1 :] / (values @ values)
    lags = 2 + np.argsort(-alike[2:half], kind="stable")[:STRIDES]
    return [int(lag) for lag in lags if alike[lag] > SIMILAR]


def code_mask(
    coder: Coder, mask: np.ndarray, ones: int, context: Context, previous: np.ndarray
) -> np.ndarray:
    """Code a mask, or decode it into the array that is given.

    Args:
        coder: An `Encoder`, a `Meter` or a `Decoder`.
        mask: Integers 0 and 1 in the array's shape. A decoder overwrites them.
        ones: Number of ones in it.
        context: What predicts the ones of a row.
        previous: The ones in each column of the previous mask.

    Returns:
        The same for the next mask.
    """
    matrix = context.matrix(mask)
    if context.kind == SINGLE:
        _code_row(coder, matrix[0], ones)
        return previous
    rows, columns = matrix.shape
    seen, in_rows = np.zeros(columns, np.int64), np.zeros(rows, np.int64)
    total = weights = 0
    for row in range(rows):
        weight = _weight(row, in_rows, context, previous)
        # As in the rows before by their weights, after one row like the average.
        share = (weight * (total * rows + ones) << FINE) // (rows * (weights + weight))
        share = min(share, columns << FINE) // (2 * total + columns)
        likely = share * (2 * seen + 1) >> (FINE - PRECISION)
        matrix[row] = coder.code(columns, _frequencies(likely), matrix[row])
        seen += matrix[row]
        in_rows[row] = matrix[row].sum()
        total += int(in_rows[row])
        weights += weight
    return seen


def _code_row(coder: Coder, row: np.ndarray, ones: int) -> None:
    """Code a row whose weights are all alike."""
    both = _frequencies(np.array(ones * TOTAL // max(1, len(row))))
    for start in range(0, len(row), CHUNK):
        part = row[start : start + CHUNK]
        part[:] = coder.code(len(part), both, part)


def _frequencies(likely: np.ndarray) -> np.ndarray:
    """Return the frequencies of 0 and 1, from those of 1."""
    ones = np.clip(likely, LEAST, TOTAL - LEAST)
    return np.stack([TOTAL - ones, ones], axis=-1)


def _weight(
    row: int, in_rows: np.ndarray, context: Context, previous: np.ndarray
) -> int:
    """Return the ones expected in a row, relative to those of other rows."""
    if context.kind == PREVIOUS:
        return 8 + math.isqrt(64 * int(previous[row % len(previous)]))
    if context.kind == ALIKE:
        return 1
    back = context.stride
    near = [(2, row - 1), (2, row - back), (1, row - back + 1)]
    near = [(times, int(in_rows[at])) for times, at in near if 0 <= at < row]
    shared = sum(times for times, _ in near)
    return 1 + 16 * sum(times * ones for times, ones in near) // max(1, shared)
