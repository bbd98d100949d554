"""Ranks, comparisons and their significance."""

import numpy as np
import pytest
from scipy.stats import chi2, ttest_rel, wilcoxon

from keras_invprune_lab.bench.page import markdown
from keras_invprune_lab.bench.results import main_rows
from keras_invprune_lab.bench.statistics import (
    compare,
    compare_all,
    holm,
    over_seeds,
    rank,
)
from reports import RECIPE, many, report, table_of


def against_dense(reports):
    table = table_of(reports)
    return compare(table, "iunet", "dense", "accuracy", main_rows(table, 8))


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
    assert found.seeds == pytest.approx({0: 10, 1: 10})
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
    assert "| seed 3 | seed 4 | p | p (Holm) |" in page
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
