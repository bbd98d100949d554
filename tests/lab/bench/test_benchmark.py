"""A recipe carried out: ledger, tables, failures, several processes, the command."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from keras_invprune.exporting.folders import claimed
from keras_invprune_lab.bench import benchmark as benchmarks
from keras_invprune_lab.bench.benchmark import Benchmark
from keras_invprune_lab.cli.main import app
from keras_invprune_lab.data import DataUnavailable
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.executors import local as pool
from keras_invprune_lab.runs.ledger import collect, unpack
from keras_invprune_lab.training import evaluate

pytestmark = pytest.mark.timeout(900)  # many small runs
QUICK = {
    "title": "Quick",
    "datasets": ["sklearn:digits", "sklearn:wine"],
    "methods": ["dense", "omp", "iunet", "unpruned"],
    "model": "mlp",
    "compressions": [4],
    "seeds": [0, 1],
    "search_epochs": 1,
    "finetune_epochs": 1,
    "search": {"views": "scarf"},
    "kappas": [0.5],
}


@pytest.fixture(scope="module", autouse=True)
def agreement_is_not_measured():
    """Spare each run what is measured in tests/reporting, test_execute and recipes."""

    def halves(model, x, kinds, **options):
        return dict.fromkeys(kinds, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "consistency", halves)
        yield


def recipe(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "quick.yaml"
    file.write_text(yaml.safe_dump({**QUICK, **changes}))
    return file


def images(folder, **changes):
    """Digits only, whose views and pictures are those of images."""
    settings = {
        "datasets": ["sklearn:digits"],
        "seeds": [0],
        "kappas": [0.5, 0.25],
        "compressions": [2, 4],
        "search": {"views": "images"},
    }
    return recipe(folder, **{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    benchmark = Benchmark(images(folder), folder / "out")
    seen = []
    failures = benchmark.run(show=lambda *now: seen.append(now))
    assert failures == {}
    return benchmark, seen


@pytest.mark.slow
def test_all_is_written(finished):
    benchmark, seen = finished
    written = {path.name for path in benchmark.out.iterdir()}
    plots = {
        "compression-sklearn-digits.png",
        "kappa-sklearn-digits-c4.png",
        "kappa-sklearn-digits-c2.png",
        "filters-sklearn-digits-iunet-k0.5-c2.png",
    }
    files = {"runs", "runs.jsonl", "table.md", "tensorboard"}
    tables = {"runs.csv", "table.csv", "comparisons.csv"}
    assert written >= files | tables | plots
    assert benchmark.missing() == []
    ended = {name for name, done, total in seen if done == total}
    assert ended == {job.name for job in benchmark.jobs}
    page = (benchmark.out / "table.md").read_text()
    for title in ("# Quick", "IUNet, search only", "shift", "scale", "| κ |"):
        assert title in page
    assert ".png" not in page
    page = (benchmark.out / "plots.md").read_text()
    shown = {file for file in written if f"({file})" in page}
    assert shown == {file for file in written if file.endswith(".png")}


@pytest.mark.slow
def test_the_mean_in_the_table_is_that_of_the_reports(finished):
    benchmark, _ = finished
    file = benchmark.out / "runs" / "sklearn-digits" / "dense" / "seed0" / "report.json"
    share = json.loads(file.read_text())["test"]["accuracy"]
    assert f"{100 * share:.2f}" in (benchmark.out / "table.md").read_text()


@pytest.mark.slow
def test_tensorboard_has_curves_hyperparameters_and_plots(finished):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    benchmark, _ = finished
    board = benchmark.out / "tensorboard"
    top = EventAccumulator(str(board)).Reload()
    assert "compression-sklearn-digits" in top.Tags()["tensors"]
    run = board / "sklearn-digits" / "iunet-k0.5-c4" / "seed0"
    accumulator = EventAccumulator(str(run)).Reload()
    assert {"val_accuracy", "test_accuracy", "loss"} <= {*accumulator.Tags()["tensors"]}
    data = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"kappa" in data.content


@pytest.mark.slow
def test_the_ledger_alone_is_enough_to_go_on(finished, tmp_path, monkeypatch):
    benchmark, _ = finished
    shutil.copy(benchmark.out / "runs.jsonl", tmp_path / "runs.jsonl")
    again = Benchmark(benchmark.name, tmp_path)
    assert again.missing() == []
    monkeypatch.setattr(benchmarks, "run_all", None)
    again.write()
    pages = [(folder / "plots.md").read_text() for folder in (benchmark.out, tmp_path)]
    before, after = (set(re.findall(r"\]\((.*\.png)\)", page)) for page in pages)
    missing = before - after  # filters are drawn from weights, which the ledger has not
    assert after and missing == {name for name in before if name.startswith("filters")}
    for name in ("runs.csv", "table.csv", "comparisons.csv"):
        assert (tmp_path / name).read_text() == (benchmark.out / name).read_text()
    before = (benchmark.out / "runs.jsonl").read_text()
    assert (tmp_path / "runs.jsonl").read_text() == before


@pytest.mark.slow
def test_with_the_ledger_alone_a_new_compression_repeats_its_search_only(
    finished, tmp_path
):
    benchmark, _ = finished
    shutil.copy(benchmark.out / "runs.jsonl", tmp_path / "runs.jsonl")
    more = images(tmp_path, methods=["iunet"], kappas=[0.5], compressions=[4, 3])
    names = [job.label for job in Benchmark(more, tmp_path).missing()]
    assert names == ["search-invariance-k0.5", "iunet-k0.5-c3"]


@pytest.mark.slow
def test_a_failure_stops_no_other_run(tmp_path, monkeypatch):
    load = runs.datasets.load

    def lose(name, *settings):
        if name == "sklearn:iris":
            raise ValueError("No such table.")
        return load(name, *settings)

    monkeypatch.setattr(runs.datasets, "load", lose)
    file = recipe(
        tmp_path,
        datasets=["sklearn:iris", "sklearn:wine"],
        methods=["omp"],
        compressions=[4, 1000],
        seeds=[0],
    )
    benchmark = Benchmark(file, tmp_path / "out")
    failures = benchmark.run()
    wrong, right = (f"sklearn-{name}" for name in ("iris", "wine"))
    assert "No such table." in failures[f"{wrong}/search-supervised-k1/seed0"]
    assert failures[f"{wrong}/omp-c4/seed0"].startswith("needs ")
    assert "cannot be pruned" in failures[f"{right}/omp-c1000/seed0"]
    assert len(failures) == 4
    done = {path.parent.parent.name for path in (tmp_path / "out").rglob("report.json")}
    assert done == {"search-supervised-k1", "omp-c4"}
    page = (tmp_path / "out" / "table.md").read_text()
    assert "sklearn:wine, ×4" in page and "## Failed" in page


@pytest.mark.slow
def test_a_data_set_that_cannot_be_had_is_asked_for_once(tmp_path, monkeypatch):
    load, asked = runs.datasets.load, []

    def out_of_reach(name, *settings):
        if name == "sklearn:iris":
            asked.append(name)
            raise DataUnavailable("No network.")
        return load(name, *settings)

    file = recipe(
        tmp_path,
        datasets=["sklearn:iris", "sklearn:wine"],
        methods=["dense"],
    )
    benchmark, page = Benchmark(file, tmp_path / "out"), tmp_path / "out" / "table.md"
    with monkeypatch.context() as patch:
        patch.setattr(runs.datasets, "load", out_of_reach)
        failures = benchmark.run()
    assert len(asked) == 1
    assert {*failures} == {job.name for job in benchmark.missing()}
    assert {*failures.values()} == {"DataUnavailable: No network."}
    assert len(failures) == len(benchmark.jobs) / 2
    benchmark.write()  # tables alone, later
    assert benchmark.failures() == failures and "## Failed" in page.read_text()
    assert benchmark.run() == benchmark.failures() == {}
    assert "## Failed" not in page.read_text()


def test_several_workers_ask_at_once_and_not_again(tmp_path, monkeypatch):
    file = recipe(tmp_path, datasets=["sklearn:wine"], methods=["dense", "omp"])
    benchmark, asked = Benchmark(file, tmp_path / "out"), []

    class Threads(ThreadPoolExecutor):  # two processes would import TensorFlow
        def __init__(self, workers, *_):
            super().__init__(workers)

        def submit(self, function, job, root):
            asked.append(job)
            return super().submit(pool.Failure, "No network.", of_data=True)

        def begin(self):
            """Threads have begun."""

    monkeypatch.setattr(pool, "Pool", Threads)
    failures = benchmark.run(workers=2)
    assert len(asked) <= 2 and len(failures) == len(benchmark.jobs) == 6


@pytest.mark.slow
def test_a_collapsed_layer_is_reported_and_stops_nothing(tmp_path):
    # Wide layers have small weights: globally the first goes as a whole.
    file = images(
        tmp_path, methods=["omp"], model="mlp-tab", width=16, compressions=[4]
    )
    benchmark = Benchmark(file, tmp_path / "out")
    assert benchmark.run() == {}
    page = (tmp_path / "out" / "table.md").read_text()
    assert "OMP, ×4, seed 0: encoder_1/kernel" in page


@pytest.mark.slow
def test_an_interrupt_of_the_parent_ends_several_processes(tmp_path):
    file = recipe(
        tmp_path, datasets=["sklearn:wine"], methods=["dense"], finetune_epochs=100_000
    )
    command = [sys.executable, "-m", "keras_invprune_lab.cli", "bench", str(file)]
    command += ["--jobs", "2", "--out", str(tmp_path / "out")]
    histories = tmp_path / "out" / "runs" / "sklearn-wine" / "dense"
    with subprocess.Popen(command, stderr=subprocess.PIPE) as parent:
        while not list(histories.glob("*/elapsed.json")):
            assert parent.poll() is None
            time.sleep(0.5)
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert b"Interrupted; the same command resumes." in said


@pytest.mark.slow
def test_interrupted_it_writes_what_is_there_and_goes_on(tmp_path):
    file = recipe(
        tmp_path, datasets=["sklearn:wine"], methods=["dense", "omp"], seeds=[0]
    )

    ledger, kept = tmp_path / "out" / "runs.jsonl", []

    def interrupt(name, done, total):
        if "omp" in name:
            kept.extend(ledger.read_text().splitlines())  # at once, whatever comes
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Benchmark(file, tmp_path / "out").run(show=interrupt)
    lines = ledger.read_text().splitlines()
    assert len(lines) == 2  # dense, and the search that OMP goes on from
    assert lines == kept
    seen = []
    again = Benchmark(file, tmp_path / "out")
    again.run(show=lambda name, *_: seen.append(name))
    assert not any(name in line for name in seen for line in lines)
    assert again.missing() == []


@pytest.mark.slow
def test_another_recipe_in_the_same_folder_is_refused(finished, tmp_path):
    benchmark, _ = finished
    shutil.copy(benchmark.out / "runs.jsonl", tmp_path / "runs.jsonl")
    with pytest.raises(FileExistsError, match="batch_size: 128 there, 64 asked"):
        Benchmark(images(tmp_path, batch_size=64), tmp_path)


DIE_NEXT_TO_A_SEARCH = """
import os, pathlib, time
while not [*pathlib.Path({folder!r}).rglob("search-*")]:
    time.sleep(0.1)
