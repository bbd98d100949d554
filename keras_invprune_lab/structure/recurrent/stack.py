"""Many recurrent networks of one kind of cell, as one program.

The networks of a stack have the same number of layers. In each layer, all blocks of all
networks are padded to the largest width and computed at once. Weights of padding and
weights that a graph does not have are zero and stay zero: the former get no gradient,
and the gradient of the latter is masked. No value of one network reaches another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_invprune.priors import Layered
from keras_invprune_lab.structure.recurrent import cells

Weights = dict[str, np.ndarray]
"""Weights of a network by name, in the shapes of `keras_invprune.priors.recurrent`."""
CLASSES = 2
HEAD, LETTERS = "outputs", "embedding"


@dataclasses.dataclass(frozen=True)
class Block:
    """A recurrent layer of one network of a stack.

    Attributes:
        network: Number of the network.
        source: The layer that it reads, -1 for the letters.
        layer: The layer whose outputs it adds to.
    """

    network: int
    source: int
    layer: int

    @property
    def name(self) -> str:
        """Its name in the Keras model of the graph."""
        skips = self.source < self.layer - 1
        return f"layer_{self.layer}" + (f"_skip_{self.source}" if skips else "")


def blocks_of(layers: Layered, network: int = 0) -> list[Block]:
    """Return the blocks of a graph's network, in the order of their layers."""
    pairs = sorted(layers.masks, key=lambda pair: (pair[1], -pair[0]))
    return [Block(network, -1, 0), *(Block(network, s, t) for s, t in pairs)]


def drawn(
    layers: Layered, cell: str, vocabulary: int, seed: int | Sequence[int]
) -> Weights:
    """Return random weights of a graph's network.

    Letters are normal, all other weights uniform in ±1/√n, where n is the number of
    units of the block, or of the last layer for the outputs.

    Args:
        layers: The graph.
        cell: A name in `cells.CELLS`.
        vocabulary: Number of letters.
        seed: Of the weights.

    Source:
        The code of the authors of 2107.12917, which relies on PyTorch's defaults.
        Theirs has two biases, whose sum ours is, except in the GRU.
    """
    kind, lots = cells.CELLS[cell], np.random.default_rng(seed)
    sizes = [len(nodes) for nodes in layers.nodes]

    def uniform(units, *shape):
        return lots.uniform(-1, 1, shape).astype("float32") / np.float32(units**0.5)

    found = {f"{LETTERS}/embeddings": lots.normal(size=(vocabulary, sizes[0]))}
    for block in blocks_of(layers):
        width, units = sizes[max(block.source, 0)], sizes[block.layer]
        columns = kind.gates * units
        kernel = uniform(units, width, columns)
        if block.source >= 0:
            mask = layers.masks[block.source, block.layer]
            kernel *= np.tile(mask, kind.gates)
        found[f"{block.name}/kernel"] = kernel
        found[f"{block.name}/recurrent_kernel"] = uniform(units, units, columns)
        bias = uniform(units, 2, columns)
        found[f"{block.name}/bias"] = bias if kind.two_biases else bias.sum(axis=0)
    found[f"{HEAD}/kernel"] = uniform(sizes[-1], sizes[-1], CLASSES)
    found[f"{HEAD}/bias"] = uniform(sizes[-1], CLASSES)
    return {name: value.astype("float32") for name, value in found.items()}


