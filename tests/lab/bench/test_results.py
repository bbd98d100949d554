"""From reports to figures, tables and plots."""

import csv
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import chi2, ttest_rel, wilcoxon

from keras_invprune_lab.bench.csv_files import write_all
from keras_invprune_lab.bench.page import by_message, markdown, pictures
from keras_invprune_lab.bench.plots import (
    CROWD,
    cliques,
    critical_difference,
    draw,
    mosaic,
)
from keras_invprune_lab.bench.results import (
    cells,
    grid,
    main_rows,
    tabulate,
)
from keras_invprune_lab.bench.statistics import (
    compare,
    compare_all,
    holm,
    over_seeds,
    rank,
    row_ranks,
)
from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.recipes.recipe import Recipe

ENVIRONMENT = {"cores": 2, "machine": "x", "tensorflow": "2", "keras": "3"}

RECIPE = Recipe(
    title="Mine",
    datasets=["sklearn:wine"],
    methods=["dense", "omp", "iunet"],
    model="mlp",
    search_epochs=1,
    finetune_epochs=1,
    kappas=[0.5],
).model_copy(update={"datasets": ["d0", "d1"], "published": {"d0": {"TabNet": 61.25}}})


def report(dataset, method, test, *, valid=0.5, seed=0, c=None, kappa=1.0, **config):
    figures = {"accuracy": test, "balanced_accuracy": test, "macro_precision": test}
    given = {"objective": None, "penalty": None, **config}
    return {
        "config": {
            "dataset": dataset,
            "method": method,
            "seed": seed,
            "compression": c,
            "kappa": kappa,
            **given,
        },
        "environment": ENVIRONMENT,
        "seconds": 36.0,
        "validation": dict.fromkeys(figures, valid),
        "test": figures,
        "weights": {"total": 80, "nonzero": 10 if c else 80},
        "consistency": {"flip": 0.25},
    }


def table_of(reports, methods=("dense", "omp", "iunet")):
    return tabulate(cells(reports, methods, "accuracy"), list(methods))


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
    assert "## Epochs until 80 %" in page and "1.5 (1) |" in page
    never = [reports[2]]
    page = markdown(recipe, table_of(never), never, {}, "command")
    assert "| a | never |" in page


def test_epochs_are_drawn_where_there_are_curves_to_compare(tmp_path):
    reports = [
        report("d0", method, 0.5, c=c) | {"history": {"val_accuracy": [0.2, 0.6]}}
        for method, c in (("dense", None), ("omp", 8))
    ]
    one = tmp_path / "epochs-d0.png"
    assert draw(RECIPE, table_of(reports), reports, [], tmp_path) == [one]
    assert one.stat().st_size > 5000
    assert draw(RECIPE, table_of(reports[:1]), reports[:1], [], tmp_path) == []
    slashed = RECIPE.model_copy(update={"datasets": ["tfds:d0/letters"]})
    for one_report in reports:
        one_report["config"]["dataset"] = "tfds:d0/letters"
    (file,) = draw(slashed, table_of(reports), reports, [], tmp_path)
    assert file == tmp_path / "epochs-tfds-d0-letters.png" and file.exists()
    for one_report in reports:
        one_report["config"]["dataset"] = "d0"
    for found in reports:  # nothing learned anything
        found["history"]["val_accuracy"] = [0.1, 0.1]
    assert draw(RECIPE, table_of(reports), reports, [], tmp_path) == [one]


def test_a_crowd_has_its_legend_beside_and_no_room_for_one_far_below(tmp_path):
    names = [name for name in METHODS if METHODS[name].pruned]
    reports = [
        report("d0", name, 0.1 if number == 0 else 0.9 - 0.001 * number, c=c)
        for number, name in enumerate(names)
        for c in (8, 16)
    ]

    def drawn(methods):
        table = table_of(reports, methods)
        with mock.patch.object(Figure, "savefig", autospec=True) as save:
            draw(RECIPE, table, reports, [], tmp_path)
        (figure,) = (call.args[0] for call in save.call_args_list)
        return figure, *figure.axes

    figure, axes = drawn(names[: CROWD + 1])
    assert axes.get_ylim()[0] > 80 and axes.get_ylim()[1] > 89.9
    figure.canvas.draw()
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1
    lines = [bars.lines[0] for bars in axes.containers]
    styles = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(styles) == len(lines) == CROWD + 1
    figure, axes = drawn(names[:CROWD])
    figure.canvas.draw()
    assert axes.get_ylim()[0] < 10
    assert axes.get_legend().get_window_extent().x0 < axes.get_window_extent().x1


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


