"""An optimizer around another one, with a proximal step after each of its steps."""

from typing import Any, Self

import keras

from keras_invprune.contracts import Tensor
from keras_invprune.proximal.base import Operator


@keras.saving.register_keras_serializable(package="keras_invprune")
class Proximal(keras.optimizers.Optimizer):
    """Any Keras optimizer, with a proximal step after each of its steps.

    Why a wrapper: it runs inside the training step, so it works with XLA, several
    steps per execution, `tf.distribute`, mixed precision and every training loop, and
    it is saved with the model. A constraint of a Keras variable sees neither the
    learning rate nor the other weights of its group. A callback does not run within an
    execution of several steps.

    The step size is the learning rate η that the inner optimizer used in this step: 0
    as long as it only accumulates gradients. Adam and its like scale each weight's
    step; the proximal step does not, so it is exact for SGD and a common choice for
    others. Momentum β multiplies the effect of gradients by 1/(1 - β), but not that of
    strengths: choose them that much larger. Under Adam, a step moves each weight by up
    to η, so n negative weights come back unless r is near √n. Moving averages of an
    optimizer with ``use_ema=True`` are not exactly zero.

    Args:
        inner_optimizer: A Keras optimizer or its name. In mixed precision, `compile`
            adds the loss scale around this wrapper.
        operator: An `Operator`, such as `NegativeParts`. For two of them, wrap twice.
        name: Name of the optimizer.

    Example:
        >>> layers = [keras.layers.Dense(3, "relu", name=name) for name in "abc"]
        >>> model = keras.Sequential([keras.Input((2,)), *layers])
        >>> from keras_invprune.proximal import NegativeParts
        >>> operator = NegativeParts.of(model, 0.1)
        >>> operator.strengths
        {'b': 0.1, 'c': 0.1}
        >>> model.compile(Proximal("adam", operator), "mse")

    Raises:
        TypeError: If `operator` is not an `Operator`.
        ValueError: If the inner optimizer is a LossScaleOptimizer, which skips steps.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        operator: Operator,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        inner = keras.optimizers.get(inner_optimizer)
        if isinstance(inner, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "The loss scale goes around Proximal, not into it, because it skips "
                "steps. Write LossScaleOptimizer(Proximal(...)), or leave it to "
                "`compile`."
            )
        if not isinstance(operator, Operator):
            raise TypeError(
                "`operator` must be an Operator, such as NegativeParts. Received: "
                f"{operator!r}."
            )
        self.inner_optimizer, self.operator = inner, operator

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the inner optimizer's variables.

        Raises:
            ValueError: If the variables do not suit the operator.
        """
        self.operator.check(variables)
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads: list, trainable_variables: list | None = None) -> None:
        """Make the inner optimizer's step, then the proximal step."""
        if not self.built:
            self.build(list(trainable_variables or ()))
        inner = self.inner_optimizer
        variables = list(trainable_variables or self._trainable_variables)
        # Copied now: the inner optimizer counts its step, and a schedule moves on.
        rate = inner.learning_rate * 1.0
        before = inner.iterations + 0
        inner.apply(self.operator.penalize(grads, variables), trainable_variables)
        made = inner.iterations - before
        size = rate * keras.ops.cast(made, rate.dtype)
        for variable, value in self.operator.moved(self._trainable_variables, size):
            variable.assign(value)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the inner optimizer: there are no others to save."""
        return self.inner_optimizer.variables

    @property
    def learning_rate(self) -> Tensor:
        """The learning rate of the inner optimizer, which may be set."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(
        self, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule
    ) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> keras.Variable:
        """The number of steps of the inner optimizer."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Scale the loss as the inner optimizer does."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Let the inner optimizer write its averages, if it keeps any."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Return the name, the inner optimizer and the operator."""
        saved = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "inner_optimizer": saved(self.inner_optimizer),
            "operator": saved(self.operator),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> Self:
        """Return an optimizer made from its config."""
        loaded = keras.saving.deserialize_keras_object
        parts = {
            name: loaded(config[name], custom_objects=custom_objects)
            for name in ("inner_optimizer", "operator")
        }
        return cls(**parts, name=config.get("name"))
