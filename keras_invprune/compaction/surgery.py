"""Makes the smaller model: layers with fewer channels, and the weights that stay."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.compaction.liveness import Liveness
from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.network import Network, Node
from keras_invprune.compaction.removal import Kept
from keras_invprune.compaction.rule import Constants, Pick, gone
from keras_invprune.graph.connections import OF_ONE_SHAPE, Connections
from keras_invprune.graph.copying import changed_copy
from keras_invprune.graph.twins import DifferentError
from keras_invprune.graph.weights import walk

# Where the config of a layer holds what a layer inside it was made with.
ENTRIES = {
    "": "",
    "cell": "",
    "forward_layer.cell": "layer.config.",
    "backward_layer.cell": "backward_layer.config.",
}


class CompactionError(ValueError):
    """The smaller model cannot be made, or would compute something else."""


class Edit(NamedTuple):
    """What changes in one layer.

    Attributes:
        layer: The layer of the caller's model.
        kept: ``{axis: whether each channel is kept}``.
        folded: The number of constants, not zero, that its biases take over.
        config: ``{dotted path: new value}`` in its config.
        weights: ``{path of an attribute: new values}``.
    """

    layer: Any
    kept: dict[str, np.ndarray]
    folded: int
    config: dict[str, Any]
    weights: dict[str, np.ndarray]


def edits(network: Network, live: Liveness, kept: Kept) -> list[Edit]:
    """Return what changes, layer by layer, in the order of the calls."""
    found = {}
    for node, agreed in zip(network.nodes, live.agreed, strict=True):
        if node.channels.is_of_layer and node.key not in found:
            found[node.key] = _edit(node, agreed, kept)
    return [edit for edit in found.values() if edit]


def _edit(node: Node, agreed: Constants, kept: Kept) -> Edit | None:
    layer, sides = node.call.operation, kept.of(node)
    revised = node.rule.revised(layer, node.channels, agreed, sides)
    if all(side.all() for side in sides.values()) and not revised:
        return None
    weights = {
        path: node.rule.cut(
            layer, path, _value(layer, path, revised), node.channels, sides
        )
        for path in node.channels.weights
        if path in revised or attrgetter(path)(layer) is not None
    }
    folded = sum(
        int(np.count_nonzero(gone(values, kept.signals[signal.number])))
        for signal, values in zip(node.call.reads, agreed, strict=True)
    )
    config = node.rule.config(layer, node.channels, sides, revised)
    for path in weights:
        config |= _connections(node, path, sides)
    return Edit(layer, sides, folded if revised else 0, config, weights)


def _connections(
    node: Node, path: str, sides: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the entries of the config that say which connections a kernel has."""
    outer, (owner, _, name) = node.call.operation, path.rpartition(".")
    layer, weight = (
        attrgetter(owner)(outer) if owner else outer,
        attrgetter(path)(outer),
    )
    if weight is None:  # a bias that is only made now
        return {}
    limits = {
        "constraint": weight.constraint,  # it may have been set on the weight itself
        "initializer": vars(layer).get(f"{name}_initializer"),
    }
    found: dict[str, Any] = {}
    for role, value in limits.items():
        if isinstance(value, OF_ONE_SHAPE):
            rows, columns = (
                node.rule.cut(outer, path, indices, node.channels, sides)
                for indices in np.indices(weight.shape)
            )
            cut = value.cut(rows[:, 0], columns[0])
            entry = f"{ENTRIES[owner]}{name}_{role}"
            found[entry] = keras.saving.serialize_keras_object(cut)
    return found


def _value(
    layer: keras.Layer, path: str, revised: Mapping[str, np.ndarray]
) -> np.ndarray:
    return revised[path] if path in revised else array(attrgetter(path)(layer))


def picks(network: Network, kept: Kept) -> dict[int, tuple[int, list[int]]]:
    """Return ``{id(layer): (axis, indices)}`` of what is picked of their outputs."""
    found = {}
    for node in network.nodes:
        stays = kept.signals[node.makes[0].number]
        if isinstance(node.rule, Pick) and not stays.all():
            indices = np.flatnonzero(stays).tolist()
            found[id(node.call.operation)] = node.makes[0].position, indices
    return found


def smaller(
    model: keras.Model,
    changes: list[Edit],
    picked: Mapping[int, tuple[int, list[int]]],
) -> keras.Model:
    """Return a new model in which some layers are smaller.

    Args:
        model: The caller's model.
        changes: What changes, layer by layer.
        picked: The result of `picks`.

    Raises:
        CompactionError: If a layer cannot be made again from its config.
    """
    configs = {id(edit.layer): edit.config for edit in changes}
    try:
        made, pairs = changed_copy(model, configs, picked)
    except DifferentError as error:
        raise CompactionError(f"The smaller model cannot be made. {error}") from error
    twins = {id(layer): twin for _, layer, twin in pairs}
    for edit in changes:
        if edit.weights:
            _assign(edit, twins[id(edit.layer)])
    return made


def _assign(edit: Edit, twin: keras.Layer) -> None:
    """Give the twin of a changed layer its weights, and what else it holds."""
    given = set()
    for path, values in edit.weights.items():
        old, new = attrgetter(path)(edit.layer), attrgetter(path)(twin)
        new.assign(values)
        given |= {id(old), id(new)}
        if old is not None:
            carry_limits(old, new)
    others = [
        [variable for variable in layer.variables if id(variable) not in given]
        for layer in (edit.layer, twin)
    ]
    for old, new in zip(*others, strict=True):  # states of random generators
        new.assign(old)


def carry_limits(old: keras.Variable, new: keras.Variable) -> None:
    """Give a weight of another shape what was set on the old one itself."""
    new.trainable = old.trainable
    new.regularizer = old.regularizer
    if not isinstance(old.constraint, Connections):  # those are in the config
        new.constraint = old.constraint


def paths(model: keras.Model) -> dict[int, str]:
    """Return ``{id(layer): its path in the model}``."""
    return {id(layer): path for path, layer in walk(model)}
