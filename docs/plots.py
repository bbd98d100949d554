"""Draw the plots of the pages in docs/questions: `make docs` does so first.

    python docs/plots.py [--out docs/questions]

A plot has the name of its page. It shows what is stored in docs/results and nothing
else: means over seeds, with the standard deviation (n - 1) as the error bar. Each file
says in its metadata what was drawn, by which a test finds plots that are out of date.
"""

import argparse
import csv
import hashlib
import json
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

from keras_invprune_lab.bench.recovery import Point, by_epoch, by_sparsity
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.structure.relational import plots as relational

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results"
OURS, OTHER = "tab:blue", "tab:gray"
ACCURACY = "test accuracy, %"


def rows(file) -> list[dict]:
    """Return the lines of a CSV file in docs/results."""
    with open(RESULTS / file, newline="") as stream:
        return list(csv.DictReader(stream))


def grouped(lines, key, value) -> dict:
    """Return ``{key(line): [value(line)]}``, in the order of the lines."""
    found = defaultdict(list)
    for line in lines:
        found[key(line)].append(value(line))
    return dict(found)


def runs(recipe, by="compression") -> dict[tuple[str, float], list[float]]:
    """Return ``{(method, its compression or κ): accuracies}``; 0 where it has none."""
    return grouped(
        [line for line in rows(f"{recipe}/runs.csv") if line["method"] in METHODS],
        lambda line: (line["method"], float(line[by] or 0)),
        lambda line: float(line["test_accuracy"]),
    )


def at(recipe, compression) -> dict[str, list[float]]:
    """Return ``{title: accuracies}`` at one compression, and of what is not pruned."""
    return {
        METHODS[method].title: values
        for (method, asked), values in runs(recipe).items()
        if not METHODS[method].pruned or round(asked) == compression
    }


def curves(found, methods) -> dict[str, dict[float, list[float]]]:
    """Return ``{title: {x: values}}`` of ``{(method, x): values}``."""
    return {
        METHODS[method].title: {
            x: v for (m, x), v in sorted(found.items()) if m == method
        }
        for method in methods
    }


def best_first(found, floor=0.0) -> dict:
    """Return what is above `floor`, highest mean first."""
    kept = {name: values for name, values in found.items() if np.mean(values) > floor}
    return dict(sorted(kept.items(), key=lambda item: -np.mean(item[1])))


