"""The plot of a path."""

import pytest

from keras_invprune.pruning.layer_path import LayerPath, Point
from keras_invprune_lab.bench.layer_plot import plot_path

POINTS = tuple(
    Point(strength, depth - 1, depth, {"loss": 0.1, "accuracy": share})
    for strength, depth, share in ((0.0, 8, 0.98), (1.0, 5, 0.97), (2.0, 3, 0.9))
)
PATH = LayerPath(None, POINTS, (), False)


def test_each_point_is_drawn(tmp_path):
    plot_path(PATH, tmp_path / "path.svg")
    text = (tmp_path / "path.svg").read_text()
    assert all(f"r = {strength}" in text for strength in (0, 1, 2))
    assert "accuracy" in text


def test_the_metric_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"no metric 'auc'. Known: \['accuracy', 'l"):
        plot_path(PATH, tmp_path / "path.svg", "auc")
