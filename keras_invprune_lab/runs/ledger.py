"""Finished runs in one file, a line each: what is kept and passed on of a benchmark."""

import csv
import json
from pathlib import Path

from keras_invprune.exporting.folders import REPORT
from keras_invprune.saving import replaced, write_json
from keras_invprune_lab.runs.configuration import CONFIG
from keras_invprune_lab.training.files import write_history

RUNS, LEDGER = "runs", "runs.jsonl"
DIGITS = 5


def unpack(out):
    """Make the folders of runs that the ledger in `out` has and ``runs/`` lacks.

    Raises:
        ValueError: If a line is not a report.
    """
    out = Path(out)
    for number, line in enumerate(_lines(out / LEDGER), start=1):
        try:
            run = json.loads(line)
            name, report = run["name"], run["report"]
            history = _epochs(run["history"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"Line {number} of {out / LEDGER} is not a run. Remove it."
            ) from error
        folder = out / RUNS / name
        if not (folder / REPORT).exists():  # which is written last
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / CONFIG, report["config"])
            write_history(history, folder / "history.csv")
            write_json(folder / REPORT, report)


def collect(jobs, out) -> list[tuple]:
    """Return the finished `jobs` with their reports; renew the ledger in `out`.

    Returns:
        Pairs (`Job`, report), in the order of `jobs`; "history" of a report has the
        logs of its epochs by name.
    """
    out, found = Path(out), []
    lines = {json.loads(line)["name"]: line for line in _lines(out / LEDGER)}
    for job in jobs:
        file = out / RUNS / job.name / REPORT
        if file.exists():
            report, history = json.loads(file.read_text()), _history(file)
            found.append((job, report | {"history": history}))
            run = {"name": job.name, "report": report, "history": history}
            lines[job.name] = json.dumps(run, separators=(",", ":"))
    if not found:
        return []
    # Tables may be asked for in another process meanwhile.
    with replaced(out / LEDGER, shared=True) as new:
        new.write_text("".join(f"{lines[name]}\n" for name in sorted(lines)))
    return found


def _lines(file) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _history(report) -> dict[str, list]:
    """Return the logs by name, a number per epoch, None where one is missing."""
    file = report.with_name("history.csv")
    with open(file, newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in (rows[0] if rows else ()) if name != "epoch"]
    return {
        name: [round(float(row[name]), DIGITS) if row[name] else None for row in rows]
        for name in names
    }


def _epochs(history) -> list[dict]:
    """Return the logs of each epoch, from those by name."""
    rows = zip(*history.values(), strict=True)
    return [
        {name: v for name, v in zip(history, row, strict=True) if v is not None}
        for row in rows
    ]
