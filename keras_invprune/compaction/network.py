"""A model as calls whose channels correspond: what all readers walk through."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras

from keras_invprune.compaction import rules
from keras_invprune.compaction.channels import Channels, Port, Signal
from keras_invprune.compaction.rule import (
    Call,
    OpaqueError,
    Pick,
    Rule,
    Wall,
    find_rules,
    rule_of,
)
from keras_invprune.graph.trace import (
    EachStep,
    FirstStep,
    Step,
    Trace,
    entered,
    entry_layers,
    named,
    traced,
)
from keras_invprune.graph.weights import walk

find_rules(rules)

WALL, PICK = Wall(), Pick()
LENGTHS = (8, 32, 128)  # lengths to try for axes of unknown length
DOORS = keras.layers.InputLayer, FirstStep, EachStep  # of what is entered
UNKNOWN = "no rule says how its channels correspond"


class Node(NamedTuple):
    """A call with what its rule says.

    Attributes:
        call: The call.
        rule: The rule of its layer.
        channels: How its channels correspond.
        makes: The tensors that it makes.
    """

    call: Call
    rule: Rule
    channels: Channels
    makes: tuple[Signal, ...]

    @property
    def key(self) -> Any:
        """The owner of the axes: the layer, or this call alone."""
        owner = self.call.operation if self.channels.is_of_layer else self.makes
        return id(owner)

    def connections(self) -> list[tuple[Port, Signal]]:
        """Return pairs (port, tensor) of the inputs and outputs that have a port."""
        both = (*self.channels.inputs, *self.channels.outputs)
        pairs = zip(both, (*self.call.reads, *self.makes), strict=True)
        return [(port, signal) for port, signal in pairs if port is not None]

    def whole(self) -> list[Signal]:
        """Return the tensors that have no port, and are kept whole."""
        both = (*self.channels.inputs, *self.channels.outputs)
        pairs = zip(both, (*self.call.reads, *self.makes), strict=True)
        return [signal for port, signal in pairs if port is None]


@dataclass(frozen=True)
class Network:
    """The calls of a model, in their order.

    Attributes:
        nodes: The calls.
        inputs: The model's inputs.
        outputs: Its outputs.
        count: The number of tensors.
        walls: Pairs (operation, reason) of what cannot be seen through.
        features: ``{number of an input: the tensor of its features}``, which is the
            input itself, or what a Flatten makes of it.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    count: int
    walls: tuple[tuple[Any, str], ...]
    features: dict[int, Signal]

    def signals(self) -> list[Signal]:
        """Return all tensors in the order of their numbers."""
        return [*self.inputs, *(made for node in self.nodes for made in node.makes)]


def network(
    model: keras.Model, picks: bool = False, whole: Mapping[int, str] | None = None
) -> Network:
    """Return the calls of a Sequential or Functional model, inner models opened.

    Args:
        model: The model.
        picks: Whether features can be picked before anything else reads them.
        whole: ``{id(layer): reason}`` of layers that stay as they are.
    """
    trace = _traced(model)
    steps = list(entered(trace.steps))
    doors = entry_layers(model) if picks else []
    closed, found = _closed(steps) | dict(whole or {}), None
    while found is None or (again := _partly_closed(found)):
        closed.update({} if found is None else again)
        found = _Reading(trace, steps, doors, closed).network()
    return found


def _partly_closed(network: Network) -> dict[int, str]:
    """Return ``{id(operation): reason}`` of those whose calls do not agree.

    Some calls are walls, or the axes that calls should share are not the same ones.
    """
    walls, others = (
        {id(n.call.operation) for n in network.nodes if (n.rule is WALL) is closed}
        for closed in (True, False)
    )
    both = walls & others - {id(None)}
    reasons = {id(operation): reason for operation, reason in network.walls}
    first: dict[int, Channels] = {}
    found = {}
    for node in network.nodes:
        if node.rule not in (WALL, PICK):
            key = id(node.call.operation)
            reason = first.setdefault(key, node.channels).conflict(node.channels)
            if reason is not None and key != id(None):
                found[key] = reason
    return found | {each: f"at one of its calls, {reasons[each]}" for each in both}


def _traced(model: keras.Model) -> Trace:
    for length in LENGTHS:
        try:
            return traced(model, length)
        except Exception:  # layers may raise anything for a length
            continue
    return traced(model)


def _closed(steps: Sequence[Step]) -> dict[int, str]:
    """Return ``{id(operation): reason}`` of layers that walls hold, or share with."""
    operations = list({id(s.operation): s.operation for s in steps}.values())
    layers = [each for each in operations if isinstance(each, keras.Layer)]
    owners = Counter(id(v) for layer in layers for v in layer.variables)
    found = {
        id(layer): "another layer uses its weights"
        for layer in layers
        if any(owners[id(variable)] > 1 for variable in layer.variables)
    }
    for outer in layers:
        if rule_of(outer) is None:
            inner = [layer for path, layer in walk(outer) if path]
            reason = f"{outer.name} calls it, too"
            found.update({id(layer): reason for layer in inner})
    return found


def _may_mask(call: Call) -> bool:
    """Return whether a mask may come with what a call makes, though none is traced.

    Masks pass through inner models and layers of one's own unsaid, and begin there.
    They stay with a tensor that a function or an operation returns as it is.
    """
    operation, masked = call.operation, any(signal.masked for signal in call.reads)
    if operation is None or isinstance(operation, DOORS):
        return masked
    is_layer = isinstance(operation, keras.Layer)
    if isinstance(rule_of(operation) or WALL, Wall):
        inside = walk(operation) if is_layer else ()
        return masked or any(_makes_masks(layer) for _, layer in inside)
    return masked and is_layer and operation.supports_masking


