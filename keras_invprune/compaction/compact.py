"""From a model to a smaller one with the same outputs."""

import logging

import keras

from keras_invprune.arguments import is_positive_integer
from keras_invprune.compaction.checks import check_model
from keras_invprune.compaction.distance import fitting
from keras_invprune.compaction.limits import broken
from keras_invprune.compaction.liveness import Liveness, liveness
from keras_invprune.compaction.network import Network, network
from keras_invprune.compaction.plan import Plan, describe
from keras_invprune.compaction.removal import Kept, kept
from keras_invprune.compaction.surgery import Edit, edits, picks, smaller
from keras_invprune.compaction.verify import check_same
from keras_invprune.contracts import Nested
from keras_invprune.graph.given_rows import rows_of

logger = logging.getLogger("keras_invprune")

KEEP, GATHER = "keep", "gather"


def plan(model: keras.Model, inputs: str = "keep", round_to: int = 1) -> Plan:
    """Return what `compact` does to a model, without doing it.

    Args:
        model: A built, plain Sequential or Functional model.
        inputs: As in `compact`.
        round_to: As in `compact`.

    Returns:
        A `Plan`, which prints as a table.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it carries masks, is subclassed or not built, or has weights that
            are not finite, or not zero where a graph has no connection; or if `inputs`
            is unknown, or `round_to` is not a positive integer.
    """
    calls, live, _, changes = _analyzed(model, inputs, round_to)
    return describe(model, calls, live, changes)


def compact(
    model: keras.Model, inputs: str = "keep", data: Nested = None, round_to: int = 1
) -> keras.Model:
    """Return a smaller model with the same outputs.

    Units, filters and other channels that no output depends on are removed. Those that
    are constant are folded into the biases that follow. `plan` says beforehand which.
    The layers are ordinary ones and keep their names. The result is not compiled.

    Args:
        model: A built, plain Sequential or Functional model, such as `strip_pruning`
            returns. It is not changed.
        inputs: "keep", or "gather": the new model takes the same inputs, and first
            picks the features that outputs depend on. Those that it leaves out need
            no weights. A Sequential model then becomes a Functional one.
        data: ``x`` or ``(x, y)``, as for `export`. Outputs are compared on the first
            256 rows, too, wherever the model's are finite. None for drawn inputs only.
        round_to: Of each kind of channel of a layer, a multiple of it stays, or all of
            them. Kernels of some runtimes are slow at other widths.

    Returns:
        A new model.

    Raises:
        TypeError: If `model` is not a Keras 3 model.
        ValueError: If it carries masks, is subclassed or not built, or has weights that
            are not finite, or not zero where a graph has no connection; if `inputs`
            is unknown, or `round_to` is not a positive integer; or if `data` cannot be
            read, holds no arrays, or no row for which an output is finite.
        CompactionError: If outputs would differ, or if a layer cannot be made again
            from its config. No model is returned.

    Example:
        >>> one, two = keras.layers.Dense(3), keras.layers.Dense(1)
        >>> model = keras.Sequential([keras.Input((2,)), one, two])
        >>> one.set_weights([np.array([[1, 2, 0], [3, 4, 0]]), np.array([0, 0, 5])])
        >>> two.set_weights([np.array([[1], [0], [2]]), np.array([0])])
        >>> small = compact(model)  # the second unit is not read, the third is 5
        >>> [weight.numpy().tolist() for weight in small.weights]
        [[[1.0], [3.0]], [0.0], [[1.0]], [10.0]]
    """
    x, _ = rows_of(data)
    calls, _, stays, changes = _analyzed(model, inputs, round_to)
    x = None if x is None else fitting(model, x)
    made = smaller(model, changes, picks(calls, stays))
    if not check_same(model, made, x):
        logger.warning(
            "Model %r rejects all drawn inputs, or has no finite outputs for them, so "
            "those of the smaller model were not compared. Call `compact` with `data=` "
            "of your own rows.",
            model.name,
        )
    return made


def _analyzed(
    model: keras.Model, inputs: str, round_to: int
) -> tuple[Network, Liveness, Kept, list[Edit]]:
    check_model(model)
    if inputs not in (KEEP, GATHER):
        raise ValueError(
            f"`inputs` must be {KEEP!r} or {GATHER!r}. Received: inputs={inputs!r}."
        )
    if not is_positive_integer(round_to):
        raise ValueError(
            "`round_to` must be a positive integer, such as 8. Received: "
            f"round_to={round_to!r}."
        )
    whole: dict[int, str] = {}
    while True:
        calls = network(model, picks=inputs == GATHER, whole=whole)
        live = liveness(calls)
        stays = kept(calls, live, round_to)
        changes = edits(calls, live, stays)
        if not (more := broken(changes)):
            return calls, live, stays, changes
        whole |= more
