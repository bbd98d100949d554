"""Finds what a budget of milliseconds leaves, by timing the files of whole networks.

Widths decide how fast a runtime's kernels are, so a file may take far longer than its
layers let expect. A prediction only says where to begin, and which networks are larger.
"""

import logging
from collections.abc import Callable

import keras
import numpy as np

from keras_invprune.compaction.compact import compact
from keras_invprune.contracts import Arrays
from keras_invprune.graph.copying import copy_model
from keras_invprune.graph.weights import weights_by_key

logger = logging.getLogger("keras_invprune")

FILES, GUIDED = 10, 4  # the most that are timed, and before one of the least network
CLOSE = 0.03  # the share of the limit that may be left unused
GAP = 0.005  # of a share: no more are tried between closer ones
EDGE = 0.2  # of the way between two shares, at which none is tried
FILLED = 0.01  # what weights become that are all zero, as before training


def largest(
    candidate: Callable[[float], tuple[float, Arrays]],
    time: Callable[[Arrays], float],
    limit: float,
    dense: float,
    least: float,
) -> tuple[float | None, float]:
    """Return what may be left of a predicted cost so that a file meets a limit.

    The first share is that of the prediction. Until one meets the limit, the next
    follow in proportion, in longer and longer steps. Between a share that meets the
    limit and one that does not, straight lines lead to the next. Where times jump, a
    share above may meet the limit, too.

    Args:
        candidate: ``share of the cost -> (cost, masks)`` of the largest network that
            costs no more. A larger share never leaves less.
        time: ``masks -> milliseconds`` of the file, called at most `FILES` times.
        limit: The milliseconds that are allowed.
        dense: Those of the given network, above the limit.
        least: The cost of the smallest network.

    Returns:
        The largest share that was tried and meets the limit, with the milliseconds
        then; or None, with the fewest milliseconds of all files.
    """
    found: dict[float, float] = {}  # milliseconds by cost
    best, low, high = None, None, (1.0, dense)
    share, aim = max(least, limit / dense), limit * (1 - CLOSE / 2)
    while len(found) < FILES:
        cost, masks = candidate(share)
        fresh = cost not in found
        if fresh:
            found[cost] = time(masks)
            logger.info(
                "File %d: predicted %.5g ms, measured %.5g ms of %.5g.",
                len(found),
                cost * dense,
                found[cost],
                limit,
            )
        if found[cost] > limit:
            high = cost, found[cost]
        else:
            low = share, found[cost]
            best = low if fresh else best
        if low is None:
            if cost <= least * (1 + GAP):
                break
            ahead = high[0] * (aim / high[1]) ** len(found)  # further each time
            share = max(least, ahead) if len(found) < GUIDED else least
        else:
            gap = high[0] - low[0]
            if low[1] >= (1 - CLOSE) * limit or gap <= GAP * high[0]:
                break
            way = (aim - low[1]) / (high[1] - low[1])
            share = low[0] + gap * min(max(way, EDGE), 1 - EDGE)
    return best or (None, min(found.values()))


def cut(model: keras.Model, masks: Arrays) -> keras.Model:
    """Return a model of the shapes that masks leave, for its milliseconds.

    Weights that are all zero, such as new biases, will not be so after training, and
    would let `compact` remove more.

    Args:
        model: A plain model, which is not changed.
        masks: ``{key: bool array}``.
    """
    copied = copy_model(model, otherwise="")
    for key, (_, variable) in weights_by_key(copied).items():
        value = variable.numpy()
        if keras.backend.is_float_dtype(variable.dtype) and not value.any():
            value = np.full_like(value, FILLED)
        variable.assign(np.where(masks.get(key, True), value, np.zeros_like(value)))
    return compact(copied)
