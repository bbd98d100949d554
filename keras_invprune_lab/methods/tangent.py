"""Neural tangent transfer, which makes masks and weights before any label is read."""

import shutil
from dataclasses import dataclass, field
from typing import Annotated

import keras
from pydantic import Field

from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent import TransferSettings, neural_tangent_transfer
from keras_invprune.saving import replaced
from keras_invprune_lab.methods.base import METHODS, Work
from keras_invprune_lab.methods.build import make_network, pruned_keys
from keras_invprune_lab.methods.network import FILTERS
from keras_invprune_lab.methods.pruned import Pruned, redraw
from keras_invprune_lab.methods.settings import Count, Part
from keras_invprune_lab.training.checkpoint import STATE, Checkpoint
from keras_invprune_lab.training.loop import steps_of, telling
from keras_invprune_lab.training.order import Reordered

TRANSFER, UNFINISHED = "transfer", "transfer-state"


class TransferKeys(Part):
    """What a recipe may say of "ntt".

    Attributes:
        transfer_epochs: Epochs of the transfer, which come on top of those of training.
        transfer_penalty: λ_2.
        kernel_rows: Rows of a batch that the kernel is made of; None for all.
    """

    transfer_epochs: Count = 20
    transfer_penalty: Annotated[float, Field(ge=0)] = 1e-4
    kernel_rows: Annotated[int, Field(ge=2)] | None = None


@dataclass(frozen=True)
class Tangent(Pruned):
    """Transfers, then trains under the masks of the transfer, which is made once.

    Attributes:
        redrawn: Whether the weights are drawn again after the transfer, a control.
    """

    redrawn: bool = field(default=False, kw_only=True)
    settings = TransferKeys
    keeps = (FILTERS, TRANSFER)

    def uses(self, job) -> set[str]:
        """Add the keys of the transfer."""
        return super().uses(job) | TransferKeys.model_fields.keys()

    def about(self, recipe) -> str:
        """Say how long the transfer is."""
        return f"NTT before that {recipe.transfer_epochs} epochs without labels"

    def build(self, work: Work) -> keras.Model:
        """Return the network after the transfer."""
        model = make_network(work.job, work.data)
        keys, sparsity = pruned_keys(work.job, model)
        choices = {"allocation": self.allocation, "select": keys}
        file = _found_before(work)
        if file.exists():
            model = prune(model, sparsity, schedule="manual", **choices)
            model.load_weights(file)
        else:
            model = _transfer(work, model, sparsity, choices)
            with replaced(file) as new:
                model.save_weights(new)
            shutil.rmtree(work.part / UNFINISHED)
        if self.redrawn:
            redraw(model, work)
        return model


def _found_before(work):
    """Return the file of the transfer's result, copied if the needed run has it."""
    file = work.part / TRANSFER / STATE
    file.parent.mkdir(exist_ok=True)
    if work.job.needs and not file.exists():
        kept = work.needed / TRANSFER / STATE
        if kept.exists():
            shutil.copy(kept, file)
    return file


class _OfStudent(Checkpoint):
    """The state of a network that exists only inside of the transfer."""

    def on_train_begin(self, logs=None):
        """Load the last state, if there is one."""
        self.restore(self.model)


def _transfer(work, model, sparsity, choices):
    job, recipe, rows = work.job, work.job.recipe, work.data.x_train
    state = _OfStudent(work.part / UNFINISHED)
    state.folder.mkdir(exist_ok=True)
    size, steps = min(recipe.batch_size, len(rows)), steps_of(recipe, work.data)
    order = Reordered(rows, size, job.seed, steps)
    shown = telling(work.show, recipe.transfer_epochs + job.epochs)
    return neural_tangent_transfer(
        model,
        order.rows,
        sparsity,
        epochs=recipe.transfer_epochs,
        initial_epoch=len(state.on_disk()),
        settings=TransferSettings(
            penalty=recipe.transfer_penalty, kernel_rows=recipe.kernel_rows
        ),
        callbacks=[order, state, shown],
        verbose=0,
        **choices,
    )


METHODS |= {
    "ntt": Tangent("NTT", allocation="uniform"),
    "ntt-redrawn": Tangent(
        "NTT, weights redrawn", allocation="uniform", redrawn=True, control_of="ntt"
    ),
}
