"""Figures of a classifier, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from keras_invprune_lab.training.metrics import scores


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_scikit_learns_in_both_orders_of_its_arguments(seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(40, 6))
    logits[:, 5] = -9.0  # never predicted
    y = np.append(generator.choice([0, 0, 0, 1, 2, 3], 39), 5)  # never 4
    predicted = logits.argmax(axis=1)
    assert 4 in predicted and 5 not in predicted
    found = scores(logits, y)
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(y, predicted),
            "balanced_accuracy": balanced_accuracy_score(y, predicted),
            "macro_precision": balanced_accuracy_score(predicted, y),
        }
    )
    assert len(set(found.values())) == 3


def test_figures_literal():
    predicted, y = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert scores(np.eye(2)[predicted], y) == pytest.approx(
        {
            "accuracy": 3 / 4,
            "balanced_accuracy": (2 / 2 + 1 / 2) / 2,
            "macro_precision": (2 / 3 + 1 / 1) / 2,
        }
    )
