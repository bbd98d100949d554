"""The files of `structure predict`: figures as JSON and CSV, and plots."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_invprune.saving import write_json
from keras_invprune_lab.runs.configuration import check_ours
from keras_invprune_lab.structure.prediction.plots import draw
from keras_invprune_lab.structure.prediction.predict import (
    Prediction,
    entry_figures,
    importance_figures,
)
from keras_invprune_lab.training.files import write_csv

SCHEMA = "keras-invprune/structure-prediction/1"
METRICS = "metrics.json"


def write(predictions: Sequence[Prediction], source: str, out: Path) -> None:
    """Write figures as JSON and CSV, and draw the plots.

    Args:
        predictions: One for each kind of cell.
        source: What the table is.
        out: Folder, from `check_folder`.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = dataclasses.asdict(predictions[0].settings)
    content = {"schema": SCHEMA, "table": source, "settings": settings}
    content["cells"] = [prediction.to_json() for prediction in predictions]
    tables = {
        "metrics.csv": [entry_figures(p, e) for p in predictions for e in p.entries],
        "importances.csv": [one for p in predictions for one in importance_figures(p)],
        "protocol.csv": [
            {"cell": p.rows.cell, "split": split, **values}
            for p in predictions
            for split, values in enumerate(_by_split(p))
        ],
        "predictions.csv": [row for p in predictions for row in _by_graph(p)],
    }
    for name, rows in tables.items():
        write_csv(out / name, rows)
    for prediction in predictions:
        draw(prediction, out)
    write_json(out / METRICS, content)


def check_folder(out: Path) -> None:
    """Raise OSError if a folder holds something else than an earlier result."""
    check_ours(out, _ours(out))


def _ours(out) -> bool:
    try:
        return json.loads((out / METRICS).read_text()).get("schema") == SCHEMA
    except (OSError, ValueError, AttributeError):
        return False


def _by_split(prediction) -> list[dict[str, float]]:
    columns = {one.predictor: one.r2.tolist() for one in prediction.protocol}
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def _by_graph(prediction) -> list[dict[str, Any]]:
    """Return the figure of each graph, and what the best predictor said of it."""
    said = prediction.best.predictions.mean(axis=0)
    rows = prediction.rows
    return [
        {
            "cell": rows.cell,
            "graph": name,
            "trainings": len(runs),
            "figure": y,
            "said": s,
        }
        for name, runs, y, s in zip(
            rows.x.index, rows.runs, rows.y.tolist(), said.tolist(), strict=True
        )
    ]
