"""Finds the dependency groups of a model: channels that can only go together."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

import keras
import numpy as np

from keras_invprune.compaction.channels import Slot
from keras_invprune.compaction.network import Network, Node, network
from keras_invprune.graph.active import check_graph
from keras_invprune.graph.groups import STAYS, Dependencies
from keras_invprune.graph.layouts import layout_of
from keras_invprune.graph.weights import Weight, kernels

OUTSIDE = "they are those of an input or output of the model"
ONLY = "one of a kind always stays, and there is one"
Labels = tuple[np.ndarray | None, ...]  # for each axis of a weight, group by index


def dependencies(
    model: keras.Model,
    weights: Mapping[str, Weight],
    selected: Collection[str],
    maskable: Collection[str],
) -> Dependencies:
    """Return the groups whose removal the selected weights allow.

    A group can be removed if all weights that make its channels are selected, if all
    that read them can be masked, and if no wall, input or output of the model needs
    them. One group of each family always stays, so a family of one is left out. Masks
    on both sides leave no trace of a group: `keras_invprune.compact` then removes it
    whole, with its biases and statistics.

    Args:
        model: A built Sequential or Functional model.
        weights: The result of `weights_by_key(model)`.
        selected: Keys of the weights to prune.
        maskable: Keys of all weights that may be masked, also those that only read.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it is subclassed or not built.
    """
    check_graph(model)
    channels = _Channels(network(model))
    axes = channels.of_weights({id(w.variable): key for key, w in weights.items()})
    makers, readers = _sides(axes, weights)
    stays = channels.staying()
    for sides, allowed, does in (
        (makers, selected, "makes them, too, and is not pruned"),
        (readers, maskable, "reads them and is fixed"),
    ):
        for key in [key for key in sides if key not in allowed]:
            reasons = dict.fromkeys(_named(axes[key], sides[key]), f"{key!r} {does}")
            stays = reasons | stays
    made = {key: _named(axes[key], makers[key]) for key in makers if key in selected}
    removable = set().union(*made.values()) - stays.keys()
    alike = channels.alike(sorted(removable))
    stays |= {int(each[0]): ONLY for each in alike if len(each) == 1}
    families = _by_maker([each for each in alike if len(each) > 1], made)
    walls = channels.walls()
    axes = _numbered(axes, families.values(), channels.count)
    makers, readers = (_left(sides, axes) for sides in (makers, readers))
    return Dependencies(
        families={name: len(labels) for name, labels in families.items()},
        axes=axes,
        makers=makers,
        readers=tuple(key for key in readers if key not in makers),
        reasons={
            key: _reason(made.get(key), stays, walls.get(id(weights[key].variable)))
            for key in selected
            if key not in makers
        },
    )


class _Channels:
    """The channels of all tensors and axes, each with the label of its group."""

    def __init__(self, network: Network):
        self.network, self.count = network, 0
        self.signals = [self._new(signal.size) for signal in network.signals()]
        self.axes: dict[tuple, np.ndarray] = {}
        for node in network.nodes:
            for axis, size in node.channels.sizes.items():
                if (node.key, axis) not in self.axes:
                    self.axes[node.key, axis] = self._new(size)
        pairs = [pair for node in network.nodes for pair in self._tied(node)]
        self.label = _joined(self.count, pairs)

    def _new(self, size: int) -> np.ndarray:
        self.count += size
        return np.arange(self.count - size, self.count)

    def _tied(self, node: Node) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield pairs of arrays of channels that can only be removed together."""
        for port, signal in node.connections():
            axis = self.axes[node.key, port.axis]
            yield axis[port.index], self.signals[signal.number]
        parts = [
            self.axes[node.key, axis].reshape(count, -1)
            for axis, count in node.channels.groups.items()
        ]
        for part in parts:
            if node.channels.groups_stay:  # equal places of the groups
                yield part, np.broadcast_to(part[:1], part.shape)
            else:  # groups as a whole
                yield part, np.broadcast_to(parts[0][:, :1], part.shape)

    def of_weights(self, keys: Mapping[int, str]) -> dict[str, Labels]:
        """Return the labels of the weights with these identities, by key."""
        found = {}
        for node in self.network.nodes:
            for path, slots in node.channels.weights.items():
                key = keys.get(id(attrgetter(path)(node.call.operation)))
                if key is not None:
                    found[key] = tuple(self._of_slot(node, slot) for slot in slots)
        return found

    def _of_slot(self, node: Node, slot: Slot) -> np.ndarray | None:
        if slot is None:
            return None
        axis, index = (slot, ...) if isinstance(slot, str) else slot
        return self.label[self.axes[node.key, axis][index]]

    def staying(self) -> dict[int, str]:
        """Return ``{label: reason}`` of the channels that something needs whole."""
        found: dict[int, str] = {}
        for signal in (*self.network.inputs, *self.network.outputs):
            self._note(found, self.signals[signal.number], OUTSIDE)
        walls = {id(operation): f": {why}" for operation, why in self.network.walls}
        for node in self.network.nodes:
            operation = node.call.operation
            name = getattr(operation, "name", "an operation")
            reason = f"{name!r} needs all of them{walls.get(id(operation), '')}"
            for signal in node.whole():
                self._note(found, self.signals[signal.number], reason)
            for axis in node.channels.pinned:
                self._note(found, self.axes[node.key, axis], reason)
        return found

    def walls(self) -> dict[int, str]:
        """Return ``{id(variable): why its layer cannot be seen through}``."""
        return {
            id(variable): f"{operation.name!r} is a wall: {why}"
            for operation, why in self.network.walls
            if isinstance(operation, keras.Layer)
            for variable in operation.variables
        }

    def _note(self, found: dict[int, str], channels: np.ndarray, reason: str) -> None:
        for label in np.unique(self.label[channels]).tolist():
            found.setdefault(label, reason)

    def alike(self, labels: list[int]) -> list[np.ndarray]:
        """Return the labels in families, which have as many channels in each axis."""
        places = np.full(self.count, -1)
        places[labels] = np.arange(len(labels))
        kind = np.zeros(len(labels), int)
        for channels in self.axes.values():
            inside = places[self.label[channels]]
            times = np.bincount(inside[inside >= 0], minlength=len(labels))
            both = kind * (times.max(initial=0) + 1) + times
            kind = np.unique(both, return_inverse=True)[1]
        return [np.array(labels)[kind == each] for each in np.unique(kind)]


