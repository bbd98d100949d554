"""Kernels in which some connections do not exist: they are zero and stay zero."""

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import keras
import numpy as np

from keras_invprune.contracts import Tensor


@keras.saving.register_keras_serializable(package="keras_invprune")
class Connections(keras.constraints.Constraint):
    """The connections of a kernel, as a constraint that keeps all others at zero.

    A constraint is applied by Keras's optimizers after each of their steps, within the
    training step: in `fit` and in custom loops, with XLA, `tf.distribute` and mixed
    precision. Nothing else in the layer changes. Keras looks at gradients, and at the
    averages of an optimizer with ``use_ema=True``, before constraints. So the gradients
    of absent connections count in the norm that an optimizer clips, and such averages
    are not zero. Since all values that are averaged differ from those of the network in
    absent connections alone, the constraint, applied to the averages, gives the
    averages of the network.

    Args:
        mask: Boolean array [inputs, outputs], True for connections.
        sources: The number of the node that each input is, int [inputs].
        targets: The number of the node that each output is, int [outputs]. The gates of
            a recurrent unit are outputs of one node.

    Example:
        >>> connections = Connections([[True, False]], [0], [1, 2])
        >>> np.asarray(connections(np.ones((1, 2), "float32")))
        array([[1., 0.]], dtype=float32)

    Raises:
        ValueError: If the numbers of nodes do not fit the mask.
    """

    def __init__(
        self,
        mask: np.ndarray,
        sources: Sequence[int] | np.ndarray,
        targets: Sequence[int] | np.ndarray,
    ):
        self.mask = np.array(mask, bool)
        self.sources, self.targets = np.array(sources, int), np.array(targets, int)
        if self.mask.shape != (*self.sources.shape, *self.targets.shape):
            raise ValueError(
                "`mask` must have a row for each source and a column for each target. "
                f"Received: a mask of shape {self.mask.shape}, sources of shape "
                f"{self.sources.shape}, targets of shape {self.targets.shape}."
            )

    def __call__(self, w: Tensor) -> Tensor:
        """Return the kernel with zeros where there is no connection.

        Raises:
            ValueError: If the kernel has another shape than the mask.
        """
        if tuple(w.shape) != self.mask.shape:
            raise ValueError(
                "The connections belong to another kernel. Their mask has shape "
                f"{self.mask.shape}. Received: a kernel of shape {tuple(w.shape)}."
            )
        w = keras.ops.convert_to_tensor(w)
        return keras.ops.where(self.mask, w, keras.ops.zeros_like(w))

    def cut(self, rows: np.ndarray, columns: np.ndarray) -> "Connections":
        """Return the connections of some inputs with some outputs.

        Args:
            rows: The inputs, int [n].
            columns: The outputs, int [m].
        """
        mask = self.mask[np.ix_(rows, columns)]
        return Connections(mask, self.sources[rows], self.targets[columns])

    def then(self, second: "Connections") -> "Connections":
        """Return the connections of the product of two kernels."""
        mask = self.mask.astype(int) @ second.mask.astype(int) > 0
        return Connections(mask, self.sources, second.targets)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the mask as compressed bits."""
        bits = zlib.compress(np.packbits(self.mask).tobytes())
        return {
            "mask": base64.b64encode(bits).decode(),
            "sources": self.sources.tolist(),
            "targets": self.targets.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the connections that `get_config` describes."""
        sources, targets = config["sources"], config["targets"]
        bits = zlib.decompress(base64.b64decode(config["mask"]))
        shape, size = (len(sources), len(targets)), len(sources) * len(targets)
        mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=size)
        return cls(mask.reshape(shape), sources, targets)


