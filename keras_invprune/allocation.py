"""Where the sparsity goes: how many weights each tensor keeps.

An allocation is any callable `(scores, sparsity) -> masks` from {key: scores} to
{key: boolean mask of the same shape}, where True is kept.
"""

from collections.abc import Callable

import keras
import numpy as np

from keras_invprune.identifiers import resolve
from keras_invprune.selection import Masks, Scores, keep_count, keep_largest

__all__ = ["PerLayer", "Shuffled", "collapsed", "get", "global_topk", "uniform"]

Allocation = Callable[[Scores, float], Masks]


@keras.saving.register_keras_serializable(package="keras_invprune")
def global_topk(scores: Scores, sparsity: float) -> Masks:
    """One ranking over all tensors: the largest scores stay, wherever they are.

    Args:
        scores: Key to scores of any shape, comparable between tensors.
        sparsity: Share of all weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape. A tensor may lose every weight;
        `collapsed` names those.

    Example:
        >>> masks = global_topk({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False, False]), array([ True,  True]))
        >>> collapsed(masks)
        ['a']
    """
    size = sum(values.size for values in scores.values())
    # Together, tensors are soon too large for float32 to count; up to there it makes
    # a single tensor keep as many weights as under `uniform`.
    dtype = np.float32 if size <= 2**24 else np.float64
    return keep_largest(scores, keep_count(size, sparsity, dtype))


@keras.saving.register_keras_serializable(package="keras_invprune")
def uniform(scores: Scores, sparsity: float) -> Masks:
    """The same sparsity in each tensor, with TF-MOT's rounding.

    Args:
        scores: Key to scores of any shape, compared within a tensor only.
        sparsity: Share of each tensor's weights to prune, in [0, 1).

    Returns:
        Key to a boolean mask of the scores' shape, with at least one weight kept.

    Example:
        >>> masks = uniform({"a": np.array([1, 2]), "b": np.array([3, 4])}, 0.5)
        >>> masks["a"], masks["b"]
        (array([False,  True]), array([False,  True]))
    """
    return {
        key: keep_largest({key: values}, keep_count(values.size, sparsity))[key]
        for key, values in scores.items()
    }


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


@keras.saving.register_keras_serializable(package="keras_invprune")
class Shuffled:
    """The masks of another allocation, shuffled within each tensor.

    A sanity check: a method that finds *which* weights matter, and not only how many
    in each layer, must do better than this.

    Args:
        allocation: "global", "uniform", or a callable ``(scores, sparsity) -> masks``.
        seed: Of the orders.

    Example:
        >>> masks = Shuffled("uniform", seed=1)({"a": np.arange(6)}, 0.5)
        >>> int(masks["a"].sum())
        3

    Source:
        Frankle et al. 2021, Pruning neural networks at initialization: why are we
        missing the mark? (2009.08576), section 5.
    """

    def __init__(self, allocation="global", seed=0):
        self.allocation = get(allocation)
        self.seed = int(seed)

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Key to a boolean mask with as many kept as without shuffling."""
        generator = np.random.default_rng(self.seed)
        return {
            key: generator.permutation(np.ravel(mask)).reshape(np.shape(mask))
            for key, mask in self.allocation(scores, sparsity).items()
        }

    def get_config(self):
        """Returns the allocation and the seed."""
        allocation = keras.saving.serialize_keras_object(self.allocation)
        return {"allocation": allocation, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        """Builds it and the allocation inside."""
        inside = keras.saving.deserialize_keras_object(config["allocation"])
        return cls(inside, config["seed"])


def collapsed(masks: Masks) -> list[str]:
    """The keys of the tensors that keep nothing, so that no signal passes.

    Args:
        masks: Key to boolean mask.

    Returns:
        Keys in the order of `masks`.
    """
    return [key for key, mask in masks.items() if not np.any(mask)]


ALLOCATIONS = {"global": global_topk, "uniform": uniform}


def get(identifier: str | Allocation) -> Allocation:
    """An allocation from its name, or the callable itself.

    Args:
        identifier: "global", "uniform", or a callable `(scores, sparsity) -> masks`.

    Raises:
        ValueError: An unknown name; near matches are named.
        TypeError: Neither a name nor a callable.
    """
    return resolve(identifier, ALLOCATIONS, "allocation")
