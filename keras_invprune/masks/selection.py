"""Selects the largest scores, with exact counts, in a few passes.

Everything here is NumPy on the host. `Scores` and `Masks` are dictionaries from a
weight's key, such as "encoder/dense/kernel", to an array of that weight's shape.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Scores = dict[str, np.ndarray]
Masks = dict[str, np.ndarray]  # True = kept

_SAMPLE_SIZE = 1 << 16
_PIECE_SIZE = 1 << 16  # 256 KiB of float32: a piece and its comparisons fit in cache
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def keep_count(size: int, sparsity: float, dtype: Any = np.float32) -> int:
    """Return how many of `size` weights to keep at a given sparsity.

    The count is max(1, round(size * (1 - sparsity))), at most `size`; halves are
    rounded to even. In float32, the default, it equals TF-MOT's count for a tensor,
    including TF-MOT's rounding errors for tensors of more than 2**24 weights. (If
    TF-MOT would keep more weights than there are, all are kept.)

    Args:
        size: Number of weights.
        sparsity: Share of the weights to prune, in [0, 1).
        dtype: Floating type to compute in. float32 counts exactly up to 2**24. Use
            float64 for larger sizes if TF-MOT's counts need not be matched.

    Returns:
        The number of weights to keep, from 1 to `size` (0 if `size` is 0).

    Raises:
        ValueError: If `sparsity` is outside [0, 1).
    """
    if not 0 <= sparsity < 1:
        hint = f" Did you mean {sparsity / 100:g}?" if 1 < sparsity < 100 else ""
        raise ValueError(
            "`sparsity` is the share of weights to remove and must be in [0, 1). "
            f"Received: sparsity={sparsity}.{hint}"
        )
    density = dtype(1.0 - float(sparsity))
    if float(density) != 1.0 - float(sparsity):
        # No density of this type has this complement: TF-MOT rounds the sparsity.
        density = dtype(1) - dtype(sparsity)
    kept = np.rint(dtype(size) * density)
    return min(size, max(1, int(kept)))


def check_scores(scores: Scores) -> None:
    """Raise if scores cannot be ordered.

    Args:
        scores: Key to scores of any shape, real numbers.

    Raises:
        TypeError: If scores are not real numbers.
        ValueError: If scores are NaN.
    """
    nans = {}
    for key, values in scores.items():
        if not np.issubdtype(_ranking_dtype([values]), np.floating):
            raise TypeError(
                "Scores must be arrays of real numbers. "
                f"Received: dtype {values.dtype} for '{key}'."
            )
        # One pass and no temporary array: the maximum is NaN if any score is.
        if values.size and np.isnan(np.max(values)):
            nans[key] = f"{np.count_nonzero(np.isnan(values))} in '{key}'"
    if nans:
        raise ValueError(
            f"Scores must not be NaN. Received NaNs: {', '.join(nans.values())}. "
            "Check whether a loss or a gradient overflows on the scoring data."
        )


def keep_largest(scores: Scores, count: int) -> Masks:
    """Keep exactly `count` scores, the largest over all tensors together.

    Of equal scores, the earlier one is kept: first by the order of the keys, then by
    flat index. Infinities are ordered as usual, and integers are ranked as floats.

    A sample brackets the threshold, so that only the few scores inside the bracket
    need to be ordered. This takes 2 % of the scores' memory, in addition to the masks.
    If the sample was misleading, the result is still exact but takes two copies of the
    scores. A tensor that is not contiguous is copied.

    Args:
        scores: Key to scores of any shape; dtypes may differ.
        count: Number of weights to keep over all tensors.

    Returns:
        Key to a boolean mask of the scores' shape.

    Raises:
        TypeError: If scores are not real numbers.
        ValueError: If scores are NaN, or if there are fewer than `count`.
    """
    check_scores(scores)
    flats = [np.ravel(values) for values in scores.values()]
    count, total = operator.index(count), sum(flat.size for flat in flats)
    if not 0 <= count <= total:
        raise ValueError(
            f"`count` must be from 0 to the number of scores, {total}. "
            f"Received: count={count}."
        )
    if count == 0:
        return {key: np.zeros(v.shape, bool) for key, v in scores.items()}
    pieces = [piece for flat in flats for piece in _pieces(flat)]
    threshold, at_least = _threshold(pieces, count, _bracket(flats, count))
    kept = [np.greater_equal(flat, threshold) for flat in flats]
    _drop_last_ties(flats, kept, threshold, at_least - count)
    return {
        key: mask.reshape(v.shape)
        for (key, v), mask in zip(scores.items(), kept, strict=True)
    }


def _ranking_dtype(arrays: Iterable[np.ndarray]) -> np.dtype:
    return np.result_type(np.float32, *(array.dtype for array in arrays))


def _pieces(flat: np.ndarray) -> list[np.ndarray]:
    return [flat[i : i + _PIECE_SIZE] for i in range(0, flat.size, _PIECE_SIZE)]


def _bracket(
    flats: Sequence[np.ndarray], count: int
) -> tuple[np.floating, np.floating]:
    """Return two values that very probably enclose the `count`-th largest."""
    starts = np.cumsum([0, *(flat.size for flat in flats)])
    total = starts[-1]
    dtype = _ranking_dtype(flats)
    everything = dtype.type(-np.inf), dtype.type(np.inf)
    if total <= 2 * _SAMPLE_SIZE:
        return everything
    # One place in each stretch of equal length, at a varying offset: a fixed stride may
    # miss most columns of a kernel, while multiples of the golden ratio do not.
    stretches = np.arange(_SAMPLE_SIZE)
    places = stretches + stretches * _GOLDEN_RATIO % 1.0
    positions = (places * (total / _SAMPLE_SIZE)).astype(np.int64)
    cuts = np.searchsorted(positions, starts)
    visits = zip(flats, starts, cuts, cuts[1:], strict=False)
    drawn = [flat[positions[i:j] - start] for flat, start, i, j in visits]
    sample = np.sort(np.concatenate(drawn, dtype=dtype))
    # Five standard deviations of a binomial rank, plus one place for small variances.
    share = count / total
    rank = _SAMPLE_SIZE * (1 - share)
    margin = 5 * math.sqrt(_SAMPLE_SIZE * share * (1 - share)) + 1
    low, high = math.floor(rank - margin), math.ceil(rank + margin)
    return (
        sample[low] if low >= 0 else everything[0],
        sample[high] if high < _SAMPLE_SIZE else everything[1],
    )


def _threshold(
    pieces: list[np.ndarray], count: int, bracket: tuple[np.floating, np.floating]
) -> tuple[np.floating, int]:
    """Return the `count`-th largest value and how many values are >= it."""
    low, high = bracket
    above, inside = _split(pieces, low, high)
    if count <= above:
        larger = _count(np.greater, pieces, high)
        if count > larger:
            return high, above
        return _threshold(pieces, count, (high, high.dtype.type(np.inf)))
    if count > above + inside.size:
        at_least = _count(np.greater_equal, pieces, low)
        if count <= at_least:
            return low, at_least
        return _threshold(pieces, count, (low.dtype.type(-np.inf), low))
    place = inside.size - (count - above)
    inside.partition(place)
    return inside[place], above + int(np.count_nonzero(inside >= inside[place]))


def _split(
    pieces: list[np.ndarray], low: np.floating, high: np.floating
) -> tuple[int, np.ndarray]:
    """Return the number of values >= high, and the values between low and high."""
    above, inside = 0, []
    for piece in pieces:
        is_above = piece >= high
        above += int(np.count_nonzero(is_above))
        inside.append(piece[(piece > low) & ~is_above])
    return above, np.concatenate(inside, dtype=low.dtype)


def _count(compare: Callable, pieces: list[np.ndarray], value: np.floating) -> int:
    return sum(int(np.count_nonzero(compare(piece, value))) for piece in pieces)


def _drop_last_ties(
    flats: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    threshold: np.floating,
    surplus: int,
) -> None:
    """Set the masks of the last `surplus` places that equal the threshold to False."""
    for flat, mask in zip(reversed(flats), reversed(masks), strict=True):
        pieces = zip(_pieces(flat), _pieces(mask), strict=True)
        for piece, mask_piece in reversed(list(pieces)):
            if surplus == 0:
                return
            ties = piece == threshold
            number = int(np.count_nonzero(ties))
            if number > surplus:
                ties[np.flatnonzero(ties)[:-surplus]] = False
            mask_piece ^= ties
            surplus -= min(number, surplus)
