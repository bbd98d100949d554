"""What a proximal operator is: new values of variables after an optimizer's step."""

import abc
import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real

import keras

from keras_invprune.contracts import Tensor
from keras_invprune.saving import Configured, did_you_mean, near_names


class Operator(Configured, abc.ABC):
    """Moves the weights after each step of an optimizer. See `Proximal`.

    It holds the constructor's arguments and nothing else, so that it is saved with the
    optimizer. Register subclasses with `keras.saving.register_keras_serializable`.
    """

    def check(self, variables: list[keras.Variable]) -> None:
        """Raise ValueError if these trainable variables do not suit the operator."""

    def penalize(self, gradients: list, variables: list[keras.Variable]) -> list:
        """Return the gradients for the optimizer's step, as they are by default."""
        del variables
        return gradients

    @abc.abstractmethod
    def moved(
        self, variables: list[keras.Variable], rate: Tensor
    ) -> Iterator[tuple[keras.Variable, Tensor]]:
        """Yield (variable, new value) after a step of size `rate`."""


class LayerOperator(Operator):
    """An operator that treats the weights of each layer as one group.

    Args:
        strengths: ``{name of a layer: r >= 0}``. In nested models of equal names, give
            a longer path, such as ``"encoder/dense"``.

    Raises:
        ValueError: If a strength is negative or not finite, or if there is none.
        TypeError: If `strengths` is not a dictionary of numbers.
    """

    weights: tuple[str, ...] = ("kernel", "bias")

    def __init__(self, strengths: Mapping[str, float]) -> None:
        self.strengths = _checked(strengths)

    def check(self, variables: list[keras.Variable]) -> None:
        """Raise ValueError if a layer is not there, or there is more than one."""
        list(self.groups(variables))

    def groups(
        self, variables: list[keras.Variable]
    ) -> Iterator[tuple[float, list[keras.Variable]]]:
        """Yield (strength, weights) of each layer.

        Raises:
            ValueError: If a layer is not there, or if two have this name.
        """
        layers = self._by_layer(variables)
        for name, strength in self.strengths.items():
            ends = [path for path in layers if f"/{path}".endswith(f"/{name}")]
            ends = [name] if name in ends else ends  # a whole path
            found = [v for path in ends for v in layers[path]]
            names = [variable.name for variable in found]
            if self.weights[0] not in names:
                raise ValueError(_missing(name, self.weights[0], layers))
            if len(set(names)) < len(names):
                raise ValueError(
                    f"Two layers are called {name!r}, and strengths are given by name. "
                    f"Received: layers {ends}. Rename one, or use a longer path."
                )
            yield strength, found

    def _by_layer(
        self, variables: Iterable[keras.Variable]
    ) -> dict[str, list[keras.Variable]]:
        layers: dict[str, list[keras.Variable]] = {}
        for variable in variables:
            layer, _, name = variable.path.rpartition("/")
            if name in self.weights:
                layers.setdefault(layer, []).append(variable)
        return layers

    def moved(
        self, variables: list[keras.Variable], rate: Tensor
    ) -> Iterator[tuple[keras.Variable, Tensor]]:
        """Yield (variable, new value) after a step of size `rate`."""
        for strength, group in self.groups(variables):
            values = [keras.ops.convert_to_tensor(variable) for variable in group]
            threshold = keras.ops.cast(rate, "float32") * strength
            yield from zip(group, self.prox(values, threshold), strict=True)

    @abc.abstractmethod
    def prox(self, values: list, threshold: Tensor) -> list:
        """Return the new values of one layer's weights.

        Args:
            values: Tensors of its weights, the kernel first.
            threshold: Step size times strength, a scalar.
        """


def shrunk(values: Tensor, norm: Tensor, threshold: Tensor) -> Tensor:
    """Return ``values · max(0, 1 - threshold/norm)``: a group's exact proximal step."""
    ops = keras.ops
    share = threshold / ops.maximum(norm, 1e-30)  # 0 has no direction
    return values * ops.cast(ops.maximum(0.0, 1.0 - share), values.dtype)


def norm_of(parts: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm over all tensors of a group, in float32."""
    squares = [keras.ops.square(keras.ops.cast(part, "float32")) for part in parts]
    return keras.ops.sqrt(sum(keras.ops.sum(square) for square in squares))


def _checked(strengths: object) -> dict[str, float]:
    if not isinstance(strengths, Mapping):
        raise TypeError(
            "`strengths` must be a dictionary {name of a layer: strength}. Received: "
            f"strengths={strengths!r}. For one strength in all layers, use "
            "NegativeParts.of(model, strength)."
        )
    if not strengths:
        raise ValueError("`strengths` must name a layer. Received: strengths={}.")
    for name, strength in strengths.items():
        check_strength(strength, name)
    return {name: float(strength) for name, strength in strengths.items()}


def check_strength(strength: float, name: str | None = None) -> None:
    """Raise unless a strength is a finite number that is not negative.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is negative or not finite.
    """
    where = f" for layer {name!r}" if name else ""
    if not isinstance(strength, Real) or isinstance(strength, bool):
        raise TypeError(f"A strength must be a number. Received: {strength!r}{where}.")
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(
            "A strength must be finite and not negative; 0 leaves a layer alone. "
            f"Received: {strength}{where}."
        )


def _missing(name: str, weight: str, layers: Iterable[str]) -> str:
    names = [path.rpartition("/")[2] for path in layers]
    hint = did_you_mean(near_names(name, names))
    return (
        f"No layer with a trainable {weight} is called {name!r}.{hint} Known: {names}"
    )
