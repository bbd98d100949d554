"""Random masks of IUNet's densities, a control without a search."""

import json
from dataclasses import dataclass

from keras_invprune.allocation import PerLayer
from keras_invprune.exporting.folders import REPORT
from keras_invprune.scores import Random
from keras_invprune_lab.methods.at_init import BeforeTraining
from keras_invprune_lab.methods.base import METHODS, Work


@dataclass(frozen=True)
class RandomMasks(BeforeTraining):
    """Trains random masks of another run's densities, without a search."""

    def uses(self, job) -> set[str]:
        """Add what the densities of the needed run depend on."""
        return super().uses(job) | {"kappa_scope", "rewind"}

    def choices(self, work: Work, model, sparsity) -> dict:
        """Draw the masks with the densities of the needed run."""
        report = json.loads((work.needed / REPORT).read_text())
        densities = report["densities"].items()
        choices = super().choices(work, model, sparsity)
        return choices | {
            "score": Random(work.job.seed),
            "allocation": PerLayer({key: 1 - share for key, share in densities}),
        }


METHODS["random"] = RandomMasks("random masks of IUNet's densities", control_of="iunet")
