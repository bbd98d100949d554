"""The files of a campaign: tables, graphs, the best models, plots."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_invprune.exporting.folders import claimed
from keras_invprune.saving import replaced, write_json
from keras_invprune_lab.structure.columns import CELL, FEATURES, GRAPH, PARAMETERS, SEED
from keras_invprune_lab.structure.prediction.evaluation import kendall
from keras_invprune_lab.structure.search import plots
from keras_invprune_lab.structure.search.campaign import Found
from keras_invprune_lab.structure.search.engine import Step
from keras_invprune_lab.structure.search.evaluations import Evaluation, Ledger
from keras_invprune_lab.structure.search.genome import graph_from, name_of
from keras_invprune_lab.structure.search.networks import (
    accuracy,
    evaluate,
    network_of,
    weights_file,
)
from keras_invprune_lab.structure.search.outcome import (
    area,
    best_of,
    best_so_far,
    front,
    reached,
)
from keras_invprune_lab.structure.search.pool import ROWS
from keras_invprune_lab.structure.search.rows import read
from keras_invprune_lab.structure.search.screening import described
from keras_invprune_lab.training.files import write_csv
from keras_invprune_lab.training.selecting import logits

logger = logging.getLogger("keras_invprune")

STEPS, FRONTS, SUMMARY = "graphs.csv", "fronts.csv", "summary.csv"
TRAINED = "trained.csv"
GRAPHS, NOISE, PAGE = "graphs.json", "noise.json", "table.md"
BASELINE = "random"


def write(found: Found, out: Path):
    """Write what the searches have found so far: CSV, JSON, Markdown, plots.

    Nothing is trained or tested here.
    """
    steps = [row for each in step_rows(found) for row in each]
    write_csv(out / STEPS, steps)
    write_csv(out / SUMMARY, summary_rows(found))
    if found.noise:
        write_json(out / NOISE, vars(found.noise))
    with replaced(out / PAGE) as new:
        new.write_text(page(found), encoding="utf-8")
    plots.curves(steps).savefig(out / "curves.png", dpi=120)
    plots.against_macs(steps).savefig(out / "accuracy_macs.png", dpi=120)


def finish(found: Found, out: Path) -> list[dict[str, Any]]:
    """Test the graphs on the fronts, and save the best model of each search.

    This is the only place that reads test rows. The weights are those of the search;
    where they are missing, such as next to a copied ledger, the training is repeated,
    and a warning says if it ends with another accuracy.

    Returns:
        The rows of ``fronts.csv``.

    Raises:
        BlockingIOError: If another process is at work in the folder.
        RuntimeError: If a saved model does not return the same as the one in memory.
    """
    with claimed(out):
        return _finish(found, out)


def _finish(found, out):
    tester, rows = _Tester(found, out), []
    graphs: dict[str, Any] = {}
    for search, steps in found.steps.items():
        for step in front(steps):
            key = step.scored.key
            graphs[name_of(key)] = node_link(key)
            row = {"strategy": search.strategy, "seed": search.seed, **_figures(step)}
            rows.append({**row, "test_accuracy": round(tester.test(key), 5)})
        tester.save_best(
            best_of(steps).scored.key, out / "best" / f"{search.name}.keras"
        )
    write_csv(out / FRONTS, rows)
    write_csv(out / TRAINED, trained_rows(tester.ledger))
    write_json(out / GRAPHS, graphs)
    return rows


def node_link(key: str) -> dict[str, Any]:
    """Return a graph as node-link data, as `networkx.node_link_graph` reads them.

    networkx calls the option that names its edges "link" until 3.3, "edges" from 3.4.
    """
    graph = graph_from(key)
    return {
        "directed": True,
        "multigraph": False,
        "graph": {},
        "nodes": [{"id": node} for node in graph],
        "edges": [{"source": u, "target": v} for u, v in graph.edges],
    }


def trained_rows(ledger: Iterable[Evaluation]) -> list[dict[str, Any]]:
    """Return the trainings as a table that `structure predict` reads."""
    rows = []
    for one in sorted(ledger, key=lambda one: (name_of(one.graph), one.seed)):
        described_as = dict(zip(FEATURES, described(one.graph), strict=True))
        own = {GRAPH: name_of(one.graph), CELL: "convolutional", SEED: one.seed}
        figures = {"valid_accuracy": one.accuracy, "macs": one.macs}
        rows.append(own | described_as | {PARAMETERS: one.parameters} | figures)
    return rows


def step_rows(found: Found) -> Iterable[list[dict[str, Any]]]:
    """Yield for each search a row for each of its graphs."""
    for search, steps in found.steps.items():
        own = {"strategy": search.strategy, "seed": search.seed}
        rows = []
        for step, best in zip(steps, best_so_far(steps), strict=True):
            made = step.proposal
            rows.append(
                {
                    **own,
                    "number": step.number,
                    "generation": step.generation,
                    "origin": made.origin,
                    "parents": " ".join(map(name_of, made.parents)),
                    "predicted": None
                    if made.predicted is None
                    else round(made.predicted, 5),
                    **_figures(step),
                    "best": round(float(best), 5),
                }
            )
        yield rows


def _figures(step: Step) -> dict[str, Any]:
    key, graph = step.scored.key, graph_from(step.scored.key)
    return {
        "graph": name_of(key),
        "nodes": len(graph),
        "edges": graph.number_of_edges(),
        "accuracy": round(step.scored.accuracy, 5),
        "macs": step.scored.macs,
    }


def summary_rows(found: Found) -> list[dict[str, Any]]:
    """Return a row for each search: best accuracy, area, trainings to random's best."""
    targets = {
        search.seed: best_of(steps).scored.accuracy
        for search, steps in found.steps.items()
        if search.strategy == BASELINE
    }
    rows = []
    for search, steps in found.steps.items():
        best, target = best_of(steps).scored, targets.get(search.seed)
        rows.append(
            {
                "strategy": search.strategy,
                "seed": search.seed,
                "graphs": len(steps),
                "best": round(best.accuracy, 5),
                "best_macs": best.macs,
                "area": round(area(steps), 5),
                "random_best": None if target is None else round(target, 5),
                "reached_after": None if target is None else reached(steps, target),
                "tau": _tau(steps),
            }
        )
    return rows