def spread(values) -> float:
    """Return the standard deviation (n - 1), 0 for a single seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def points(axes, found, ours=(), label=ACCURACY, errors=spread):
    """Draw a point and its error bar for each name, from top to bottom.

    Args:
        axes: Where to draw.
        found: ``{name: values}``.
        ours: Names to draw in color.
        label: What the values are.
        errors: From values to the length of the error bar.
    """
    for height, (name, values) in enumerate(found.items()):
        color = OURS if name in ours else OTHER
        place = np.mean(values), -height
        axes.errorbar(*place, xerr=errors(values), fmt="o", capsize=3, color=color)
    axes.set_yticks(-np.arange(len(found)), list(found))
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)


def lines(axes, found, x, y=ACCURACY, scale="log"):
    """Draw a line with error bars for each title.

    Args:
        axes: Where to draw.
        found: ``{title: {x: values}}``.
        x: What the abscissa is.
        y: What the values are.
        scale: Of the abscissa.
    """
    for title, line in found.items():
        means = [np.mean(values) for values in line.values()]
        errors = [spread(values) for values in line.values()]
        axes.errorbar(list(line), means, errors, marker="o", capsize=3, label=title)
    ticks = sorted(set().union(*found.values()))
    axes.set_xscale(scale)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel=x, ylabel=y)


def level(axes, values):
    """Draw what the dense network has."""
    axes.axhline(np.mean(values), color=OTHER, ls="--", label="dense")


def by_compression(axes, recipe, methods):
    """Draw a line for each method, and the level of the dense network."""
    found = runs(recipe)
    lines(axes, curves(found, methods), "compression")
    level(axes, found["dense", 0.0])
    axes.legend()


def mnist(figure):
    """Draw accuracy, and agreement after a shift, by sparsity."""
    shown = {"accuracy": ACCURACY, "shift": "same answer after a shift, %"}
    panels = figure.subplots(1, 2)
    for axes, (name, label) in zip(panels, shown.items(), strict=True):
        found = grouped(
            rows("mnist_lenet.csv"),
            lambda line: (line["method"], 100 * float(line["sparsity"])),
            lambda line, name=name: 100 * float(line[name]),
        )
        lines(axes, curves(found, ["iunet", "omp"]), "sparsity, %", label, "linear")
        level(axes, found["dense", 0.0])
    panels[0].legend()


def cifar10(figure):
    """Draw accuracy by compression."""
    by_compression(figure.subplots(), "cifar10-small", ["iunet", "shuffled", "omp"])


def cifar10_parts(figure):
    """Draw IUNet without each of its parts."""
    points(figure.subplots(), best_first(at("cifar10-small", 8)), ["IUNet"])


def cifar10_views(figure):
    """Draw both kinds of views."""
    kinds = {"cifar10-movements": "small movements", "cifar10-small": "SimCLR's"}
    found = {
        f"{name}, {kind}": at(recipe, 8)[name]
        for recipe, kind in kinds.items()
        for name in ("IUNet", "IUNet, masks shuffled")
    }
    rest = {name: at("cifar10-small", 8)[name] for name in ("OMP", "dense")}
    points(figure.subplots(), best_first(found | rest), ["IUNet, small movements"])


def cifar10_kappa(figure):
    """Draw accuracy by κ, before pruning and in the end."""
    found = runs("cifar10-kappa", by="kappa")
    axes = figure.subplots()
    lines(axes, curves(found, ["iunet", "unpruned"]), "κ")
    axes.legend()


def cifar10_tuned(figure):
    """Draw all methods with the settings that suit IUNet."""
    points(figure.subplots(), best_first(at("cifar10-tuned", 8)), ["IUNet"])


FACTORS = {  # folders in docs/results/cifar10-factors-10
    "small-views": "views: small movements",
    "falling": "falling rate, weight decay",
    "half": "half as long before pruning",
    "initial": "rewound to the start",
    "kappa-0.25": "κ = 0.25",
    "kept": "not rewound",
    "unlabelled": "contrastive loss without labels",
    "tau-0.1": "temperature τ = 0.1",
    "kappa-0.0625": "κ = 0.0625",
    "kappa-all": "κ on all weights",
}
REFERENCES = {
    "dense-falling": "dense, falling rate, weight decay",
    "dense": "dense",
    "omp": "OMP",
}


def cifar10_settings(figure):
    """Draw what each setting gains over unchanged IUNet."""
    (base,) = validated("iunet")
    found = {
        title: [value - base for value in validated(name)]
        for name, title in (FACTORS | REFERENCES).items()
    }
    axes = figure.subplots()
    points(axes, best_first(found, -np.inf), FACTORS.values(), "points over IUNet")
    axes.axvline(0, color="black", linewidth=1)


def validated(name) -> list[float]:
    """Return a variant's accuracies on validation rows, without those of searches."""
    text = (RESULTS / "cifar10-factors-10" / name / "runs.jsonl").read_text()
    reports = [json.loads(line)["report"] for line in text.splitlines()]
    return [
        100 * report["validation"]["accuracy"]
        for report in reports
        if report["config"]["method"] in METHODS
    ]


IMAGES = {  # tasks of benchmarks/invariance_defaults.py
    "mnist-5": "MNIST, 95 %, 5 + 5",
    "mnist-15": "MNIST, 95 %, 15 + 15",
    "mnist-15-98": "MNIST, 98 %, 15 + 15",
    "digits-10": "digits, 10 + 10",
    "digits-30": "digits, 30 + 30",
    "cifar10-10": "CIFAR-10, MLP_VIS, 10 + 10",
    "cifar10-41": "CIFAR-10, MLP_VIS, 41 + 41",
    "cifar10-dense-5": "CIFAR-10, LeNet-300-100, 5 + 5",
    "cifar10-convnet-5": "CIFAR-10, ConvNet, 5 + 5",
}
LEAD = "lead over OMP, points"


def leads_over_omp() -> dict[tuple[str, str], list[float]]:
    """Return ``{(task, setting): leads, seed by seed}``."""
    found = {
        (line["task"], line["setting"], line["seed"]): float(line["figure"])
        for line in rows("invariance_defaults.csv")
    }
    pairs = [(key, found.get((key[0], "omp", key[2]))) for key in found]
    return grouped(
        [(key, found[key] - omp) for key, omp in pairs if omp is not None],
        lambda pair: pair[0][:2],
        lambda pair: pair[1],
    )


