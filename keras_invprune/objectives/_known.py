"""The objectives by name."""

from keras_invprune.contracts import ObjectiveLike
from keras_invprune.objectives.invariance import Invariance
from keras_invprune.saving import resolve

OBJECTIVES = {"invariance": Invariance, "supervised": lambda: None}


def get(identifier: str | ObjectiveLike | None) -> ObjectiveLike | None:
    """Return the objective of this name, or the callable itself.

    "supervised" and None mean the compiled loss alone, for which it returns None.

    Raises:
        ValueError: If the name is unknown; the message lists similar names.
        TypeError: If `identifier` is none of these, or is a class.
    """
    if identifier is None:
        return None
    found = resolve(identifier, OBJECTIVES, "objective")
    return found() if isinstance(identifier, str) else found
