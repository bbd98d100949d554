"""Which channels are constant, and which are needed.

Two passes over the calls: values go forward, needs go backward. Each is exact for what
the rules know, and on the safe side for walls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_invprune.compaction.channels import Signal
from keras_invprune.compaction.network import Network, Node
from keras_invprune.compaction.rule import Constants

ROUNDINGS = 4  # by so many of the last bits may equal values differ
EPSILON = {"float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass(frozen=True)
class Liveness:
    """What is known of each channel of each tensor.

    Attributes:
        constants: For each tensor, its value by channel; NaN where it varies.
        needed: For each tensor, whether something that leads to an output reads it.
        agreed: For each call, the constants on which all calls of its layer agree.
        inside: For each call, ``{axis: which channels its layer needs for itself}``.
    """

    constants: list[np.ndarray]
    needed: list[np.ndarray]
    agreed: list[list[np.ndarray]]
    inside: list[dict[str, np.ndarray]]


def liveness(network: Network) -> Liveness:
    """Return what each channel of a network does."""
    constants = _constants(network)
    agreed = _agreed(network, constants)
    nothing = [np.zeros(signal.size, bool) for signal in network.signals()]
    return _followed(network, constants, agreed, nothing)


def with_needed(
    network: Network, live: Liveness, also: Sequence[np.ndarray]
) -> Liveness:
    """Return what each channel does if more of them are needed.

    Args:
        network: The calls.
        live: What each channel does.
        also: For each tensor, which of its channels are needed, too.
    """
    wanted = [one | other for one, other in zip(live.needed, also, strict=True)]
    return _followed(network, live.constants, live.agreed, wanted)


def reads(network: Network, live: Liveness) -> list[np.ndarray]:
    """Return for each tensor which channels what is needed reads, constant or not."""
    found = [np.zeros(signal.size, bool) for signal in network.signals()]
    for node in network.nodes:
        unknown = [np.full(signal.size, np.nan) for signal in node.call.reads]
        needed = _of(live.needed, node.makes)
        wanted = node.rule.needs(node.call, node.channels, needed, unknown)
        for signal, each in zip(node.call.reads, wanted, strict=True):
            found[signal.number] |= each
    return found


def _followed(
    network: Network,
    constants: list[np.ndarray],
    agreed: list[list[np.ndarray]],
    wanted: Sequence[np.ndarray],
) -> Liveness:
    needed = _needed(network, agreed, wanted)
    inside = [
        node.rule.inside(node.call, node.channels, _of(needed, node.makes), known)
        for node, known in zip(network.nodes, agreed, strict=True)
    ]
    return Liveness(constants, needed, agreed, inside)


def _of(values: Sequence[np.ndarray], signals: Iterable[Signal]) -> list[np.ndarray]:
    return [values[signal.number] for signal in signals]


def _constants(network: Network) -> list[np.ndarray]:
    found = [np.full(signal.size, np.nan) for signal in network.signals()]
    for node in network.nodes:
        reads = _of(found, node.call.reads)
        varies = node.rule.varies(node.call, node.channels, reads)
        if all(each.all() for each in varies):
            continue
        try:
            values = _values(node, reads)
        except Exception:  # what cannot be run alone counts as varying
            continue
        for signal, moves, made in zip(node.makes, varies, values, strict=True):
            found[signal.number] = np.where(moves, np.nan, _uniform(made, signal))
    return found


def _values(node: Node, reads: Constants) -> list[np.ndarray]:
    """Return the outputs of a call for the constants, and zeros where they vary."""
    given = {}
    for signal, values in zip(node.call.reads, reads, strict=True):
        shape = [1] * len(signal.shape)
        shape[signal.position] = signal.size
        batch = (signal.shape[0] or 1, *signal.shape[1:])
        known = np.nan_to_num(values).reshape(shape).astype(signal.dtype)
        given[signal.number] = keras.ops.broadcast_to(known, batch)
    return node.call.run(given)


def _uniform(made: np.ndarray, signal: Signal) -> np.ndarray:
    """Return the value of each channel; NaN where it is not the same everywhere.

    Vectorized code may round differently at different positions.
    """
    others = tuple(axis for axis in range(made.ndim) if axis != signal.position)
    with np.errstate(invalid="ignore", over="ignore"):
        low, high, first = (
            each.astype("float64")
            for each in (made.min(others), made.max(others), _first(made, others))
        )
        far = np.maximum(high - first, first - low)
        tolerance = ROUNDINGS * EPSILON.get(signal.dtype, np.finfo("float32").eps)
        same = np.isfinite(low) & np.isfinite(high) & (far <= tolerance * abs(first))
    return np.where(same, first, np.nan)


def _first(made: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return made[tuple(0 if k in axes else slice(None) for k in range(made.ndim))]


def _agreed(network: Network, constants: Constants) -> list[list[np.ndarray]]:
    """Return the constants of each call's inputs, NaN where calls of a layer differ."""
    by_size: dict[tuple, dict[int, np.ndarray]] = {}
    for node in network.nodes:
        for role, values in zip(
            _roles(node), _of(constants, node.call.reads), strict=True
        ):
            sizes = by_size.setdefault(role, {})
            other = sizes.get(len(values), values)
            sizes[len(values)] = np.where(values == other, values, np.nan)
    return [
        [
            by_size[role][signal.size]
            if len(by_size[role]) == 1
            else np.full(signal.size, np.nan)
            for role, signal in zip(_roles(node), node.call.reads, strict=True)
        ]
        for node in network.nodes
    ]


def _roles(node: Node) -> list[tuple]:
    """Return for each tensor that a call reads what it is to the layer.

    Calls may read more or fewer tensors, such as masks. Tensors of the same role are on
    the same axis of the same layer, and come in the same order.
    """
    axes = [port and port.axis for port in node.channels.inputs]
    return [(node.key, axis, axes[:n].count(axis)) for n, axis in enumerate(axes)]


def _needed(
    network: Network, agreed: Sequence[Constants], wanted: Sequence[np.ndarray]
) -> list[np.ndarray]:
    found = [part.copy() for part in wanted]
    for signal in network.outputs:
        found[signal.number][:] = True
    for node, constants in reversed([*zip(network.nodes, agreed, strict=True)]):
        for port, signal in zip(node.channels.outputs, node.makes, strict=True):
            if port is None or port.axis in node.channels.pinned:
                found[signal.number][:] = True
        needed = _of(found, node.makes)
        reads = node.rule.needs(node.call, node.channels, needed, constants)
        for signal, each in zip(node.call.reads, reads, strict=True):
            found[signal.number] |= each
    return found