def defaults_images(figure):
    """Draw the lead of the default over OMP, task by task."""
    leads = leads_over_omp()
    axes = figure.subplots()
    found = {title: leads[task, "both-l0.3"] for task, title in IMAGES.items()}
    points(axes, found, IMAGES.values(), LEAD)
    axes.axvline(0, color="black", linewidth=1)


def defaults_tables(figure):
    """Draw the mean lead over twelve tables by the length of a phase, for each κ."""
    leads = leads_over_omp()
    settings = {
        "original": "κ = 0.25",
        "original-k0.5": "κ = 0.5",
        "original-k1": "κ = 1",
    }
    shown = {
        title: {steps: [mean_lead(leads, name, steps)] for steps in (90, 300, 1500)}
        for name, title in settings.items()
    }
    axes = figure.subplots()
    lines(axes, shown, "steps in each phase", LEAD)
    axes.axhline(0, color="black", linewidth=1)
    axes.legend()


def mean_lead(leads, setting, steps) -> float:
    """Return a setting's mean lead over the tables, each a mean over its seeds."""
    end = f"-mlp-rows-{steps}"
    return np.mean(
        [
            np.mean(v)
            for (task, s), v in leads.items()
            if task.endswith(end) and s == setting
        ]
    )


def tables(figure):
    """Draw IUNet's lead on each table, with the standard error."""
    found = {}
    for line in rows("tabular-small/runs.csv"):
        value = float(line["test_balanced_accuracy"])
        found.setdefault(line["dataset"], {})[line["method"], line["seed"]] = value
    others = {"omp": "OMP", "dense": "dense", "xgboost": "XGBoost"}
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (other, title) in zip(panels, others.items(), strict=True):
        leads = {
            dataset.partition(":")[2]: [
                of[method, seed] - of[other, seed]
                for method, seed in of
                if method == "iunet"
            ]
            for dataset, of in found.items()
            if ("iunet", "0") in of
        }
        label = f"points over {title}"
        points(axes, leads, leads, label, lambda v: spread(v) / len(v) ** 0.5)
        axes.axvline(0, color="black", linewidth=1)


LOST = 90  # %, below which one network would hide how the others differ
MOVE = ["SET", "RigL", "SR-STE, unstructured", "movement", "Gumbel-softmax"]


def before_training(figure):
    """Draw all ways of pruning; in color those whose masks move or are learned."""
    points(figure.subplots(), best_first(at("at-init", 33), LOST), MOVE)


def before_training_networks(figure):
    """Draw the same of LeNet-5."""
    points(figure.subplots(), best_first(at("at-init-lenet-5", 33), LOST), MOVE)


def moving(figure):
    """Draw methods whose connections move, at two compressions."""
    for axes, compression in zip(figure.subplots(1, 2), (10, 50), strict=True):
        points(axes, best_first(at("moving-digits", compression)))
        axes.set_title(f"compression {compression}", fontsize="medium")


def snip(figure):
    """Draw SNIP next to masks that move; the line is what its authors have."""
    for axes, compression, published in zip(
        figure.subplots(1, 2), (50, 20), (97.6, 98.4), strict=True
    ):
        lecun = at("at-init-snip", compression)
        found = at("at-init-long", compression)
        found |= {f"{n}, LeCun": lecun[n] for n in ("SNIP", "SNIP of 5,000 examples")}
        ours = [name for name in found if name.startswith("SNIP")]
        points(axes, best_first(found, LOST), ours)
        axes.axvline(published, color="black", ls="--", linewidth=1)
        axes.set_title(f"compression {compression}", fontsize="medium")


def without_labels(figure):
    """Draw neural tangent transfer next to SNIP, on both networks."""
    recipes = {"ntt-lenet-300-100": "LeNet-300-100", "ntt-lenet-5": "LeNet-5"}
    for axes, (recipe, title) in zip(
        figure.subplots(1, 2), recipes.items(), strict=True
    ):
        found = best_first(at(recipe, 33), LOST)
        points(axes, found, ["NTT", "NTT, weights redrawn"])
        axes.set_title(title, fontsize="medium")


def layer_collapse(figure):
    """Draw accuracy by compression."""
    methods = ["synflow", "snip", "grasp", "random-before", "omp-before"]
    by_compression(figure.subplots(), "layer-collapse", methods)


