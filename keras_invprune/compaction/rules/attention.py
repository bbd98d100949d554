"""Attention with several heads: whole heads, and dimensions inside of them.

A value that is constant is the same after attention, since its weights sum to one. With
a mask, they may all be zero, and only a value of zero is the same. A key dimension that
is the same at all positions moves all scores alike, and softmax does not see it. Over
several axes, Keras computes exp(x - log Σ exp x), whose rounding depends on how large
the scores x are: the weights' sum is not as close to one, and only zeros are the same.
Keras needs as many key and value dimensions in each head.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.compaction.channels import Channels, Port, Signal
from keras_invprune.compaction.mixing import OUT, array
from keras_invprune.compaction.rule import (
    Bools,
    Call,
    Constants,
    OpaqueError,
    Rule,
    Sides,
    gone,
    moved,
    rule,
)

KEYS, VALUES = "key dimensions", "value dimensions"  # of all heads, head by head
ROLES = ("query", "value", "key")
MASKS = ("query_mask", "value_mask", "key_mask", "attention_mask")


class Projection(NamedTuple):
    """A projection of an input to all heads: q = xW + b.

    Attributes:
        connected: Which inputs it reads for which dimensions, (inputs, dimensions).
        constant: The values of its dimensions that are constant; NaN where they vary.
    """

    connected: np.ndarray
    constant: np.ndarray


def _projection(dense: keras.layers.EinsumDense, constants: np.ndarray) -> Projection:
    kernel = array(dense.kernel)
    kernel = kernel.reshape(len(kernel), -1)
    value = np.nan_to_num(constants) @ kernel
    if dense.bias is not None:
        value = value + array(dense.bias).reshape(-1)
    varies = (kernel[np.isnan(constants)] != 0).any(0)
    return Projection(kernel != 0, np.where(varies, np.nan, value))


def _varies(projection: Projection, but_zero: bool) -> np.ndarray:
    """Return the dimensions that are not constant, or, if told so, not always zero."""
    constant = projection.constant
    return constant != 0 if but_zero else np.isnan(constant)


class _Heads:
    """What each dimension of each head does, for the constants of the inputs."""

    def __init__(self, call: Call, constants: Constants):
        layer, self.given = call.operation, _given(call, constants)
        self.heads = _count(layer)
        self.query, self.value, self.key = (
            _projection(getattr(layer, f"_{role}_dense"), self.given[role])
            for role in ROLES
        )
        rounded = len(layer._attention_axes) > 1
        self.varies = _varies(self.value, rounded or _may_see_nothing(call))
        self.moves = _varies(self.key, rounded)
        output = array(layer._output_dense.kernel)
        self.output = output.reshape(-1, output.shape[-1]) != 0

    def values(self, wanted: np.ndarray) -> np.ndarray:
        """Return the value dimensions that vary and reach a wanted output."""
        return self.output[:, wanted].any(1) & self.varies

    def keys(self, values: np.ndarray) -> np.ndarray:
        """Return the key dimensions that the softmax of a needed head sees."""
        heads = values.reshape(self.heads, -1).any(1)
        seen = (self.query.constant != 0) & self.moves
        return seen & np.repeat(heads, len(seen) // self.heads)


@rule("MultiHeadAttention")
class MultiHeadAttention(Rule):
    """The rule of attention between the steps of two sequences."""

    def channels(self, call: Call) -> Channels:
        """Return the inputs, the dimensions of all heads, and the outputs."""
        layer, shape = call.operation, call.shapes[0]
        _check(call)
        roles = _roles(call)
        key = "key" if "key" in roles else "value"
        last = {x: signal.size for x, signal in zip(roles, call.reads, strict=True)}
        keys, values = (
            (axis, np.arange(_count(layer)) * dense.kernel.shape[-1])  # of each head
            for axis, dense in ((KEYS, layer._key_dense), (VALUES, layer._value_dense))
        )
        return Channels(
            {
                **{role: size for role, size in last.items() if role in ROLES},
                KEYS: _count(layer) * layer._key_dense.kernel.shape[-1],
                VALUES: _count(layer) * layer._value_dense.kernel.shape[-1],
                OUT: shape[-1],
            },
            tuple(
                signal.to(role) if role in ROLES else None
                for role, signal in zip(roles, call.reads, strict=True)
            ),
            (Port(OUT, np.arange(shape[-1]), len(shape) - 1),),
            {
                "_query_dense.kernel": ("query", keys, None),
                "_query_dense.bias": (keys, None),
                "_key_dense.kernel": (key, keys, None),
                "_key_dense.bias": (keys, None),
                "_value_dense.kernel": ("value", values, None),
                "_value_dense.bias": (values, None),
                "_output_dense.kernel": (values, None, OUT),
                "_output_dense.bias": (OUT,),
            },
            groups={KEYS: _count(layer), VALUES: _count(layer)},
        )

    def varies(self, call: Call, channels: Channels, constants: Constants) -> Bools:
        """Return the outputs that a varying value reaches."""
        heads = _Heads(call, constants)
        return [heads.output[heads.varies].any(0)]

    def inside(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> dict[str, np.ndarray]:
        """Return the dimensions that needed outputs depend on."""
        heads = _Heads(call, constants)
        values = heads.values(needed[0])
        return {VALUES: values, KEYS: heads.keys(values)}

    def needs(
        self, call: Call, channels: Channels, needed: Bools, constants: Constants
    ) -> Bools:
        """Return the inputs that needed dimensions depend on."""
        heads = _Heads(call, constants)
        values = heads.values(needed[0])
        keys = heads.keys(values)
        reads = {
            "query": heads.query.connected[:, keys].any(1),
            "value": heads.value.connected[:, values].any(1),
        }
        key = heads.key.connected[:, keys].any(1)
        roles = _roles(call)
        if "key" in roles:
            reads["key"] = key
        else:
            reads["value"] = reads["value"] | key
        return [
            reads[role] & np.isnan(heads.given[role])
            if role in ROLES
            else np.ones(signal.size, bool)
            for role, signal in zip(roles, call.reads, strict=True)
        ]

    def revised(
        self, layer: Any, channels: Channels, constants: Constants, kept: Sides
    ) -> dict[str, np.ndarray]:
        """Return the biases with constants folded into them, and scaled queries."""
        given = _by_axis(channels, constants)
        shifts = {}
        for name, axis in _inputs(channels).items():
            kernel = array(getattr(layer, name).kernel)
            shifts[name] = np.tensordot(gone(given[axis], kept[axis]), kernel, 1)
        values = _projection(layer._value_dense, given["value"]).constant
        output = array(layer._output_dense.kernel)
        folded = gone(values, kept[VALUES])
        shifts["_output_dense"] = folded @ output.reshape(-1, output.shape[-1])
        found = _biases(layer, shifts)
        before, after = (
            layer._key_dense.kernel.shape[-1],
            _each(kept[KEYS], _count(layer)),
        )
        if before != after:  # Keras divides by the square root of what is left
            scale = np.sqrt(after / before)
            found["_query_dense.kernel"] = array(layer._query_dense.kernel) * scale
            bias = found.get("_query_dense.bias")
            if bias is None and layer._query_dense.bias is not None:
                bias = array(layer._query_dense.bias)
            if bias is not None:
                found["_query_dense.bias"] = bias * scale
        return found

    def config(
        self, layer: Any, channels: Channels, kept: Sides, revised: Collection[str]
    ) -> dict[str, Any]:
        """Return the numbers of heads, dimensions and outputs."""
        heads = kept[VALUES].reshape(_count(layer), -1).any(1)
        biased = any(name.endswith("bias") for name in revised)
        return {
            "num_heads": int(heads.sum()),
            "key_dim": _each(kept[KEYS], _count(layer)),
            "value_dim": _each(kept[VALUES], _count(layer)),
            "output_shape": (int(kept[OUT].sum()),),
            **({"use_bias": True} if biased else {}),
        }

    def cut(
        self, layer: Any, path: str, weight: np.ndarray, channels: Channels, kept: Sides
    ) -> np.ndarray:
        """Return a weight without the heads, dimensions and channels that go."""
        heads = int(kept[VALUES].reshape(_count(layer), -1).any(1).sum())
        matrix, sides = _matrix(path, weight, channels, kept)
        for position, side in enumerate(sides):
            matrix = np.compress(side, matrix, position)
        if path == "_output_dense.bias":
            return matrix
        if path == "_output_dense.kernel":
            return matrix.reshape(heads, -1, matrix.shape[-1])
        return matrix.reshape(*matrix.shape[:-1], heads, -1)

    def covers(
        self,
        layer: Any,
        path: str,
        shape: tuple[int, ...],
        channels: Channels,
        chosen: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Return which elements of a weight connect only chosen channels."""
        matrix, sides = _matrix(path, np.ones(shape, bool), channels, chosen)
        for position, side in enumerate(sides):
            matrix = matrix & (side[:, None] if position < matrix.ndim - 1 else side)
        return matrix.reshape(shape)


