"""One-shot magnitude pruning: train, prune, rewind, train."""

from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.methods.search import AfterSearch

METHODS["omp"] = AfterSearch("OMP")