def _tau(steps) -> float | None:
    """Return Kendall's tau of predicted and found accuracies within a generation."""
    generations: dict[int, list[Step]] = {}
    for step in steps:
        if step.proposal.predicted is not None:
            generations.setdefault(step.generation, []).append(step)
    taus = [
        kendall(
            np.array([s.scored.accuracy for s in each]),
            np.array([s.proposal.predicted for s in each]),
        )
        for each in generations.values()
        if len(each) > 2
    ]
    return round(float(np.mean(taus)), 3) if taus else None


def page(found: Found) -> str:
    """Return a page in Markdown: each strategy over all seeds, and the noise."""
    rows = summary_rows(found)
    lines = [
        f"# {found.recipe.title}",
        "",
        "Accuracies in % of the validation rows, as means over the seeds.",
        "",
        "| strategy | seeds | graphs | best | lowest | highest | area |"
        " graphs until random's best | seeds that reached it | tau |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == strategy]
        lines.append(f"| {strategy} | {len(own)} | {_cells(own)} |")
    if found.noise:
        lines += ["", _about(found.noise)]
    return "\n".join(lines) + "\n"


def _about(noise) -> str:
    """Return in words how much of the differences between graphs is noise."""
    return (
        f"Noise, from {noise.repeated} graphs with several seeds each: a standard "
        f"deviation of {100 * noise.noise:.2f} points between trainings of one graph, "
        f"of {100 * noise.between:.2f} points between graphs. Graphs explain "
        f"{100 * noise.single:.0f} % of the variance of single trainings."
    )


def _cells(rows) -> str:
    best = [100 * row["best"] for row in rows]
    after = [row["reached_after"] for row in rows]
    there = [count for count in after if count is not None]
    taus = [row["tau"] for row in rows if row["tau"] is not None]
    cells = [
        str(max(row["graphs"] for row in rows)),
        f"{np.mean(best):.2f}",
        f"{min(best):.2f}",
        f"{max(best):.2f}",
        f"{100 * np.mean([row['area'] for row in rows]):.2f}",
        f"{np.mean(there):.1f}" if len(there) == len(rows) else "",
        str(len(there)),
        f"{np.mean(taus):.2f}" if taus else "",
    ]
    return " | ".join(cells)


class _Tester:
    """The trained networks of a folder, each measured once."""

    def __init__(self, found, out):
        self.recipe, self.out, self.ledger = found.recipe, out, Ledger(out)
        self.rows = {
            part: read(out / ROWS, part) for part in ("train", "valid", "test")
        }
        self.file, self.known = out / "tests.json", {}
        if self.file.exists():
            self.known = json.loads(self.file.read_text())

    def test(self, graph) -> float:
        """Return the share of the test rows, the mean of all repeats."""
        seeds = range(self.recipe.training.repeats)
        for seed in seeds:
            name = f"{name_of(graph)}-{seed}"
            if name not in self.known:
                model = self.trained(graph, seed)
                self.known[name] = accuracy(model, self.rows["test"])
                write_json(self.file, self.known)
                keras.backend.clear_session(free_memory=False)
        return float(
            np.mean([self.known[f"{name_of(graph)}-{seed}"] for seed in seeds])
        )

    def trained(self, graph, seed):
        """Return the network with its trained weights."""
        file, train = weights_file(self.out, graph, seed), self.rows["train"]
        settings, network = self.recipe.training, self.recipe.network
        if not file.exists():
            parts = train, self.rows["valid"]
            again = evaluate(graph, seed, settings, network, *parts, self.out)
            _compare(again, self.ledger[graph, seed])
        model = network_of(graph, seed, network, train)
        model.load_weights(file)
        return model

    def save_best(self, graph, file):
        """Save a network, and raise RuntimeError unless the file returns the same."""
        model, x = self.trained(graph, 0), self.rows["valid"].x
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced(file) as new:
            model.save(new)
            again = keras.saving.load_model(new, compile=False)
            far = np.abs(logits(again, x) - logits(model, x)).max()
            if not far <= 1e-4:
                raise RuntimeError(
                    f"{file} was not written: the saved model's outputs are {far:.2g} "
                    "away from those of the model in memory."
                )


def _compare(again, first):
    """Warn if a training that was repeated differs from that of the ledger."""
    if again.accuracy != first.accuracy:
        logger.warning(
            "The weights of graph %s, seed %d, were missing. Its training was repeated "
            "and ended with %.2f %% of the validation rows; the search had %.2f %%. "
            "The test accuracy and the saved model are those of the new training.",
            name_of(first.graph),
            first.seed,
            100 * again.accuracy,
            100 * first.accuracy,
        )
