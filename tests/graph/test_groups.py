"""Dependency groups as arrays, against loops over single weights."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_invprune.graph.groups import STAYS, Dependencies


def a_residual_block():
    """Two families: `stem` and `out` make the first, `inner` the second.

    `stem` has two indices for each of its three groups, and one of them stays.
    """
    one, two = np.array([0, 1, 2]), np.array([3, 4])
    return Dependencies(
        families={"stem": 3, "inner": 2},
        axes={
            "stem": (None, np.array([2, 0, STAYS, 1, 1, 0, 2])),
            "inner": (one, two),
            "out": (two, one),
            "bias": (one,),
            "head": (np.array([0, 1, STAYS, 2]), None),
        },
        makers={"stem": (1,), "inner": (1,), "out": (1,)},
        readers=("head",),
    )


SHAPES = {"stem": (2, 7), "inner": (3, 2), "out": (2, 3), "bias": (3,), "head": (4, 2)}
MASKED = {key: shape for key, shape in SHAPES.items() if key != "bias"}


def drawn(seed, shapes=SHAPES):
    random = np.random.default_rng(seed)
    return {key: random.normal(size=shape) for key, shape in shapes.items()}


def numbers(groups):
    """Each family with the numbers of its groups."""
    names = [name for name, count in groups.families.items() for _ in range(count)]
    return {f: [i for i, x in enumerate(names) if x == f] for f in groups.families}


def value_of(groups, values, number):
    flat = np.concatenate([values[name] for name in groups.families])
    return 1 if number == STAYS else flat[number]


def along(groups, values, sides):
    """For each weight the product of its groups' values, one weight at a time."""
    found = {}
    for key, shape in MASKED.items():
        found[key] = np.ones(shape)
        for place in np.ndindex(*shape):
            for axis in sides(key):
                number = groups.axes[key][axis][place[axis]]
                found[key][place] *= value_of(groups, values, number)
    return found


@given(st.integers(0, 999))
def test_what_each_group_holds_is_gathered(seed):
    groups, arrays = a_residual_block(), drawn(seed)
    gathered = groups.gather(arrays)
    for family, members in numbers(groups).items():
        columns = []
        for number in members:
            held = []
            for key, (axis,) in groups.makers.items():
                for index in np.flatnonzero(groups.axes[key][axis] == number):
                    held += [*np.take(arrays[key], index, axis)]
            columns.append(held)
        np.testing.assert_array_equal(gathered[family], np.transpose(columns))


def test_rows_that_nothing_is_left_of_do_not_count():
    groups, arrays = a_residual_block(), drawn(0)
    left = {key: np.ones(shape, bool) for key, shape in SHAPES.items()}
    left["out"][1] = False  # its input has been removed from all
    left["stem"][0, 3] = False  # of this group alone
    gathered = groups.gather(arrays, left)
    expected = groups.gather(arrays)["stem"]
    np.testing.assert_array_equal(gathered["stem"], np.delete(expected, 5, 0))
    np.testing.assert_array_equal(gathered["inner"], groups.gather(arrays)["inner"])
    left["out"][:] = False  # of a weight that is empty, all counts
    np.testing.assert_array_equal(groups.gather(arrays, left)["stem"], expected)


@given(st.integers(0, 999))
def test_each_weight_gets_the_value_of_the_group_that_it_makes(seed):
    groups = a_residual_block()
    values = drawn(seed, {"stem": (3,), "inner": (2,)})
    expected = along(groups, values, lambda key: groups.makers.get(key, ()))
    for key, each in groups.spread(values, MASKED).items():
        np.testing.assert_allclose(each, expected[key], err_msg=key)


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.booleans())
def test_masks_are_on_both_sides(first, second):
    groups = a_residual_block()
    kept = {"stem": np.array(first), "inner": np.array([second, True])}
    expected = along(
        groups,
        kept,
        lambda key: [i for i, x in enumerate(groups.axes[key]) if x is not None],
    )
    for key, mask in groups.masks(kept, MASKED).items():
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, expected[key], err_msg=key)


def test_masks_of_numbers_stay_numbers():
    kept = {"stem": np.array([1.0, 0.5, 0.0]), "inner": np.ones(2)}
    masks = a_residual_block().masks(kept, {"inner": (3, 2)})
    np.testing.assert_array_equal(masks["inner"][:, 0], [1.0, 0.5, 0.0])


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.booleans())
def test_shapes_are_those_of_what_is_kept(first, second):
    groups = a_residual_block()
    kept = {"stem": np.array(first), "inner": np.array([second, True])}
    one, two = max(1, sum(first)), 1 + second  # one stays in any case
    assert groups.shapes(kept, SHAPES) == {
        "stem": (2, 2 * one + 1),
        "inner": (one, two),
        "out": (two, one),
        "bias": (one,),
        "head": (one + 1, 2),
    }


def test_a_weight_without_groups_is_kept_as_it_is():
    groups = Dependencies({}, {}, {})
    shapes = {"kernel": (2, 3)}
    assert groups.shapes({}, shapes) == shapes
    assert groups.masks({}, shapes)["kernel"].all()
    assert groups.gather({"kernel": np.ones((2, 3))}) == {}