def compaction(figure):
    """Draw what is left of networks without half of their units, and the speedups.

    A point is the mean of the seeds.
    """
    found = grouped(
        [
            line
            for line in rows("compaction.csv")
            if line["images"] == "large" and line["zeros"] != "connections"
        ],
        lambda line: line["network"] + line["zeros"].removeprefix("units"),
        lambda line: line,
    )
    left = {
        name: [100 * int(x["parameters_after"]) / int(x["parameters"]) for x in each]
        for name, each in sorted(found.items())
    }
    shifted = [name for name in left if "," not in name]
    faster = {
        name: [float(x["speedup"]) for x in found[name] if x["speedup"]]
        for name in shifted
    }
    panels = figure.subplots(1, 2)
    points(panels[0], left, shifted, "weights that are left, %")
    points(panels[1], faster, shifted, "times as fast in LiteRT")
    for axes in panels:
        axes.set_xlim(left=0)


def unit_allocations(figure):
    """Draw the mean accuracy over the tasks, by what is removed."""
    panels = figure.subplots(1, 2, sharey=True)
    shown = {"shares": "units removed, %", "macs": "MACs removed, %"}
    for axes, (part, label) in zip(panels, shown.items(), strict=True):
        by_seed = grouped(
            [line for line in rows("unit_allocations.csv") if line["part"] == part],
            lambda line: (
                line["allocation"],
                round(100 * float(line["removed"])),
                line["seed"],
            ),
            lambda line: float(line["validation"]),
        )
        found = grouped(
            sorted(by_seed.items()),
            lambda item: item[0][:2],
            lambda item: np.mean(item[1]),
        )
        drawn = {
            name: {x: v for (other, x), v in found.items() if other == name}
            for name in ("uniform", "lamp", "global")
        }
        lines(axes, drawn, label, "validation accuracy, %", "linear")
    panels[0].legend()


def layer_teacher(figure):
    """Draw the test loss by depth, of all points of all paths."""
    found = rows("layer_teacher.csv")
    losses = grouped(
        [line for line in found if line["strength"]],
        lambda line: int(line["depth"]),
        lambda line: float(line["test_loss"]),
    )
    alone = [float(line["test_loss"]) for line in found if not line["strength"]]
    axes = figure.subplots()
    shown = {"points of the paths": dict(sorted(losses.items()))}
    lines(axes, shown, "Dense layers", "test loss", "linear")
    label = "depth 3, trained alone"
    axes.axhline(np.mean(alone), color=OTHER, ls="--", label=label)
    axes.legend()


def layer_mnist(figure):
    """Draw accuracy and milliseconds by the number of layers that are left."""
    labels = {"test_accuracy": ACCURACY, "milliseconds": "ms, LiteRT"}
    panels = figure.subplots(1, 2)
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        found = grouped(
            rows("layer_mnist.csv"),
            lambda line: (line["method"], int(line["layers"])),
            lambda line, name=name: float(line[name]),
        )
        path = {n: v for (m, n), v in sorted(found.items()) if m == "layer sparsity"}
        lines(axes, {"layer sparsity": path}, "Dense layers", label, "linear")
        level(axes, found["dense", 9])
    panels[0].legend()


PREDICTED = {  # tables of benchmarks/structure_prediction.py
    "gru": "Reber, GRU",
    "lstm": "Reber, LSTM",
    "relu": "Reber, ReLU",
    "tanh": "Reber, tanh",
    "graph2nn": "relational graphs, MLP",
    "random-graph-nn-30": "random graphs of 30 nodes",
    "random-graph-nn-60": "random graphs of 60 nodes",
}


