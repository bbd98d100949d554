"""The allocations that are found by their names."""

from keras_invprune.allocation.class_distributed import class_distributed
from keras_invprune.allocation.erk import erk
from keras_invprune.allocation.global_topk import global_topk
from keras_invprune.allocation.lamp import lamp
from keras_invprune.allocation.per_layer import PerLayer
from keras_invprune.allocation.relational import Relational
from keras_invprune.allocation.uniform import uniform
from keras_invprune.contracts import AllocationLike
from keras_invprune.saving import resolve

ALLOCATIONS = {
    "global": global_topk,
    "uniform": uniform,
    "class_distributed": class_distributed,
    "erk": erk,
    "lamp": lamp,
    "relational": Relational(),
}


def get(identifier: str | dict | AllocationLike) -> AllocationLike:
    """Return the allocation of this name, or the callable itself.

    Args:
        identifier: A name in `ALLOCATIONS`, a dictionary for `PerLayer`, or a callable
            `(scores, sparsity) -> masks`.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
        TypeError: If `identifier` is neither a name nor a callable.
    """
    if isinstance(identifier, dict):
        return PerLayer(identifier)
    return resolve(identifier, ALLOCATIONS, "allocation")
