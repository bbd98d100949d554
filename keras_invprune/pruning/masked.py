"""The layer wrapper: reads w * mask wherever the wrapped layer reads w.

In training a method may read an *effective weight* of its own instead
(`keras_invprune.contracts.Effective`). A *grid* then rounds all kernels, always.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

import keras
from keras import ops

from keras_invprune.contracts import (
    Effective,
    EffectiveLike,
    Nested,
    PruningWrapper,
    Rounding,
    RoundingLike,
    Tensor,
)
from keras_invprune.graph.layouts import channel_axes, layouts
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import Weight, weights_by_key
from keras_invprune.masks.groups import sparsity_of
from keras_invprune.pruning.recomputed import check_scopes


def product(weight: Tensor, mask: Tensor, *own: Tensor) -> Tensor:
    """Return w * m, the effective weight of plain pruning; no gradient where m = 0."""
    del own
    return ops.multiply(weight, mask)


class Through(keras.regularizers.Regularizer):
    """A weight's regularizer, applied to the weight times its mask.

    Weights that are trained under their masks and may return are not multiplied.

    Args:
        wrapper: `Masked`.
        regularizer: The weight's own, or a `Through` of another mask.
        mask: Variable of 0 and 1.
    """

    def __init__(self, wrapper: "Masked", regularizer: Callable, mask: keras.Variable):
        self.wrapper, self.mask = wrapper, mask
        if isinstance(regularizer, Through):
            regularizer = regularizer.regularizer
        self.regularizer: Callable = regularizer

    def __call__(self, weight: Tensor) -> Tensor:
        """Return the penalty of w * m."""
        if self.wrapper.remembers:
            return self.regularizer(weight)
        return self.regularizer(ops.multiply(weight, self.mask))


class _Scope(keras.StatelessScope):
    """A scope in which some variables read as tensors.

    What is assigned to these is collected. All other variables, such as statistics and
    the seed of Keras's random numbers, are assigned at once, as without the scope: a
    value that is made inside a loop or a condition cannot be read after it.

    Args:
        values: Pairs (variable, tensor to read in its place). Values of an outer scope,
            as in `stateless_call`, are visible inside.
    """

    def __init__(self, values: Iterable[tuple]):
        values = list(values)
        super().__init__(values, collect_losses=True)
        self._replaced = {id(variable) for variable, _ in values}
        self._updated = {}

    def get_current_value(self, variable: keras.Variable) -> Tensor | None:
        """Return the tensor read in a variable's place; None for its own value."""
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value

    def add_update(self, update: tuple) -> None:
        """Make or collect an assignment, and let gradients pass as without a scope.

        Outside a scope, an assigned value has no history: gradients are those of the
        variable. Keras's SpectralNormalization relies on this.
        """
        variable, value = update
        if id(variable) not in self._replaced:
            with self._left():
                variable.assign(value)
            return
        value = ops.stop_gradient(value)
        if variable.trainable:
            read = ops.cast(variable.value, value.dtype)
            value = value + (read - ops.stop_gradient(read))  # + 0
        super().add_update((variable, value))
        self._updated[id(variable)] = variable

    @contextlib.contextmanager
    def _left(self) -> Iterator[None]:
        """Leave the scope for a moment."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def updates(self) -> list[tuple]:
        """Return the pairs (variable, value) that were collected."""
        return [(v, self.get_current_value(v)) for v in self._updated.values()]


def _trainable(tree: Nested) -> list:
    """Return the trainable variables among what methods have made."""
    return [v for v in keras.tree.flatten(tree) if getattr(v, "trainable", False)]


def _name(key: str) -> str:
    """Return a key as a valid TensorFlow name, also for an optimizer's slots."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", key)


