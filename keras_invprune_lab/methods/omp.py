"""One-shot magnitude pruning: train, prune, rewind, train."""

from keras_invprune.pruning.prune import prune
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.one_fit import removal
from keras_invprune_lab.methods.search import AfterSearch


def _in_one_fit(model, run):
    return prune(
        model,
        rewind="first_epoch",
        initial_scale=1.0 if run.kappa is None else run.kappa,
        **removal(run, "loss"),
    )


METHODS["omp"] = AfterSearch("OMP", in_one_fit=_in_one_fit)