def _joined(count: int, pairs: Sequence[tuple]) -> np.ndarray:
    """Return the label of each channel, the lowest number among those tied to it."""
    none = np.zeros(0, int)
    one, two = (
        np.concatenate([none, *(np.ravel(pair[side]) for pair in pairs)])
        for side in (0, 1)
    )
    label, before = np.arange(count), None
    while before is None or (label != before).any():
        before = label.copy()
        least = np.minimum(label[one], label[two])
        np.minimum.at(label, one, least)
        np.minimum.at(label, two, least)
        label = label[label]
    return label


def _sides(
    axes: Mapping[str, Labels], weights: Mapping[str, Weight]
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Return the axes of outputs and those of inputs of each kernel, by key."""
    layouts = {key: layout_of(*weights[key]) for key in kernels(weights) if key in axes}
    known = {key: layout for key, layout in layouts.items() if layout is not None}
    return (
        {key: layout.outputs for key, layout in known.items()},
        {key: layout.inputs for key, layout in known.items()},
    )


def _named(labels: Labels, sides: Iterable[int]) -> set[int]:
    """Return the labels along some axes of a weight."""
    found = [labels[axis] for axis in sides]
    return {int(x) for each in found if each is not None for x in each}


def _by_maker(
    families: Iterable[np.ndarray], made: Mapping[str, set[int]]
) -> dict[str, np.ndarray]:
    """Return the families by name, in the order of the weights that make them."""
    left, found = sorted(families, key=lambda family: family[0]), {}
    for key, labels in made.items():
        own = [family for family in left if family[0] in labels]
        left = [family for family in left if family[0] not in labels]
        for number, family in enumerate(own, start=1):
            found[key if number == 1 else f"{key}/{number}"] = family
    return found


def _numbered(
    axes: Mapping[str, Labels], families: Iterable[np.ndarray], count: int
) -> dict[str, Labels]:
    """Return the groups' numbers in place of labels, without axes of none."""
    number = np.full(count, STAYS)
    start = 0
    for family in families:
        number[family] = np.arange(start, start := start + len(family))
    found = {}
    for key, labels in axes.items():
        each = [None if x is None else number[x] for x in labels]
        each = [x if x is not None and (x != STAYS).any() else None for x in each]
        if any(x is not None for x in each):
            found[key] = tuple(each)
    return found


def _left(
    sides: Mapping[str, tuple[int, ...]], axes: Mapping[str, Labels]
) -> dict[str, tuple[int, ...]]:
    """Return the sides of the weights that have groups there."""
    found = {
        key: tuple(axis for axis in sides[key] if labels[axis] is not None)
        for key, labels in axes.items()
        if key in sides
    }
    return {key: left for key, left in found.items() if left}


def _reason(labels: set[int] | None, stays: Mapping[int, str], wall: str | None) -> str:
    if not labels:
        return wall or "no rule says which channels it makes"
    return f"its channels stay: {stays[min(labels)]}"
