"""The transfer: a masked student follows the dense network that it was at first."""

import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from keras_invprune import tfmot
from keras_invprune.contracts import Nested, Score, ScoreLike, Tensor
from keras_invprune.graph.inputs import dense
from keras_invprune.masks.compute import unshuffled
from keras_invprune.pruning.checks import check_model
from keras_invprune.pruning.fit_checks import check_xla
from keras_invprune.pruning.loss import NotCompiledError
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.pruning.plan import Plan
from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.recomputed import check_gradients
from keras_invprune.pruning.tangent.kernel import check_rows, in_groups
from keras_invprune.pruning.tangent.settings import TransferSettings
from keras_invprune.pruning.tangent.student import Student
from keras_invprune.saving import did_you_mean, near_names
from keras_invprune.scores import get as get_score

CHOICES = ("allocation", "pattern", "select", "copy")
SETTINGS = tuple(field.name for field in dataclasses.fields(TransferSettings))


def neural_tangent_transfer(
    model: keras.Model,
    x: Nested,
    sparsity: float,
    settings: TransferSettings | None = None,
    *,
    epochs: int = 20,
    initial_epoch: int = 0,
    callbacks: keras.callbacks.Callback
    | Iterable[keras.callbacks.Callback]
    | None = (),
    verbose: int | str = "auto",
    **choices: Any,
) -> PrunedModel:
    """Find a sparse network that trains like the dense one, without labels.

    The teacher is the model with its present weights, which are never trained: give a
    freshly initialized one. The masked student learns the same outputs and the same
    neural tangent kernel, while its masks follow the magnitude of its weights. Masked
    weights keep their values and may return. Afterwards the masks are fixed: compile
    the result and `fit` it with labels.

    As in the authors' code, the student's kernel is taken with respect to the weights
    that it computes with, including the zeros of the mask.

    BatchNorm is in evaluation mode throughout, with the statistics of the model; those
    of a new model are zero and one. Dropout is off.

    Args:
        model: A built Keras 3 model with one output, [batch, classes], which is not
            changed. The activation of a last Dense layer is left out; an activation
            layer is part of the outputs.
        x: Inputs: arrays, or a batched `tf.data.Dataset`, whose labels are dropped.
            With several replicas, batches with fewer rows than needed for each are
            left out.
        sparsity: Share of the prunable weights to remove, in [0, 1).
        settings: The loss, the masks and the optimizer; None for
            `TransferSettings()`.
        epochs: Passes over `x`.
        initial_epoch: Number of the first epoch, from 0, for a callback that loads the
            state of an interrupted transfer when the training begins.
        callbacks: One or several Keras callbacks for the transfer. Its logs are
            "target_distance", "kernel_distance", "penalty", their weighted sum "loss",
            and "sparsity". With `keras.callbacks.BackupAndRestore` an interrupted
            transfer resumes with the next epoch. `PruningBoard` is for the `fit`
            afterwards.
        verbose: See `keras.Model.fit`.
        **choices: ``allocation`` ("uniform" by default), ``pattern``, ``select`` and
            ``copy`` of `prune`. The head stays dense unless it is selected; the
            authors prune it as well: ``select=lambda key, layer: True``.

    Returns:
        `PrunedModel` with fixed masks and the weights of the student.

    Raises:
        ValueError: If an argument is out of range, or if the model has several outputs
            or is not suited to `tangent_kernel`.
        TypeError: If `model` is not a Keras 3 model, or an argument is unknown.

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
        transfer (2006.08228), as in the authors' code. Its settings for MNIST and fully
        connected networks are the defaults.
    """
    settings = _settings(settings, choices)
    strategy = tf.distribute.get_strategy()
    check_xla(strategy, settings.jit_compile)
    _check_teacher(model)
    pruned = prune(
        model, sparsity, schedule="manual", **{"allocation": "uniform"} | choices
    )
    check_gradients(pruned, pruned.inner, pruned.masked.prunable, pruned.masks)
    batches = _batches(x, settings.batch_size, strategy.num_replicas_in_sync)
    first = _first(batches)
    check_rows(pruned.inner, *first)
    renewal = MaskRenewal(pruned, settings.mask_every)
    renewal.begin(get_score(settings.first_score), *first)
    student = Student(
        pruned, settings.kernel_weight, settings.penalty, settings.kernel_rows
    )
    jit_compile = settings.jit_compile
    if jit_compile == "auto" and in_groups(model):
        jit_compile = False  # such convolutions need a loop
    optimizer = settings.optimizer or keras.optimizers.Adam(5e-4)
    student.compile(optimizer, jit_compile=jit_compile)
    student.fit(
        batches,
        initial_epoch=initial_epoch,
        epochs=epochs,
        callbacks=[renewal, *keras.tree.flatten(callbacks or ())],
        shuffle=False,  # the batches are shuffled
        verbose=verbose,
    )
    # The last masks stay: `prune_to` sets the weights that they remove to zero.
    pruned.state.revise(allocation=unshuffled(pruned.plan.allocation))
    pruned.prune_to(sparsity)
    return pruned