def against_dense(reports):
    table = table_of(reports)
    return compare(table, "iunet", "dense", "accuracy", main_rows(table, 8))


def many(gaps):
    """Reports of as many data sets, where iunet is better than dense by `gaps`."""
    found = []
    for index, gap in enumerate(gaps):
        found.append(report(f"d{index}", "dense", 0.5))
        found.append(report(f"d{index}", "omp", 0.4, c=8))
        found.append(report(f"d{index}", "iunet", 0.5 + gap, c=8))
    return found


def test_wins_ties_losses_and_significance():
    gaps = np.array([0.1, 0.2, 0.0, -0.05, 0.3, 0.15, 0.12])
    found = against_dense(many(gaps))
    assert (found.wins, found.ties, found.losses) == (5, 1, 1)
    assert found.difference == pytest.approx(100 * gaps.mean())
    assert found.p == pytest.approx(wilcoxon(gaps).pvalue)


def test_five_data_sets_are_too_few_for_significance_and_equals_have_none():
    for gaps in (np.full(5, 0.1), np.zeros(9)):
        found = against_dense(many(gaps))
        assert found.p is None


def test_one_data_set_is_compared_by_seed():
    reports = [
        report("a", method, share + 0.01 * seed, seed=seed, c=c)
        for method, share, c in (("dense", 0.5, None), ("iunet", 0.6, 8))
        for seed in (0, 1)
    ]
    found = against_dense(reports)
    np.testing.assert_allclose(found.seeds, [10, 10])
    assert found.seeds_p is None


def test_five_seeds_of_one_data_set_are_tested_in_pairs():
    shares = [(0.50, 0.52), (0.55, 0.54), (0.40, 0.46), (0.60, 0.63), (0.51, 0.54)]
    reports = []
    for seed, (dense, ours) in enumerate(shares):
        reports.append(report("a", "dense", dense, seed=seed))
        reports.append(report("a", "omp", dense - 0.25, seed=seed, c=8))
        reports.append(report("a", "iunet", ours, seed=seed, c=8))
    found = against_dense(reports)
    expected = ttest_rel(*np.transpose(shares)).pvalue
    assert found.p is None and found.seeds_p == pytest.approx(expected)
    _, both = compare_all(table_of(reports), "accuracy", 8)
    assert [one.together for one in both] == holm([one.seeds_p for one in both])
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "| by seed | p | p (Holm) |" in page
    assert "Student's paired t-test over seeds, two-sided" in page


def test_seeds_that_are_few_or_all_differ_alike_have_no_test():
    assert over_seeds([1.0, 2.0, 1.5, 1.2]) is None
    assert over_seeds([1.0] * 9) is None
    assert over_seeds([]) is None


def test_only_seeds_that_both_have_are_compared():
    reports = many([0.1] * 2)
    reports.append(report("d0", "dense", 0.99, seed=1))
    reports.append(report("d1", "dense", 0.99, seed=2))
    reports.append(report("lone", "dense", 0.1, seed=0))
    reports.append(report("lone", "iunet", 0.9, seed=1, c=8))
    found = against_dense(reports)
    assert (found.wins, found.ties, found.losses) == (2, 0, 0)
    assert found.difference == pytest.approx(10)
    table = table_of(reports)
    ranks = rank(table, "accuracy", main_rows(table, 8))
    assert ranks == ({"dense": 2, "omp": 3, "iunet": 1}, 2, None)


def test_sizes_that_differ_by_seed_are_averaged_both():
    reports = [report("d0", "dense", 0.5, seed=seed) for seed in (0, 1)]
    for found, size in zip(reports, (80, 90), strict=True):
        found["weights"] = {"total": size, "nonzero": size}
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "| d0 | dense | 85 | 85 | 1.00 | 0.6 |" in page


def test_the_page_says_what_was_done_and_only_that():
    reports = [report("d0", "dense", 0.5), report("d0", "omp", 0.6, c=8.0)]
    early = {"methods": ["dense", "omp-before", "snip"], "counted": "kernels"}
    early["optimizer"] = RECIPE.optimizer.model_copy(update={"weight_decay": 0.005})
    plain = RECIPE.model_copy(update=early)
    page = markdown(plain, table_of(reports), reports, {}, "command")
    assert "weight decay 0.005" in page and "compression counts the kernels" in page
    assert not any(word in page for word in ("rewound", "τ =", "κ ="))
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "λ = 1, τ = 1, with labels; rewound to `first_epoch`;" in page


