"""Which channels can be removed, so that all that is tied together agrees."""

import math
from typing import NamedTuple

import numpy as np

from keras_invprune.compaction.liveness import Liveness, reads, with_needed
from keras_invprune.compaction.network import Network, Node


class Kept(NamedTuple):
    """What stays.

    Attributes:
        signals: For each tensor, whether each of its channels stays.
        axes: ``{(owner, axis): whether each channel stays}``; the owner is that of
            `Node.key`.
    """

    signals: list[np.ndarray]
    axes: dict[tuple[int, str], np.ndarray]

    def of(self, node: Node) -> dict[str, np.ndarray]:
        """Return ``{axis: whether each channel stays}`` of a call's layer."""
        return {axis: self.axes[node.key, axis] for axis in node.channels.sizes}


def kept(network: Network, live: Liveness, round_to: int = 1) -> Kept:
    """Return the least that must stay.

    Needed channels stay, and all that is tied to them. Of each axis at least one
    channel stays, since Keras has no layers without units. Groups stay equally large.
    A constant that stays is not folded, so what makes it is needed, too: at another
    call, the same layer may read what is not constant there.

    Args:
        network: The calls.
        live: Which channels are needed.
        round_to: Of each axis, a multiple of it stays, or all channels.
    """
    while True:
        found = _least(network, live, round_to)
        unfolded = [
            stays & read & ~needed
            for stays, read, needed in zip(
                found.signals, reads(network, live), live.needed, strict=True
            )
        ]
        if not any(part.any() for part in unfolded):
            return found
        live = with_needed(network, live, unfolded)


def _least(network: Network, live: Liveness, round_to: int) -> Kept:
    """Return what is needed, and all that is tied to it."""
    found = Kept([part.copy() for part in live.needed], {})
    for node, inside in zip(network.nodes, live.inside, strict=True):
        for axis, size in node.channels.sizes.items():
            found.axes.setdefault((node.key, axis), np.zeros(size, bool))
        for axis, needed in inside.items():
            found.axes[node.key, axis] |= needed
        for axis in node.channels.pinned:
            found.axes[node.key, axis][:] = True
        for signal in node.whole():
            found.signals[signal.number][:] = True
    for signal in network.inputs:
        found.signals[signal.number][:] = True
    _close(network, found, round_to)
    return found


def _close(network: Network, found: Kept, round_to: int) -> None:
    """Keep what is tied to something that is kept, until nothing changes."""
    _spread(network, found)
    changed = False
    for node in network.nodes:
        for axis in node.channels.sizes:
            stays = found.axes[node.key, axis]
            whole = max(1, math.ceil(stays.sum() / round_to)) * round_to
            more = np.flatnonzero(~stays)[: whole - stays.sum()]
            if more.size:
                stays[more] = True
                _spread(network, found)
                changed = True
    if changed or any([_balance(node, found) for node in network.nodes]):
        _close(network, found, round_to)


def _spread(network: Network, found: Kept) -> None:
    before = -1
    while before != (before := sum(int(part.sum()) for part in found.signals)):
        for node in (*network.nodes, *reversed(network.nodes)):
            for port, signal in node.connections():
                axis = found.axes[node.key, port.axis]
                axis |= port.gather(found.signals[signal.number], len(axis))
            for port, signal in node.connections():
                found.signals[signal.number] |= port.spread(
                    found.axes[node.key, port.axis]
                )


def _balance(node: Node, found: Kept) -> bool:
    """Keep as many channels in each group that stays; return whether any is new."""
    groups = [
        found.axes[node.key, axis].reshape(count, -1)
        for axis, count in node.channels.groups.items()
    ]
    before = [int(axis.sum()) for axis in groups]
    stays = np.any([axis.any(1) for axis in groups], axis=0)
    stays |= node.channels.groups_stay
    for axis in groups:
        size = max(1, *axis.sum(1))
        for place in np.flatnonzero(stays):
            gone = np.flatnonzero(~axis[place])
            axis[place, gone[: size - axis[place].sum()]] = True
    return before != [int(axis.sum()) for axis in groups]
