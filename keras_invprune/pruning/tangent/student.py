"""The student: its loss and its training step."""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.pruning.state import Clock, counter
from keras_invprune.pruning.tangent.kernel import tangent_kernel
from keras_invprune.pruning.tracing import variables_made_outside
from keras_invprune.scores._gradients import heads_through, logits_only

TERMS = ("loss", "target_distance", "kernel_distance", "penalty")


class Student(keras.Model):
    """A model that trains a `PrunedModel` to follow the network it was at first.

    Args:
        pruned: `PrunedModel`; trained in place, through its masks.
        kernel_weight: λ_K.
        penalty: λ_2.
        kernel_rows: Number of rows of a batch that the kernel is computed on; None
            for all.
    """

    def __init__(
        self,
        pruned: keras.Model,
        kernel_weight: float,
        penalty: float,
        kernel_rows: int | None = None,
    ):
        super().__init__(name=f"student_{pruned.name}")
        self.pruned = pruned
        self.kernel_weight, self.penalty = kernel_weight, penalty
        self.kernel_rows = kernel_rows
        self.teacher = [
            self.add_weight(
                name=f"teacher_{index}",
                shape=variable.shape,
                dtype=variable.dtype,
                initializer=_constant(variable.numpy()),
                trainable=False,
                autocast=False,
            )
            for index, variable in enumerate(pruned.inner.trainable_variables)
        ]
        # Counts the transfer. The clock of `pruned` counts its later training, and
        # callbacks count epochs from it.
        self.clock = Clock(counter(self, "clock", "int64"))
        self._terms = [keras.metrics.Mean(name=name) for name in TERMS]
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means of the loss and its terms over an epoch."""
        return self._terms

    def terms(self, x: Nested) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distances of outputs and kernels, and the penalty, of a batch."""
        inner, masked = self.pruned.inner, self.pruned.masked
        teacher = zip(inner.trainable_variables, self.teacher, strict=True)
        with heads_through(self.pruned.inner, logits_only):
            with keras.StatelessScope([(v, t.value) for v, t in teacher]):
                f_t, kernel_t = self._outputs_and_kernel(x)
            f_s, kernel_s = masked.run(self._outputs_and_kernel, x)
        squares = [
            ops.sum(ops.square(ops.cast(v.value * m.value, "float32")))
            for v, m in zip(
                masked.prunable.values(), masked.masks.values(), strict=True
            )
        ]
        return (
            ops.mean(ops.square(f_s - f_t)),
            # A batch of one row has no halves.
            ops.sum(ops.square(kernel_s - kernel_t))
            / ops.cast(ops.maximum(ops.size(kernel_s), 1), "float32"),
            sum(squares) / (1 - self.pruned.plan.sparsity),
        )

    def _outputs_and_kernel(
        self, x: Nested, training: bool | None = False
    ) -> tuple[Tensor, Tensor]:
        del training  # evaluation mode: rows must not influence each other
        inner, rows = self.pruned.inner, self.kernel_rows
        if rows is None:
            return tangent_kernel(inner, x)
        few = keras.tree.map_structure(lambda leaf: leaf[:rows], x)
        return ops.cast(inner(x, training=False), "float32"), tangent_kernel(
            inner, few
        )[1]

    def train_step(self, data: Nested) -> dict[str, Tensor]:
        """Make a step on L = target + λ_K · kernel + λ_2 / density · Σ ‖m ⊙ W‖²."""
        self.clock.count()
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.pruned.inner.trainable_variables
        with tf.GradientTape() as tape:
            target, kernel, squares = self.terms(x)
            loss = target + self.kernel_weight * kernel + self.penalty * squares
            # The optimizer sums the gradients of all replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        with variables_made_outside(self):
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
        for metric, value in zip(
            self._terms, (loss, target, kernel, squares), strict=True
        ):
            metric.update_state(value)
        return self.get_metrics_result()


def _constant(value: Tensor) -> Callable:
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)
