"""The paper's protocol, against a transcription of its steps."""

import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import train_test_split

from keras_invprune_lab.structure.prediction.protocol import paper_protocol


def test_it_scales_by_all_rows_and_tests_on_a_tenth():
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 4))
    y = x @ [1.0, 2.0, 0.0, 0.0] + random.normal(size=40)
    done = []
    found = paper_protocol(x, y, 8, lambda: done.append(1))
    assert len(done) == 8
    ridge = next(one for one in found if one.predictor == "bayesian-ridge")
    assert ridge.tests == 4
    scaled = (x - x.min(0)) / np.ptp(x, axis=0)
    a, b, c, d = train_test_split(scaled, y, test_size=0.1, random_state=7)
    expected = BayesianRidge().fit(a, c).score(b, d)
    assert ridge.authors == pytest.approx(expected)
    assert ridge.quantiles == tuple(np.quantile(ridge.r2, [0.1, 0.5, 0.9]))
    assert {len(one.r2) for one in found} == {8}


def test_with_few_splits_that_of_the_authors_is_unknown():
    x = np.arange(30.0)[:, None]
    assert all(np.isnan(one.authors) for one in paper_protocol(x, x[:, 0], 2))