def structure_prediction(figure):
    """Draw the best R² of each table with its interval, and R² on 20 networks."""
    found = {}
    for line in rows("structure_prediction.csv"):
        found.setdefault(line["table"], []).append(line)
    panels = figure.subplots(1, 2)
    for height, name in enumerate(PREDICTED):
        best = max(found[name], key=lambda line: float(line["r2"]))
        r2, low, high = (float(best[key]) for key in ("r2", "r2_low", "r2_high"))
        error = [[r2 - low], [high - r2]]
        panels[0].errorbar(r2, -height, xerr=error, fmt="o", capsize=3, color=OURS)
        if best["ceiling_r2"]:
            panels[0].plot(float(best["ceiling_r2"]), -height, "k|", markersize=14)
    panels[0].set_yticks(-np.arange(len(PREDICTED)), list(PREDICTED.values()))
    panels[0].set_xlabel("R², 95 %; bar: noise ceiling")
    splits = grouped(
        [
            r
            for r in rows("structure_protocol.csv")
            if r["predictor"] == "random-forest"
        ],
        lambda line: PREDICTED[line["table"]],
        lambda line: float(line["r2"]),
    )
    for height, values in enumerate(splits.values()):
        panels[1].plot(values, np.full(len(values), -height), "o", color=OTHER, ms=3)
        panels[1].plot(np.median(values), -height, "d", color=OURS)
    panels[1].set_yticks(-np.arange(len(splits)), list(splits))
    panels[1].set_xlabel("R² of forests on 20 networks, by split")
    for axes in panels:
        axes.grid(axis="x", alpha=0.3)


def trained_graphs(figure):
    """Draw the predicted accuracy of each graph, and the best R² by what is read."""
    folder = "structure-train/predictions"
    left, right = figure.subplots(1, 2)
    found = rows(f"{folder}/predictions.csv")
    said, trained = ([100 * float(r[key]) for r in found] for key in ("said", "figure"))
    left.plot(said, trained, "o", color=OURS, ms=4)
    left.plot([60, 100], [60, 100], color="gray", lw=0.8)
    left.set_xlabel("test accuracy as predicted, %")
    left.set_ylabel("as trained, %")
    metrics = rows(f"{folder}/metrics.csv")
    inputs = list(dict.fromkeys(row["inputs"] for row in metrics))
    for height, name in enumerate(inputs):
        own = [row for row in metrics if row["inputs"] == name]
        best = max(own, key=lambda row: float(row["r2"]))
        r2, low, high = (float(best[key]) for key in ("r2", "r2_low", "r2_high"))
        error = [[r2 - low], [high - r2]]
        right.errorbar(r2, -height, xerr=error, fmt="o", capsize=3, color=OURS)
    right.axvline(r2 / float(best["ceiling_share"]), color="black", ls="--")
    right.set_yticks(-np.arange(len(inputs)), inputs)
    right.set_xlabel("R², 95 %; dashed: noise ceiling")
    right.grid(axis="x", alpha=0.3)


def relational_graphs(figure):
    """Draw accuracy by clustering and path length, and ours against the authors'."""
    trained = "50000", "4"  # images and epochs, without what was tried besides
    found = [
        line
        for line in rows("relational-graphs/relational.csv")
        if (line["images"], line["epochs"]) == trained
    ]
    relational.draw(figure, found)


def structure_search(figure):
    """Draw the best accuracy so far by strategy, and the best for their MACs."""
    found = grouped(
        rows("structure-search/graphs.csv"), lambda line: line["strategy"], dict
    )
    left, right = figure.subplots(1, 2)
    for strategy, own in found.items():
        best = grouped(
            own, lambda line: int(line["number"]), lambda line: float(line["best"])
        )
        means = [100 * np.mean(values) for values in best.values()]
        color = OTHER if strategy == "random" else None
        (line,) = left.step(
            list(best), means, where="post", label=strategy, color=color
        )
        cheap = sorted((int(row["macs"]), float(row["accuracy"])) for row in own)
        macs, accuracies = np.array(cheap).T
        record = np.maximum.accumulate(accuracies)
        right.step(macs / 1000, 100 * record, where="post", color=line.get_color())
    left.set(xlabel="graphs trained", ylabel="best validation accuracy so far, %")
    left.legend(fontsize="small")
    right.set(xlabel="MACs, thousands", ylabel="best validation accuracy, %")


def variants(figure):
    """Draw recovery after pruning, and accuracy by compression in rounds."""
    left, right = figure.subplots(1, 2)
    found = recovered("variants-mnist")
    # A run that has ended keeps the figure of its best epoch.
    for method, curve in by_epoch([p for p in found if p.compression == 5]).items():
        left.plot(curve, label=METHODS[method].title, linewidth=1)
    left.set(xlabel="epochs after pruning 80 %", ylabel="validation accuracy, %")
    left.set_ylim(93, 98)
    curves = {
        METHODS[method].title: {round(1 / (1 - s), 1): v for s, v in curve.items()}
        for method, curve in by_sparsity(recovered("variants-mnist-iterative")).items()
    }
    lines(right, curves, "compression of the kernels, in rounds")
    right.set_xticks([2, 8, 32, 128], ["2", "8", "32", "128"])
    right.legend(fontsize="small")


