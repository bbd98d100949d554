"""The plot of recovery draws the table: each copy, its mean over seeds, its network."""

import numpy as np

from keras_invprune_lab.structure.pruning.plots import recovery
from keras_invprune_lab.structure.pruning.table import FIELDS


def row(*values):
    return dict(zip(FIELDS, map(str, values), strict=True))


def test_each_curve_begins_with_the_network_and_is_the_mean_of_seeds():
    rows = [
        row(cell, seed, part, percent, epoch, base + seed + epoch)
        for cell, base in (("gru", 80), ("rnn-tanh", 60))
        for seed in (0, 1)
        for part, percent, last in (
            ("none", 0, 0),
            ("both", 10, 1),
            ("both", 20, 1),
            ("hidden_to_hidden", 100, 0),
        )
        for epoch in range(last + 1)
    ]
    found = {
        axes.get_title(): {
            line.get_label(): np.transpose(line.get_data()).tolist()
            for line in axes.lines
        }
        for axes in recovery(rows).axes
    }
    whole = [[-1, 60.5], [0, 60.5], [1, 61.5]]
    assert found["rnn-tanh, both"] == {"10 %": whole, "20 %": whole}
    assert found["gru, hidden to hidden"] == {"100 %": [[-1, 80.5], [0, 80.5]]}
    assert len(found) == 4


def test_a_cell_without_copies_of_a_part_has_an_empty_panel():
    rows = [row("gru", 0, "none", 0, 0, 90), row("lstm", 0, "none", 0, 0, 90)]
    rows += [row("lstm", 0, "both", 50, 0, 70)]
    panels = {axes.get_title(): axes.lines for axes in recovery(rows).axes}
    assert {title: len(lines) for title, lines in panels.items()} == {
        "gru, both": 0,
        "lstm, both": 1,
    }
