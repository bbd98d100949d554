"""Masks that are made, or move, while the network trains."""

from dataclasses import dataclass

from keras_invprune.schedules import Gradual, OneShot, Rewire
from keras_invprune_lab.methods.base import METHODS, Work
from keras_invprune_lab.methods.pruned import Pruned

# Before training and renewed in it, at all steps but the last hundredth in "each_step".
SCHEDULES = {
    "rewire": Rewire,
    "each_step": lambda sparsity: Rewire(sparsity, every=1, until=0.99),
    "gradual": Gradual,
    "one_shot": OneShot,
}


@dataclass(frozen=True)
class WhileTraining(Pruned):
    """Leaves it to a schedule when masks are made.

    Attributes:
        schedule: A name in `SCHEDULES`.
    """

    schedule: str = "rewire"
    waits = True

    def choices(self, work: Work, model, sparsity) -> dict:
        """Take the schedule in place of none."""
        schedule = SCHEDULES[self.schedule](sparsity)
        return super().choices(work, model, sparsity) | {"schedule": schedule}


METHODS |= {
    "set": WhileTraining("SET", score="set", allocation="erk"),
    "rigl": WhileTraining("RigL", score="rigl", allocation="erk"),
    "sr-ste": WhileTraining(  # N:M, which its paper has, is as dense in every layer
        "SR-STE, unstructured", "each_step", score="sr_ste", allocation="uniform"
    ),
    "movement": WhileTraining("movement", "gradual", score="movement"),
    "gumbel": WhileTraining("Gumbel-softmax", "one_shot", score="gumbel"),
}
