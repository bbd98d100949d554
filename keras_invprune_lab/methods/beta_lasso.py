"""β-LASSO, which makes weights zero while it trains."""

from dataclasses import dataclass
from typing import Annotated

from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.network import Network
from keras_invprune_lab.methods.settings import Part, Positive, Several, Short
from keras_invprune_lab.training.beta_lasso import with_penalty
from keras_invprune_lab.training.loop import compile_model


class LassoKeys(Part):
    """What a recipe may say of "beta-lasso".

    Attributes:
        lasso: λ; of several the best on validation rows.
    """

    lasso: Several[Annotated[Positive, Short]] = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5]


@dataclass(frozen=True)
class Lasso(Network):
    """Trains under a penalty; sets small weights to zero after each step."""

    pruned = False
    settings = LassoKeys

    def grid(self, recipe) -> list[dict]:
        """Return the λ of the recipe."""
        return [{"penalty": penalty} for penalty in recipe.lasso]

    def compile(self, model, work):
        """Compile with the penalty of the job."""
        job = work.job
        compile_model(
            model,
            job.recipe,
            self.optimizer(job.recipe),
            work.data,
            job.epochs,
            changed=lambda optimizer: with_penalty(optimizer, job.penalty),
        )


METHODS["beta-lasso"] = Lasso("β-LASSO")
