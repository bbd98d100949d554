"""Finds the bottleneck of a graph that makes a map, such as the code of an autoencoder.

In an autoencoder, every path from the inputs to the output passes through the
bottleneck. In a U-Net the skip connections bypass it; there, it is the smallest map.
But a pooled side branch may be small, too. These rules exclude side branches:

- A gate or a condition is not a path through the network. It is multiplied with, or
  added to, a larger map without being upsampled (squeeze-and-excite, FiLM), or a map
  is multiplied with a gate that was made from the map itself (attention gates).
- A map of one position that other paths bypass was pooled over the whole example
  (DeepLab). The next larger map is the bottleneck if every path passes through it.

In all other cases the bottleneck is unclear, and the user is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import keras
import numpy as np

from keras_invprune.contracts import Tensor
from keras_invprune.graph.trace import Step


class UnclearError(ValueError):
    """Several maps may be the bottleneck.

    Attributes:
        operations: The operations that make the smallest maps, the smallest first.
    """

    def __init__(self, operations: Iterable[keras.Operation]):
        super().__init__("It is not clear which map is the bottleneck.")
        self.operations = operations


def bottleneck(
    steps: Sequence[Step], output: keras.KerasTensor
) -> keras.KerasTensor | None:
    """Return the tensor that is the bottleneck of a graph.

    Args:
        steps: The graph's calls, including those inside inner models
            (`graph.trace.unfolded`), with all shapes known.
        output: The graph's only output.

    Returns:
        A tensor, or None if the output is not a map or if no map is smaller.

    Raises:
        UnclearError: If several tensors may be the bottleneck.
    """
    if len(output.shape) < 3:
        return None
    sizes = _Sizes(steps, output)
    edges = _edges(steps) - _broadcasts(steps, sizes)
    ways = _Ways(edges - _products(steps, edges), steps, output)
    levels = sizes.levels(ways)
    if not levels:
        if sizes.levels(_Ways(edges, steps, output)):  # only gates are smaller
            raise UnclearError([])
        return None
    found = ways.last_on_all(levels[0])
    if found is None or not ways.all_pass(found):
        found = _passed_by(found, ways, sizes, levels)
    if found is None:
        last = [ways.maker[id(level[-1])] for level in levels]
        raise UnclearError(last)
    return found


def code(
    steps: Sequence[Step], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Tensor | None:
    """Return the code of an autoencoder of Dense layers; None if it is not one.

    It is a chain of calls whose output is as large as its input. The code is the last
    of the narrowest vectors, and narrower than both.

    Args:
        steps: The graph's own calls (`graph.trace.traced`).
        inputs: The graph's inputs.
        outputs: The graph's outputs.
    """
    sizes = [tensor.shape[1:] for tensor in (*inputs, *outputs)]
    chain = len(sizes) == 2 and all(len(step.reads) == 1 for step in steps)
    if not chain or None in (*sizes[0], *sizes[1]):
        return None
    width, output = map(math.prod, sizes)
    if width != output:
        return None
    vectors = [step.made[0] for step in steps if len(step.made[0].shape) == 2]
    narrow = [t for t in vectors if t.shape[1] is not None and t.shape[1] < width]
    return min(reversed(narrow), key=lambda t: t.shape[1], default=None)


def _passed_by(
    found: keras.KerasTensor | None, ways: _Ways, sizes: _Sizes, levels: list[list]
) -> keras.KerasTensor | None:
    """Return the bottleneck if paths bypass the smallest map; None if it is unclear."""
    if found is None:
        return None
    if sizes.positions(found) > 1:
        return None if _have_rival(found, ways, sizes) else found
    larger = ways.last_on_all(levels[1]) if len(levels) > 1 else None
    return larger if larger is not None and ways.all_pass(larger) else None


def _have_rival(found: keras.KerasTensor, ways: _Ways, sizes: _Sizes) -> bool:
    """Return whether another branch is downsampled, too, as in pyramid pooling."""
    related = ways.after(found) | ways.before(found)
    for tensor in ways.tensors:
        if id(tensor) not in related and sizes.known(tensor):
            before = ways.before(tensor) - {id(tensor)}
            others = [t for t in ways.tensors if id(t) in before and sizes.known(t)]
            if sizes.positions(tensor) < min(map(sizes.positions, others), default=0):
                return True
    return False


class _Sizes:
    """The numbers of positions of a graph's maps."""

    def __init__(self, steps: Sequence[Step], output: keras.KerasTensor):
        formats = {getattr(step.operation, "data_format", None) for step in steps}
        formats -= {None}  # layers without a data format
        if len(formats) > 1:
            raise UnclearError([])
        first = formats == {"channels_first"}
        self.places = slice(2, None) if first else slice(1, -1)
        self.channels = 1 if first else -1
        self.output = output

    def known(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a map or a vector, of known size."""
        rank = len(tensor.shape)
        is_kind = rank == 2 or rank >= len(self.output.shape)
        return is_kind and None not in tensor.shape[1:]

    def positions(self, tensor: Tensor) -> int:
        return int(np.prod(tensor.shape[self.places])) if len(tensor.shape) > 2 else 1

    def levels(self, ways: _Ways) -> list[list]:
        """Return the maps with fewer positions than the output, grouped, fewest first.

        Of the maps with one position, only those with the fewest channels.
        """
        found = {}
        for tensor in filter(self.known, ways.tensors):
            found.setdefault(self.positions(tensor), []).append(tensor)
        codes = found.get(1, [])
        fewest = min((t.shape[self.channels] for t in codes), default=0)
        found[1] = [t for t in codes if t.shape[self.channels] == fewest]
        own = self.positions(self.output)
        return [found[n] for n in sorted(found) if found[n] and n < own]


class _Ways:
    """The paths of a graph from its inputs and constants to its output."""

    def __init__(
        self,
        edges: set[tuple[int, int]],
        steps: Sequence[Step],
        output: keras.KerasTensor,
    ):
        self.forward, self.backward = {}, {}
        for one, other in edges:
            self.forward.setdefault(one, set()).add(other)
            self.backward.setdefault(other, set()).add(one)
        self.maker = {id(t): step.operation for step in steps for t in step.made}
        self.output = id(output)
        known = {id(t): t for step in steps for t in (*step.reads, *step.made)}
        self.inputs = known.keys() - self.maker.keys()
        on_way = _reached(self.inputs, self.forward)
        on_way &= _reached({self.output}, self.backward)
        self.tensors = [t for i, t in known.items() if i in on_way]

    def after(self, tensor: Tensor) -> set:
        return _reached({id(tensor)}, self.forward)

    def before(self, tensor: Tensor) -> set:
        return _reached({id(tensor)}, self.backward)

    def all_pass(self, tensor: Tensor) -> bool:
        """Return whether every path passes through `tensor`."""
        return self.output not in _reached(self.inputs, self.forward, id(tensor))

    def last_on_all(
        self, level: Sequence[keras.KerasTensor]
    ) -> keras.KerasTensor | None:
        """Return the last tensor of a level that all paths through the level share."""
        for tensor in reversed(level):
            reached = _reached(self.inputs, self.forward, id(tensor))
            leading = _reached({self.output}, self.backward, id(tensor))
            if not any(id(other) in reached & leading for other in level):
                return tensor
        return None


def _reached(
    starts: Iterable[int], edges: Mapping[int, set[int]], without: int | None = None
) -> set:
    """Return what can be reached along edges without passing through `without`."""
    found, waiting = set(), [start for start in starts if start != without]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting.extend(edges.get(one, set()) - {without})
    return found


def _edges(steps: Sequence[Step]) -> set:
    return {(id(a), id(b)) for step in steps for a in step.reads for b in step.made}


def _broadcasts(steps: Sequence[Step], sizes: _Sizes) -> set:
    """Return the edges from tensors that are repeated over a larger map's positions."""
    return {
        (id(read), id(made))
        for step in steps
        for made in step.made
        for read in step.reads
        if len(step.reads) > 1 and _is_repeated(read, made, sizes)
    }


def _is_repeated(
    small: keras.KerasTensor, large: keras.KerasTensor, sizes: _Sizes
) -> bool:
    if len(small.shape) != len(large.shape) or not sizes.known(large):
        return False
    pairs = zip(small.shape[1:], large.shape[1:], strict=True)
    fits = all(one in (1, other) for one, other in pairs)
    return fits and sizes.positions(small) < sizes.positions(large)


def _products(steps: Sequence[Step], edges: set[tuple[int, int]]) -> set:
    """Return the edges to products from factors that the other factor was made of."""
    backward = {}
    for one, other in edges:
        backward.setdefault(other, set()).add(one)
    return {
        (id(gate), id(step.made[0]))
        for step in steps
        if type(step.operation).__name__ == "Multiply"
        for gate in step.reads
        for other in step.reads
        if other is not gate and id(other) in _reached({id(gate)}, backward)
    }
