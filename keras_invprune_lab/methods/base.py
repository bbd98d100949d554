"""The methods that are compared, and what sets one apart from another.

Every method gets the same number of epochs, but "unpruned", which is the search of
IUNet and no more, as in the paper, and "ntt", which transfers without labels first. One
that searches trains for `search_epochs`, is pruned, mostly rewound, and trains for
`finetune_epochs`; the others for the sum. Every score is a method. To add another: a
line in `METHODS`, and what no field of `Method` says in `build.py`.
"""

from typing import NamedTuple

from keras_invprune.contracts import Score
from keras_invprune.saving import name_of
from keras_invprune.scores import SCORES


class Method(NamedTuple):
    """What a method does.

    Attributes:
        title: What tables call it.
        search: Objective before pruning: "supervised", "invariance"; None: no search.
        small: Whether weights start at κ times their initial values.
        mask: Which weights stay: "magnitude", "shuffled" (the same numbers in each
            layer, anywhere), "random" (likewise, for a network that never searched)
            or None for all.
        learner: "network", "beta_lasso", "xgboost" or "tangent" (neural tangent
            transfer makes masks and weights).
        schedule: When masks are made in the training that is measured: "rewire" (before
            it, and renewed in it), "each_step" (likewise, at every step of all but the
            last hundredth), "gradual", "one_shot"; None: not in it.
        score: What the masks are made by.
        examples: Training examples that the score looks at; None for its own number.
        allocation: Where the sparsity goes.
        redrawn: Whether the weights are drawn anew once the masks are made.
        control_of: The method whose masks it changes: it has the κ chosen for that,
            and without a search of its own it starts from that method's run.
    """

    title: str
    search: str | None = None
    small: bool = False
    mask: str | None = "magnitude"
    learner: str = "network"
    schedule: str | None = None
    score: str = "magnitude"
    examples: int | None = None
    allocation: str = "global"
    redrawn: bool = False
    control_of: str | None = None

    @property
    def pruned(self) -> bool:
        """Whether a compression is asked for."""
        return self.mask is not None


METHODS = {
    "dense": Method("dense", mask=None),
    "omp": Method("OMP", "supervised"),
    "omp-before": Method("OMP before training"),
    "beta-lasso": Method("β-LASSO", mask=None, learner="beta_lasso"),
    "iunet": Method("IUNet", "invariance", small=True),
    "no-pi": Method("IUNet without small initialization", "invariance"),
    "no-ilo": Method("IUNet without invariance objective", "supervised", small=True),
    "unpruned": Method("IUNet, search only", "invariance", small=True, mask=None),
    "shuffled": Method(
        "IUNet, masks shuffled", "invariance", True, "shuffled", control_of="iunet"
    ),
    "random": Method(
        "random masks of IUNet's densities", mask="random", control_of="iunet"
    ),
    "xgboost": Method("XGBoost", mask=None, learner="xgboost"),
}

# Before training, or while it goes on, without a search: what the masks are made by.
EARLY = {
    "random-before": Method(
        "random, before training", score="random", allocation="uniform"
    ),
    "snip": Method("SNIP", score="snip"),
    "snip-5000": Method("SNIP of 5,000 examples", score="snip", examples=5000),
    "logit-snip": Method("SNIP of logits", score="logit_snip"),
    "grasp": Method("GraSP", score="grasp"),
    "synflow": Method("SynFlow", score="synflow"),
    "fisher": Method("Fisher", score="fisher"),
    "taylor": Method("Taylor", score="taylor"),
    "set": Method("SET", schedule="rewire", score="set", allocation="erk"),
    "rigl": Method("RigL", schedule="rewire", score="rigl", allocation="erk"),
    "sr-ste": Method(  # N:M, which its paper has, is as dense in every layer
        "SR-STE, unstructured",
        schedule="each_step",
        score="sr_ste",
        allocation="uniform",
    ),
    "movement": Method("movement", schedule="gradual", score="movement"),
    "gumbel": Method("Gumbel-softmax", schedule="one_shot", score="gumbel"),
    "ntt": Method("NTT", learner="tangent", allocation="uniform"),
}
METHODS |= EARLY
# A score that is named by no line above is compared under the choices that suit it.
_named = {method.score for method in METHODS.values()}
for name, score in SCORES.items():
    if name not in _named:
        suits = Score.of(score).suits
        METHODS[name.replace("_", "-")] = Method(
            name_of(score),
            schedule=suits.get("schedule"),
            score=name,
            allocation=suits.get("allocation", "global"),
        )
# Sanity checks of 2009.08576: does it matter which weights of a layer stay, and which
# values they have?
for name in ("snip", "grasp", "synflow", "ntt"):
    method = METHODS[name]
    if name != "ntt":  # shuffled, its masks are those of "random-before"
        METHODS[f"{name}-shuffled"] = method._replace(
            title=f"{method.title}, masks shuffled", mask="shuffled"
        )
    METHODS[f"{name}-redrawn"] = method._replace(
        title=f"{method.title}, weights redrawn",
        redrawn=True,
        control_of="ntt" if name == "ntt" else None,  # the others' masks cost nothing
    )

# What several methods go on from is trained under masks of its own.
SEARCH = Method("search", "supervised", mask=None)
