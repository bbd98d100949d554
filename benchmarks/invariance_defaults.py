"""Which settings of the invariance objective are good defaults on validation rows?

    python benchmarks/invariance_defaults.py [--tasks mnist-5 digits-30] [--seeds 0 1 2]
    python benchmarks/invariance_defaults.py --tables   # train nothing

A task is a data set with a network, an optimizer and a budget. A setting consists of
the views, which of them are supervised, κ and λ. Every setting is trained on each task.
The accuracy (for tables, the balanced accuracy) is measured on validation rows at the
best epoch; the test rows are never used. Budgets of tables are counted in steps, which
matter more than epochs. A finished training is a line of invariance_defaults.csv and is
never repeated; an interrupted one resumes from its state in --work.
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import ledger
import numpy as np

from keras_invprune.exporting.folders import REPORT
from keras_invprune_lab.recipes.recipe import Recipe, load
from keras_invprune_lab.runs.executors.local import run_all
from keras_invprune_lab.runs.jobs import expand

TABLES = (
    "blood-transfusion-service-center",
    "credit-g",
    "anneal",
    "arrhythmia",
    "cnae-9",
    "car",
    "kc1",
    "mfeat-factors",
    "segment",
    "jasmine",
    "kr-vs-kp",
    "bank-marketing",
)
# Numbers of training rows: 80 % of 80 %.
ROWS = (478, 640, 574, 289, 691, 1105, 1349, 1280, 1478, 1909, 2045, 28934)
BUDGETS = (90, 300, 1500)  # steps in each phase
FIELDS = ("task", "setting", "seed", "figure")
SGD = {"name": "sgd", "rate": 0.1, "schedule": "cosine"}
ADAMW = {"name": "adamw", "rate": 0.002, "schedule": "cosine", "weight_decay": 0.01}
# The package's earlier default: the paper's search, except for κ and the movements.
BEFORE = {"views": "images", "supervised": "first"}
NEW = {"views": "original+images", "supervised": "both"}
ROWS_L03 = {"views": "scarf", "weight": 0.3}
BOTH = "the image and a moved view, both supervised"

IMAGE_SETTINGS = {
    "dense": ("dense", {"methods": ["dense"]}),
    "omp": ("OMP", {"methods": ["omp"]}),
    "before": ("two moved views, the first supervised", {"search": BEFORE}),
    "both": (BOTH, {"search": NEW}),
    "original": (
        "the image and a moved view, the image supervised",
        {"search": NEW | {"supervised": "original"}},
    ),
    "moved": (
        "two moved views, both supervised",
        {"search": BEFORE | {"supervised": "both"}},
    ),
    "both-k0.25": (f"{BOTH}, κ = 0.25", {"search": NEW, "kappas": [0.25]}),
    "both-k1": (f"{BOTH}, κ = 1", {"search": NEW, "kappas": [1.0]}),
    "both-l0.3": (f"{BOTH}, λ = 0.3", {"search": NEW | {"weight": 0.3}}),
    "both-l3": (f"{BOTH}, λ = 3", {"search": NEW | {"weight": 3.0}}),
}
ROW_SETTINGS = {
    "dense": ("dense", {"methods": ["dense"]}),
    "omp": ("OMP", {"methods": ["omp"]}),
    "original": ("the row supervised, not its corruption", {}),
    "both": ("both supervised", {"search": {"views": "scarf", "supervised": "both"}}),
    "original-k0.5": ("the row supervised, κ = 0.5", {"kappas": [0.5]}),
    "original-k1": ("the row supervised, κ = 1", {"kappas": [1.0]}),
    "original-l0.3": ("the row supervised, λ = 0.3", {"search": ROWS_L03}),
    "original-k1-l0.3": (
        "the row supervised, κ = 1, λ = 0.3",
        {"search": ROWS_L03, "kappas": [1.0]},
    ),
}


def _images(dataset, model, epochs, **changes):
    """Return a recipe for images, with the package's learning rate and κ for them."""
    return {
        "title": dataset,
        "datasets": [dataset],
        "model": model,
        "search_epochs": epochs,
        "finetune_epochs": epochs,
        "optimizer": SGD,
        "kappas": [0.5],
        "counted": "kernels",
        **changes,
    }


