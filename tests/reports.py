"""Made-up reports of runs, and the table of them."""

from keras_invprune_lab.bench.results import cells, tabulate
from keras_invprune_lab.recipes.recipe import Recipe

ENVIRONMENT = {"cores": 2, "machine": "x", "tensorflow": "2", "keras": "3"}

RECIPE = Recipe(
    title="Mine",
    datasets=["sklearn:wine"],
    methods=["dense", "omp", "iunet"],
    model="mlp",
    search_epochs=1,
    finetune_epochs=1,
    kappas=[0.5],
).model_copy(update={"datasets": ["d0", "d1"], "published": {"d0": {"TabNet": 61.25}}})


def report(dataset, method, test, *, valid=0.5, seed=0, c=None, kappa=1.0, **config):
    figures = {"accuracy": test, "balanced_accuracy": test, "macro_precision": test}
    given = {"objective": None, "penalty": None, **config}
    return {
        "config": {
            "dataset": dataset,
            "method": method,
            "seed": seed,
            "compression": c,
            "kappa": kappa,
            **given,
        },
        "environment": ENVIRONMENT,
        "seconds": 36.0,
        "validation": dict.fromkeys(figures, valid),
        "test": figures,
        "weights": {"total": 80, "nonzero": 10 if c else 80},
        "consistency": {"flip": 0.25},
    }


def table_of(reports, methods=("dense", "omp", "iunet")):
    return tabulate(cells(reports, methods, "accuracy"), list(methods))


def many(gaps):
    """Reports of as many data sets, where iunet is better than dense by `gaps`."""
    found = []
    for index, gap in enumerate(gaps):
        found.append(report(f"d{index}", "dense", 0.5))
        found.append(report(f"d{index}", "omp", 0.4, c=8))
        found.append(report(f"d{index}", "iunet", 0.5 + gap, c=8))
    return found
