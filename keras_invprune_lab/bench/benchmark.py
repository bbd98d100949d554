"""A recipe carried out: runs, ledger, tables, plots, TensorBoard."""

import json

from keras_invprune.exporting.folders import claimed, local
from keras_invprune.saving import write_json
from keras_invprune_lab.bench.csv_files import write_all
from keras_invprune_lab.bench.page import markdown, pictures
from keras_invprune_lab.bench.plots import draw
from keras_invprune_lab.bench.results import cells, tabulate
from keras_invprune_lab.bench.tensorboard import write_boards
from keras_invprune_lab.recipes.recipe import load
from keras_invprune_lab.runs.execute import check_config, is_done
from keras_invprune_lab.runs.executors.base import unfinished
from keras_invprune_lab.runs.executors.local import run_all
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.runs.ledger import RUNS, collect, unpack

FAILURES = "failures.json"


class Benchmark:
    """A recipe and the folder of its results.

    Args:
        recipe: Name of a recipe, or a .yaml file.
        out: Folder: ``runs/`` (a folder each, and what failed last), ``runs.jsonl``
            (the finished ones, to keep), ``table.md``, its figures as ``.csv`` files
            (`csv_files`), plots and ``plots.md``, ``tensorboard/``.

    Raises:
        ValueError: If there is no such recipe, or a fault in it or in ``runs.jsonl``.
        FileExistsError: If runs in `out` are of another recipe; says what differs.
    """

    def __init__(self, recipe, out):
        self.name, self.out = str(recipe), local(out)
        self.recipe = load(recipe)
        self.jobs = expand(self.recipe)
        unpack(self.out)
        for job in self.jobs:
            check_config(job, self.out / RUNS)

    def missing(self) -> list:
        """Return the `Job`s that are not finished."""
        return unfinished(self.jobs, self.out / RUNS)

    def run(self, workers=1, show=lambda *_: None) -> dict[str, str]:
        """Execute what is missing; then, even if interrupted, write what is there.

        Args:
            workers: Processes at once.
            show: ``show(name, done, total)``, epochs of the run of that name.

        Returns:
            ``{name: message}`` of the runs that failed.

        Raises:
            BlockingIOError: If another process is at work in the same folder.
        """
        failures, file = {}, self.out / RUNS / FAILURES

        def keep(_):
            collect(self.jobs, self.out)

        with claimed(self.out / RUNS):
            try:
                run_all(self.jobs, self.out / RUNS, workers, show, failures, keep)
            finally:
                write_json(file, failures)
                self.write()
        return failures

    def failures(self) -> dict[str, str]:
        """Return ``{name: message}`` of the runs that failed last time."""
        root = self.out / RUNS
        file = root / FAILURES
        found = json.loads(file.read_text()) if file.exists() else {}
        undone = {job.name for job in self.jobs if not is_done(job, root)}
        return {name: text for name, text in found.items() if name in undone}

    def write(self) -> list[dict]:
        """Write ledger, tables, plots and TensorBoard from what is finished.

        Returns:
            The reports.
        """
        finished = collect(self.jobs, self.out)
        recipe, reports = self.recipe, [report for _, report in finished]
        found = cells(reports, recipe.methods, recipe.select)
        table = tabulate(found, recipe.methods)
        if not table.methods:  # nothing yet, or searches only
            return reports
        command = f"keras-invprune bench {self.name} --out {self.out}"
        page = markdown(recipe, table, reports, self.failures(), command)
        (self.out / "table.md").write_text(page)
        write_all(recipe, table, reports, self.out)
        plots = draw(recipe, table, reports, self.jobs, self.out)
        if page := pictures(plots):
            (self.out / "plots.md").write_text(page)
        write_boards(recipe, finished, self.out, plots)
        return reports
