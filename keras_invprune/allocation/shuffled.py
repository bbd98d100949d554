"""A sanity check that shuffles the masks of another allocation."""

from collections.abc import Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_invprune import contracts
from keras_invprune.allocation._known import get
from keras_invprune.arguments import check_seed
from keras_invprune.masks.selection import Masks, Scores


@keras.saving.register_keras_serializable(package="keras_invprune")
class Shuffled(contracts.Allocation):
    """The masks of another allocation, shuffled within each tensor.

    This is a sanity check. A method that finds *which* weights matter, and not only how
    many in each layer, must do better than its shuffled masks.

    Args:
        allocation: "global", "uniform", or a callable ``(scores, sparsity) -> masks``.
        seed: Seed of the random permutations.

    Example:
        >>> masks = Shuffled("uniform", seed=1)({"a": np.arange(6)}, 0.5)
        >>> int(masks["a"].sum())
        3

    Source:
        Frankle et al. 2021, Pruning neural networks at initialization: why are we
        missing the mark? (2009.08576), section 5.
    """

    def __init__(
        self,
        allocation: str | dict | contracts.AllocationLike = "global",
        seed: int = 0,
    ) -> None:
        self.allocation = self.shuffles = get(allocation)
        check_seed(seed)
        self.seed = int(seed)

    def __call__(self, scores: Scores, sparsity: float) -> Masks:
        """Return the boolean masks by key, with as many kept as without shuffling."""
        generator = np.random.default_rng(self.seed)
        return {
            key: generator.permutation(np.ravel(mask)).reshape(np.shape(mask))
            for key, mask in self.allocation(scores, sparsity).items()
        }

    def check(self, sizes: Mapping[str, int], sparsity: float) -> None:
        """Raise ValueError if the other allocation does not suit the weights."""
        contracts.Allocation.of(self.allocation).check(sizes, sparsity)

    def check_weights(self, weights: Mapping[str, contracts.Located]) -> None:
        """Raise ValueError if the other allocation cannot read the weights."""
        contracts.Allocation.of(self.allocation).check_weights(weights)

    def even(self, sparsity: float) -> bool:
        """Return False, since the masks that a pattern decides cannot be shuffled."""
        del sparsity
        return False

    def get_config(self) -> dict[str, Any]:
        """Return the allocation and the seed."""
        allocation = keras.saving.serialize_keras_object(self.allocation)
        return {"allocation": allocation, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the allocation with the one inside it."""
        inside = keras.saving.deserialize_keras_object(config["allocation"])
        return cls(inside, config["seed"])
