"""The CSV files of a benchmark."""

import csv

import numpy as np
import pytest
from scipy.stats import wilcoxon

from keras_invprune_lab.bench.csv_files import write_all
from keras_invprune_lab.bench.results import main_rows
from keras_invprune_lab.bench.statistics import compare_all, rank, row_ranks
from reports import RECIPE, many, report, table_of


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
