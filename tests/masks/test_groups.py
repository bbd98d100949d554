"""The fewest groups to remove, against a scan of all numbers of groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_invprune.graph.groups import Dependencies
from keras_invprune.masks.groups import TiedGroups, least_removed
from keras_invprune.patterns import Units


@given(
    prices=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    fixed=st.integers(0, 20),
    limit=st.integers(0, 200),
)
def test_least_removed_is_the_first_that_a_scan_finds(prices, fixed, limit):
    prices, count, asked = np.array(prices), len(prices), []

    def kept(share):
        asked.append(share)
        return {"group": np.arange(count) >= round(share * count)}

    def cost(masks):
        return fixed + float(prices[masks["group"]].sum())

    every = [kept(number / count) for number in range(count)]
    scanned = next((m for m in every if cost(m) <= limit), None)
    asked.clear()
    if scanned is None:
        assert least_removed(kept, cost, limit, count) is None
        return
    found = least_removed(kept, cost, limit, count)
    np.testing.assert_array_equal(found["group"], scanned["group"])
    assert len(asked) <= count.bit_length() + 1


def test_least_removed_forgives_rounding_of_equal_costs():
    masks = {"group": np.ones(3, bool)}
    found = least_removed(lambda _: masks, lambda _: 0.1 + 0.2, 0.3, 3)
    assert found is masks


def test_a_pattern_keeps_as_many_groups_as_it_rounds_to():
    groups = Dependencies({"first": 20, "second": 5}, {}, {})
    least = TiedGroups(Units(round_to=8), {}, groups).least()
    assert {key: int(kept.sum()) for key, kept in least.items()} == {
        "first": 8,
        "second": 5,
    }


def test_the_share_that_is_removed_is_that_of_groups_or_of_their_cost():
    axes = (None, np.arange(4))  # each column makes a group
    tied = Dependencies({"kernel": 4}, {"kernel": axes}, {"kernel": (1,)})
    mask = np.ones((3, 4))
    mask[:, 0] = 0
    grouped = TiedGroups(Units(), {"kernel": (3, 4)}, tied)
    assert grouped.removed({"kernel": mask}) == 0.25
    halved = TiedGroups(Units(), {"kernel": (3, 4)}, tied, lambda kept: 0.5)
    assert halved.removed({"kernel": mask}) == 0.5
