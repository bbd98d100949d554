"""A separate sparsity for each tensor."""

from collections.abc import Collection, Mapping

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.arguments import is_number
from keras_invprune.masks.selection import Masks, Scores, keep_count, keep_largest
from keras_invprune.saving import Configured, did_you_mean, near_names

TOLERANCE = 0.005  # of the share that all tensors together remove


@keras.saving.register_keras_serializable(package="keras_invprune")
class PerLayer(Configured, contracts.Allocation):
    """A separate sparsity for each tensor. Before the target, all are scaled alike.

    Args:
        sparsities: ``{key: sparsity}``, each a share in [0, 1], where 1 keeps nothing;
            they may come from the masks of another network. The path of a layer
            applies to all weights below it that have no more specific path.

    Example:
        >>> scores = {"a": np.array([1, 2]), "b": np.array([3, 4])}
        >>> PerLayer({"a": 0.5, "b": 0.0})(scores, 0.25)
        {'a': array([False,  True]), 'b': array([ True,  True])}

    Raises:
        TypeError: If `sparsities` is not a mapping.
        ValueError: If a sparsity is not a number in [0, 1]. On use: if a tensor's key
            is missing.
    """

    def __init__(self, sparsities: Mapping[str, float]) -> None:
        if not isinstance(sparsities, Mapping):
            raise TypeError(
                "`sparsities` must be {key: sparsity}, as in PerLayer({'dense': 0.9}). "
                f"Received: {sparsities!r}."
            )
        wrong = {
            key: own
            for key, own in sparsities.items()
            if not (is_number(own) and 0 <= own <= 1)
        }
        if wrong:
            raise ValueError(
                "`sparsities` are shares to remove and must be in [0, 1]. "
                f"Received: {wrong}."
            )
        self.sparsities = {key: float(own) for key, own in sparsities.items()}

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Return the boolean masks by key; below the target, all are scaled alike."""
        own = self._of(scores)
        whole = _together(own, {key: values.size for key, values in scores.items()})
        part = sparsity / whole if sparsity < whole - TOLERANCE else 1.0
        return {
            key: keep_largest({key: v}, _count(v.size, part * own[key]))[key]
            for key, v in scores.items()
        }

    def check(self, sizes: Mapping[str, int], sparsity: float) -> None:
        """Raise ValueError unless the sparsities suit the weights to prune.

        Args:
            sizes: ``{key: number of weights}``.
            sparsity: Share of all weights to remove, in [0, 1).
        """
        for name in self.sparsities:
            if not any(key == name or key.startswith(f"{name}/") for key in sizes):
                layers = [key.rpartition("/")[0] for key in sizes]
                hint = did_you_mean(near_names(name, [*sizes, *layers]))
                raise ValueError(
                    "`sparsities` must name weights to prune, or their layers. "
                    f"Received: {name!r}.{hint} Pruned weights: {sorted(sizes)}."
                )
        own = _together(self._of(sizes), sizes)
        if abs(own - sparsity) > TOLERANCE:
            raise ValueError(
                f"Together, these sparsities remove {own:.4g} of all weights, and "
                f"`sparsity` must agree. Received: sparsity={sparsity}. Use "
                f"sparsity={own:.4g}."
            )

    def even(self, sparsity: float) -> bool:
        """Return whether all weights have this sparsity."""
        return all(abs(own - sparsity) < 1e-6 for own in self.sparsities.values())

    def _of(self, keys: Collection[str]) -> dict[str, float]:
        """Return ``{key: sparsity}``: the key's own, or that of the nearest layer."""
        found = {}
        for key in keys:
            parts = key.split("/")
            paths = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
            own = [self.sparsities[path] for path in paths if path in self.sparsities]
            if own:
                found[key] = own[0]
        missing = [key for key in keys if key not in found]
        if missing:
            raise ValueError(
                "`sparsities` must have an entry for each pruned weight or for its "
                f"layer. Missing: {missing}. Received: {sorted(self.sparsities)}."
            )
        return found


def _together(own: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    return float(np.average([own[key] for key in sizes], weights=[*sizes.values()]))


def _count(size: int, sparsity: float) -> int:
    return 0 if sparsity == 1 else keep_count(size, sparsity)
