"""Layer sparsity: a penalty, a merge, a refit; the same with two other penalties."""

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import keras

from keras_invprune.compaction.merge import merge_layers
from keras_invprune.graph.active import active_layers, rectified_layers
from keras_invprune.proximal import (
    L1,
    ActiveLayers,
    LayerOperator,
    NegativeParts,
    Proximal,
    UnitLasso,
)
from keras_invprune.saving import replaced
from keras_invprune_lab.methods.base import METHODS, Trained, Work, of_all
from keras_invprune_lab.methods.build import make_network
from keras_invprune_lab.methods.network import FILTERS, Network
from keras_invprune_lab.methods.settings import Part, Positive, Several, Short
from keras_invprune_lab.training.checkpoint import Checkpoint
from keras_invprune_lab.training.loop import compile_model, fit, rows_of, steps_of

MERGED, REPORT, UNFINISHED = "merged.keras", "merged.json", "penalized"


class LayerKeys(Part):
    """What a recipe may say of "layers", "l1" and "unit-lasso".

    Attributes:
        layer_strength: r of "layers" in the last layer, see `NegativeParts.of`; of
            several the best on validation rows.
        l1_strength: The same of "l1", in each layer.
        unit_strength: The same of "unit-lasso".
    """

    layer_strength: Several[Annotated[Positive, Short]] = [16.0]
    l1_strength: Several[Annotated[Positive, Short]] = [0.01]
    unit_strength: Several[Annotated[Positive, Short]] = [0.1]


@dataclass(frozen=True)
class LayerSparse(Network):
    """Trains under a penalty, merges what became linear, and refits without it.

    Attributes:
        operator: Which penalty.
        key: The key of recipes that holds its strengths.
    """

    operator: type[LayerOperator] = field(default=NegativeParts, kw_only=True)
    key: str = field(default="layer_strength", kw_only=True)
    pruned = False
    settings = LayerKeys
    keeps = (FILTERS, MERGED, REPORT)

    def grid(self, recipe) -> list[dict]:
        """Return the strengths of the recipe."""
        return [{"penalty": strength} for strength in getattr(recipe, self.key)]

    def train(self, work: Work) -> Trained:
        """Train under the penalty, merge, refit; report what was merged, too."""
        before, after = self.phase(work.job)
        later = partial(of_all, work.show, before, before + after)
        trained = super().train(work._replace(show=later))
        merged = json.loads((work.part / REPORT).read_text(encoding="utf-8"))
        return trained._replace(found=trained.found | {"merged": merged})

    def phase(self, job) -> tuple[int, int]:
        """Return the number of epochs under the penalty, and that of the refit."""
        return job.recipe.search_epochs, job.recipe.finetune_epochs

    def build(self, work: Work) -> keras.Model:
        """Return the merged network."""
        file = work.part / MERGED
        if not file.exists():
            penalized = self._penalized(work)
            merged = merge_layers(penalized)
            active = {"active": self.active(penalized)}
            text = json.dumps(merged.to_json() | active)
            (work.part / REPORT).write_text(text, encoding="utf-8")
            with replaced(file) as new:
                merged.model.save(new)
        return keras.models.load_model(file, compile=False)

    def _penalized(self, work) -> keras.Model:
        """Return the network after its training under the penalty."""
        job, recipe, data = work.job, work.job.recipe, work.data
        model, steps = self.network(work), steps_of(recipe, data)
        operator = self.penalty(model, job.penalty)
        epochs, after = self.phase(job)
        compile_model(
            model,
            recipe,
            recipe.optimizer,
            data,
            epochs,
            changed=lambda optimizer: Proximal(optimizer, operator),
        )
        state = Checkpoint(work.part / UNFINISHED, pause=30.0)
        state.folder.mkdir(exist_ok=True)
        first = state.restore(model)
        rows = rows_of(job, data, first, epochs)
        # Of all epochs, `work.show` counts those of the refit.
        shown = partial(of_all, work.show, -epochs, after)
        fit(model, rows, steps, first, epochs, [ActiveLayers(), state], shown)
        return model

    def network(self, work) -> keras.Model:
        """Return the network that is penalized, freshly initialized."""
        return make_network(work.job, work.data)

    def active(self, model) -> int:
        """Return the number of layers whose activation does something."""
        return len(active_layers(model))

    def penalty(self, model, strength) -> LayerOperator:
        """Return the penalty of a network's layers."""
        if self.operator is NegativeParts:
            return NegativeParts.of(model, strength, rising=True)
        return self.operator(dict.fromkeys(rectified_layers(model), strength))


METHODS |= {
    "layers": LayerSparse("layer sparsity"),
    "l1": LayerSparse("ℓ1, merged", operator=L1, key="l1_strength"),
    "unit-lasso": LayerSparse(
        "group lasso of units, merged", operator=UnitLasso, key="unit_strength"
    ),
}
