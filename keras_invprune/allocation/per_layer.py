"""A sparsity of its own for each tensor."""

import difflib

import keras
import numpy as np

from keras_invprune.identifiers import Configured
from keras_invprune.selection import Masks, Scores, keep_count, keep_largest

TOLERANCE = 0.005  # of the share that all of them remove together


@keras.saving.register_keras_serializable(package="keras_invprune")
class PerLayer(Configured):
    """A sparsity of its own for each tensor; on the way there, each as far.

    Args:
        sparsities: ``{key: sparsity}``, each in [0, 1]; those of another network's
            masks, for instance, which may have kept nothing of a tensor.

    Example:
        >>> scores = {"a": np.array([1, 2]), "b": np.array([3, 4])}
        >>> PerLayer({"a": 0.5, "b": 0.0})(scores, 0.25)
        {'a': array([False,  True]), 'b': array([ True,  True])}

    Raises:
        ValueError: A number out of range; on use: a tensor's key is missing.
    """

    def __init__(self, sparsities):
        self.sparsities = {key: float(own) for key, own in dict(sparsities).items()}
        wrong = {k: own for k, own in self.sparsities.items() if not 0 <= own <= 1}
        if wrong:
            raise ValueError(
                "The sparsity of a weight is a share and must be in [0, 1]. "
                f"Received: {wrong}."
            )

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Key to a boolean mask; below the tensors' own, all are scaled alike."""
        self._check_keys(scores)
        own = self._together({key: values.size for key, values in scores.items()})
        part = sparsity / own if sparsity < own - TOLERANCE else 1.0
        return {
            key: keep_largest({key: v}, self._count(key, v.size, part))[key]
            for key, v in scores.items()
        }

    def check(self, sizes, sparsity):
        """Raises ValueError unless it suits what is to be pruned.

        Args:
            sizes: ``{key: number of weights}``.
            sparsity: Share to remove of all of them.
        """
        self._check_keys(sizes)
        for key in self.sparsities:
            if key not in sizes:
                near = difflib.get_close_matches(key, sizes, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"No weight {key!r} is pruned.{hint} These are: {sorted(sizes)}."
                )
        own = self._together(sizes)
        if abs(own - sparsity) > TOLERANCE:
            raise ValueError(
                f"The sparsities of these weights remove {own:.4g} of all together. "
                f"Received: sparsity={sparsity}. Give sparsity={own:.4g}."
            )

    def _check_keys(self, keys):
        missing = [key for key in keys if key not in self.sparsities]
        if missing:
            raise ValueError(
                "`sparsities` must have one for each pruned weight. Missing: "
                f"{missing}. Received: {sorted(self.sparsities)}."
            )

    def _together(self, sizes) -> float:
        counts = list(sizes.values())
        return float(np.average([self.sparsities[k] for k in sizes], weights=counts))

    def _count(self, key, size, part):
        own = part * self.sparsities[key]
        return 0 if own == 1 else keep_count(size, own)
