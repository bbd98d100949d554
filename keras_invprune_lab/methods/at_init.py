"""Masks that a score makes before training."""

from dataclasses import dataclass, field

from keras_invprune.scores._examples import examples_for
from keras_invprune_lab.methods.base import METHODS, Work
from keras_invprune_lab.methods.pruned import Pruned, redraw


@dataclass(frozen=True)
class BeforeTraining(Pruned):
    """Prunes a fresh network by a score, and trains what is left.

    Attributes:
        redrawn: Whether the weights are drawn again once the masks are made, a control.
    """

    redrawn: bool = field(default=False, kw_only=True)

    def start(self, model, work: Work):
        """Compile, then prune: some scores need the loss."""
        super().start(model, work)
        rows = {"x": work.data.x_train, "y": work.data.y_train}
        model.examples = examples_for(model.plan.score, rows)
        model.prune_to(model.plan.sparsity)
        if self.redrawn:
            redraw(model, work)


METHODS |= {
    "omp-before": BeforeTraining("OMP before training"),
    "random-before": BeforeTraining(
        "random, before training", score="random", allocation="uniform"
    ),
    "snip": BeforeTraining("SNIP", score="snip"),
    "snip-5000": BeforeTraining("SNIP of 5,000 examples", score="snip", examples=5000),
    "logit-snip": BeforeTraining("SNIP of logits", score="logit_snip"),
    "grasp": BeforeTraining("GraSP", score="grasp"),
    "synflow": BeforeTraining("SynFlow", score="synflow"),
    "fisher": BeforeTraining("Fisher", score="fisher"),
    "taylor": BeforeTraining("Taylor", score="taylor"),
}
# Sanity checks of 2009.08576: does it matter which weights of a layer stay, and which
# values they have?
for _name in ("snip", "grasp", "synflow"):
    _title = METHODS[_name].title
    METHODS |= {
        f"{_name}-shuffled": BeforeTraining(
            f"{_title}, masks shuffled", score=_name, shuffled=True
        ),
        f"{_name}-redrawn": BeforeTraining(
            f"{_title}, weights redrawn", score=_name, redrawn=True
        ),
    }
