"""What the config of a packed file may ask Keras to do.

A config of a few bytes can describe a network that takes hours to build. Calls are
counted before Keras reads it, and kernels are checked before they take memory.
`docs/packed_format.md` lists all limits.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from keras_invprune.packing.errors import PackError

MOST_CALLS = 2**13
MOST_DEPTH = 32
MOST_TRIES = 2**18
MOST_PRODUCTS = 2**38
# What these make is never called as a layer: by class, by module.
DATA = (
    *("function", "__keras_tensor__", "__tensor__", "__numpy__", "__bytes__"),
    *("__slice__", "__ellipsis__"),
)
NOT_CALLED = ("keras.initializers", "keras.regularizers", "keras.constraints")


def check_config(config: dict[str, Any]) -> None:
    """Raise if building the model of a config takes too long.

    Raises:
        PackError: If it makes more than MOST_CALLS calls of layers, if models are
            nested deeper than MOST_DEPTH, if too many calls come before those that
            they need, or if one needs no other.
    """
    try:
        _, calls = _calls(config, 0)
    except RecursionError as error:
        raise PackError("The config is nested too deeply.") from error
    if calls > MOST_CALLS:
        raise PackError(
            f"The config makes {calls:,} calls of layers, and at most {MOST_CALLS:,} "
            "are allowed. Those inside of a model count for each call of the model. "
            "Pack parts of the model in files of their own."
        )


def _calls(part: Any, depth: int) -> tuple[int, int]:
    """Return how many layers one call of a part calls, and how many building it."""
    if not isinstance(part, dict | list):
        return 0, 0
    about = part if isinstance(part, dict) else {}
    called = _is_called(about)
    depth += called
    if depth > MOST_DEPTH:
        raise PackError(
            f"The config nests more than {MOST_DEPTH} layers or models. Pack a model "
            "that is less nested."
        )
    within = built = 0
    for value in about.values() if about else part:
        one, all_of_it = _calls(value, depth)
        within, built = within + one, built + all_of_it
    if not called:
        return within, built
    nodes = about.get("inbound_nodes")
    _check_order(about.get("config"))
    calls = (1 + within) * max(1, len(nodes) if isinstance(nodes, list) else 1)
    return calls, built + (calls if depth > 1 else 0)


def _is_called(part: dict[str, Any]) -> bool:
    name = part.get("class_name")
    if name is None or name in DATA:
        return False
    if part.get("registered_name", name) is not None:  # Keras looks for it anywhere
        return True
    return name != "DTypePolicy" and part.get("module") not in NOT_CALLED


def _check_order(config: Any) -> None:
    """Raise if Keras would try too many calls in vain, or make one on constants.

    Keras goes through the layers until all calls are made, and each call waits for the
    tensors that it needs. One that needs none is made at once, and takes memory.
    """
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list):
        return
    places: dict[Any, int] = {}
    for place, layer in enumerate(layers):
        if isinstance(layer, dict):
            places.setdefault(str(layer.get("name")), place)
    nodes = late = 0
    for place, layer in enumerate(layers):
        found = layer.get("inbound_nodes") if isinstance(layer, dict) else None
        for node in found if isinstance(found, list) else ():
            needed = list(_needed(node))
            if not needed:
                raise PackError(
                    f"The config calls {str(layer.get('name')):.80} on constants only."
                )
            nodes += 1
            late += any(places.get(name, 0) > place for name in needed)
    if nodes * late > MOST_TRIES:
        raise PackError(
            f"In the config, {late:,} of {nodes:,} calls come before those that they "
            f"need. Their product must be at most {MOST_TRIES:,}."
        )


def _needed(node: Any) -> Iterable[str]:
    """Yield the names of the layers whose outputs a call reads."""
    left = [node]
    while left:
        part = left.pop()
        if isinstance(part, dict) and part.get("class_name") == "__keras_tensor__":
            about = part.get("config")
            history = about.get("keras_history") if isinstance(about, dict) else None
            yield str(history[0]) if isinstance(history, list) and history else ""
        elif isinstance(part, dict | list):
            left += part.values() if isinstance(part, dict) else part


def check_orthogonal(shapes: Iterable[Sequence[int]]) -> None:
    """Raise if making orthogonal kernels of these shapes takes too long.

    Raises:
        PackError: If it takes more than MOST_PRODUCTS multiplications.
    """
    sides = [(prod(shape[:-1]), shape[-1]) for shape in shapes if len(shape) > 1]
    if (count := sum(m * n * min(m, n) for m, n in sides)) > MOST_PRODUCTS:
        raise PackError(
            f"Keras would take {count:,} multiplications to make orthogonal kernels, "
            f"and at most {MOST_PRODUCTS:,} are allowed. Give the layers another "
            "initializer; their weights come from the file."
        )
