"""From reports to the cells of a table."""

import numpy as np
import pytest

from keras_invprune_lab.bench.page import markdown
from keras_invprune_lab.bench.results import cells, grid
from reports import RECIPE, report, table_of


def test_seeds_are_put_together():
    shares = [0.5, 0.6, 0.8]
    reports = [report("a", "dense", t, seed=s) for s, t in enumerate(shares)]
    (cell,) = cells(reports, ["dense"], "accuracy")
    assert cell.mean("accuracy") == pytest.approx(np.mean(shares) * 100)
    assert cell.spread("accuracy") == pytest.approx(np.std(shares, ddof=1) * 100)
    (single,) = cells(reports[:1], ["dense"], "accuracy")
    assert single.spread("accuracy") is None


def test_epochs_are_counted_until_a_share_is_reached():
    curves = {0: [0.2, 0.8, 0.7, 0.9], 1: [0.9, 0.1, 0.8], 2: [0.1, 0.2, 0.3, 0.4]}
    reports = [
        report("a", "dense", 0.5, seed=seed) | {"history": {"val_accuracy": curve}}
        for seed, curve in curves.items()
    ]
    (cell,) = cells(reports, ["dense"], "accuracy")
    assert cell.reached("accuracy", 0.8) == {0: 2, 1: 1, 2: None}
    reports[0]["history"]["pruned"] = [0.0, 0.0, 1.0, 1.0]  # dense ones do not count
    assert cell.reached("accuracy", 0.8) == {0: 4, 1: 1, 2: None}
    del reports[0]["history"]["pruned"]
    # As far as all seeds have come.
    np.testing.assert_allclose(cell.curve("accuracy"), [40, 110 / 3, 60])
    recipe = RECIPE.model_copy(update={"reach": 0.8})
    page = markdown(recipe, table_of(reports), reports, {}, "command")
    assert "## Epochs until 80 %" in page and "| a | 1.5 |" in page
    assert "### Seeds that never reach 80 %" in page and "| a | 1 |" in page
    never = [reports[2]]
    page = markdown(recipe, table_of(never), never, {}, "command")
    assert "| a | never |" in page


def test_of_a_grid_the_best_on_validation_rows_is_taken_whatever_the_test_says():
    reports = [
        report("a", "iunet", 0.9, valid=0.6, kappa=0.5, c=8),
        report("a", "iunet", 0.1, valid=0.7, kappa=0.25, c=8),
    ]
    (cell,) = cells(reports, ["iunet"], "accuracy")
    assert (cell.kappa, cell.mean("accuracy")) == (0.25, pytest.approx(10))
    points = grid(reports, "a", "iunet", 8)
    assert [point.kappa for point in points] == [0.25, 0.5]


def test_a_point_of_the_grid_with_fewer_seeds_is_not_taken():
    reports = [report("a", "iunet", 0.9, valid=0.9, kappa=0.5, c=8)] + [
        report("a", "iunet", 0.2, kappa=0.25, c=8, seed=seed) for seed in (0, 1)
    ]
    (cell,) = cells(reports, ["iunet"], "accuracy")
    assert cell.kappa == 0.25


def test_a_control_has_the_point_of_what_it_controls():
    of_iunet = {"objective": "invariance", "c": 8}
    reports = [
        report("a", method, test, valid=valid, kappa=kappa, **of_iunet)
        for method, test, valid, kappa in (
            ("iunet", 0.4, 0.7, 0.25),
            ("iunet", 0.4, 0.6, 0.5),
            ("shuffled", 0.1, 0.5, 0.25),
            ("shuffled", 0.9, 0.9, 0.5),
        )
    ]
    for given in (reports, reports[::-1]):
        found = {c.method: c for c in cells(given, ["iunet", "shuffled"], "accuracy")}
        assert found["shuffled"].kappa == found["iunet"].kappa == 0.25
    (alone,) = cells(reports, ["shuffled"], "accuracy")  # its leader is not asked for
    assert alone.kappa == 0.5
    recipe = RECIPE.model_copy(update={"kappas": [0.25, 0.5]})
    table = table_of(reports, ("iunet", "shuffled"))
    page = markdown(recipe, table, reports, {}, "command")
    assert "| a, ×8 | IUNet, masks shuffled | 0.25 |  |" in page


def test_what_is_not_pruned_stands_at_every_compression():
    search = {"objective": "invariance", "kappa": 0.5}
    reports = [
        report("a", "search", 0.3, **search),
        report("a", "unpruned", 0.4, **search),
        report("a", "omp", 0.5, c=2),
        report("a", "omp", 0.5, c=8),
    ]
    table = table_of(reports, ("unpruned", "omp"))
    assert table.rows == [("a", 2), ("a", 8)]
    for row in table.rows:
        assert table.cells[row, "unpruned"].mean("accuracy") == pytest.approx(40)
