"""Many runs: failures, data that cannot be had, several processes and their ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benches import recipe
from commands import started
from keras_invprune.exporting.folders import claimed
from keras_invprune_lab.bench.benchmark import Benchmark
from keras_invprune_lab.data import DataUnavailable
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.executors import local
from keras_invprune_lab.runs.executors.children import Ended
from keras_invprune_lab.runs.ledger import collect
from scripts import dying

pytestmark = [
    pytest.mark.timeout(900),  # many small runs
    pytest.mark.usefixtures("agreement_is_not_measured"),
]


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

    class Here:  # processes would import TensorFlow
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def results(self, take):
            while both := [job for job in (take([]), take([])) if job]:
                asked.extend(both)
                for job in both:
                    failure = local.Failure("No network.", of_data=True)
                    yield Ended(job, failure, None)

    monkeypatch.setattr(local, "Children", Here)
    failures = benchmark.run(workers=2)
    assert len(asked) <= 2 and len(failures) == len(benchmark.jobs) == 6


@pytest.mark.slow
def test_an_interrupt_of_the_parent_ends_several_processes(tmp_path):
    file = recipe(
        tmp_path, datasets=["sklearn:wine"], methods=["dense"], finetune_epochs=100_000
    )
    out, said = tmp_path / "out", tmp_path / "said.txt"
    parent = started(said, "bench", file, "--jobs", 2, "--out", out)
    runs = out / "runs" / "sklearn-wine" / "dense"
    while len(parts := {f.parent for f in runs.glob("*/elapsed.json")}) < 2:
        assert parent.is_alive(), said.read_text()
        time.sleep(0.1)
    os.kill(parent.pid, signal.SIGINT)
    parent.join(timeout=60)
    assert parent.exitcode == 130
    assert "Interrupted; the same command resumes." in said.read_text()
    for part in parts:
        with claimed(part):  # by nobody else: the processes have ended, too
            pass


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
    doomed = two.jobs[0]
    monkeypatch.setattr(local, "_in_process", dying.in_process)
    seen = []
    failures = two.run(2, lambda *now: seen.append(now))
    assert failures.keys() == {doomed.name, impossible}
    assert failures[doomed.name].startswith("ChildDied: Its process died twice")
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
    script = Path(__file__).parents[3] / "scripts" / "waiting_worker.py"
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        parent.communicate(timeout=60)  # ends when nobody holds its output any more
