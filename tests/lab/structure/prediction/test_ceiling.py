"""The noise ceiling, against simulations in which it is known."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from keras_invprune_lab.structure.prediction.ceiling import noise_ceiling


def drawn(graphs, seeds, between=1.0, within=1.0, seed=0):
    """Means and trainings; `seeds` is their number, or one for each graph."""
    random = np.random.default_rng(seed)
    means = between * random.normal(size=graphs)
    counts = np.broadcast_to(seeds, graphs)
    runs = [
        m + within * random.normal(size=c) for m, c in zip(means, counts, strict=True)
    ]
    return means, runs


def test_it_is_the_share_of_variance_between_graphs():
    _, runs = drawn(20_000, 3)
    found = noise_ceiling(runs, replicates=20)
    assert found.r2 == pytest.approx(3 / 4, abs=0.01)  # 1 / (1 + 1/3)
    assert found.single == pytest.approx(1 / 2, abs=0.01)
    assert found.noise == pytest.approx(1, abs=0.01)
    assert found.between == pytest.approx(1, abs=0.01)


def test_it_is_the_r2_of_whoever_knows_the_means():
    counts = np.random.default_rng(1).integers(1, 5, 20_000)
    means, runs = drawn(20_000, counts)
    found = noise_ceiling(runs, replicates=20)
    best = r2_score([values.mean() for values in runs], means)
    assert found.r2 == pytest.approx(best, abs=0.01)
    single = r2_score([values[0] for values in runs], means)
    assert found.single == pytest.approx(single, abs=0.015)
    assert found.repeated == (counts > 1).sum()


def test_with_equal_seeds_it_is_that_of_the_analysis_of_variance():
    _, runs = drawn(30, 4)
    table = np.array(runs)
    between = 4 * table.mean(1).var(ddof=1)
    within = table.var(1, ddof=1).mean()
    assert noise_ceiling(runs).r2 == pytest.approx(1 - within / between)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    inside = 0
    for seed in range(60):
        found = noise_ceiling(drawn(80, 2, seed=seed)[1], replicates=200)
        inside += found.low <= 2 / 3 <= found.high
    assert (
        51 <= inside <= 60
    )  # binomial: 95 % of 60 is 57, and 51 is 3.5 deviations off


def test_noise_alone_has_no_ceiling_above_zero():
    found = noise_ceiling(drawn(400, 2, between=0.0, seed=3)[1])
    assert found.low == 0
    assert found.high < 0.35


def test_where_seeds_never_differ_it_is_1():
    found = noise_ceiling(np.repeat([[0.5], [0.7], [0.6]], 2, axis=1))
    assert (found.r2, found.single, found.noise) == (1, 1, 0)
    assert found.between == pytest.approx(0.1)


def test_where_means_do_not_differ_it_is_unknown():
    assert noise_ceiling(np.full((3, 2), 0.5)) is None
    assert noise_ceiling(np.array([[0.4, 0.6], [0.6, 0.4]])) is None


def test_without_repeats_it_is_unknown():
    assert (
        noise_ceiling([np.array([1.0]), np.array([2.0]), np.array([1.0, 2.0])]) is None
    )
