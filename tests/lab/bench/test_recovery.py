"""Recovery after pruning: by epoch and by sparsity, as CSV and as pictures."""

import csv

import numpy as np
import pytest

from keras_invprune_lab.bench.csv_files import write_all
from keras_invprune_lab.bench.plots import draw
from keras_invprune_lab.bench.recovery import by_epoch, by_sparsity, points
from keras_invprune_lab.bench.results import cells, tabulate
from keras_invprune_lab.recipes.recipe import Recipe

METHODS = ["class-blinded", "class-uniform", "continued"]
RECIPE = Recipe(
    title="",
    datasets=["tfds:mnist"],
    methods=METHODS,
    model="mlp-100",
    search_epochs=1,
    finetune_epochs=3,
)


def of_round(sparsity, pruned, curve):
    """A round whose test figures are one point below those on validation rows."""
    best = int(np.argmax(curve))
    figures = {"before": 0.9, "pruned": pruned, "retrained": curve[best]}
    tested = {name: value - 0.01 for name, value in figures.items()}
    found = {"sparsity": sparsity, "validation": figures, "test": tested}
    return found | {"best_epoch": best + 1, "epochs": len(curve)}


def report(method, seed, *rounds):
    compression = None if method == "continued" else 4
    config = {"dataset": "tfds:mnist", "method": method, "seed": seed}
    config |= {"compression": compression, "kappa": 1.0, "penalty": None}
    curve = [value for *_, each in rounds for value in each]
    last = of_round(*rounds[-1])
    return {
        "config": config | {"objective": None},
        "seconds": 1.0,
        "rounds": [of_round(*one) for one in rounds],
        "history": {"val_accuracy": curve},
        "validation": {"accuracy": last["validation"]["retrained"]},
        "test": {"accuracy": last["test"]["retrained"]},
    }


REPORTS = [
    report("class-blinded", 0, (0.5, 0.8, [0.85, 0.84]), (0.75, 0.5, [0.7, 0.8, 0.75])),
    report("class-blinded", 1, (0.5, 0.9, [0.95]), (0.75, 0.7, [0.6])),
    report("class-uniform", 0, (0.5, 0.6, [0.7]), (0.75, 0.2, [0.4, 0.5])),
    report("continued", 0, (0.0, 0.9, [0.91, 0.92])),
]


def test_each_epoch_is_a_point_and_test_rows_are_read_at_two_of_a_round():
    found = [p for p in points(REPORTS, "accuracy") if p.method == "class-blinded"]
    first = [p for p in found if p.seed == 0]
    assert [(p.round, p.epoch) for p in first] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
        (2, 3),
    ]
    shares = [p.validation for p in first]
    np.testing.assert_allclose(shares, [80, 85, 84, 50, 70, 80, 75])
    tested = {(p.round, p.epoch): p.test for p in first if p.test is not None}
    assert tested == pytest.approx({(1, 0): 79, (1, 1): 84, (2, 0): 49, (2, 2): 79})


def test_curves_start_right_after_the_last_pruning_and_keep_the_best():
    curves = by_epoch(points(REPORTS, "accuracy"))
    np.testing.assert_allclose(curves["class-uniform"], [20, 40, 50, 50])
    # Seed 1 ended after one epoch, whose network counts, although it was better before.
    np.testing.assert_allclose(curves["class-blinded"], [60, 65, 70, 67.5])


def test_by_sparsity_each_round_is_a_point_of_all_seeds():
    found = by_sparsity(points(REPORTS, "accuracy"))
    assert "continued" not in found
    assert found["class-blinded"][0.5] == pytest.approx([84, 94])
    assert found["class-blinded"][0.75] == pytest.approx([79, 59])


def test_reports_without_rounds_have_no_points():
    assert points([{"config": REPORTS[0]["config"]}], "accuracy") == []
    assert by_epoch([]) == {} == by_sparsity([])


def test_files_and_pictures_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    table = tabulate(cells(REPORTS, METHODS, "accuracy"), METHODS)
    write_all(RECIPE, table, REPORTS, tmp_path)
    with open(tmp_path / "recovery.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(points(REPORTS, "accuracy"))
    assert (lines[0]["validation"], lines[0]["test"]) == ("80", "79")
    assert lines[2]["test"] == "" and lines[-1]["compression"] == ""
    drawn = {file.stem for file in draw(RECIPE, table, REPORTS, [], tmp_path)}
    assert {"recovery-tfds-mnist-c4", "rounds-tfds-mnist"} <= drawn


def test_nothing_is_written_where_nothing_retrains(tmp_path):
    plain = [{k: v for k, v in one.items() if k != "rounds"} for one in REPORTS]
    table = tabulate(cells(plain, METHODS, "accuracy"), METHODS)
    write_all(RECIPE, table, plain, tmp_path)
    assert not (tmp_path / "recovery.csv").exists()
