"""What compaction does to a model, in figures: a dataclass, a table, JSON."""

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_invprune.compaction.liveness import Liveness
from keras_invprune.compaction.mixing import array
from keras_invprune.compaction.network import Network, Node
from keras_invprune.compaction.surgery import Edit, paths
from keras_invprune.graph.frugal import frugal
from keras_invprune.graph.macs import kernel_uses
from keras_invprune.graph.outputs import answered
from keras_invprune.graph.trace import entry_layers
from keras_invprune.graph.weights import Weight, kernels, weights_by_key


@dataclass(frozen=True)
class Change:
    """What changes in one layer.

    Attributes:
        layer: The path of the layer.
        kind: The name of its class.
        before: ``{axis: number of channels}``.
        removed: ``{axis: the channels that go}``.
        folded: The number of constant inputs, not zero, that the bias takes over.
        parameters: The numbers of its weights before and after.
    """

    layer: str
    kind: str
    before: dict[str, int]
    removed: dict[str, list[int]]
    folded: int
    parameters: tuple[int, int]


@dataclass(frozen=True)
class WallNote:
    """A layer that cannot be seen through, and why.

    Attributes:
        layer: The path of the layer, or the name of the operation.
        kind: The name of its class.
        reason: Why its channels stay.
    """

    layer: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What `compact` does to a model.

    Attributes:
        changes: The layers that change, in the order of the calls.
        walls: The layers whose channels cannot be told apart. What they read stays.
        dead_inputs: ``{name of an input: features that no output depends on}``. They
            are channels, or elements if the input is flattened first.
        parameters: The numbers of weights before and after.
        macs: The multiply-accumulate operations of kernels for one input, before and
            after; None if the model takes no drawn inputs.
        unknown_macs: Keys of kernels that are not counted in `macs`.
        sparsity: The share of zeros in the kernels.
        effective_sparsity: The share of their weights that are zero, or on no path from
            an input to an output.
    """

    changes: tuple[Change, ...]
    walls: tuple[WallNote, ...]
    dead_inputs: dict[str, list[int]]
    parameters: tuple[int, int]
    macs: tuple[int, int] | None
    unknown_macs: tuple[str, ...]
    sparsity: float
    effective_sparsity: float

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what `json.dumps` takes."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the plan as a table."""
        return table(self)


def describe(
    model: keras.Model, network: Network, live: Liveness, changes: list[Edit]
) -> Plan:
    """Return what certain edits do to a model."""
    names, weights = paths(model), weights_by_key(model)
    shapes = _shapes_after(changes)
    before = {key: math.prod(w.variable.shape) for key, w in weights.items()}
    after = {
        key: math.prod(shapes.get(id(w.variable), w.variable.shape))
        for key, w in weights.items()
    }
    added = sum(math.prod(shape) for shape in shapes.values()) - sum(
        after[key] for key, w in weights.items() if id(w.variable) in shapes
    )
    macs, unknown = _macs(model, before, after)
    return Plan(
        tuple(_change(edit, names) for edit in changes),
        tuple(
            WallNote(_name(layer, names), type(layer).__name__, reason)
            for layer, reason in network.walls
        ),
        _dead_inputs(model, network, live),
        (sum(before.values()), sum(after.values()) + added),
        macs,
        unknown,
        *_sparsities(network, live, weights),
    )


def _shapes_after(changes: Iterable[Edit]) -> dict[Any, tuple]:
    """Return ``{id(variable): new shape}``; the key of a new bias is its place."""
    found = {}
    for edit in changes:
        for path, values in edit.weights.items():
            variable = attrgetter(path)(edit.layer)
            key = (id(edit.layer), path) if variable is None else id(variable)
            found[key] = values.shape
    return found


def _change(edit: Edit, names: Mapping[int, str]) -> Change:
    shapes = _shapes_after([edit])
    before = sum(math.prod(v.shape) for v in getattr(edit.layer, "weights", ()))
    kept = [v for v in getattr(edit.layer, "weights", ()) if id(v) not in shapes]
    after = sum(math.prod(shape) for shape in shapes.values())
    after += sum(math.prod(variable.shape) for variable in kept)
    removed = {
        axis: np.flatnonzero(~side).tolist()
        for axis, side in edit.kept.items()
        if not side.all()
    }
    return Change(
        _name(edit.layer, names),
        type(edit.layer).__name__,
        {axis: len(side) for axis, side in edit.kept.items()},
        removed,
        edit.folded,
        (before, after),
    )


def _name(layer: keras.Operation, names: Mapping[int, str]) -> str:
    return names.get(id(layer), layer.name)


