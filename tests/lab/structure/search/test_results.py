"""What the page of a campaign says."""

import numpy as np
import pytest

from keras_invprune_lab.structure.prediction.ceiling import noise_ceiling
from keras_invprune_lab.structure.search.campaign import Found
from keras_invprune_lab.structure.search.recipe import parse
from keras_invprune_lab.structure.search.results import page

RECIPE = parse("title: Small\nstrategies: [random]\ntrainings: 5\n")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([[0.5, 0.5], [0.7, 0.7], [0.6, 0.6]], "of 10.00 points between graphs."),
        ([[0.4, 0.7], [0.7, 0.41]], "of 0.00 points between graphs."),
    ],
)
def test_it_says_how_much_is_noise_also_if_all_or_none_is(runs, said):
    assert said in page(Found(RECIPE, {}, noise_ceiling(np.array(runs))))
