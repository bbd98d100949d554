"""Every other score of the package, under the choices that suit it."""

from keras_invprune.contracts import Score
from keras_invprune.saving import name_of
from keras_invprune.scores import SCORES
from keras_invprune_lab.methods import (
    at_init,
    dynamic,
    iunet,
    omp,
    tangent,
)
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.pruned import Pruned


def _of_score(name) -> Pruned:
    score = SCORES[name]
    suits = Score.of(score).suits
    choices = {"score": name, "allocation": suits.get("allocation", "global")}
    if "schedule" in suits:
        return dynamic.WhileTraining(name_of(score), suits["schedule"], **choices)
    return at_init.BeforeTraining(name_of(score), **choices)


_files = (at_init, dynamic, iunet, omp, tangent)  # which come first
_named = {one.score for one in METHODS.values() if isinstance(one, Pruned)}
for _name in SCORES:
    if _name not in _named:
        METHODS[_name.replace("_", "-")] = _of_score(_name)