@keras.saving.register_keras_serializable(package="keras_invprune")
class Masked(PruningWrapper, keras.layers.Wrapper):
    """A wrapper that runs a layer, or a whole model, with w * mask instead of w.

    The dense values stay in the layer's own variables. The masks are non-trainable
    weights of this wrapper, which knows neither scores nor schedules.

    Args:
        layer: Any Keras 3 layer or model.
        keys: Keys of the weights to mask (`keras_invprune.graph.weights`), or
            ``{key: Weight}`` if they are known; None for all prunable weights.
        effective: ``(weight, mask, *own) -> tensor``, what training reads; None for
            the product.
        plain: Keys of masked weights of which training reads the product, too.
        grid: ``(weight, axes) -> tensor``, through which kernels are read, whether
            masked or not (`keras_invprune.contracts.Rounding`); None for no rounding.

    Attributes:
        prunable: ``{key: variable}`` of the masked weights.
        layouts: ``{key: Layout}`` of the masked weights that have one.
        rounded: ``{key: (variable, axes)}`` of the kernels that are read through the
            grid, with the axes over which an output channel extends.
        settled: Whether training reads the product as well.
        shared: What ``effective.share`` made for all of the weights.
        own: ``{key: variables}`` that ``effective.build`` made, then those shared.
        learned: The trainable ones among them.

    Example:
        >>> layer = Masked(keras.layers.Dense(3, use_bias=False))
        >>> layer.build((None, 2))
        >>> _ = layer.masks["kernel"].assign([[1, 0, 0], [1, 0, 0]])
        >>> layer(np.ones((1, 2)))[0, 1:].numpy()
        array([0., 0.], dtype=float32)
    """

    def __init__(
        self,
        layer: keras.Layer,
        keys: Iterable[str] | Mapping[str, Weight] | None = None,
        effective: EffectiveLike | None = None,
        plain: Iterable[str] = (),
        grid: RoundingLike | None = None,
        **kwargs: Any,
    ):
        # Weights are multiplied in the dtype they are stored in. Each inner layer then
        # casts to its own compute dtype, so there is no autocast here.
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, autocast=False, **kwargs)
        self.supports_masking = True
        self.keys = None if keys is None else list(keys)
        self._given = MappingProxyType(keys if isinstance(keys, Mapping) else {})
        self.effective: EffectiveLike = product if effective is None else effective
        self.plain = tuple(plain)
        self.grid: Any = grid
        self.settled = False
        self.masks = {}
        self.shared: tuple = ()
        self.own = MappingProxyType({})
        self.prunable = MappingProxyType({})
        self.layouts = MappingProxyType({})
        self.rounded = MappingProxyType({})
        if layer.built:
            self.build()

    def build(self, input_shape: Nested = None) -> None:
        """Build the layer if necessary, and add a mask of ones for each weight."""
        super().build(input_shape)
        weights = self._given or self._find()
        self.keys = list(weights)
        # A proxy, because Keras would track the variables of a plain dict as ours.
        self.prunable = MappingProxyType({k: w.variable for k, w in weights.items()})
        self.layouts = MappingProxyType(layouts(weights, weights))
        check_scopes(self, self.prunable.values())
        for key, variable in self.prunable.items():
            mask = self.masks[key] = self.add_weight(
                name=f"{_name(key)}_mask",
                shape=variable.shape,
                initializer="ones",
                dtype=variable.dtype,
                trainable=False,
                autocast=False,
            )
            if variable.regularizer is not None:
                variable.regularizer = Through(self, variable.regularizer, mask)
        effective = Effective.of(self.effective)
        self.shared = shared = effective.share(self)  # TensorFlow wraps the attribute
        made = {
            key: effective.build(self, _name(key), variable)
            for key, variable in self.prunable.items()
        }
        self.own = MappingProxyType({key: (*own, *shared) for key, own in made.items()})
        for variable in _trainable([made.pop(key, ()) for key in self.plain]):
            variable.trainable = False  # nothing reads it
        self.learned = tuple(_trainable([made, shared]))
        if self.grid is not None:
            self.rounded = MappingProxyType(self._channels())
        self.built = True

    def _find(self) -> dict[str, Weight]:
        known = weights_by_key(self.layer)
        if self.keys is not None and known.keys() >= set(self.keys):
            keys = set(self.keys)  # as chosen, even if some have been frozen since
        else:
            select = (lambda *_: True) if self.keys is None else self.keys
            keys = set(prunable_weights(self.layer, select, known))
        return {key: weight for key, weight in known.items() if key in keys}

    def _channels(self) -> dict[str, tuple]:
        """Return ``{key: (variable, axes of a channel)}`` of what the grid rounds."""
        rounds, found = Rounding.of(self.grid).rounds, {}
        for key, weight in weights_by_key(self.layer).items():
            axes = channel_axes(*weight)
            if axes is not None and rounds(*weight):
                found[key] = weight.variable, axes
        return found

    def release(self) -> None:
        """Give the weights of the wrapped layer their own regularizers back."""
        for variable in self.prunable.values():
            if isinstance(variable.regularizer, Through):
                variable.regularizer = variable.regularizer.regularizer

    @contextlib.contextmanager
    def released(self) -> Iterator[keras.Layer]:
        """Yield the wrapped layer with its own regularizers, to be copied."""
        through = {key: v.regularizer for key, v in self.prunable.items()}
        self.release()
        try:
            yield self.layer
        finally:
            for key, variable in self.prunable.items():
                variable.regularizer = through[key]

    @property
    def remembers(self) -> bool:
        """Whether stored weights keep the values that masks hide, which may return."""
        return self.effective is not product and not self.settled

    def settle(self, settled: bool = True) -> None:
        """Make training read the product, and freeze the variables of the method."""
        self.settled = settled
        for variable in self.learned:
            variable.trainable = not settled

    def call(
        self,
        inputs: Nested,
        *args: Any,
        training: bool | None = None,
        function: Callable | None = None,
        **kwargs: Any,
    ) -> Nested:
        """Call the wrapped layer, whose arguments and results are unchanged.

        Every read of w in it returns w * mask, or effective(w, mask) in training. If
        there is a grid, that is then rounded, as are the kernels without a mask.
        Updates that wrapped layers make to their state (BatchNorm statistics, seeds,
        metrics) and losses that they add are kept. For `function`, see `run`.
        """
        learning = bool(training) and not self.settled
        with _Scope(self._values(learning)) as scope:
            if function is None:  # `training` is in Keras's call context
                outputs = self.layer(inputs, *args, **kwargs)
            else:
                outputs = function(inputs, training=training)
        for variable, value in scope.updates():
            variable.assign(value)
        for loss in scope.losses + self._penalties(learning):
            self.add_loss(loss)
        return outputs

    def _values(self, learning: bool) -> list[tuple[keras.Variable, Tensor]]:
        """Return the pairs (variable, tensor to read in its place)."""
        values = {
            # w <- m ⊙ w
            key: (variable, self._effective(key, learning)(*self._arguments(key)))
            for key, variable in self.prunable.items()
        }
        for key, (variable, axes) in self.rounded.items():
            value = values[key][1] if key in values else variable.value
            values[key] = variable, self.grid(value, axes)
        return list(values.values())

    def read(self, key: str, weight: Tensor) -> Tensor:
        """Return a stored weight as layers read it in evaluation.

        Args:
            key: Its key in the wrapped layer, or in a copy of it.
            weight: Its stored value.
        """
        if key in self.masks:
            weight = product(weight, self.masks[key].value)
        if key in self.rounded:
            weight = self.grid(weight, self.rounded[key][1])
        return weight

    def _penalties(self, learning: bool) -> list[Tensor]:
        penalty = Effective.of(self.effective).penalty
        if penalty is None or not learning:
            return []
        return [penalty(*self._arguments(k)) for k in self.masks if k not in self.plain]

    def _effective(self, key: str, learning: bool) -> EffectiveLike:
        return self.effective if learning and key not in self.plain else product

    def _arguments(self, key: str) -> tuple:
        """Return the weight, its mask and what the method has made for it."""
        return self.prunable[key].value, self.masks[key].value, *self.own[key]

    def run(
        self, function: Callable, inputs: Nested, training: bool | None = None
    ) -> Nested:
        """Call `function` instead of the wrapped layer, with masked weights.

        Args:
            function: ``(inputs, training) -> outputs``, which calls the wrapped
                layers.
            inputs: Tensors, passed to `function`.
            training: Passed to `function`.

        Returns:
            The outputs of `function`.
        """
        # Inside a call of this layer, which has no autocast: the weights must be
        # multiplied in the dtype they are stored in.
        return self(inputs, training=training, function=function)

    def set_masks(self, masks: Mapping[str, Tensor], zero: bool = True) -> None:
        """Write masks, and set the stored weights that they remove to zero.

        Args:
            masks: ``{key: array of 0/1 or bool}``; other masks stay unchanged.
            zero: Whether to set the stored weights to zero. If the wrapper
                `remembers`, they keep their values in any case.

        Raises:
            ValueError: If a key is unknown or a shape differs.
        """
        for key, mask in masks.items():
            if key not in self.masks:
                raise ValueError(
                    f"There is no mask for {key!r}. Masked weights: {self.keys}."
                )
            self.masks[key].assign(ops.cast(mask, self.masks[key].dtype))
        if zero and not self.remembers:
            self.apply_masks(masks)

    def apply_masks(self, keys: Iterable[str] | None = None) -> None:
        """Store w * mask in w, for all keys or those given: old values are lost."""
        for key in self.masks if keys is None else keys:
            variable = self.prunable[key]
            variable.assign(product(variable.value, self.masks[key].value))

    @property
    def sparsity(self) -> float:
        """Share of the masked weights whose mask is zero."""
        return sparsity_of({key: mask.numpy() for key, mask in self.masks.items()})

    def compute_mask(self, inputs: Nested, previous_mask: Tensor | None = None) -> None:
        """Return None: the wrapped layer has set the masks of its outputs."""
        del inputs, previous_mask
        return None

    def get_config(self) -> dict[str, Any]:
        """Return the wrapped layer and the keys; masks are saved as weights."""
        config = {**super().get_config(), "keys": self.keys}
        if self.effective is not product:
            config["effective"] = keras.saving.serialize_keras_object(self.effective)
        if self.plain:
            config["plain"] = list(self.plain)
        if self.grid is not None:
            config["grid"] = keras.saving.serialize_keras_object(self.grid)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the wrapper of a config; masks are loaded as weights."""
        for name in {"effective", "grid"} & config.keys():
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects
            )
        layer = keras.saving.deserialize_keras_object(
            config.pop("layer"), custom_objects
        )
        return cls(layer, **config)
