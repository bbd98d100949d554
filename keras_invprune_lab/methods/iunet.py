"""IUNet: searches for invariances from small weights; each part of it left out."""

import json
from dataclasses import dataclass

from keras_invprune.exporting.folders import REPORT
from keras_invprune_lab.methods.base import METHODS, Trained, Work
from keras_invprune_lab.methods.search import AfterSearch


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


METHODS |= {
    "iunet": AfterSearch("IUNet", "invariance", small=True),
    "no-pi": AfterSearch("IUNet without small initialization", "invariance"),
    "no-ilo": AfterSearch("IUNet without invariance objective", small=True),
    "unpruned": SearchOnly("IUNet, search only", "invariance", small=True),
}