def _makes_masks(layer: keras.Layer) -> bool:
    kinds = keras.layers.Embedding, keras.layers.Masking
    return isinstance(layer, kinds) and layer.supports_masking


class _Reading:
    """The state of the walk through the steps: a number for each tensor."""

    def __init__(
        self,
        trace: Trace,
        steps: Sequence[Step],
        doors: Sequence[Any],
        closed: Mapping[int, str],
    ):
        self.steps, self.doors, self.closed = steps, doors, closed
        self.known: dict[int, Signal] = {}
        self.nodes: list[Node] = []
        self.features: dict[int, Signal] = {}
        self.count = 0
        self.walls: dict[int, tuple[Any, str]] = {}
        self.inputs, self.outputs = (
            keras.tree.flatten(part) for part in (trace.inputs, trace.outputs)
        )
        self.tensors = [self.inputs, trace.outputs, steps]  # kept, since ids are keys

    def network(self) -> Network:
        inputs = tuple(self._add(x, self._position(x)) for x in self.inputs)
        flat = [self._flattening(tensor) for tensor in self.inputs]
        for number, tensor in enumerate(self.inputs):
            if flat[number] is None:
                self._mark(number, tensor, self.doors[number] if self.doors else None)
        for step in self.steps:
            self.nodes.append(self._node(step))
            if any(step is each for each in flat):
                number = next(n for n, each in enumerate(flat) if each is step)
                self._mark(number, step.made[0], step.operation)
        outputs = tuple(self.known[id(x)] for x in self.outputs)
        walls = tuple(self.walls.values())
        nodes = tuple(self.nodes)
        return Network(nodes, inputs, outputs, self.count, walls, self.features)

    def _flattening(self, tensor: keras.KerasTensor) -> Step | None:
        """Return the step that flattens an input before anything else reads it."""
        readers = [x for x in self.steps if any(y is tensor for y in x.reads)]
        if len(readers) != 1 or not isinstance(
            readers[0].operation, keras.layers.Flatten
        ):
            return None
        calls = sum(x.operation is readers[0].operation for x in self.steps)
        return readers[0] if calls == 1 else None

    def _mark(
        self, number: int, tensor: keras.KerasTensor, operation: keras.Layer | None
    ) -> None:
        """Note the features of an input, and pick among them if that is wanted.

        Keras cannot pick in a sparse tensor, and an input that is an output stays.
        """
        signal = self.features[number] = self.known[id(tensor)]
        whole = any(x is tensor for x in self.outputs)
        if self.doors and not (whole or self.doors[number].sparse):
            given = ((signal,), {})
            call = Call(operation, (signal,), (signal.shape,), given)
            channels = PICK.channels(call)
            made = self._add(tensor, signal.position)  # others read what is picked
            self.nodes.append(Node(call, PICK, channels, (made,)))

    def _add(
        self, tensor: keras.KerasTensor, position: int, masked: bool = False
    ) -> Signal:
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        masked = masked or vars(tensor).get("_keras_mask") is not None
        signal = Signal(self.count, tuple(tensor.shape), position, dtype, masked)
        self.known[id(tensor)] = signal
        self.count += 1
        return signal

    def _position(self, tensor: keras.KerasTensor) -> int:
        """Return where the first layer that reads a model's input expects channels."""
        rank = len(tensor.shape)
        readers = (step for step in self.steps if any(x is tensor for x in step.reads))
        layer = next((step.operation for step in readers), None)
        first = getattr(layer, "data_format", None) == "channels_first"
        return 1 if first and rank > 2 else rank - 1

    def _node(self, step: Step) -> Node:
        call = self._call(step)
        rule, channels = self._ruled(call)
        masked = _may_mask(call)
        makes = tuple(
            self._add(
                tensor,
                len(tensor.shape) - 1 if port is None else port.position,
                masked and len(tensor.shape) > 2,
            )
            for tensor, port in zip(step.made, channels.outputs, strict=True)
        )
        return Node(call, rule, channels, makes)

    def _call(self, step: Step) -> Call:
        def signal(part: Any) -> Any:
            return self.known[id(part)] if isinstance(part, keras.KerasTensor) else part

        masks = keras.tree.flatten(named(step.operation, step.arguments).get("mask"))
        masks = {id(x) for x in masks} if rule_of(step.operation) else set()
        reads = tuple(self.known[id(x)] for x in step.reads if id(x) not in masks)
        shapes = tuple(tuple(x.shape) for x in step.made)
        arguments = keras.tree.map_structure(signal, step.arguments)
        return Call(step.operation, reads, shapes, arguments)

    def _ruled(self, call: Call) -> tuple[Rule, Channels]:
        rule = rule_of(call.operation)
        try:
            if rule is None:
                raise OpaqueError(UNKNOWN)
            if reason := self._reason(call):
                raise OpaqueError(reason)
            channels = rule.channels(call)
        except OpaqueError as error:
            self._note(call, str(error))
            return WALL, WALL.channels(call)
        for reason in channels.pinned.values():
            self._note(call, reason)
        return rule, channels

    def _reason(self, call: Call) -> str | None:
        operation = call.operation
        if id(operation) in self.closed:
            return self.closed[id(operation)]
        if call.named.get("training"):
            return "it is always in training mode"
        if getattr(operation, "quantization_mode", None):
            return f"it is quantized to {operation.quantization_mode}"
        if getattr(operation, "lora_enabled", False):
            return "LoRA is enabled"
        if None in (size for signal in call.reads for size in signal.shape[1:]):
            return "the shape of its inputs is unknown"
        return None

    def _note(self, call: Call, reason: str) -> None:
        operation = call.operation
        self.walls.setdefault(id(operation), (operation, reason))
