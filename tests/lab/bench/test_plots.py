"""The plots of a benchmark."""

from unittest import mock

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_invprune_lab.bench.plots import (
    CROWD,
    cliques,
    critical_difference,
    draw,
    mosaic,
)
from keras_invprune_lab.methods.base import METHODS
from reports import RECIPE, report, table_of


def test_epochs_are_drawn_where_there_are_curves_to_compare(tmp_path):
    reports = [
        report("d0", method, 0.5, c=c) | {"history": {"val_accuracy": [0.2, 0.6]}}
        for method, c in (("dense", None), ("omp", 8))
    ]
    one = tmp_path / "epochs-d0.png"
    assert draw(RECIPE, table_of(reports), reports, [], tmp_path) == [one]
    assert one.stat().st_size > 5000
    assert draw(RECIPE, table_of(reports[:1]), reports[:1], [], tmp_path) == []
    slashed = RECIPE.model_copy(update={"datasets": ["tfds:d0/letters"]})
    for one_report in reports:
        one_report["config"]["dataset"] = "tfds:d0/letters"
    (file,) = draw(slashed, table_of(reports), reports, [], tmp_path)
    assert file == tmp_path / "epochs-tfds-d0-letters.png" and file.exists()
    for one_report in reports:
        one_report["config"]["dataset"] = "d0"
    for found in reports:  # nothing learned anything
        found["history"]["val_accuracy"] = [0.1, 0.1]
    assert draw(RECIPE, table_of(reports), reports, [], tmp_path) == [one]


def test_a_crowd_has_its_legend_beside_and_no_room_for_one_far_below(tmp_path):
    names = [name for name in METHODS if METHODS[name].pruned]
    reports = [
        report("d0", name, 0.1 if number == 0 else 0.9 - 0.001 * number, c=c)
        for number, name in enumerate(names)
        for c in (8, 16)
    ]

    def drawn(methods):
        table = table_of(reports, methods)
        with mock.patch.object(Figure, "savefig", autospec=True) as save:
            draw(RECIPE, table, reports, [], tmp_path)
        (figure,) = (call.args[0] for call in save.call_args_list)
        return figure, *figure.axes

    figure, axes = drawn(names[: CROWD + 1])
    assert axes.get_ylim()[0] > 80 and axes.get_ylim()[1] > 89.9
    figure.canvas.draw()
    legend = axes.get_legend().get_window_extent()
    assert legend.x0 >= axes.get_window_extent().x1
    lines = [bars.lines[0] for bars in axes.containers]
    styles = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(styles) == len(lines) == CROWD + 1
    figure, axes = drawn(names[:CROWD])
    figure.canvas.draw()
    assert axes.get_ylim()[0] < 10
    assert axes.get_legend().get_window_extent().x0 < axes.get_window_extent().x1


def test_critical_difference_of_the_published_example():
    # Demšar 2006, section 3.2.3: four classifiers on fourteen data sets, 1.25.
    assert critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(20 / 84), 1e-3)


def test_cliques_are_the_longest_stretches_within_the_distance():
    ranks = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}
    assert cliques(ranks, 1.0) == [(1.0, 1.5), (1.5, 2.4)]
    assert cliques(ranks, 0.1) == []
    assert cliques(ranks, 9.0) == [(1.0, 4.0)]


def test_a_mosaic_has_one_tile_for_each_filter_and_gray_for_zero():
    filters = np.zeros((5, 2, 3, 1))
    filters[0] = -2.0
    picture = mosaic(filters)
    assert picture.shape == (2 * 3, 2 * 4, 1)
    np.testing.assert_array_equal(picture[1:3, 1:4], 0.0)
    np.testing.assert_array_equal(picture[4:6, 1:4], 0.5)
    np.testing.assert_array_equal(picture[0], 1.0)
