"""Every other score of the package, under the choices that suit it."""

from keras_invprune.contracts import Score
from keras_invprune.saving import name_of
from keras_invprune.scores import SCORES
from keras_invprune_lab.methods.at_init import BeforeTraining
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.dynamic import WhileTraining
from keras_invprune_lab.methods.pruned import Pruned


def add_other_scores():
    """Add a method for each score that no method has; called after all files."""
    named = {one.score for one in METHODS.values() if isinstance(one, Pruned)}
    for name in SCORES:
        if name not in named:
            METHODS[name.replace("_", "-")] = _of_score(name)


def _of_score(name) -> Pruned:
    score = SCORES[name]
    suits = Score.of(score).suits
    choices = {"score": name, "allocation": suits.get("allocation", "global")}
    if "schedule" in suits:
        return WhileTraining(name_of(score), suits["schedule"], **choices)
    return BeforeTraining(name_of(score), **choices)