def recovered(recipe) -> list[Point]:
    """Return the epochs after pruning of a recipe's runs."""
    return [
        Point(
            line["dataset"],
            line["method"],
            float(line["compression"]) if line["compression"] else None,
            int(line["seed"]),
            int(line["round"]),
            float(line["sparsity"]),
            int(line["epoch"]),
            float(line["validation"]),
            float(line["test"]) if line["test"] else None,
        )
        for line in rows(f"{recipe}/recovery.csv")
    ]


CELLS = {"rnn-tanh": "tanh", "rnn-relu": "ReLU", "gru": "GRU", "lstm": "LSTM"}
PARTS = {  # what is removed from the recurrent networks
    "both": "the share that the paper calls safe",
    "hidden_to_hidden": "all hidden-to-hidden connections",
}


def reber(figure):
    """Draw each network before pruning, right after it, and an epoch later."""
    found = rows("reber-pruning/pruned.csv")
    moments = "unpruned", "right after", "an epoch later"
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (part, title) in zip(panels, PARTS.items(), strict=True):
        reached = grouped(
            [line for line in found if line["part"] in ("none", part)],
            lambda line: (
                line["cell"],
                int(line["epoch"]) + (line["part"] != "none"),
            ),
            lambda line: float(line["test_accuracy"]),
        )
        for cell, color in zip(CELLS, ("C1", "C2", "C0", "C4"), strict=True):
            seeds = zip(*(reached[cell, moment] for moment in range(3)), strict=True)
            for number, values in enumerate(seeds):
                label = CELLS[cell] if number == 0 else None
                axes.plot(values, "o-", color=color, ms=4, alpha=0.8, label=label)
        axes.set_xticks(range(3), moments)
        axes.set_xlim(-0.4, 2.4)
        axes.set_title(title, fontsize="medium")
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel(ACCURACY)
    panels[0].legend(fontsize="small")


NETWORKS = {  # of benchmarks/smallest_fastest.py: color, place of the files' names
    "dense": ("dense", OTHER, (6, -3), "left"),
    "units": ("75 % of the units removed", OURS, (0, -13), "center"),
    "blocks": ("95 % removed in blocks of 4", "tab:green", (0, 6), "center"),
    "connections": ("98 % removed one by one", "tab:purple", (-6, -13), "left"),
    "TF-MOT": ("TF-MOT, 95 % removed one by one", "tab:orange", (0, 6), "center"),
}


def smallest_fastest(figure):
    """Draw the size and the time of each file, by network and number format."""
    found = grouped(
        [
            line
            for line in rows("smallest_fastest.csv")
            if (line["network"], line["rows"]) == ("lenet-300-100", "test")
        ],
        lambda line: (line["method"], line["file"].removeprefix("compact, ")),
        lambda line: (int(line["bytes"]) / 1000, 1000 * float(line["ms"])),
    )
    axes = figure.subplots()
    for method, (title, color, offset, side) in NETWORKS.items():
        # A file with all weights in float32 is that of the dense network once more.
        files = {
            file: np.mean(values, axis=0)
            for (other, file), values in found.items()
            if other == method and (method == "dense" or file != "float32")
        }
        axes.plot(*zip(*files.values(), strict=True), "o", color=color, label=title)
        for file, place in files.items():
            axes.annotate(
                file,
                place,
                offset,
                textcoords="offset points",
                ha=side,
                fontsize="x-small",
                color=color,
            )
    axes.set(xscale="log", xlabel="kilobytes", ylabel="µs, LiteRT")
    axes.set_xticks([20, 50, 100, 200, 500, 1000], [20, 50, 100, 200, 500, 1000])
    axes.minorticks_off()
    axes.set_xlim(15, 2000)
    axes.set_ylim(0, 24)
    axes.legend(fontsize="small", loc="upper left")


PUBLISHED = {  # kilobytes and accuracy
    "lenet-300-100": (8.56, 98.1),  # 1906.06624
    "lenet-5": (2.84, 99.0),  # the same
}


