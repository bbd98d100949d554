"""A sparsity of its own for each tensor."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.masks.selection import Masks, Scores, keep_count, keep_largest
from keras_invprune.saving import Configured, did_you_mean, near_names

TOLERANCE = 0.005  # of the share that all of them remove together


@keras.saving.register_keras_serializable(package="keras_invprune")
class PerLayer(Configured, contracts.Allocation):
    """A sparsity of its own for each tensor; on the way there, each as far.

    Args:
        sparsities: ``{key: sparsity}``, each in [0, 1]; those of another network's
            masks, for instance, which may have kept nothing of a tensor. The path of a
            layer stands for all that lies under it and has no nearer one.

    Example:
        >>> scores = {"a": np.array([1, 2]), "b": np.array([3, 4])}
        >>> PerLayer({"a": 0.5, "b": 0.0})(scores, 0.25)
        {'a': array([False,  True]), 'b': array([ True,  True])}

    Raises:
        ValueError: A number out of range; on use: a tensor's key is missing.
    """

    def __init__(self, sparsities: Mapping[str, float]):
        self.sparsities = {key: float(own) for key, own in dict(sparsities).items()}
        wrong = {k: own for k, own in self.sparsities.items() if not 0 <= own <= 1}
        if wrong:
            raise ValueError(
                "The sparsity of a weight is a share and must be in [0, 1]. "
                f"Received: {wrong}."
            )

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Key to a boolean mask; below the tensors' own, all are scaled alike."""
        own = self._of(scores)
        whole = _together(own, {key: values.size for key, values in scores.items()})
        part = sparsity / whole if sparsity < whole - TOLERANCE else 1.0
        return {
            key: keep_largest({key: v}, _count(v.size, part * own[key]))[key]
            for key, v in scores.items()
        }

    def check(self, sizes: Mapping[str, int], sparsity: float):
        """Raises ValueError unless it suits what is to be pruned.

        Args:
            sizes: ``{key: number of weights}``.
            sparsity: Share to remove of all of them.
        """
        for name in self.sparsities:
            if not any(key == name or key.startswith(f"{name}/") for key in sizes):
                layers = [key.rpartition("/")[0] for key in sizes]
                hint = did_you_mean(near_names(name, [*sizes, *layers]))
                raise ValueError(
                    f"No weight {name!r} is pruned.{hint} These are: {sorted(sizes)}."
                )
        own = _together(self._of(sizes), sizes)
        if abs(own - sparsity) > TOLERANCE:
            raise ValueError(
                f"The sparsities of these weights remove {own:.4g} of all together. "
                f"Received: sparsity={sparsity}. Give sparsity={own:.4g}."
            )

    def even(self, sparsity: float) -> bool:
        """Returns whether all weights have this sparsity."""
        return all(abs(own - sparsity) < 1e-6 for own in self.sparsities.values())

    def _of(self, keys) -> dict[str, float]:
        """``{key: sparsity}``: that of the key, or of the nearest layer around it."""
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
                "`sparsities` must have one for each pruned weight. Missing: "
                f"{missing}. Received: {sorted(self.sparsities)}."
            )
        return found


def _together(own, sizes) -> float:
    return float(np.average([own[key] for key in sizes], weights=[*sizes.values()]))


def _count(size, sparsity):
    return 0 if sparsity == 1 else keep_count(size, sparsity)
