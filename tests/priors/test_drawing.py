import sys

import keras
import numpy as np
import pytest

import keras_invprune as kip
from graphs import GRAPH, rows
from keras_invprune import priors
from keras_invprune.priors.drawing import KEPT, PRUNED

pytest.importorskip("matplotlib")
X, Y = rows(8, 3), rows(8, 2, seed=1)


def pruned(sparsity=0.7):
    model = kip.prune(priors.feed_forward(GRAPH, 3, 2), sparsity, schedule="one_shot")
    model.compile("sgd", "mse")
    return model


def curves(figure):
    """{color: number of lines}"""
    from matplotlib.colors import to_hex

    drawn = figure.axes[0].collections[:2]
    return {
        to_hex(c.get_edgecolor()[0]): len(c.get_segments())
        for c in drawn
        if len(c.get_segments())
    }


def color(name):
    from matplotlib.colors import to_hex

    return to_hex(name)


def test_each_edge_is_a_curve_and_each_node_a_point_in_its_layer(tmp_path):
    figure = priors.draw(GRAPH)
    assert curves(figure) == {color(KEPT): 7}
    places = figure.axes[0].collections[2].get_offsets()
    assert sorted(places[:, 0]) == [0, 0, 1, 1, 2, 3]
    assert len(set(map(tuple, places))) == 6
    figure.savefig(tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 1000


def test_edges_begin_and_end_at_nodes():
    figure = priors.draw(GRAPH)
    places = {tuple(p) for p in np.asarray(figure.axes[0].collections[2].get_offsets())}
    for line in figure.axes[0].collections[1].get_segments():
        assert {tuple(line[0]), tuple(line[-1])} <= places
        assert line[0][0] < line[-1][0]


def test_what_was_pruned_is_gray():
    model = priors.feed_forward(GRAPH, 3, 2)
    kernel = model.get_layer("layer_1").kernel
    kernel.assign(np.zeros(kernel.shape))  # the edges 0-2, 1-2 and 0-5
    assert curves(priors.draw(model)) == {color(KEPT): 4, color(PRUNED): 3}


def test_tensorboard_gets_a_picture_whenever_the_graph_changes(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator as events

    model = pruned()
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[priors.GraphBoard(tmp_path)])
    found = events.EventAccumulator(str(tmp_path / "graph"), {"tensors": 0}).Reload()
    steps = [event.step for event in found.Tensors("graph")]
    counts = [
        int(np.frombuffer(e.tensor_proto.tensor_content, "f4")[0])
        for e in found.Tensors("edges")
    ]
    assert len(counts) == 5 and counts[0] == 7 > counts[-1]
    changes = [0, *(i for i in range(1, 5) if counts[i] != counts[i - 1])]
    assert steps == changes and len(steps) == 2


def test_other_models_are_refused_before_training(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no such kernel"):
        model.fit(X, Y, verbose=0, callbacks=[priors.GraphBoard(tmp_path)])
    with pytest.raises(
        TypeError, match="takes a networkx.Graph, or a Keras model.*str"
    ):
        priors.draw("graph")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[structure\]'"):
        priors.draw(GRAPH)
    with pytest.raises(ImportError, match=r"pip install '\.\[structure\]'"):
        priors.GraphBoard("logs")
