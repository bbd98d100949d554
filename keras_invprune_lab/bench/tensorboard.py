"""A benchmark in TensorBoard: curves and hyperparameters of each run, the plots."""

import csv
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api

# What runs of one recipe differ in.
SHOWN = ("dataset", "method", "objective", "kappa", "compression", "penalty", "seed")


def write_boards(recipe, jobs, out, plots):
    """Write ``tensorboard/`` again.

    Args:
        recipe: `Recipe`.
        jobs: Pairs (`Job`, report) of finished runs.
        out: Folder with ``runs/``.
        plots: PNG files.
    """
    out = Path(out)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    metrics = [f"{part}_{recipe.select}" for part in ("validation", "test")]
    with _writer(out / "tensorboard"):
        api.hparams_config(
            hparams=[api.HParam(name) for name in SHOWN],
            metrics=[api.Metric(name) for name in metrics],
        )
        for file in plots:
            picture = tf.io.decode_png(file.read_bytes(), channels=3)
            tf.summary.image(file.stem, picture[None], step=0)
    for job, report in jobs:
        with _writer(out / "tensorboard" / job.name):
            _write_run(job, report, out / "runs" / job.name / "history.csv", metrics)


def _writer(folder):
    return tf.summary.create_file_writer(str(folder)).as_default(step=0)


def _write_run(job, report, history, metrics):
    shown = {name: report["config"][name] for name in SHOWN}
    api.hparams({name: "" if v is None else v for name, v in shown.items()}, job.name)
    for name in metrics:
        part, figure = name.split("_", 1)
        tf.summary.scalar(name, report[part][figure], step=report.get("best_epoch", 0))
    with open(history, newline="") as stream:
        for row in csv.DictReader(stream):
            epoch = int(row.pop("epoch"))
            for name, value in row.items():
                if value:
                    tf.summary.scalar(name, np.float32(value), step=epoch)
