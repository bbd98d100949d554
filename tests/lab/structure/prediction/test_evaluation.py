"""Folds, scores and intervals, against independent computations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from keras_invprune_lab.structure.prediction.evaluation import (
    Folds,
    corrected_interval,
    importances,
    kendall,
    out_of_fold,
    regrets,
    scores,
)
from keras_invprune_lab.structure.prediction.predictors import PREDICTORS, pipeline


def test_no_group_is_on_both_sides_and_each_row_is_tested_once():
    groups = np.random.default_rng(0).integers(25, size=80)
    folds = Folds.draw(groups, 5, 3)
    for repeat in range(3):
        tested = np.concatenate(folds.tests[repeat])
        assert sorted(tested) == list(range(80))
    for _, train, test in folds.splits():
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 80
    assert not np.array_equal(folds.tests[0][0], folds.tests[1][0])
    assert folds.ratio == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("folds, repeats", [(1, 1), (3, 0), (6, 1)])
def test_too_few_graphs_folds_or_repeats_are_refused(folds, repeats):
    with pytest.raises(ValueError, match=f"{folds} folds, {repeats} repeats, 5 graphs"):
        Folds.draw(np.array([0, 1, 2, 3, 4, 4]), folds, repeats)


class _Nearest:
    """Memorizes its rows: perfect on a row it has seen."""

    def fit(self, x, y):
        self.x, self.y = x, y
        return self

    def predict(self, x):
        return self.y[np.abs(self.x[:, 0][None] - x[:, :1]).argmin(axis=1)]


def test_a_memory_is_of_no_use_on_twins_of_one_group():
    random = np.random.default_rng(0)
    x = np.repeat(random.permutation(40).astype(float), 2)[:, None]
    y = np.repeat(random.normal(size=40), 2)
    groups = np.repeat(np.arange(40), 2)
    apart = Folds.draw(groups, 5, 1)
    together = Folds.draw(np.arange(80), 5, 1)
    honest = scores(y, out_of_fold(_Nearest, x, y, apart), groups, apart)
    leaking = scores(y, out_of_fold(_Nearest, x, y, together), groups, together)
    assert honest.r2 < 0.2 < 0.5 < leaking.r2


def test_perfect_predictions_have_perfect_scores():
    y = np.random.default_rng(0).normal(size=30)
    folds = Folds.draw(np.arange(30), 5, 2)
    found = scores(y, np.stack([y, y]), np.arange(30), folds)
    assert found.r2 == found.r2_low == found.fold_r2 == found.fold_r2_high == 1
    assert found.tau == pytest.approx(1)
    assert found.regret == found.mean_regret == found.r2_spread == 0


def test_the_bootstrap_interval_is_about_that_of_theory():
    # The interval of Pearson's r by Fisher's z, squared, where R² is about r².
    random = np.random.default_rng(0)
    y = random.normal(size=400)
    x = y + random.normal(size=400)
    said = LinearRegression().fit(x[:, None], y).predict(x[:, None])
    folds = Folds.draw(np.arange(400), 10, 1)
    found = scores(y, said[None], np.arange(400), folds)
    z = np.arctanh(np.corrcoef(x, y)[0, 1])
    low, high = np.tanh(z + np.array([-1.96, 1.96]) / np.sqrt(397)) ** 2
    assert found.r2_low == pytest.approx(low, abs=0.03)
    assert found.r2_high == pytest.approx(high, abs=0.03)
    assert found.tau_low < found.tau < found.tau_high


def test_twins_do_not_make_the_interval_narrower():
    random = np.random.default_rng(0)
    y = random.normal(size=60)
    said = y + random.normal(size=60)
    folds = Folds.draw(np.arange(60), 5, 1)
    alone = scores(y, said[None], np.arange(60), folds)
    y, said, groups = (np.repeat(v, 4) for v in (y, said, np.arange(60)))
    twins = scores(y, said[None], groups, Folds.draw(groups, 5, 1))
    width = alone.r2_high - alone.r2_low
    assert twins.r2_high - twins.r2_low == pytest.approx(width, rel=0.15)


def test_the_corrected_interval_is_that_of_nadeau_and_bengio():
    values = np.array([0.5, 0.7, 0.6, 0.4])
    low, high = corrected_interval(values, 1 / 9)
    error = values.std(ddof=1) * np.sqrt(1 / 4 + 1 / 9)
    expected = stats.t.interval(0.95, 3, values.mean(), error)
    np.testing.assert_allclose((low, high), expected)


def test_regret_is_what_the_chosen_lack():
    y = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    said = np.array([0.0, 9.0, 0.0, 0.0, 8.0])  # chooses 4 and 1
    assert regrets(y, said, top=2) == (1.0, 2.0)
    assert regrets(y, y, top=2) == (0.0, 0.0)


def test_tau_of_equal_predictions_is_zero():
    assert kendall(np.arange(5.0), np.ones(5)) == 0
    assert kendall(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)


def test_only_the_feature_that_matters_is_important():
    x = np.random.default_rng(0).normal(size=(80, 3))
    folds = Folds.draw(np.arange(80), 4, 2)
    falls = importances(LinearRegression, x, 3 * x[:, 1], folds)
    assert falls.shape == (4, 3)
    assert falls[:, 1].min() > 1
    np.testing.assert_allclose(falls[:, [0, 2]], 0, atol=1e-9)


@pytest.mark.parametrize("name", PREDICTORS)
def test_each_predictor_learns_whatever_the_units(name):
    # Targets as small as differences between accuracies, features of large numbers.
    x = 1e4 * np.random.default_rng(0).normal(size=(120, 3))
    y = 0.9 + 1e-7 * x[:, 0]
    folds = Folds.draw(np.arange(120), 4, 1)
    found = out_of_fold(lambda: pipeline(name, 0), x, y, folds)
    assert np.corrcoef(found[0], y)[0, 1] > 0.9
    again = out_of_fold(lambda: pipeline(name, 0), x, y, folds)
    np.testing.assert_array_equal(found, again)


def test_an_unknown_predictor_gets_a_near_name():
    with pytest.raises(ValueError, match="extra-trees"):
        pipeline("extra_tree", 0)
