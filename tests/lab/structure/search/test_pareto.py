"""Fronts and crowding, against their definitions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune_lab.structure.search.pareto import crowding, ranks

POINTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15
).map(np.array)


@given(POINTS)
def test_fronts_are_what_stays_when_the_better_ones_leave(points):
    found, left, number = ranks(points), set(range(len(points))), 0
    while left:
        front = {
            i
            for i in left
            if not any(
                all(points[j] >= points[i]) and any(points[j] > points[i]) for j in left
            )
        }
        assert front == {i for i in left if found[i] == number}
        left, number = left - front, number + 1


def test_crowding_is_the_sum_of_the_gaps():
    points = np.array([[0, 10], [1, 8], [4, 4], [10, 0]], float)
    found = crowding(points, np.zeros(4, int))
    np.testing.assert_allclose(found[1:3], [4 / 10 + 6 / 10, 9 / 10 + 8 / 10])
    assert np.isinf(found[[0, 3]]).all()


def test_each_front_is_crowded_by_itself():
    points = np.array([[0, 0], [5, 5], [1, 1]], float)
    assert np.isinf(crowding(points, ranks(points))).all()
