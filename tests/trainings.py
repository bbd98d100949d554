"""A small training: data, a recipe, a compiled network."""

import keras
import numpy as np

from keras_invprune_lab.data import Data
from keras_invprune_lab.recipes.recipe import Optimizer, Recipe
from keras_invprune_lab.runs.jobs import Job
from keras_invprune_lab.training.loop import compile_model

G = np.random.default_rng(0)
X = G.normal(size=(90, 4)).astype("float32")
Y = (X[:, 0] + 0.5 * G.normal(size=90) > 0).astype("int64")
DATA = Data(X[:50], Y[:50], X[50:70], Y[50:70], (), X[70:], Y[70:])
EPOCHS = 6
RESTARTS = Optimizer(rate=0.3, schedule="restarts", period=1)
RECIPE = Recipe(
    title="",
    datasets=["sklearn:digits"],
    methods=["dense"],
    model="mlp",
    search_epochs=1,
    finetune_epochs=5,
    batch_size=16,
    optimizer=RESTARTS,
    kappas=[1],
)
JOB = Job(RECIPE, "-", "dense", 3)


def network():
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    compile_model(model, RECIPE, RESTARTS, DATA, EPOCHS)
    return model
