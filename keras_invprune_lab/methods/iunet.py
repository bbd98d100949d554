"""IUNet: searches for invariances from small weights; parts left out; a control."""

import json
from dataclasses import dataclass

from keras_invprune.allocation import Shuffled
from keras_invprune.exporting.folders import REPORT
from keras_invprune.objectives import Invariance
from keras_invprune.pruning.invariance import prune_for_invariance
from keras_invprune_lab.methods.base import METHODS, Trained, Work
from keras_invprune_lab.methods.one_fit import removal
from keras_invprune_lab.methods.search import AfterSearch
from keras_invprune_lab.methods.view_names import VIEWS


@dataclass(frozen=True)
class SearchOnly(AfterSearch):
    """The network of the search, neither pruned nor trained again."""

    pruned = False
    keeps = ()

    def epochs(self, recipe) -> int:
        """Return 0."""
        return 0

    def train(self, work: Work) -> Trained:
        """Report what the search has found."""
        search = json.loads((work.needed / REPORT).read_text())
        work.show(1, 1)
        own = ("schema", "config", "environment", "seconds", "sha256")
        return Trained({k: v for k, v in search.items() if k not in own}, [])


def _in_one_fit(model, run, **choices):
    views = VIEWS[run.views](run.seed) if run.views else None
    return prune_for_invariance(
        model,
        objective=Invariance(views, weight=run.weight),
        initial_scale=run.kappa,
        **removal(run, "invariance_loss"),
        **choices,
    )


def _shuffled(model, run):
    # As the other one allocates: weights by one ranking, units in each family alike.
    allocation = "global" if run.left is None else "uniform"
    return _in_one_fit(model, run, allocation=Shuffled(allocation, seed=run.seed))


METHODS |= {
    "iunet": AfterSearch("IUNet", "invariance", small=True, in_one_fit=_in_one_fit),
    "no-pi": AfterSearch("IUNet without small initialization", "invariance"),
    "no-ilo": AfterSearch("IUNet without invariance objective", small=True),
    "unpruned": SearchOnly("IUNet, search only", "invariance", small=True),
    "shuffled": AfterSearch(
        "IUNet, masks shuffled",
        "invariance",
        small=True,
        shuffled=True,
        control_of="iunet",
        in_one_fit=_shuffled,
    ),
}