class MaskRenewal(keras.callbacks.Callback):
    """A callback that renews the masks during a transfer, by the plan's score.

    Args:
        pruned: `PrunedModel`, whose plan says how the sparsity is allocated.
        every: Number of steps between two renewals.
    """

    def __init__(self, pruned: PrunedModel, every: int):
        super().__init__()
        self.pruned, self.every = pruned, every

    def begin(self, score: ScoreLike, x: Nested) -> None:
        """Set the first masks by another score, which may read the inputs `x`."""
        if Score.of(score).effective is not None:
            raise ValueError(
                f"`first_score` must not be a score that learns. Received: {score!r}. "
                "Use 'magnitude', 'random', 'logit_snip' or 'synflow'."
            )
        state = self.pruned.state
        state.examples = (x, None, None)
        try:
            self.renew(dataclasses.replace(self.pruned.plan, score=score))
        except NotCompiledError as error:
            raise ValueError(
                f"`first_score` must read no labels. Received: {score!r}. Use "
                "'magnitude', 'random', 'logit_snip' or 'synflow'."
            ) from error
        finally:
            state.examples = None

    def renew(self, plan: Plan | None = None) -> None:
        """Renew the masks; weights that they remove keep their values.

        Args:
            plan: The choices to make them by; None for those of the model.
        """
        masked, plan = self.pruned.masked, plan or self.pruned.plan
        weights = {key: variable.numpy() for key, variable in masked.prunable.items()}
        masks = plan.masks(weights, self.pruned, plan.sparsity)
        self.pruned.warn_of_collapse(masks)
        masked.set_masks(masks, zero=False)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Renew the masks, except in the last steps, when weights could not adapt."""
        step, steps = self.model.clock.step, self.params.get("steps")
        total = steps * self.params["epochs"] if steps else float("inf")
        if step % self.every == 0 and step < total - self.every:
            self.renew()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the sparsity to the logs."""
        if logs is not None:
            logs["sparsity"] = self.pruned.sparsity


def _check_teacher(model: keras.Model) -> None:
    """Raise TypeError or ValueError unless it is a Keras 3 model of one output."""
    if tfmot.is_tf_keras(model):
        raise TypeError(
            "Neural tangent transfer is for Keras 3 models, and this is a tf_keras "
            "model. Build it with Keras 3."
        )
    check_model(model)
    if len(getattr(model, "outputs", None) or [model]) != 1:
        raise ValueError(
            "The tangent kernel is defined for one output. Received: a model with "
            f"{len(model.outputs)}. Make a model of the output that matters."
        )


def _settings(
    settings: TransferSettings | None, choices: dict[str, Any]
) -> TransferSettings:
    """Return the settings, moving those given as choices (before 0.2) out of them.

    Raises:
        TypeError: If a choice is unknown, or a setting is given twice.
    """
    old = {name: choices.pop(name) for name in SETTINGS if name in choices}
    unknown = [name for name in choices if name not in CHOICES]
    if unknown:
        hint = did_you_mean(near_names(unknown[0], [*CHOICES, *SETTINGS]))
        raise TypeError(
            f"neural_tangent_transfer() has no argument {unknown[0]!r}.{hint}"
        )
    if not old:
        return settings or TransferSettings()
    if settings is not None:
        raise TypeError(
            f"{', '.join(old)} must be given only once. Received: `settings` and "
            "arguments. Pass TransferSettings(...) alone."
        )
    given = ", ".join(f"{name}=..." for name in old)
    warnings.warn(
        f"{', '.join(old)} as separate arguments are deprecated and will be removed. "
        f"Pass settings=kip.TransferSettings({given}).",
        DeprecationWarning,
        stacklevel=3,
    )
    return TransferSettings(**old)


def _batches(x: Nested, size: int, replicas: int) -> tf.data.Dataset:
    """Return a data set of batches ``(x,)``, each with rows for every replica."""
    if isinstance(x, tf.data.Dataset):
        x = x.map(lambda *row: (dense(keras.utils.unpack_x_y_sample_weight(row)[0]),))
        return _for_all(x, replicas) if replicas > 1 else x
    x = dense(x)
    leaves = keras.tree.flatten(x)
    if not all(hasattr(leaf, "shape") for leaf in leaves):
        raise TypeError(
            "`x` must be arrays or a tf.data.Dataset of batches. Received: "
            f"{type(x).__name__}. Use np.asarray for a list of numbers, and "
            "tf.data.Dataset.from_generator for a generator."
        )
    x = tuple(x) if isinstance(x, list) else x  # TensorFlow stacks the items of lists
    rows = len(leaves[0])
    if rows < 2:
        raise ValueError(f"`x` must have at least two rows. Received: {rows}.")
    batches = tf.data.Dataset.from_tensor_slices((x,)).shuffle(rows)
    batches = batches.batch(min(size, rows), drop_remainder=True).prefetch(1)
    return _for_all(batches, replicas) if replicas > 1 else batches


def _for_all(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Return the batches with rows for all replicas, counted if possible."""

    def enough(
        x: Nested,
    ) -> Tensor:  # each replica takes a fair share, the last one what is left
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        return rows > (replicas - 1) * ((rows + replicas - 1) // replicas)

    kept = batches.filter(enough)
    if batches.cardinality() < 0:
        return kept
    count = kept.reduce(tf.constant(0, tf.int64), lambda n, _: n + 1)
    return kept.apply(tf.data.experimental.assert_cardinality(count))


def _first(batches: tf.data.Dataset) -> tuple:
    for batch in batches:
        return batch
    raise ValueError(
        "`x` has no batch, or none with rows for every replica. Use larger batches."
    )
