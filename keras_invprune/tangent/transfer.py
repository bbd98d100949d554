"""The transfer: a masked student follows the dense network it was at the start."""

import keras
import tensorflow as tf
from keras import ops

from keras_invprune.pruning import prune
from keras_invprune.scores import get as get_score
from keras_invprune.scores.gradients import heads_through, logits_only
from keras_invprune.tangent.kernel import tangent_kernel

TERMS = ("loss", "target_distance", "kernel_distance", "penalty")


def neural_tangent_transfer(
    model,
    x,
    sparsity,
    *,
    epochs=20,
    batch_size=64,
    kernel_weight=1e-3,
    penalty=1e-4,
    kernel_rows=None,
    mask_every=100,
    first_score="magnitude",
    optimizer=None,
    allocation="uniform",
    callbacks=(),
    verbose="auto",
    pattern=None,
    select=None,
    copy=True,
):
    """Finds a sparse network that will train like the dense one. Reads no labels.

    The teacher is the model with the weights it has, which are never trained: give a
    freshly initialised one. The student, masked, learns to have the same outputs and
    the same neural tangent kernel, while its masks follow the magnitude of its weights.
    What is masked keeps its value and may come back. Afterwards the masks are fixed:
    compile the result and `fit` it with labels.

    As in the authors' code, the student's kernel is taken with respect to the weights
    it computes with, the zeros of the mask included.

    BatchNorm is in evaluation mode throughout, with the statistics that the model has;
    a new one's are zero and one. Dropout is off.

    Args:
        model: A built Keras 3 model with one output, [batch, classes], left untouched.
            A last activation that is a Dense layer's own is left out; one that is a
            layer of its own is part of the outputs.
        x: Inputs: arrays, or a batched `tf.data.Dataset`, whose labels are dropped.
        sparsity: Share of the prunable weights to remove, in [0, 1).
        epochs: Passes over `x`.
        batch_size: Rows of a batch of arrays; the kernel is that between its halves.
        kernel_weight: λ_K ≥ 0.
        kernel_rows: Rows of a batch that the kernel is made of; None for all. It takes
            most of the time, and the more so the more rows: convolutions want fewer.
        penalty: λ_2 ≥ 0, of the masked weights' squares; divided by the density.
        mask_every: Steps between two renewals of the masks; none in the last ones,
            where the length of `x` is known.
        first_score: Score of the first masks, e.g. "magnitude" or "logit_snip".
        optimizer: A Keras optimizer; Adam at 0.0005 by default.
        allocation: "uniform" (layerwise), "global", ...: see `prune`.
        callbacks: One or several Keras callbacks for the transfer. Its logs are
            "target_distance", "kernel_distance", "penalty", their weighted sum "loss",
            and "sparsity". With `keras.callbacks.BackupAndRestore` one that was
            interrupted goes on with its next epoch.
        verbose: See `keras.Model.fit`.
        pattern: See `prune`.
        select: See `prune`.
        copy: See `prune`.

    Returns:
        `PrunedModel`, its masks fixed and its weights those of the student.

    Raises:
        ValueError: Bad arguments, or a model with several outputs.

    Example:
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((8,)),
        ...         keras.layers.Dense(16, "relu"),
        ...         keras.layers.Dense(2),
        ...     ]
        ... )
        >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
        >>> sparse = neural_tangent_transfer(model, x, 0.75, epochs=1, verbose=0)
        >>> sparse.finished, sparse.sparsity
        (True, 0.75)

    Source:
        Liu and Zenke 2020, Finding trainable sparse networks through neural tangent
        transfer (2006.08228), as in the authors' code, whose settings for MNIST are
        the defaults.
    """
    check_settings(kernel_weight, penalty, kernel_rows, mask_every)
    if len(getattr(model, "outputs", None) or [model]) != 1:
        raise ValueError(
            "The tangent kernel is that of one output. Received: a model with "
            f"{len(model.outputs)}. Make a model of the one that matters."
        )
    choices = {"pattern": pattern, "select": select, "copy": copy}
    pruned = prune(model, sparsity, allocation=allocation, schedule="manual", **choices)
    batches = _batches(x, batch_size)
    renewal = MaskRenewal(pruned, mask_every)
    renewal.begin(get_score(first_score), *next(iter(batches)))
    student = Student(pruned, kernel_weight, penalty, kernel_rows)
    student.compile(optimizer or keras.optimizers.Adam(5e-4))
    student.fit(
        batches,
        epochs=epochs,
        callbacks=[renewal, *keras.tree.flatten(callbacks)],
        shuffle=False,  # the batches are
        verbose=verbose,
    )
    # The last masks stay: what they leave out is zero now, hence the smallest.
    plan = pruned.plan
    plan.allocation = getattr(plan.allocation, "allocation", plan.allocation)
    pruned.masked.apply_masks()
    pruned.prune_to(sparsity)
    return pruned


