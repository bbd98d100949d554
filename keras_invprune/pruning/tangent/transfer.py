"""The transfer: a masked student follows the dense network it was at the start."""

import keras
import tensorflow as tf

from keras_invprune import tfmot
from keras_invprune.contracts import Score
from keras_invprune.masks.compute import unshuffled
from keras_invprune.pruning.checks import check_model, check_xla
from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent.kernel import check_rows, in_groups
from keras_invprune.pruning.tangent.student import Student
from keras_invprune.scores import get as get_score


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
    jit_compile="auto",
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
            Under several replicas, a batch too short for all of them is left out.
        sparsity: Share of the prunable weights to remove, in [0, 1).
        epochs: Passes over `x`.
        batch_size: Rows of a batch of arrays; the kernel is that between its halves.
        kernel_weight: λ_K ≥ 0.
        kernel_rows: Rows of a batch that the kernel is made of; None for all. It takes
            most of the time, and the more so the more rows: convolutions want fewer.
        penalty: λ_2 ≥ 0, of the masked weights' squares; divided by the density. The
            authors have 0.00001 for convolutional networks.
        mask_every: Steps between two renewals of the masks; none in the last ones,
            where the length of `x` is known.
        first_score: Score of the first masks, e.g. "magnitude" or "logit_snip", which
            looks at the first batch of `x`.
        optimizer: A Keras optimizer; Adam at 0.0005 by default.
        allocation: "uniform" (layerwise), "global", ...: see `prune`.
        callbacks: One or several Keras callbacks for the transfer. Its logs are
            "target_distance", "kernel_distance", "penalty", their weighted sum "loss",
            and "sparsity". With `keras.callbacks.BackupAndRestore` one that was
            interrupted goes on with its next epoch. `PruningBoard` is for the `fit`
            afterwards.
        verbose: See `keras.Model.fit`.
        pattern: See `prune`.
        select: See `prune`. As there, the head stays dense unless it is selected; the
            authors prune it too: ``select=lambda key, layer: True``.
        copy: See `prune`.
        jit_compile: See `keras.Model.compile`; "auto" leaves XLA out where a layer
            convolves in groups.

    Returns:
        `PrunedModel`, its masks fixed and its weights those of the student.

    Raises:
        ValueError: Bad arguments, a model with several outputs, or one that the
            `tangent_kernel` is not for.
        TypeError: Not a Keras 3 model.

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
        transfer (2006.08228), as in the authors' code, whose settings for MNIST and
        fully connected networks are the defaults.
    """
    check_settings(kernel_weight, penalty, kernel_rows, mask_every)
    strategy = tf.distribute.get_strategy()
    check_xla(strategy, jit_compile)
    _check_teacher(model)
    choices = {"pattern": pattern, "select": select, "copy": copy}
    pruned = prune(model, sparsity, allocation=allocation, schedule="manual", **choices)
    batches = _batches(x, batch_size, strategy.num_replicas_in_sync)
    first = _first(batches)
    check_rows(pruned.inner, *first)
    renewal = MaskRenewal(pruned, mask_every)
    renewal.begin(get_score(first_score), *first)
    student = Student(pruned, kernel_weight, penalty, kernel_rows)
    if jit_compile == "auto" and in_groups(model):
        jit_compile = False  # what they need instead is a loop
    optimizer = optimizer or keras.optimizers.Adam(5e-4)
    student.compile(optimizer, jit_compile=jit_compile)
    student.fit(
        batches,
        epochs=epochs,
        callbacks=[renewal, *keras.tree.flatten(callbacks or ())],
        shuffle=False,  # the batches are
        verbose=verbose,
    )
    # The last masks stay: `prune_to` sets to zero what they leave out.
    plan = pruned.plan
    plan.allocation = unshuffled(plan.allocation)
    pruned.prune_to(sparsity)
    return pruned


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
        if Score.of(score).effective is not None:
            raise ValueError(
                f"`first_score` must not have to learn first. Received: {score!r}. Use "
                "'magnitude', 'random', 'logit_snip' or 'synflow'."
            )
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
        self.pruned.warn_of_collapse(masks)
        masked.set_masks(masks, zero=False)

    def on_train_batch_end(self, batch, logs=None):
        """Renews the masks; none so late that the weights could not follow."""
        step, steps = self.model.clock.step, self.params.get("steps")
        total = steps * self.params["epochs"] if steps else float("inf")
        if step % self.every == 0 and step < total - self.every:
            self.renew()

    def on_epoch_end(self, epoch, logs=None):
        """Publishes the sparsity."""
        if logs is not None:
            logs["sparsity"] = self.pruned.sparsity


def _check_teacher(model):
    """Raises unless it is a Keras 3 model of one output: TypeError, ValueError."""
    if tfmot.is_tf_keras(model):
        raise TypeError(
            "Neural tangent transfer is for Keras 3 models, and this is a tf_keras "
            "model. Build it with Keras 3."
        )
    check_model(model)
    if len(getattr(model, "outputs", None) or [model]) != 1:
        raise ValueError(
            "The tangent kernel is that of one output. Received: a model with "
            f"{len(model.outputs)}. Make a model of the one that matters."
        )


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


def _batches(x, size, replicas):
    """A data set of batches ``(x,)``, each with rows for every replica."""
    if isinstance(x, tf.data.Dataset):
        x = x.map(lambda *row: (keras.utils.unpack_x_y_sample_weight(row)[0],))
        return _for_all(x, replicas) if replicas > 1 else x
    leaves = keras.tree.flatten(x)
    if not all(hasattr(leaf, "shape") for leaf in leaves):
        raise TypeError(
            "`x` must be arrays or a tf.data.Dataset of batches. Received: "
            f"{type(x).__name__}. Of a list of numbers np.asarray makes an array, of a "
            "generator tf.data.Dataset.from_generator a data set."
        )
    x = tuple(x) if isinstance(x, list) else x  # of which TensorFlow makes one tensor
    if not (isinstance(size, int) and size >= 1):
        raise ValueError(f"`batch_size` must be at least 1. Received: {size!r}.")
    rows = len(leaves[0])
    if rows < 2:
        raise ValueError(f"`x` must have two rows or more. Received: {rows}.")
    batches = tf.data.Dataset.from_tensor_slices((x,)).shuffle(rows)
    batches = batches.batch(min(size, rows), drop_remainder=True).prefetch(1)
    return _for_all(batches, replicas) if replicas > 1 else batches


def _for_all(batches, replicas):
    """The batches with rows for all replicas, and their number if it is known."""

    def enough(x):  # the last gets what the others, a fair share each, leave
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        return rows > (replicas - 1) * ((rows + replicas - 1) // replicas)

    kept = batches.filter(enough)
    if batches.cardinality() < 0:
        return kept
    count = kept.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1)
    return kept.apply(tf.data.experimental.assert_cardinality(count))


def _first(batches):
    for batch in batches:
        return batch
    raise ValueError(
        "`x` gives no batch, or none with rows for every replica. Give larger batches."
    )