def _matrix(
    path: str,
    weight: np.ndarray,
    channels: Channels,
    of_axes: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a weight with all heads on one axis, and what is said of each axis."""
    name, kind = path.split(".")
    if name == "_output_dense":
        if kind == "bias":
            return weight, [of_axes[OUT]]
        return weight.reshape(-1, weight.shape[-1]), [of_axes[VALUES], of_axes[OUT]]
    inside = of_axes[VALUES if name == "_value_dense" else KEYS]
    if kind == "bias":
        return weight.reshape(-1), [inside]
    source = of_axes[_inputs(channels)[name]]
    return weight.reshape(len(weight), -1), [source, inside]


def _biases(
    layer: keras.layers.MultiHeadAttention, shifts: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return all biases if one of them moves."""
    if not any(shift.any() for shift in shifts.values()):
        return {}
    found = {}
    for name, shift in shifts.items():
        bias = getattr(layer, name).bias
        found[f"{name}.bias"] = shift if bias is None else array(bias) + shift
    return found


def _count(layer: keras.layers.MultiHeadAttention) -> int:
    """Return the number of heads."""
    return layer._query_dense.kernel.shape[1]


def _each(kept: np.ndarray, heads: int) -> int:
    """Return how many dimensions each head keeps."""
    return int(kept.reshape(heads, -1).sum(1).max())


def _inputs(channels: Channels) -> dict[str, str]:
    """Return the axis of the input of each projection."""
    key = "key" if "key" in channels.sizes else "value"
    return {"_query_dense": "query", "_key_dense": key, "_value_dense": "value"}


def _by_axis(channels: Channels, constants: Constants) -> dict[str, np.ndarray]:
    pairs = zip(channels.inputs, constants, strict=True)
    return {port.axis: values for port, values in pairs if port is not None}


def _given(call: Call, constants: Constants) -> dict[str, np.ndarray]:
    """Return the constants by role; without keys, values take their place."""
    found = dict(zip(_roles(call), constants, strict=True))
    return {"key": found["value"], **found}


def _roles(call: Call) -> list[str]:
    """Return for each tensor that is read the name of its argument."""
    args, kwargs = call.arguments
    names = tuple(call.named)[: len(args)], {name: name for name in kwargs}
    pairs = zip(
        keras.tree.flatten(names), keras.tree.flatten((args, kwargs)), strict=True
    )
    return [name for name, part in pairs if isinstance(part, Signal)]


def _may_see_nothing(call: Call) -> bool:
    """Return whether a mask may leave a query nothing to attend to.

    A causal mask alone leaves it the first position, at least.
    """
    masks = [value for name, value in call.named.items() if name in MASKS]
    window = getattr(call.operation, "_sliding_window", None)
    given = any(mask is not None for mask in (*masks, window))
    return given or any(signal.masked for signal in call.reads)


def _check(call: Call) -> None:
    """Raise if the layer does what the rule does not know.

    Raises:
        OpaqueError: If it does.
    """
    layer, kernel = call.operation, call.operation._output_dense.kernel
    if len(call.shapes) > 1:
        raise OpaqueError("its scores are read")
    if getattr(layer, "_use_gate", False) or len(kernel.shape) != 3:
        raise OpaqueError("it has a gate, or several axes of outputs")
    for role, signal in zip(_roles(call), call.reads, strict=True):
        if role in ROLES and signal.position != len(signal.shape) - 1:
            raise OpaqueError(moved(len(signal.shape) - 1, signal.position))