class Stack:
    """The networks of several graphs, in arrays.

    Args:
        graphs: The graphs, all with the same number of layers.
        cell: A name in `cells.CELLS`.
        vocabulary: Number of letters.

    Attributes:
        shapes: ``{name: shape}`` of the arrays that hold all weights.
        masks: ``{name: 0/1 array}`` of the kernels between layers.
        owners: ``{name: [first axis]}``, the network that each row belongs to.

    Raises:
        ValueError: If the graphs have different numbers of layers.
    """

    def __init__(self, graphs: Sequence[Layered], cell: str, vocabulary: int):
        depths = {len(graph.nodes) for graph in graphs}
        if len(depths) != 1:
            raise ValueError(
                "The networks of a stack have the same number of layers. Received: "
                f"{sorted(depths)} layers."
            )
        self.graphs, self.vocabulary = list(graphs), vocabulary
        self.cell, self.count, (self.depth,) = cells.CELLS[cell], len(graphs), depths
        every = [b for n, g in enumerate(graphs) for b in blocks_of(g, n)]
        self.blocks = [[b for b in every if b.layer == t] for t in range(self.depth)]
        self.sizes = np.array([[len(part) for part in g.nodes] for g in graphs])
        self.widths = self.sizes.max(axis=0)
        self.shapes, self.masks, self.owners = self._arrays()

    def _arrays(self):
        gates, shapes, masks, owners = self.cell.gates, {}, {}, {}
        shapes[LETTERS] = (self.count, self.vocabulary, self.widths[0])
        for t, blocks in enumerate(self.blocks):
            count, m, width = len(blocks), self.widths[t], self._read(t)
            shapes[f"kernel_{t}"] = (count, gates, m, width)
            shapes[f"recurrent_{t}"] = (count, gates, m, m)
            shapes[f"bias_{t}"] = (count, gates, m)
            if self.cell.two_biases:
                shapes[f"recurrent_bias_{t}"] = (count, gates, m)
            if t:
                mask = np.zeros((count, 1, m, width), "float32")
                for row, block in zip(mask[:, 0], blocks, strict=True):
                    edges = self.graphs[block.network].masks[block.source, t].T
                    row[: edges.shape[0], : edges.shape[1]] = edges
                masks[f"kernel_{t}"] = mask
        shapes[HEAD] = (self.count, self.widths[-1], CLASSES)
        shapes[f"{HEAD}_bias"] = (self.count, CLASSES)
        for name in shapes:
            number = name.rpartition("_")[2]
            owned = self.blocks[int(number)] if number.isdecimal() else None
            owners[name] = np.array(
                [b.network for b in owned] if owned else range(self.count)
            )
        return shapes, masks, owners

    def _read(self, layer) -> int:
        """Return the largest width of what the blocks of a layer read."""
        return max(self.widths[max(b.source, 0)] for b in self.blocks[layer])

    def _places(self):
        """Yield (network, name of its weight, array, index, "plain"/"kernel"/"bias").

        A kernel of cells is [from, gates · to] in Keras and [gates, to, from] here.
        """
        gates = slice(None)  # or all letters
        for n, sizes in enumerate(self.sizes):
            letters, head = slice(sizes[0]), slice(sizes[-1])
            yield n, f"{LETTERS}/embeddings", LETTERS, (n, gates, letters), "plain"
            yield n, f"{HEAD}/kernel", HEAD, (n, head), "plain"
            yield n, f"{HEAD}/bias", f"{HEAD}_bias", (n,), "plain"
        for t, blocks in enumerate(self.blocks):
            for row, block in enumerate(blocks):
                sizes, n, own = self.sizes[block.network], block.network, block.name
                to, width = slice(sizes[t]), slice(sizes[max(block.source, 0)])
                for name, array, *place in (
                    ("kernel", "kernel", to, width),
                    ("recurrent_kernel", "recurrent", to, to),
                    ("bias", "bias", to),
                ):
                    index = (row, gates, *place)
                    kind = "bias" if name == "bias" else "kernel"
                    yield n, f"{own}/{name}", f"{array}_{t}", index, kind

    def packed(self, networks: Sequence[Weights]) -> dict[str, np.ndarray]:
        """Return the arrays that hold the weights of all networks."""
        arrays = {
            name: np.zeros(shape, "float32") for name, shape in self.shapes.items()
        }
        gates = self.cell.gates
        for n, own, name, place, kind in self._places():
            value = networks[n][own]
            if kind == "plain":
                arrays[name][place] = value
            elif kind == "kernel":
                arrays[name][place] = value.T.reshape(gates, -1, len(value))
            elif self.cell.two_biases:
                for array, row in zip((name, f"recurrent_{name}"), value, strict=True):
                    arrays[array][place] = row.reshape(gates, -1)
            else:
                arrays[name][place] = value.reshape(gates, -1)
        return arrays

    def unpacked(self, arrays: dict[str, np.ndarray]) -> list[Weights]:
        """Return the weights of each network, without padding."""
        networks: list[Weights] = [{} for _ in self.graphs]
        for n, own, name, place, kind in self._places():
            value = arrays[name][place]
            if kind == "kernel":
                value = value.reshape(-1, value.shape[-1]).T
            elif kind == "bias" and self.cell.two_biases:
                other = arrays[f"recurrent_{name}"][place]
                value = np.stack([value.ravel(), other.ravel()])
            elif kind == "bias":
                value = value.ravel()
            networks[n][own] = value
        return networks

    def logits(self, arrays: dict[str, Any], letters: Any, ends: Any) -> Any:
        """Return the outputs of all networks.

        Args:
            arrays: ``{name: tensor}`` of `shapes`.
            letters: int [networks, batch, steps], each network's own batch.
            ends: int [networks], the number of steps after which each is read. What
                comes later has no effect.

        Returns:
            [networks, batch, classes].
        """
        hot = tf.one_hot(tf.transpose(letters, [2, 0, 1]), self.vocabulary, axis=2)
        outputs: list[Any] = []
        for t, blocks in enumerate(self.blocks):
            kernel, bias = arrays[f"kernel_{t}"], arrays[f"bias_{t}"]
            if t == 0:  # the product of embedding and kernel is read by letters
                kernel = tf.einsum("kgij,kvj->kgiv", kernel, arrays[LETTERS])
            other = arrays.get(f"recurrent_bias_{t}", tf.zeros_like(bias))
            own = cells.Weights(kernel, arrays[f"recurrent_{t}"], bias, other)
            read = self._gathered(outputs, t) if t else hot
            found = cells.scan(self.cell, read, own, letters=t == 0)
            outputs.append(self._summed(found, blocks))
        by_network = tf.transpose(outputs[-1], [1, 0, 2, 3])
        last = tf.gather(by_network, ends - 1, batch_dims=1)
        head = tf.einsum("nmc,nmb->nbc", arrays[HEAD], last)
        return head + arrays[f"{HEAD}_bias"][:, None]

    def _gathered(self, outputs, layer):
        """Return what each block of a layer reads: [steps, blocks, width, batch]."""
        blocks, width = self.blocks[layer], self._read(layer)
        sources = sorted({block.source for block in blocks})
        padded = [
            tf.pad(outputs[s], [[0, 0], [0, 0], [0, width - self.widths[s]], [0, 0]])
            for s in sources
        ]
        rows = [sources.index(b.source) * self.count + b.network for b in blocks]
        return tf.gather(tf.concat(padded, axis=1), rows, axis=1)

    def _summed(self, found, blocks):
        """Return the sum over the blocks of each network.

        By rows, since a product with a matrix of zeros and ones would let a network
        that diverges to NaN reach the others.
        """
        own = [[] for _ in range(self.count)]
        for row, block in enumerate(blocks):
            own[block.network].append(row)
        most = max(map(len, own))
        if most == 1:
            return found
        rows = [row + [len(blocks)] * (most - len(row)) for row in own]
        padded = tf.pad(found, [[0, 0], [0, 1], [0, 0], [0, 0]])
        parts = [
            tf.gather(padded, column, axis=1) for column in zip(*rows, strict=True)
        ]
        return tf.add_n(parts)

    def sizes_by_network(self) -> list[int]:
        """Return the number of weights of each network that its graph has."""
        ones = {name: np.ones(shape, "float32") for name, shape in self.shapes.items()}
        arrays = {name: ones[name] * self.masks.get(name, 1) for name in ones}
        networks = self.unpacked(arrays)
        return [int(sum(value.sum() for value in one.values())) for one in networks]