def test_plots_have_a_page_of_their_own():
    plots = [Path("out") / "epochs-d0.png", Path("out") / "filters-d0-dense.png"]
    assert pictures(plots) == (
        "# Plots\n\n![epochs-d0](epochs-d0.png)\n\n"
        "![filters-d0-dense](filters-d0-dense.png)\n"
    )
    assert pictures([]) == ""


def test_mean_ranks_share_places_and_leave_out_rows_with_gaps():
    reports = [*many([0.1, 0.0]), report("lone", "iunet", 1.0, c=8)]
    reports += [report("d0", method, 0.9, c=2) for method in ("omp", "iunet")]
    table = table_of(reports)
    ranks = rank(table, "accuracy", main_rows(table, 8))
    assert ranks.rows == 2
    assert ranks.means == {"dense": (2 + 1.5) / 2, "omp": 3, "iunet": (1 + 1.5) / 2}


def test_friedman_s_test_asks_whether_all_rank_alike():
    table = table_of(many([0.1, 0.2, -0.3, 0.05, 0.3, 0.15, 0.12]))
    ranks = rank(table, "accuracy", main_rows(table, 8))
    n, k = 7, 3
    squares = sum(mean**2 for mean in ranks.means.values())
    statistic = 12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4)
    assert ranks.p == pytest.approx(chi2.sf(statistic, k - 1))
    page = markdown(RECIPE, table, [report("d0", "dense", 0.5)], {}, "command")
    assert f"all rank alike: p = {ranks.p:.2g}." in page


def test_holm_corrects_for_the_number_of_comparisons():
    assert holm([0.04, None, 0.01, 0.03]) == [0.06, None, 0.03, 0.06]
    assert holm([0.7, 0.6]) == [1, 1]
    assert holm([None]) == [None] and holm([]) == []


def test_the_best_is_told_by_the_seeds_that_all_have():
    reports = [report("d0", "dense", 0.5, seed=0), report("d0", "dense", 0.1, seed=1)]
    reports.append(report("d0", "omp", 0.4, c=8))  # of the easy seed alone
    page = markdown(RECIPE, table_of(reports), reports, {}, "command")
    assert "**30.00**" in page and "| 40.00 (1) |" in page
    alone = [report("d0", "dense", 0.5, seed=1), reports[-1]]
    assert "**" not in markdown(RECIPE, table_of(alone), alone, {}, "command")


def test_runs_that_fail_for_one_reason_are_told_together():
    failures = {"a/dense": "no file", "a/omp": "no file", "b/omp": "no room"}
    together = [("a/dense and 1 more", "no file"), ("b/omp", "no room")]
    assert by_message(failures) == together


def test_the_page_has_the_means_the_best_and_what_was_published(tmp_path):
    reports = many([0.1, -0.2])
    failures = {"d2/omp": "ValueError: no"}
    page = markdown(RECIPE, table_of(reports), reports, failures, "bench mine")
    assert "| d0, ×8 | 50.00 (1) | 40.00 (1) | **60.00** (1) | 61.2 |" in page
    assert "| dense | -5.00 | 1 / 0 / 1 |" in page
    assert "| d1, ×8 | IUNet | 80 | 10 | 8.00 | 0.6 |" in page
    assert "d2/omp: ValueError: no" in page


def csv_files(reports, out):
    write_all(RECIPE, table_of(reports), reports, out)
    found = []
    for name in ("runs.csv", "table.csv", "comparisons.csv"):
        with open(out / name, newline="") as stream:
            found.append(list(csv.DictReader(stream)))
    return found


