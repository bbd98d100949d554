"""A sparsity of its own for each tensor."""

import keras

from keras_invprune.selection import Masks, Scores, keep_count, keep_largest


@keras.saving.register_keras_serializable(package="keras_invprune")
class PerLayer:
    """A sparsity of its own for each tensor, whatever is asked for in all.

    Args:
        sparsities: ``{key: sparsity}``, each in [0, 1]; those of another network's
            masks, for instance, which may have kept nothing of a tensor.

    Example:
        >>> scores = {"a": np.array([1, 2]), "b": np.array([3, 4])}
        >>> PerLayer({"a": 0.5, "b": 0.0})(scores, 0.25)
        {'a': array([False,  True]), 'b': array([ True,  True])}

    Raises:
        ValueError: On use: a tensor's key is missing.
    """

    def __init__(self, sparsities):
        self.sparsities = dict(sparsities)

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Key to a boolean mask; `sparsity` is not looked at."""
        missing = [key for key in scores if key not in self.sparsities]
        if missing:
            raise ValueError(
                "`sparsities` must have one for each pruned weight. Missing: "
                f"{missing}. Received: {sorted(self.sparsities)}."
            )
        return {
            key: keep_largest({key: v}, self._count(key, v.size))[key]
            for key, v in scores.items()
        }

    def _count(self, key, size):
        own = self.sparsities[key]
        return 0 if own == 1 else keep_count(size, own)

    def get_config(self):
        """Returns the sparsities."""
        return {"sparsities": self.sparsities}

    @classmethod
    def from_config(cls, config):
        """Builds it again."""
        return cls(**config)
