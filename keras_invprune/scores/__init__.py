"""Scores: how much each weight matters. One file each.

A score is any callable ``(weights, model) -> {key: array}``: `weights` maps keys to
NumPy arrays of the stored weights (zero where pruned; under TF-MOT's schedules, as in
TF-MOT, with what momentum has added since the last epoch's end; with `effective`, what
may come back), `model` is the `PrunedModel`. Low scores are pruned first.
Optional members:

- ``examples``: a number of training examples, which `fit` draws from its data and
  leaves in ``model.examples``, as (x, y, sample_weight).
- ``rounds``: a number of rounds in which to come down to the sparsity asked for, the
  density by the same factor in each; the score is asked again in each.
- ``rewires = True``: it moves connections, and needs a schedule that asks again.
- ``updates``: "one" or "several", where the schedule must renew the masks so often.
- ``effective``: what layers read in training in the place of w * mask, until the
  target sparsity is reached, under `Rewire` throughout
  (`keras_invprune.pruning.masked`).
"""

from keras_invprune.saving import resolve
from keras_invprune.scores.fisher import Fisher
from keras_invprune.scores.grasp import Grasp
from keras_invprune.scores.gumbel import GumbelSoftmax
from keras_invprune.scores.logit_snip import LogitSnip
from keras_invprune.scores.magnitude import magnitude
from keras_invprune.scores.movement import Movement
from keras_invprune.scores.random import Random
from keras_invprune.scores.rigl import RigL
from keras_invprune.scores.snip import Snip
from keras_invprune.scores.sparse_evolution import SparseEvolution
from keras_invprune.scores.sr_ste import SRSTE
from keras_invprune.scores.synflow import SynFlow
from keras_invprune.scores.taylor import Taylor

SCORES = {
    "magnitude": magnitude,
    "random": Random(),
    "snip": Snip(),
    "logit_snip": LogitSnip(),
    "grasp": Grasp(),
    "synflow": SynFlow(),
    "fisher": Fisher(),
    "taylor": Taylor(),
    "set": SparseEvolution(),
    "rigl": RigL(),
    "movement": Movement(),
    "gumbel": GumbelSoftmax(),
    "sr_ste": SRSTE(),
}


def get(identifier):
    """Returns the score of that name, or the callable given."""
    return resolve(identifier, SCORES, "score")


__all__ = [
    "Fisher",
    "Grasp",
    "GumbelSoftmax",
    "LogitSnip",
    "Movement",
    "Random",
    "SRSTE",
    "RigL",
    "Snip",
    "SparseEvolution",
    "SynFlow",
    "Taylor",
    "get",
    "magnitude",
]