def test_runs_means_and_comparisons_are_there_as_csv(tmp_path):
    gaps = [0.1, 0.2, 0.0, -0.05, 0.3, 0.15, 0.12]
    reports = [*many(gaps), report("d0", "iunet", 0.8, c=8, seed=1)]
    runs, means, comparisons = csv_files(reports, tmp_path)
    assert len(runs) == len(reports)
    assert (runs[2]["test_accuracy"], runs[2]["consistency_flip"]) == (
        "60.000",
        "25.000",
    )
    ours = {(r["dataset"], r["method"]): r for r in means}
    assert len(means) == len(ours) == 3 * 7
    best = ours["d0", "iunet"]
    assert (best["compression"], best["seeds"], best["mean"]) == ("8", "2", "70.000")
    assert float(best["spread"]) == pytest.approx(
        100 * np.std([0.6, 0.8], ddof=1), 1e-3
    )
    assert (best["rank"], ours["d2", "dense"]["rank"]) == ("1.0", "1.5")
    assert best["shared_mean"] == "60.000"  # of the seed that all have
    assert ours["d1", "omp"]["spread"] == "" and ours["d3", "iunet"]["rank"] == "2.0"
    table = table_of(reports)
    _, found = compare_all(table, "accuracy", 8)
    dense = next(row for row in comparisons if row["method"] == "dense")
    outcome = [dense[name] for name in ("lead_of", "wins", "ties", "losses")]
    assert outcome == ["iunet", "5", "1", "1"]
    p = wilcoxon(gaps).pvalue
    assert float(dense["wilcoxon_p"]) == pytest.approx(p, rel=5e-3)
    assert float(dense["holm_p"]) == pytest.approx(found[0].together, rel=5e-3)
    ranks = rank(table, "accuracy", main_rows(table, 8))
    assert float(dense["friedman_p"]) == pytest.approx(ranks.p, rel=5e-3)
    means = {r["method"]: float(r["mean_rank"]) for r in comparisons}
    assert means == pytest.approx(ranks.means, abs=1e-3)


def test_csv_of_methods_without_a_common_seed_has_no_rank(tmp_path):
    reports = [report("d0", "dense", 0.5), report("d0", "iunet", 0.6, c=8, seed=1)]
    _, means, comparisons = csv_files(reports, tmp_path)
    assert [row["rank"] for row in means] == ["", ""]
    assert [row["shared_mean"] for row in means] == ["", ""]
    assert [row["mean_rank"] for row in comparisons] == ["", ""]
    assert row_ranks(table_of(reports), "accuracy", ("d0", 8)) == {}


def test_csv_of_one_data_set_has_no_mean_rank(tmp_path):
    _, means, comparisons = csv_files(many([0.1]), tmp_path)
    assert [row["rank"] for row in means] == ["2.0", "3.0", "1.0"]
    assert {row["mean_rank"] for row in comparisons} == {""}
    assert [row["points"] for row in comparisons] == ["10.000", "20.000", ""]


def test_the_page_says_why_it_has_no_ranks_or_no_test():
    def page(reports):
        return markdown(RECIPE, table_of(reports), reports, {}, "command")

    assert "No ranks and no test: they compare data sets" in page(many([0.1]))
    gaps = [report("d0", "dense", 0.5), report("d1", "omp", 0.5, c=8)]
    assert "No mean ranks: they need data sets that have all" in page(gaps)
    assert "No test: it needs 6 data sets." in page(many([0.1] * 5))
    assert "No " not in page(many([0.1] * 6)).split("## IUNet against")[0]


def test_critical_difference_of_the_published_example():
    # Demšar 2006, section 3.2.3: four classifiers on fourteen data sets, 1.25.
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(20 / 84), 1e-3)


def test_cliques_are_the_longest_stretches_within_the_distance():
    ranks = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}
    assert cliques(ranks, 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert cliques(ranks, 0.1) == []
    assert cliques(ranks, 9.0) == [(1.0, 4.0)]


def test_a_mosaic_has_one_tile_for_each_filter_and_gray_for_zero():
    filters = np.zeros((5, 2, 3, 1))
    filters[0] = -2.0
    picture = mosaic(filters)
    assert picture.shape == (2 * 3, 2 * 4, 1)
    np.testing.assert_array_equal(picture[1:3, 1:4], 0.0)
    np.testing.assert_array_equal(picture[4:6, 1:4], 0.5)
    np.testing.assert_array_equal(picture[0], 1.0)


def test_one_data_set_is_told_by_seed_and_several_by_wins_and_significance():
    def header(reports):
        page = markdown(RECIPE, table_of(reports), reports, {}, "command")
        return page.split("| against |")[1].splitlines()[0]

    assert header(many([0.1])) == " points | by seed |"
    assert header(many([0.1, 0.2])) == " points | wins / ties / losses |"
    gaps = [0.1, 0.2, -0.3, 0.05, 0.3, 0.15]
    assert header(many(gaps)).endswith("| wins / ties / losses | p | p (Holm) |")