def _dead_inputs(
    model: keras.Model, network: Network, live: Liveness
) -> dict[str, list[int]]:
    found = {}
    for number, door in enumerate(entry_layers(model)):
        needed = live.needed[network.features[number].number]
        if not needed.all():
            found[door.name] = np.flatnonzero(~needed).tolist()
    return found


def _macs(
    model: keras.Model, before: Mapping[str, int], after: Mapping[str, int]
) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    with frugal(model):
        inputs = next((inputs for inputs, _ in answered(model)), None)
        uses = {} if inputs is None else kernel_uses(model, inputs)
    if inputs is None:
        return None, ()
    known = {key: n for key, n in uses.items() if n is not None}
    counts = (
        sum(n * before[key] for key, n in known.items()),
        sum(n * after[key] for key, n in known.items()),
    )
    return counts, tuple(key for key, n in uses.items() if n is None)


def _sparsities(
    network: Network, live: Liveness, weights: Mapping[str, Weight]
) -> tuple[float, float]:
    """Return the shares of weights that are zero, and that have no effect."""
    found = kernels(weights)
    alive = _alive_by_weight(network, live)
    total = zeros = idle = 0
    for _, variable in found.values():
        nonzero = array(variable) != 0
        total += nonzero.size
        zeros += nonzero.size - np.count_nonzero(nonzero)
        idle += nonzero.size - np.count_nonzero(nonzero & alive.get(id(variable), True))
    return zeros / max(total, 1), idle / max(total, 1)


def _alive_by_weight(network: Network, live: Liveness) -> dict[int, np.ndarray]:
    """Return ``{id(variable): whether each weight is on a path}``, as far as known."""
    sides: dict[int, dict[str, np.ndarray]] = {}
    for node, inside in zip(network.nodes, live.inside, strict=True):
        if node.channels.weights:
            alive = {**_alive_axes(node, live), **inside}
            _join(sides.setdefault(node.key, {}), alive)
    found = {}
    for node in network.nodes:
        layer = node.call.operation
        for path in node.channels.weights:
            variable = attrgetter(path)(layer)
            if variable is not None:
                shape, chosen = tuple(variable.shape), sides[node.key]
                covers = node.rule.covers(layer, path, shape, node.channels, chosen)
                found[id(variable)] = covers
    return found


def _join(sides: dict[str, np.ndarray], more: Mapping[str, np.ndarray]) -> None:
    for axis, alive in more.items():
        sides[axis] = sides.get(axis, False) | alive


def _alive_axes(node: Node, live: Liveness) -> dict[str, np.ndarray]:
    """Return the channels of each axis through which inputs reach outputs."""
    found = {axis: np.ones(size, bool) for axis, size in node.channels.sizes.items()}
    for ports, signals in (
        (node.channels.inputs, node.call.reads),
        (node.channels.outputs, node.makes),
    ):
        reached: dict[str, np.ndarray] = {}
        for port, signal in zip(ports, signals, strict=True):
            if port is not None:
                alive = np.isnan(live.constants[signal.number])
                alive &= live.needed[signal.number]
                size = node.channels.sizes[port.axis]
                _join(reached, {port.axis: port.gather(alive, size)})
        for axis, alive in reached.items():
            found[axis] = found[axis] & alive
    return found


def table(plan: Plan, width: int = 100) -> str:
    """Return a plan as a table of text."""
    rows = Table("layer", "kind", "channels", "folded", "weights")
    for change in plan.changes:
        channels = ", ".join(
            f"{axis} {change.before[axis]} → {change.before[axis] - len(gone)}"
            for axis, gone in change.removed.items()
        )
        weights = "{:,} → {:,}".format(*change.parameters)
        folded = str(change.folded or "")
        rows.add_row(change.layer, change.kind, channels, folded, weights)
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    console.print(rows)
    for line in _lines(plan):
        console.print(line, markup=False, highlight=False)
    return stream.getvalue()


def _lines(plan: Plan) -> Iterator[str]:
    yield "parameters {:,} → {:,}".format(*plan.parameters)
    if plan.macs is not None:
        yield "MACs {:,} → {:,}".format(*plan.macs)
    if plan.unknown_macs:
        yield f"without the MACs, which are unknown, of {', '.join(plan.unknown_macs)}"
    shares = plan.sparsity, plan.effective_sparsity
    yield "zero weights {:.2%}, without effect {:.2%}".format(*shares)
    for name, dead in plan.dead_inputs.items():
        yield f"input {name}: {len(dead)} features without effect"
    for wall in plan.walls:
        yield f"wall {wall.layer} ({wall.kind}): {wall.reason}"
