"""What pruning does to a model, from the first step to the stripped network."""

import logging

import numpy as np

from keras_invprune import tfmot
from keras_invprune.allocation import collapsed
from keras_invprune.contracts import Effective, Score
from keras_invprune.pruning.checks import check_compiled
from keras_invprune.pruning.rewind import (
    check_optimizer,
    reset_optimizer,
    restore,
    snapshot,
)
from keras_invprune.schedules import check_sparsity

logger = logging.getLogger("keras_invprune")

FAR = 0.05  # between the share asked for and that of the weights, beside rounding


def log_collapse(lost, when=""):
    """Logs a warning if weights have lost all their entries."""
    if lost:
        logger.warning(
            "Layer collapse: nothing is left of %s%s, so nothing comes through them. "
            "Give an allocation that keeps some of each ('erk', 'uniform'), "
            "score='synflow', or less sparsity.",
            ", ".join(lost),
            when,
        )


class Stages:
    """The part of `PrunedModel` that its `PruningCallback` calls, or a custom loop."""

    def begin_training(self):
        """Remembers what to rewind to, before the first step.

        Raises:
            ValueError: The optimiser could not be built anew when rewinding, or the
                model is not compiled.
        """
        self.visited = True
        check_compiled(self)
        self.build_optimizer()
        if self.finished or self.plan.rewind is None:
            return
        if self.optimizer is not None:
            rate = check_optimizer(self.optimizer, self.trainable_variables)
            if self.step == 0 or self.rated != id(self.optimizer):
                self.initial_rate, self.rated = rate, id(self.optimizer)
        if self.rewind_to is None:
            self.rewind_to, self.rewind_step = snapshot(self.inner), 0

    def build_optimizer(self):
        """Also for what is learned no more, so that saved states fit in any phase."""
        if self.optimizer is not None and any(self.masked.own.values()):
            settled = self.masked.settled
            self.masked.settle(False)
            with self._strategy.scope():
                self.optimizer.build(self.trainable_variables)
            self.masked.settle(settled)

    def anneal(self, progress):
        """Tells the method how far it is on the way to the target, from 0 to 1."""
        progress = min(1.0, max(0.0, float(progress)))
        Effective.of(self.masked.effective).anneal(self.masked, progress)

    def end_epoch(self):
        """Remembers the weights after the first epoch; stores the masked weights."""
        first = self.rewind_to is not None and self.rewind_step == 0
        if first and self.plan.rewind == "first_epoch":
            self.rewind_to, self.rewind_step = snapshot(self.inner), self.step
        self.end_training()

    def end_training(self):
        """Stores the masked weights: averages of an optimizer may hold others."""
        if not self.masked.remembers:
            self.masked.apply_masks()

    def prune_to(self, sparsity):
        """Renews the masks; at the target sparsity rewinds and ends the search.

        Logs a warning where a weight loses all its entries.

        Args:
            sparsity: Share of the prunable weights to remove, in [0, 1).

        Raises:
            ValueError: If the weights are not finite (the search has diverged), or
                fewer would be removed than are.
        """
        check_sparsity(sparsity)
        as_tfmot = tfmot.is_own(self.plan.schedule) and not self._moves
        if not (as_tfmot or self.masked.remembers):
            self.masked.apply_masks()  # what grows begins at zero, nothing comes back
        weights = {key: v.numpy() for key, v in self.masked.prunable.items()}
        for key, weight in weights.items():
            if not np.isfinite(weight).all():
                raise ValueError(
                    f"Weight {key!r} is not finite at step {self.step}: training has "
                    "diverged or the data hold NaN. Lower the learning rate."
                )
        left = None
        if not (as_tfmot or self.may_return):
            left = {key: mask.numpy() != 0 for key, mask in self.masks.items()}
        masks = self.plan.masks(weights, self, sparsity, left)
        self._check_no_return(masks, sparsity)
        if left is not None:  # an allocation by layers, a pattern may ask for others
            masks = {k: np.logical_and(mask, left[k]) for k, mask in masks.items()}
        self.warn_of_collapse(masks)
        self.masked.set_masks(masks)
        self.events.append((self.step, f"pruned to sparsity {self.sparsity:.4f}"))
        if sparsity >= self.plan.sparsity - 1e-6 and not self.finished:
            self._warn_if_far(sparsity)
            self._finish()

    @property
    def _moves(self) -> bool:
        """Whether masked weights may come back because the masks move."""
        return self.plan.rewires or bool(Score.of(self.plan.score).rewires)

    @property
    def may_return(self) -> bool:
        """Whether masked weights may come back, moved or remembered."""
        return self._moves or self.masked.remembers

    def has_removed(self, sparsity) -> bool:
        """Whether more is gone than is to be removed on the way to the target."""
        on_the_way = sparsity < self.plan.sparsity - 1e-6
        return on_the_way and not self.may_return and sparsity < self.sparsity - 1e-6

    def _check_no_return(self, masks, sparsity):
        """Raises ValueError where more weights would count than are left."""
        if self.may_return:
            return
        left = sum(int(np.count_nonzero(mask.numpy())) for mask in self.masks.values())
        wanted = sum(int(np.count_nonzero(mask)) for mask in masks.values())
        if wanted > left:
            raise ValueError(
                f"{self.sparsity:.4g} of the weights are removed, and what is removed "
                f"is gone: it cannot come back. Received: sparsity={sparsity:.4g}. "
                "Prune to increasing sparsities; for a smaller one begin again with "
                "the unpruned model."
            )

    @property
    def collapsed(self) -> list[str]:
        """Keys of the weights of which pruning has left nothing."""
        return collapsed({key: mask.numpy() for key, mask in self.masks.items()})

    def warn_of_collapse(self, masks):
        """Logs what masks that are to be set leave nothing of, and did not before."""
        before = self.collapsed
        lost = [key for key in collapsed(masks) if key not in before]
        if lost:
            self.events.append((self.step, f"nothing left of {', '.join(lost)}"))
            log_collapse(lost, f" at step {self.step}")

    def _warn_if_far(self, sparsity):
        size = sum(int(np.prod(mask.shape)) for mask in self.masks.values())
        if abs(self.sparsity - sparsity) > FAR + 1 / size:
            logger.warning(
                "Asked to remove %.4g, and %.4g of the weights are masked: the pattern "
                "(%r) counts groups, the allocation removes another share, or zeros "
                "that were there before lie elsewhere. Give another sparsity if that "
                "is not meant.",
                sparsity,
                self.sparsity,
                self.plan.pattern,
            )

    def _finish(self):
        variables = list(self.trainable_variables)
        if self.rewind_to is not None:
            scale = self.plan.initial_scale if self.plan.rewind == "unscaled" else 1.0
            restore(self.inner, self.rewind_to, scale, self.plan.scaled)
            self.rewind_to = None
            what = f"rewound to the weights of step {self.rewind_step}"
            unscaled = ", before scaling" if self.plan.rewind == "unscaled" else ""
            self.events.append((self.step, what + unscaled))
        optimizer = getattr(self, "optimizer", None)  # there is none before `compile`
        if self.plan.rewind is not None and optimizer is not None:
            reset_optimizer(optimizer, variables, self.initial_rate)
        self._finished.assign(1)
        self.finished_step = self.step
        self.set_phase()
        if not self.masked.remembers:
            self.masked.apply_masks()