def _cifar10(epochs):
    """Return the recipe "cifar10-movements", which has κ = 0.125."""
    kept = ("model", "width", "optimizer", "augment", "kappas")
    base = load("cifar10-movements").model_dump(mode="json")
    base = {name: base[name] for name in kept}
    return _images("tfds:cifar10", epochs=epochs, **base, compressions=[8.0]) | {
        "counted": "all"
    }


def _table(index, network, steps):
    """Return a recipe for one table, with `steps` steps in each phase."""
    batch = 32 if ROWS[index] < 2000 else 128
    an_epoch = min(50, ROWS[index] // batch)
    return {
        "title": TABLES[index],
        "datasets": [f"openml:{TABLES[index]}"],
        "model": network,
        "search_epochs": -(-steps // an_epoch),
        "finetune_epochs": -(-steps // an_epoch),
        "epoch_steps": an_epoch,
        "batch_size": batch,
        "optimizer": ADAMW,
        "search": {"views": "scarf"},
        "kappas": [0.25],
        "compressions": [8.0],
        "counted": "kernels",
        "vary_split": True,
        "select": "balanced_accuracy",
        **({"width": 128} if network == "mlp-tab" else {}),
    }


def tasks():
    """Return ``{name: (base of its recipes, settings)}``."""
    images = {
        "mnist-5": _images("tfds:mnist", "lenet-300-100", 5, compressions=[20.0]),
        "mnist-15": _images("tfds:mnist", "lenet-300-100", 15, compressions=[20.0]),
        "mnist-15-98": _images("tfds:mnist", "lenet-300-100", 15, compressions=[50.0]),
        "digits-10": _images("sklearn:digits", "mlp", 10, batch_size=32),
        "digits-30": _images("sklearn:digits", "mlp", 30, batch_size=32),
        "cifar10-dense-5": _images("tfds:cifar10", "lenet-300-100", 5),
        "cifar10-convnet-5": _images("tfds:cifar10", "convnet", 5),
        "cifar10-10": _cifar10(10),
        "cifar10-41": _cifar10(41),
    }
    tables = {
        f"{name}-{network}-{steps}": _table(index, network, steps)
        for network in ("mlp-rows", "mlp-tab")
        for steps in BUDGETS
        for index, name in enumerate(TABLES)
    }
    return {name: (base, IMAGE_SETTINGS) for name, base in images.items()} | {
        name: (base, ROW_SETTINGS) for name, base in tables.items()
    }


def recipes(task, seeds):
    """Return ``{setting: (title, recipe)}`` for a task."""
    base, settings = tasks()[task]
    base = {"methods": ["iunet"], "seeds": seeds, **base}
    return {
        name: (title, Recipe.model_validate(base | changes))
        for name, (title, changes) in settings.items()
    }


def page(figures):
    """Return the page: a table for each image task, and for each budget of the tables.

    Args:
        figures: ``{(task, setting, seed): figure in %}``.
    """
    lines = [
        "# Settings of the invariance objective, by validation rows",
        "",
        "`python benchmarks/invariance_defaults.py`. Means over seeds in %; spread: "
        "standard deviation (ddof = 1); lead: over OMP, seed by seed, in points. λ = "
        "1, and κ = 0.5 for images (MLP_VIS, in cifar10-10: 0.125), 0.25 for tables, "
        "where a setting does not say otherwise.",
    ]
    for task in tasks():
        of_task = {key[1:]: v for key, v in figures.items() if key[0] == task}
        if of_task and _is_image(task):
            lines += ["", f"## {task}", "", *_part(of_task)]
    for network in ("mlp-rows", "mlp-tab"):
        for steps in BUDGETS:
            end = f"-{network}-{steps}"
            rows = {k: v for k, v in figures.items() if k[0].endswith(end)}
            if rows:
                lines += ["", f"## Tables, {network}, {steps} steps a phase", ""]
                lines += _mean_of_tables(rows)
    return "\n".join(lines) + "\n"


def _is_image(task) -> bool:
    return not any(network in task for network in ("mlp-rows", "mlp-tab"))


def _part(figures):
    yield "| setting | seeds | accuracy | spread | lead over OMP | spread |"
    yield "|---|---:|---:|---:|---:|---:|"
    for setting, (title, _) in IMAGE_SETTINGS.items():
        mine = {seed: v for (name, seed), v in figures.items() if name == setting}
        shared = [
            v - figures["omp", seed]
            for seed, v in mine.items()
            if ("omp", seed) in figures and setting != "omp"
        ]
        if mine:
            cells = [title, str(len(mine))]
            cells += ledger.mean_and_spread([*mine.values()])
            cells += ledger.mean_and_spread(shared, "+.2f")
            yield f"| {' | '.join(cells)} |"


def _mean_of_tables(figures):
    """Yield rows: means over the tables, and on how many a setting loses to OMP."""
    yield (
        "| setting | tables | seeds | balanced accuracy | lead over OMP | median lead "
        "| behind OMP on |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    names = sorted({task for task, _, _ in figures})
    for setting, (title, _) in ROW_SETTINGS.items():
        mine = {
            (t, seed): v for (t, name, seed), v in figures.items() if name == setting
        }
        leads = {
            key: v - figures[key[0], "omp", key[1]]
            for key, v in mine.items()
            if (key[0], "omp", key[1]) in figures
        }
        if not leads:
            continue
        by_table = [
            np.mean([v for key, v in leads.items() if key[0] == name])
            for name in names
            if any(key[0] == name for key in leads)
        ]
        whole = np.mean([mine[key] for key in leads])
        cells = [f"{len(by_table)}", f"{len({seed for _, seed in leads})}"]
        cells.append(f"{whole:.2f}")
        if setting == "omp":
            cells += ["", "", ""]
        else:
            cells += [f"{np.mean(by_table):+.2f}", f"{np.median(by_table):+.2f}"]
            cells.append(f"{sum(lead < 0 for lead in by_table)}")
        yield f"| {title} | {' | '.join(cells)} |"


def measure(work, recipe, seed) -> float:
    """Train unless it is finished; return the figure on validation rows in %."""
    jobs = [job for job in expand(recipe) if job.seed == seed]
    failures = run_all(jobs, work)
    if failures:
        raise RuntimeError(f"{recipe.title}: {failures}")
    report = json.loads((work / jobs[-1].name / REPORT).read_text())
    return round(100 * report["validation"][recipe.select], 4)


def read(file):
    """Return ``{(task, setting, seed): figure}`` for finished trainings."""
    return {
        (row["task"], row["setting"], int(row["seed"])): float(row["figure"])
        for row in ledger.rows(file)
    }


def append(file, *row):
    """Append a line to the CSV file, with the heading before the first one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = not file.exists()
    with open(file, "a", newline="") as stream:
        csv.writer(stream).writerows([FIELDS] * new + [row])


def main():
    """Train what is missing, seed by seed, and write the page at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=[*tasks()], default=[*tasks()])
    parser.add_argument("--settings", nargs="+", help="some of them; all if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--work", type=Path, default=Path("build/invariance-defaults"))
    parser.add_argument("--tables", action="store_true", help="train nothing")
    given = parser.parse_args()
    file = given.out / "invariance_defaults.csv"
    wanted = [(task, seed) for seed in given.seeds for task in given.tasks]
    for task, seed in () if given.tables else wanted:
        for name, (_, recipe) in recipes(task, given.seeds).items():
            if (given.settings and name not in given.settings) or (
                (task, name, seed) in read(file)
            ):
                continue
            work = given.work / task / name
            figure = measure(work, recipe, seed)
            append(file, task, name, seed, figure)
            shutil.rmtree(work)
            print(task, name, seed, figure, flush=True)
    (given.out / "invariance_defaults.md").write_text(page(read(file)))


if __name__ == "__main__":
    main()
