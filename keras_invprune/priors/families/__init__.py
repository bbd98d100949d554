"""The graph priors, one file each, found by themselves.

A prior is a function ``(..., seed) -> networkx.Graph`` that is decorated with
``known_as(name)``. Its nodes are 0, 1, ... in the order in which edges will point.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras_invprune.arguments import check_seed
from keras_invprune.priors.families._known import KNOWN
from keras_invprune.saving import did_you_mean, named, near_names

if TYPE_CHECKING:
    import networkx as nx

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

PRIORS: dict[str, Callable] = dict(KNOWN)
"""``{name: function}``."""


def make(name: str, seed: int = 0, **parameters: float | None) -> "nx.Graph":
    """Return a random graph from the prior of this name.

    Args:
        name: The name of a prior, such as "watts-strogatz".
        seed: Seed of the random graph, at least 0. The same one gives the same graph.
        **parameters: The parameters of the prior.

    Example:
        >>> graph = make("watts-strogatz", n=20, seed=1)
        >>> graph.number_of_nodes(), graph.number_of_edges()
        (20, 40)

    Raises:
        ValueError: If there is no such prior or parameter, with similar names, or if a
            parameter has an impossible value.
        TypeError: If a parameter is missing.
    """
    prior = named(name, PRIORS, "prior")
    check_seed(seed)
    taken = inspect.signature(prior).parameters.values()
    known = [each.name for each in taken if each.name != "seed"]
    for parameter in parameters:
        if parameter not in known:
            hint = did_you_mean(near_names(parameter, known))
            raise ValueError(
                f"The prior {name!r} takes {known}. Received: {parameter!r}.{hint}"
            )
    needed = {each.name for each in taken if each.default is each.empty}
    if missing := sorted(needed - parameters.keys()):
        raise TypeError(
            f"The prior {name!r} takes {known} and needs {sorted(needed)}. Missing: "
            f"{missing}."
        )
    return prior(**parameters, seed=seed)
