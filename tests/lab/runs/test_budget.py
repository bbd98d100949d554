"""Epochs and batch sizes that follow from the rows."""

import pytest

from keras_invprune_lab.runs.budget import budget, steps_of


@pytest.mark.parametrize(
    ("rows", "table", "expected"),
    [
        (676, True, (138, 32)),  # 22 steps: 69 epochs a phase are 1518
        (1999, True, (48, 32)),  # 63 steps: 24 epochs a phase are 1512
        (2000, True, (188, 128)),  # 16 steps: 94 epochs a phase are 1504
        (196045, True, (30, 128)),
        (1437, False, (30, 128)),
        (60000, False, (30, 128)),
    ],
)
def test_what_is_not_given_follows_from_the_rows(rows, table, expected):
    assert budget(rows, table) == expected


def test_what_is_given_is_kept():
    assert budget(676, True, epochs=4) == (4, 32)
    assert budget(676, True, batch_size=1) == (30, 1)  # 676 steps an epoch
    assert budget(676, True, batch_size=128) == (500, 128)  # 6 steps an epoch
    assert budget(676, True, epochs=4, batch_size=16) == (4, 16)


@pytest.mark.parametrize("rows", [2, 33, 690, 845, 4323, 10**6])
def test_a_phase_of_a_table_has_enough_steps_and_no_epoch_too_many(rows):
    epochs, batch_size = budget(rows, table=True)
    steps = steps_of(rows, batch_size)
    assert epochs % 2 == 0 and epochs // 2 * steps >= 1500
    assert epochs == 30 or (epochs // 2 - 1) * steps < 1500
