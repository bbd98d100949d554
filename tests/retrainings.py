"""Small trainings until convergence, and what comes after them."""

import numpy as np

from keras_invprune_lab.data import Data
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand

QUICK = {
    "title": "",
    "datasets": ["made:blobs"],
    "model": "mlp-100",
    "compressions": [5],
    "counted": "kernels",
    "prune_head": True,
    "search_epochs": 6,
    "finetune_epochs": 3,
    "batch_size": 20,
    "optimizer": {"rate": 0.01, "momentum": 0},
}


def blobs(*_):
    """Three classes in 6 dimensions, which overlap."""
    generator = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = generator.normal(size=(300, 6)) + 1.5 * np.eye(6)[y]
    parts = np.split(x.astype("float32"), [100, 200])
    return Data(
        parts[0], y[:100], parts[1], y[100:200], (), x_valid=parts[2], y_valid=y[200:]
    )


def recipe(*methods, **changes):
    """A recipe of a data set that only this test has."""
    given = QUICK | changes | {"methods": methods, "datasets": ["sklearn:wine"]}
    return Recipe(**given)


def executed(root, *methods, **changes):
    """``{method: report}``, each run after what it needs."""
    jobs = expand(recipe(*methods, **changes))
    return {job.method: execute(job, root) for job in jobs}


def history(root, method):
    (file,) = root.rglob(f"{method}*/seed0/history.csv")
    names, *lines = (line.split(",") for line in file.read_text().splitlines())
    columns = zip(*lines, strict=True)
    return {n: list(map(float, c)) for n, c in zip(names, columns, strict=True)}
