"""How well does structure predict accuracy on the public tables of trained graphs?

    python benchmarks/structure_prediction.py FOLDER [--only gru graph2nn]

FOLDER holds the files, which are not ours to copy; each is from a public repository:

- ``gru.csv``, ``lstm.csv``, ``rnn_relu.csv``, ``rnn_tanh.csv``: innvariant's
  sparsity-experiments-2021, ``rnn/experiments/results/structure``.
- ``results_mlp_cifar10_epoch200.npy`` and ``names_mlp_cifar10_epoch200.npy``:
  facebookresearch's graph2nn, ``analysis/final_results/mlp_cifar10``; and
  ``graphs_n64_3942.npy`` from its ``analysis``.
- ``data30.pkl``, ``data60.pkl``: rmldj's random-graph-nn-paper, ``reports``.

All tables get the same predictors with the same settings. Support vectors and the size
of leaves were chosen after a first look at graph2nn's table, and nothing was changed
after the other tables were seen. Tables that are in the results are not measured again.
"""

import argparse
import dataclasses
from pathlib import Path

import ledger

from keras_invprune_lab.structure.prediction.predict import (
    Settings,
    entry_figures,
    importance_figures,
    predict,
)
from keras_invprune_lab.structure.prediction.reading import read
from keras_invprune_lab.training.files import write_csv

PAPER = Settings(folds=10, repeats=3, splits=50)
AVERAGED = Settings(folds=10, repeats=3, splits=0)
SINGLE = Settings(folds=5, repeats=1, splits=0)
LARGE = Settings(folds=10, repeats=2, splits=0)
TWO = dataclasses.replace(LARGE, predictors=("support-vectors",))
# The two features of the paper's figures.
GRAPH2NN = ("clustering", "average_shortest_path_length")
TABLES = {  # name: file, settings, whether graphs of a family are averaged
    "gru": ("gru.csv", PAPER, False),
    "lstm": ("lstm.csv", PAPER, False),
    "relu": ("rnn_relu.csv", PAPER, False),
    "tanh": ("rnn_tanh.csv", PAPER, False),
    "graph2nn": ("results_mlp_cifar10_epoch200.npy", LARGE, False),
    "graph2nn-two": ("results_mlp_cifar10_epoch200.npy", TWO, False),
    "random-graph-nn-30": ("data30.pkl", AVERAGED, True),
    "random-graph-nn-60": ("data60.pkl", AVERAGED, True),
    "random-graph-nn-30-single": ("data30.pkl", SINGLE, False),
    "random-graph-nn-60-single": ("data60.pkl", SINGLE, False),
}
FILES = ("structure_prediction", "structure_importances", "structure_protocol")


def measure(folder, name):
    """Return rows of metrics, of importances and of R² by split."""
    file, settings, average = TABLES[name]
    table = read(folder / file)
    rows = table.rows(table.cells[0], table.target)
    rows = rows.only(GRAPH2NN) if name == "graph2nn-two" else rows
    found = predict(rows.averaged() if average else rows, settings)
    about = {"table": name, "graphs": len(found.rows.runs)}
    about |= {"folds": settings.folds, "repeats": settings.repeats}
    ceiling = found.ceiling
    about |= {
        f"ceiling_{key}": getattr(ceiling, key) if ceiling else ""
        for key in ("r2", "low", "high", "single")
    }
    metrics = [about | entry_figures(found, entry) for entry in found.entries]
    falls = [{"table": name} | row for row in importance_figures(found)]
    splits = [
        {"table": name, "predictor": one.predictor, "split": split, "r2": float(r2)}
        for one in found.protocol
        for split, r2 in enumerate(one.r2)
    ]
    return metrics, falls, splits


def main():
    """Measure; write the tables after each one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    files = [arguments.out / f"{name}.csv" for name in FILES]
    for name in arguments.only:
        before = [ledger.rows(file) for file in files]
        if any(row["table"] == name for row in before[0]):
            continue
        found = measure(arguments.folder, name)
        # The metrics come last, since they say that a table is measured.
        for file, old, new in reversed([*zip(files, before, found, strict=True)]):
            others = [row for row in old if row["table"] != name]
            if others or new:
                write_csv(file, [*others, *new])
        best = max(found[0], key=lambda row: row["r2"])
        print(f"{name}: {best['predictor']}, R² {best['r2']:.3f}", flush=True)


if __name__ == "__main__":
    main()
