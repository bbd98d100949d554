"""The product of two affine layers: one kernel, one bias, one layer's settings."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_invprune.compaction.limits import meets
from keras_invprune.compaction.merge.links import Link, affine
from keras_invprune.graph.connections import Connections, OnConnections


class NotExactError(ValueError):
    """No single layer computes what the two compute."""


@dataclass(frozen=True)
class Product:
    """What the remaining layer becomes.

    Attributes:
        kernel: Its kernel.
        bias: Its bias, or None.
        config: What changes in its config.
    """

    kernel: np.ndarray
    bias: np.ndarray | None
    config: dict[str, Any]


def product(link: Link) -> Product:
    """Return the layer that computes what both layers of a link compute.

    Raises:
        NotExactError: If there is none, with the reason.
    """
    second = link.second.operation
    kernel, bias = link.affine()
    with_bias = bool(bias.any()) or second.use_bias
    if isinstance(second, keras.layers.Dense):
        made, shift = _into_dense(link, _matrix(link, kernel), bias)
        config: dict[str, Any] = {}
    else:
        made, config = _into_convolution(link, kernel, bias)
        shift = bias
    # Σ over the positions of the second kernel: Wᵀ b₁ + b₂
    after, own = affine(second)
    total = shift @ after.reshape(-1, shift.size, after.shape[-1]).sum(0) + own
    config |= {"use_bias": with_bias, **_connections(link)}
    found = Product(made, total if with_bias else None, config)
    _check_constraints(second, found)
    return found


def _check_constraints(layer: keras.Layer, made: Product) -> None:
    """Raise if the first step of a training would undo the product.

    Raises:
        NotExactError: If a constraint changes it.
    """
    for name, values in (("kernel", made.kernel), ("bias", made.bias)):
        variable = getattr(layer, name)
        if variable is None or values is None or meets(variable, values):
            continue
        raise NotExactError(
            f"the {name} of {layer.name!r} has a constraint, "
            f"{type(variable.constraint).__name__}, that the product breaks"
        )


def _connections(link: Link) -> dict[str, Any]:
    """Return the entries of the config that say which connections a kernel has."""
    layer = link.second.operation
    first, second = link.first.operation.kernel.constraint, layer.kernel.constraint
    both = None
    if isinstance(first, Connections) and isinstance(second, Connections):
        fits = len(first.targets) == len(second.sources)
        both = first.then(second) if fits else None
    found: dict[str, Any] = {}
    if isinstance(second, Connections):
        found["kernel_constraint"] = both
    if isinstance(layer.kernel_initializer, OnConnections):
        found["kernel_initializer"] = layer.kernel_initializer.moved(both)
    return {k: keras.saving.serialize_keras_object(v) for k, v in found.items()}


def _matrix(link: Link, kernel: np.ndarray) -> np.ndarray:
    """Return the kernel of a layer that works on each position alone, [in, out].

    Raises:
        NotExactError: If the layer reads several positions, or channels come first.
    """
    layer = link.first.operation
    for step in link.reshaping:
        if step.operation.data_format == "channels_first":
            raise NotExactError(f"{step.operation.name!r} reads channels first")
    if isinstance(layer, keras.layers.Dense):
        return kernel
    if not _is_pointwise(layer) or layer.data_format == "channels_first":
        raise NotExactError(
            f"{link.second.operation.name!r} is a Dense layer and cannot hold a kernel "
            f"of {layer.kernel_size}"
        )
    return kernel.reshape(kernel.shape[-2:])


def _is_pointwise(layer: keras.Layer) -> bool:
    return {*layer.kernel_size} == {1} and {*layer.strides} == {1} and layer.groups == 1


def _into_dense(
    link: Link, matrix: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel, and the bias for each input of the second layer."""
    kernel, _ = affine(link.second.operation)
    # Flatten puts the channels of each position next to one another.
    positions = len(kernel) // matrix.shape[1]
    parts = kernel.reshape(positions, *matrix.shape[1:], -1)
    made = np.einsum("im,pmo->pio", matrix, parts)
    return made.reshape(-1, kernel.shape[-1]), np.tile(bias, positions)


def _into_convolution(
    link: Link, kernel: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    first, second = link.first.operation, link.second.operation
    _check_settings(link)
    after, _ = affine(second)
    ones = (1,) * (after.ndim - 2)
    if isinstance(first, keras.layers.Dense):
        kernel = kernel.reshape(*ones, *kernel.shape)
    strides = getattr(first, "strides", ones)
    config = _settings(link, bool(bias.any()))
    # k = k₁ + (k₂ - 1)·s₁, and K[p + s₁·q] = Σ W₁[p] W₂[q]
    sizes = [
        one + (two - 1) * stride
        for one, two, stride in zip(kernel.shape, after.shape, strides, strict=False)
    ]
    made = np.zeros((*sizes, kernel.shape[-2], after.shape[-1]))
    for place in np.ndindex(*after.shape[:-2]):
        part = tuple(
            slice(stride * q, stride * q + size)
            for stride, q, size in zip(strides, place, kernel.shape, strict=False)
        )
        made[part] += kernel @ after[place]
    return made, config | {"kernel_size": tuple(sizes)}


def _check_settings(link: Link) -> None:
    first, second = link.first.operation, link.second.operation
    if link.reshaping:
        name = link.reshaping[0].operation.name
        raise NotExactError(f"{name!r} lies between it and a convolution")
    if getattr(first, "groups", 1) > 1 or second.groups > 1:
        raise NotExactError("a convolution in groups is not merged")
    if getattr(first, "data_format", "channels_last") != second.data_format:
        raise NotExactError("the layers have their channels on different axes")


def _settings(link: Link, has_bias: bool) -> dict[str, Any]:
    """Return padding, strides and dilation of the product.

    Raises:
        NotExactError: If no padding is exact at the borders, or if dilation differs.
    """
    first, second = link.first.operation, link.second.operation
    names = ("padding", "strides", "dilation_rate")
    one, two = ({n: getattr(x, n, None) for n in names} for x in (first, second))
    if isinstance(first, keras.layers.Dense) or _is_pointwise(first):
        if _pads(second) and has_bias:
            raise NotExactError(
                f"{second.name!r} pads with zeros where this layer has its bias"
            )
        return two
    if _is_pointwise(second):
        return one
    if _pads(first) or _pads(second):
        raise NotExactError("two convolutions, one padded, differ at borders")
    if max(*first.dilation_rate, *second.dilation_rate) > 1:
        raise NotExactError("a dilated convolution is not merged")
    strides = zip(first.strides, second.strides, strict=True)
    return {"padding": "valid", "strides": tuple(a * b for a, b in strides)}


def _pads(layer: keras.Layer) -> bool:
    """Return whether a convolution reads zeros beyond the borders."""
    return layer.padding != "valid" and {*layer.kernel_size} != {1}
