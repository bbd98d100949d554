"""What all methods have in common that train a network under masks."""

from dataclasses import dataclass, field

import keras

from keras_invprune import scores
from keras_invprune.allocation import Shuffled
from keras_invprune.contracts import Score
from keras_invprune.pruning.examples import examples_for
from keras_invprune.pruning.prune import prune
from keras_invprune_lab.methods.build import make_network, pruned_keys
from keras_invprune_lab.methods.network import Network


@dataclass(frozen=True)
class Pruned(Network):
    """Trains a `PrunedModel`.

    Attributes:
        score: What the masks are made by.
        allocation: Where the sparsity goes.
        shuffled: Whether the masks are shuffled in each kernel, a control.
        examples: Training examples that the score looks at; None for its own number.
    """

    score: str = field(default="magnitude", kw_only=True)
    allocation: str = field(default="global", kw_only=True)
    shuffled: bool = field(default=False, kw_only=True)
    examples: int | None = field(default=None, kw_only=True)

    def uses(self, job) -> set[str]:
        """Add what compressions count."""
        return super().uses(job) | {"counted", "prune_head"}

    def build(self, work) -> keras.Model:
        """Return the network under the masks that it will get."""
        model = super().build(work)
        keys, sparsity = pruned_keys(work.job, model)
        return prune(
            model, sparsity, select=keys, **self.choices(work, model, sparsity)
        )

    def choices(self, work, model, sparsity) -> dict:
        """Return the choices of `prune`; by itself the network gets no masks."""
        del model, sparsity
        allocation = self.allocation
        if self.shuffled:
            allocation = Shuffled(allocation, seed=work.job.seed)
        return {
            "schedule": "manual",
            "score": self._score(work.job.seed, work.data),
            "allocation": allocation,
        }

    def _score(self, seed, data):
        """Return the score, with the seed of the run if it draws lots."""
        score = scores.get(self.score)
        if not isinstance(score, Score):
            return score
        config = score.get_config()
        if "seed" in config:
            config["seed"] = seed
        if self.examples:
            config["examples"] = self.examples
        elif score.rewires and score.examples is not None:
            rows = {"x": data.x_train, "y": data.y_train}
            config["examples"] = examples_for(score, rows)  # the same on resuming
        return type(score).from_config(config)


def redraw(model, work):
    """Draw other weights under the same masks: the layers' seeds have moved on."""
    fresh = make_network(work.job, work.data)
    for weight, value in zip(model.inner.weights, fresh.weights, strict=True):
        weight.assign(value)
    model.masked.apply_masks()