os._exit(3)
"""


@pytest.mark.slow
def test_two_processes_find_what_one_finds_though_one_dies(tmp_path, monkeypatch):
    file = recipe(
        tmp_path,
        datasets=["sklearn:wine"],
        methods=["dense", "omp"],
        compressions=[4, 1000],
        seeds=[0],
    )
    one, two = (Benchmark(file, tmp_path / folder) for folder in ("one", "two"))
    (impossible,) = one.run()
    submit, doomed = pool.Pool.submit, two.jobs[0]

    def one_dies(executor, function, job, root):
        if job != doomed:
            return submit(executor, function, job, root)
        return submit(executor, exec, DIE_NEXT_TO_A_SEARCH.format(folder=str(root)))

    monkeypatch.setattr(pool.Pool, "submit", one_dies)
    seen = []
    failures = two.run(2, lambda *now: seen.append(now))
    assert failures.keys() == {doomed.name, impossible}
    assert failures[doomed.name] == "its process died: out of memory?"
    assert failures[impossible] == one.failures()[impossible]
    assert {job.name for job in two.missing()} == failures.keys()
    assert {now[0] for now in seen} == {j.name for j in two.jobs} - failures.keys()
    expected, found = (
        {job.name: report for job, report in collect(each.jobs, each.out)}
        for each in (one, two)
    )
    assert found.keys() == expected.keys() - {doomed.name} and len(found) == 2
    for name, report in found.items():
        for part in ("validation", "test"):
            np.testing.assert_allclose(
                list(report[part].values()),
                list(expected[name][part].values()),
                atol=0.06,
            )


@pytest.mark.slow
def test_a_worker_ends_with_its_parent():
    script = Path(__file__).parents[2] / "scripts" / "waiting_worker.py"
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        parent.communicate(timeout=60)  # ends when nobody holds its output any more


def test_two_processes_in_one_folder_are_one_too_many(tmp_path):
    benchmark = Benchmark(recipe(tmp_path), tmp_path / "out")
    with claimed(tmp_path / "out" / "runs"):
        with pytest.raises(BlockingIOError, match="another process is at work in"):
            benchmark.run()
    assert not (tmp_path / "out" / "runs.jsonl").exists()


def test_an_interrupted_unpacking_is_done_again(tmp_path):
    report = {"name": "a/dense/seed0", "history": {"loss": [1.0]}}
    line = json.dumps(report | {"report": {"config": {"seed": 0}}})
    (tmp_path / "runs.jsonl").write_text(f"{line}\n")
    folder = tmp_path / "runs" / "a" / "dense" / "seed0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    unpack(tmp_path)
    assert json.loads((folder / "report.json").read_text())["config"] == {"seed": 0}
    assert json.loads((folder / "config.json").read_text()) == {"seed": 0}


def test_a_broken_ledger_is_named_with_its_line(tmp_path):
    (tmp_path / "runs.jsonl").write_text('{"name": 1}\n')
    with pytest.raises(ValueError, match="Line 1 of .*runs.jsonl is not a run"):
        Benchmark(recipe(tmp_path), tmp_path)


@pytest.mark.slow
def test_the_command(tmp_path):
    file = recipe(tmp_path, datasets=["sklearn:wine"], methods=["dense"], seeds=[0])
    arguments = ["bench", str(file), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    keras.backend.clear_session()
    for last in (arguments, [*arguments, "--tables"]):
        again = CliRunner().invoke(app, last)
        assert again.exit_code == 0 and "Quick" in again.output
    listed = CliRunner().invoke(app, ["bench"])
    assert "cifar10-small" in listed.output
    images = {"datasets": ["sklearn:wine"], "methods": ["dense"], "model": "cnn"}
    broken = recipe(tmp_path, **images, seeds=[0, 1])
    failed = CliRunner().invoke(
        app, ["bench", str(broken), "--out", str(tmp_path / "other")]
    )
    assert failed.exit_code == 1
    assert failed.output.count("needs images") == 1 and "and 1 more" in failed.output
    assert "Tables, plots" not in failed.output  # there are none