@keras.saving.register_keras_serializable(package="keras_invprune")
class OnConnections(keras.initializers.Initializer):
    """Random values other than zero on the connections of a kernel, zeros elsewhere.

    Each is uniform in ±√(3·scale / n), for the n connections of its output: He's
    initialization for scale 2, LeCun's for scale 1, with the inputs that there are.

    Args:
        connections: The connections.
        scale: The variance of an output over that of the inputs.
        seed: Seed of the random values, an integer.

    Example:
        >>> connections = Connections([[True, False], [True, True]], [0, 1], [2, 3])
        >>> np.asarray(OnConnections(connections, seed=1)((2, 2))) == 0
        array([[False,  True],
               [False, False]])
    """

    def __init__(self, connections: Connections, scale: float = 1.0, seed: int = 0):
        self.connections, self.scale = connections, float(scale)
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Return the values of a kernel.

        Raises:
            ValueError: If the kernel has another shape than the mask.
        """
        counts = self.connections.mask.sum(0)
        limits = np.sqrt(3 * self.scale / np.maximum(counts, 1))
        values = keras.random.uniform(shape, -1, 1, dtype=dtype, seed=self.seed)
        # Zero, one of 2^8 values in bfloat16, would mean that there is no connection.
        values = keras.ops.where(values == 0, keras.ops.ones_like(values), values)
        return self.connections(values * keras.ops.cast(limits, values.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        connections = keras.saving.serialize_keras_object(self.connections)
        return {"connections": connections, "scale": self.scale, "seed": self.seed}

    def cut(self, rows: np.ndarray, columns: np.ndarray) -> "OnConnections":
        """Return the initializer of some inputs and some outputs: see `Connections`."""
        return self.moved(self.connections.cut(rows, columns))

    def moved(self, connections: Connections | None) -> keras.initializers.Initializer:
        """Return the initializer, of the same scale and seed, of other connections.

        Args:
            connections: The connections of another kernel; None if it has all.
        """
        if connections is None:
            return keras.initializers.VarianceScaling(
                self.scale, "fan_in", "uniform", self.seed
            )
        return OnConnections(connections, self.scale, self.seed)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the initializer with its connections."""
        connections = keras.saving.deserialize_keras_object(config["connections"])
        return cls(**{**config, "connections": connections})


def connections_of(variables: Mapping[str, keras.Variable]) -> dict[str, Connections]:
    """Return the connections of the kernels that have some, by key."""
    limits = {key: variable.constraint for key, variable in variables.items()}
    return {k: limit for k, limit in limits.items() if isinstance(limit, Connections)}


NONE: Mapping[str, Any] = MappingProxyType({})


def check_absent(
    variables: Mapping[str, keras.Variable],
    masks: Mapping[str, keras.Variable | np.ndarray] = NONE,
) -> None:
    """Raise ValueError if weights are not zero where there are no connections.

    Args:
        variables: Variables by key.
        masks: ``{key: variable or array}``, 0 where a weight is not read.
    """
    for key, connections in connections_of(variables).items():
        lives = keras.ops.convert_to_numpy(variables[key]) != 0
        if key in masks:
            lives &= keras.ops.convert_to_numpy(masks[key]) != 0
        check_lives(key, connections, lives)


def check_lives(name: str, connections: Connections, lives: np.ndarray) -> None:
    """Raise ValueError if a kernel has weights where there are no connections.

    Args:
        name: Name of the kernel.
        connections: Its connections.
        lives: Boolean array of the kernel's shape, True where it is not zero.
    """
    others = int((lives & ~connections.mask).sum())
    if others:
        raise ValueError(
            f"Connections that the graph does not have must be zero, and {others} of "
            f"{name!r} are not. Weights were assigned, or averaged by an optimizer "
            "with `use_ema=True`, which does so before constraints. Apply these: `for "
            "w in model.weights: w.constraint and w.assign(w.constraint(w))`."
        )


def clear_absent(variables: Iterable[keras.Variable]) -> None:
    """Set the weights to zero where there are no connections."""
    for variable in variables:
        if isinstance(variable.constraint, Connections):
            variable.assign(variable.constraint(variable))


OF_ONE_SHAPE = Connections, OnConnections
"""What belongs to kernels of one shape, and has a `cut`."""