def packed(figure):
    """Draw the size of the packed files, and their accuracy, next to the published."""
    left, *others = figure.subplots(1, 3)
    tested = [line for line in rows("packed.csv") if line["rows"] == "test"]
    mine = [
        line
        for line in tested
        if (line["network"], line["how"]) == ("lenet-300-100", "trained")
    ]
    parts = {"masks": "mask_bytes", "values": "value_bytes", "config": "text_bytes"}
    sizes = {name: np.mean([int(r[key]) for r in mine]) for name, key in parts.items()}
    whole = np.mean([int(line["bytes"]) for line in mine])
    sizes["sizes, levels, checksum"] = whole - sum(sizes.values())
    points(left, {name: [size] for name, size in sizes.items()}, ["masks"], "bytes")
    left.set_xlim(left=0)
    for axes, (network, best) in zip(others, PUBLISHED.items(), strict=True):
        for how, title, color in (
            ("trained", "trained with 3 bits", OURS),
            ("post", "rounded to 3 bits", OTHER),
        ):
            own = [r for r in tested if (r["network"], r["how"]) == (network, how)]
            sizes = [int(line["bytes"]) / 1000 for line in own]
            accuracies = [float(line["accuracy"]) for line in own]
            axes.plot(sizes, accuracies, "o", color=color, label=title)
        axes.plot(*best, "k^", label="published")
        axes.set(xlabel="kilobytes", ylabel=ACCURACY)
        axes.set_title(network, fontsize="medium")
    others[0].legend(fontsize="small")


def runtimes(figure):
    """Draw the milliseconds of both networks in each runtime, by number format."""
    found = {
        (line["network"], line["file"]): float(line["ms"])
        for line in rows("runtimes.csv")
        if line["ms"] and "compact" not in line["file"]
    }
    files = {
        "LiteRT, float32": "float32",
        "LiteRT, float32, sparse": "float32, sparse",
        "ONNX Runtime, float32": "ONNX",
        "ONNX Runtime, float32, sparse": "ONNX, sparse",
        "OpenVINO, float32": "OpenVINO, float32",
        "LiteRT, int8 static": "int8 static",
        "ONNX Runtime, int8 dynamic": "ONNX, int8 dynamic",
        "OpenVINO, int8 static": "OpenVINO, int8 static",
    }
    axes = figure.subplots()
    for network, title, marker, color in (
        ("dense", "dense", "d", OTHER),
        ("95% pruned", "95 % pruned", "o", OURS),
    ):
        times = [1000 * found.get((network, file), np.nan) for file in files.values()]
        axes.plot(times, -np.arange(len(files)), marker, color=color, label=title)
    axes.set_yticks(-np.arange(len(files)), list(files))
    axes.set_xlim(left=0)
    axes.set_xlabel("µs for one input on one thread")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")


SHRUNK = {  # of benchmarks/structured.py, with a color each
    "dense, as long": ("dense, trained as long", "black"),
    "dense": ("dense, when pruning begins", OTHER),
    "dependency groups": ("dependency groups", OURS),
    "units by themselves": ("each weight separately", "tab:green"),
    "fewer filters": ("fewer filters, from scratch", "tab:orange"),
}


def structured(figure):
    """Draw accuracy against speed, next to the dense network of the same seed."""
    found = [line for line in rows("structured.csv") if line["taught"] == "1"]
    dense = {r["seed"]: float(r["ms"]) for r in found if r["method"] == "dense"}
    reached = grouped(
        [line for line in found if line["seed"] in dense],
        lambda line: line["method"],
        lambda line: (
            dense[line["seed"]] / float(line["ms"]),
            float(line["accuracy"]),
        ),
    )
    axes = figure.subplots()
    for method, (title, color) in SHRUNK.items():
        if method not in reached:
            continue
        speeds, accuracies = zip(*reached[method], strict=True)
        axes.errorbar(
            np.mean(speeds),
            np.mean(accuracies),
            xerr=spread(speeds),
            yerr=spread(accuracies),
            fmt="o",
            capsize=3,
            label=title,
            color=color,
        )
    axes.set(xlabel="times as fast as dense, LiteRT", ylabel=ACCURACY)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


COMPARED = {  # methods and patterns of benchmarks/equal_size.py
    ("dense", ""): ("small dense networks", "black", "d-"),
    ("omp", "connections"): ("OMP, connections", OTHER, "o-"),
    ("omp", "units"): ("OMP, units", OTHER, "^--"),
    ("iunet", "connections"): ("IUNet, connections", OURS, "o-"),
    ("iunet", "units"): ("IUNet, units", OURS, "^--"),
}
TASKS = {"tfds:mnist": "MNIST", "tfds:cifar10": "CIFAR-10"}
KILOBYTES = [2, 5, 10, 20, 50, 100, 200, 500, 1000]


