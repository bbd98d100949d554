"""Which of IUNet's settings matter on CIFAR-10? Changes one at a time.

    python benchmarks/cifar10_factors.py [--epochs 10] [--seeds 0] [--tables]

Network, data and settings are those of the recipe "cifar10-small" at compression 8,
with fewer epochs: --epochs before pruning and as many after. The accuracy is that of
validation rows, since it is used to choose settings; the test rows are not used.
Finished trainings are kept in --out and never repeated; an interrupted one resumes.
"""

import argparse
from pathlib import Path

import numpy as np
from ledger import mean_and_spread

from keras_invprune_lab.recipes.recipe import Recipe, load
from keras_invprune_lab.runs.executors.local import run_all
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.runs.ledger import RUNS, collect, unpack

FALLING = {"name": "sgd", "rate": 0.02, "schedule": "cosine", "weight_decay": 0.0005}
VIEWS = {"views": "natural_images"}


def variants(epochs):
    """Return ``{name: (title, changes to IUNet's recipe)}``."""
    half = epochs // 2
    return {
        "dense": ("dense", {"methods": ["dense"]}),
        "omp": ("OMP", {"methods": ["omp"]}),
        "iunet": (
            "**IUNet**: κ = 0.125 on kernels, λ = τ = 1, labels, SimCLR's views, "
            "rewound to the first epoch",
            {},
        ),
        "kappa-all": (
            "κ on all weights, BatchNorm's scale too, as in the authors' code",
            {"kappa_scope": "all"},
        ),
        "unlabelled": (
            "contrastive loss without labels",
            {"search": VIEWS | {"labels": False}},
        ),
        "tau-0.1": ("τ = 0.1", {"search": VIEWS | {"temperature": 0.1}}),
        "small-views": ("views: small movements", {"search": {"views": "images"}}),
        "initial": ("rewound to the start", {"rewind": "initial"}),
        "kept": ("not rewound", {"rewind": "none"}),
        "half": (
            "half as long before pruning, longer after",
            {"search_epochs": half, "finetune_epochs": 2 * epochs - half},
        ),
        "falling": (
            "after pruning a falling rate with weight decay",
            {"finetune_optimizer": FALLING},
        ),
        "dense-falling": (
            "dense, a falling rate with weight decay",
            {"methods": ["dense"], "finetune_optimizer": FALLING},
        ),
        "kappa-0.25": ("κ = 0.25", {"kappas": [0.25]}),
        "kappa-0.0625": ("κ = 0.0625", {"kappas": [0.0625]}),
    }


def recipe(epochs, seeds, changes):
    """Return the recipe "cifar10-small" for IUNet alone, with these changes."""
    base = load("cifar10-small").model_dump()
    base |= {"search_epochs": epochs, "finetune_epochs": epochs, "seeds": seeds}
    base |= {"methods": ["iunet"], "extra_compressions": [], "published": {}}
    return Recipe.model_validate(base | changes)


def train(out, title, jobs):
    """Run the missing jobs and keep the finished ones."""

    def show(run, done, total):
        if done == total:
            print(f"{title}: {run}", flush=True)

    try:
        failures = run_all(jobs, out / RUNS, show=show)
    finally:
        collect(jobs, out)
    if failures:
        raise RuntimeError(f"{title}: {failures}")


def accuracies(out, wanted):
    """Return ``{seed: accuracy in %}`` on validation rows, for finished runs."""
    return {
        report["config"]["seed"]: 100 * report["validation"][wanted.select]
        for _, report in collect(expand(wanted), out)
        if report["config"]["method"] in wanted.methods
    }


def page(found, command):
    """Return the table of each variant's accuracy and its gain over unchanged IUNet.

    Args:
        found: ``{title: {seed: accuracy}}``; unchanged IUNet is the third.
        command: The command that makes the page.
    """
    base = [*found.values()][2]
    lines = [
        "# IUNet's settings on CIFAR-10, one changed at a time",
        "",
        f"`{command}`. MLP_VIS at width 1, compression 8. Accuracy on validation rows "
        "in %, mean over seeds; spread: standard deviation (ddof = 1); gain: over "
        "unchanged IUNet, the third row, over the seeds that both have.",
        "",
        "| | accuracy | spread | seeds | gain, points |",
        "|---|---:|---:|---:|---:|",
    ]
    for title, values in found.items():
        if not values:
            continue
        shared = [values[seed] - base[seed] for seed in values if seed in base]
        gain = f"{np.mean(shared):+.2f}" if shared and values is not base else ""
        cells = [title, *mean_and_spread([*values.values()]), str(len(values)), gain]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Train the missing variants, one by one, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--tables", action="store_true", help="train nothing")
    given = parser.parse_args()
    place = given.out / f"cifar10-factors-{given.epochs}"
    seeds = " ".join(map(str, given.seeds))
    command = (
        f"python benchmarks/cifar10_factors.py --epochs {given.epochs} --seeds {seeds}"
    )
    known = {
        name: (title, recipe(given.epochs, given.seeds, changes))
        for name, (title, changes) in variants(given.epochs).items()
    }

    def write():
        found = {
            title: accuracies(place / name, wanted)
            for name, (title, wanted) in known.items()
        }
        (given.out / "cifar10_factors.md").write_text(page(found, command))

    for name in known:
        unpack(place / name)
    for seed in () if given.tables else given.seeds:
        for name, (title, wanted) in known.items():
            jobs = [job for job in expand(wanted) if job.seed == seed]
            train(place / name, title, jobs)
            write()
    write()


if __name__ == "__main__":
    main()
