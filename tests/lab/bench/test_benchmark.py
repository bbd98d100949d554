"""A recipe carried out: ledger, tables, failures, several processes, the command."""

import json
import re
import shutil

import keras
import pytest
from typer.testing import CliRunner

from benches import images, recipe
from keras_invprune.exporting.folders import claimed
from keras_invprune_lab.bench import benchmark as benchmarks
from keras_invprune_lab.bench.benchmark import Benchmark
from keras_invprune_lab.cli.main import app

pytestmark = [
    pytest.mark.timeout(900),  # many small runs
    pytest.mark.usefixtures("agreement_is_not_measured"),
]


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


def test_two_processes_in_one_folder_are_one_too_many(tmp_path):
    benchmark = Benchmark(recipe(tmp_path), tmp_path / "out")
    with claimed(tmp_path / "out" / "runs"):
        with pytest.raises(BlockingIOError, match="another process is at work in"):
            benchmark.run()
    assert not (tmp_path / "out" / "runs.jsonl").exists()


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