def equal_size(figure):
    """Draw accuracy by bytes and by time, in a row of panels for each data set."""
    found = rows("equal_size.csv")
    tasks = list(dict.fromkeys(line["data"] for line in found))
    figure.set_size_inches(8, 1 + 2.2 * len(tasks))
    panels = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    for task, (left, right) in zip(tasks, panels, strict=True):
        own = [line for line in found if line["data"] == task]
        for (method, pattern), (title, color, form) in COMPARED.items():
            means = grouped(
                [r for r in own if (r["method"], r["pattern"]) == (method, pattern)],
                lambda line: (float(line["width"]), float(line["sparsity"])),
                lambda line: (
                    int(line["bytes"]) / 1000,
                    1000 * float(line["ms"]),
                    float(line["accuracy"]),
                ),
            )
            places = [np.mean(values, axis=0) for values in means.values()]
            sizes, times, accuracies = zip(*sorted(map(tuple, places)), strict=True)
            left.plot(sizes, accuracies, form, color=color, label=title)
            faster = sorted(zip(times, accuracies, strict=True))
            right.plot(*zip(*faster, strict=True), form, color=color)
        floor = 1000 * np.mean([float(line["floor"]) for line in own])
        right.axvline(floor, color=OTHER, linestyle=":")
        left.set(xscale="log", ylabel=f"{TASKS.get(task, task.split(':')[1])}, %")
        ends = left.get_xlim()
        left.set_xticks(KILOBYTES, KILOBYTES)
        left.minorticks_off()
        left.set_xlim(ends)
        for axes in (left, right):
            axes.grid(alpha=0.3)
    panels[-1, 0].set_xlabel("kilobytes of the smallest file")
    panels[-1, 1].set_xlabel("µs of the fastest file, LiteRT")
    panels[0, 0].legend(fontsize="x-small")


PLOTS = {  # with the size in inches
    mnist: (8, 3.2),
    cifar10: (6.4, 3.6),
    cifar10_parts: (6.4, 2.6),
    cifar10_views: (6.4, 2.4),
    cifar10_kappa: (6.4, 3.2),
    cifar10_tuned: (6.4, 2),
    cifar10_settings: (6.4, 3.6),
    defaults_images: (6.4, 3),
    defaults_tables: (6.4, 3.2),
    tables: (8, 3.6),
    before_training: (6.4, 5),
    before_training_networks: (6.4, 5),
    moving: (8, 2.6),
    snip: (8, 3),
    without_labels: (8, 2.2),
    layer_collapse: (6.4, 3.2),
    compaction: (8, 3.2),
    unit_allocations: (8, 3.2),
    layer_teacher: (6.4, 3),
    layer_mnist: (8, 3),
    structure_prediction: (9, 3),
    trained_graphs: (8, 3),
    relational_graphs: (8, 3.2),
    structure_search: (8, 3.2),
    variants: (8, 3.2),
    reber: (8, 3.2),
    smallest_fastest: (6.4, 4.2),
    packed: (9, 2.8),
    equal_size: (8, 3.2),
    runtimes: (6.4, 3),
    structured: (6.4, 3.6),
}


def content(figure) -> str:
    """Return a hash of the values and names in a figure, whatever draws it."""
    drawn = [
        (
            [np.round(line.get_xydata(), 4).tolist() for line in axes.lines],
            [label.get_text() for label in axes.get_yticklabels()],
        )
        for axes in figure.axes
    ]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


@contextmanager
def written(file, size):
    """Give a figure, and write it once it is drawn."""
    figure = pyplot.figure(figsize=size, layout="constrained")
    try:
        yield figure
        about = {"Software": None, "Source": content(figure)}
        figure.savefig(file, dpi=80, metadata=about)
    finally:
        pyplot.close(figure)


def main():
    """Draw every plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DOCS / "questions")
    out = parser.parse_args().out
    matplotlib.use("Agg")
    for draw, size in PLOTS.items():
        with written(out / f"{draw.__name__}.png", size) as figure:
            draw(figure)


if __name__ == "__main__":
    main()