class Student(keras.Model):
    """Trains a `PrunedModel` towards the network it was at the start.

    Args:
        pruned: `PrunedModel`; trained in place, through its masks.
        kernel_weight: λ_K.
        penalty: λ_2.
        kernel_rows: Rows of a batch that the kernel is made of; None for all.
    """

    def __init__(self, pruned, kernel_weight, penalty, kernel_rows=None):
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
        self._terms = [keras.metrics.Mean(name=name) for name in TERMS]
        self.built = True

    @property
    def metrics(self):
        """Means of the loss and of its terms over an epoch."""
        return self._terms

    def terms(self, x):
        """The distances of outputs and kernels, and the penalty, on one batch."""
        inner, masked = self.pruned.inner, self.pruned.masked
        teacher = zip(inner.trainable_variables, self.teacher, strict=True)
        with heads_through(self.pruned, logits_only):
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

    def _outputs_and_kernel(self, x, training=False):
        del training  # evaluation mode: rows must not influence each other
        inner, rows = self.pruned.inner, self.kernel_rows
        if rows is None:
            return tangent_kernel(inner, x)
        few = keras.tree.map_structure(lambda leaf: leaf[:rows], x)
        return ops.cast(inner(x, training=False), "float32"), tangent_kernel(
            inner, few
        )[1]

    def train_step(self, data):
        """One step: L = target + λ_K · kernel + λ_2 / density · Σ ‖m ⊙ W‖²."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.pruned.inner.trainable_variables
        with tf.GradientTape() as tape:
            target, kernel, squares = self.terms(x)
            loss = target + self.kernel_weight * kernel + self.penalty * squares
            # The optimizer adds up the gradients of all replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = self.optimizer.scale_loss(loss / replicas)
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        for metric, value in zip(
            self._terms, (loss, target, kernel, squares), strict=True
        ):
            metric.update_state(value)
        return self.get_metrics_result()


class MaskRenewal(keras.callbacks.Callback):
    """Gives the masks to the largest weights, every so many steps of a transfer.

    Args:
        pruned: `PrunedModel`, whose plan says how the sparsity is allocated.
        every: Steps between two renewals.
    """

    def __init__(self, pruned, every):
        super().__init__()
        self.pruned, self.every = pruned, every

    def begin(self, score, x):
        """Sets the first masks by another score, which may look at inputs `x`."""
        plan, own = self.pruned.plan, self.pruned.plan.score
        self.pruned.examples = (x, None, None)
        plan.score = score
        try:
            self.renew()
        except ValueError as error:
            if "compile the model" not in str(error):
                raise
            raise ValueError(
                f"`first_score` must read no labels. Received: {score!r}. Use "
                "'magnitude', 'random', 'logit_snip' or 'synflow'."
            ) from error
        finally:
            plan.score, self.pruned.examples = own, None

    def renew(self):
        """Sets the masks; what they remove keeps its value."""
        masked, plan = self.pruned.masked, self.pruned.plan
        weights = {key: variable.numpy() for key, variable in masked.prunable.items()}
        masks = plan.masks(weights, self.pruned, plan.sparsity)
        masked.set_masks(masks, zero=False)

    def on_train_begin(self, logs=None):
        """Counts from here."""
        self._step = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Counts on where a transfer is resumed."""
        self._step = epoch * (self.params.get("steps") or 0) or self._step

    def on_train_batch_end(self, batch, logs=None):
        """Renews the masks; none so late that the weights could not follow."""
        self._step += 1
        steps = self.params.get("steps")
        total = steps * self.params["epochs"] if steps else float("inf")
        if self._step % self.every == 0 and self._step < total - self.every:
            self.renew()

    def on_epoch_end(self, epoch, logs=None):
        """Publishes the sparsity."""
        if logs is not None:
            logs["sparsity"] = self.pruned.sparsity


def _constant(value):
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)


def check_settings(kernel_weight, penalty, rows, every):
    """Raises ValueError where one is out of range."""
    if not (kernel_weight >= 0 and penalty >= 0):
        raise ValueError(
            "`kernel_weight` (λ_K) and `penalty` (λ_2) must be >= 0. Received: "
            f"kernel_weight={kernel_weight}, penalty={penalty}."
        )
    if rows is not None and not (isinstance(rows, int) and rows >= 2):
        raise ValueError(f"`kernel_rows` must be at least 2. Received: {rows!r}.")
    if not (isinstance(every, int) and every >= 1):
        raise ValueError(f"`mask_every` must be at least 1 step. Received: {every!r}.")


def _batches(x, size):
    """A data set of batches ``(x,)``."""
    if isinstance(x, tf.data.Dataset):
        return x.map(lambda *row: (keras.utils.unpack_x_y_sample_weight(row)[0],))
    x = tuple(x) if isinstance(x, list) else x  # of which TensorFlow makes one tensor
    rows = len(keras.tree.flatten(x)[0])
    if rows < 2:
        raise ValueError(f"`x` must have two rows or more. Received: {rows}.")
    batches = tf.data.Dataset.from_tensor_slices((x,)).shuffle(rows)
    return batches.batch(min(size, rows), drop_remainder=True).prefetch(1)
