import keras
import networkx as nx
import numpy as np
import pytest

import keras_invprune as kip
from graphs import GRAPH, assert_same, rows
from keras_invprune import priors
from keras_invprune.compaction.rules.recurrent import GATES
from keras_invprune.priors import Tokens, layered, recurrent

CELLS = {"simple": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
X = rows(4, 5, 3)
Y = rows(4, 2, seed=1)
every_cell = pytest.mark.parametrize("cell", CELLS)


def masks_by_gate(layer):
    """Where the kernel of a recurrent layer is not zero: [gates, inputs, units]."""
    kernel = layer.cell.kernel.numpy()
    gates = GATES[type(layer).__name__]
    # Keras splits the last axis into equal stretches, one for each gate.
    return np.stack(np.split(kernel != 0, gates, axis=1))


@every_cell
def test_each_gate_has_the_whole_mask(cell):
    layers = layered(GRAPH)
    model = recurrent(GRAPH, 3, 2, cell=cell)
    for (s, t), mask in layers.masks.items():
        own = f"layer_{t}" if s == t - 1 else f"layer_{t}_skip_{s}"
        found = masks_by_gate(model.get_layer(own))
        np.testing.assert_array_equal(found, np.broadcast_to(mask, found.shape))


def test_the_authors_repetition_would_not_honor_the_mask():
    # np.repeat, as in their code, against np.tile: for one gate both are the mask.
    mask = layered(GRAPH).masks[0, 1]
    for gates in (1, 3, 4):
        repeated, tiled = (
            np.stack(np.split(each, gates, axis=1))
            for each in (np.repeat(mask, gates, 1), np.tile(mask, gates))
        )
        assert (tiled == mask).all()
        assert (repeated == mask).all() == (gates == 1)


@every_cell
def test_a_unit_depends_on_those_that_it_reads_alone(cell):
    model = recurrent(GRAPH, 3, 2, cell=cell)
    layer = model.get_layer("layer_1")  # nodes 2 and 5 read nodes 0 and 1
    layer.cell.recurrent_kernel.assign(np.zeros(layer.cell.recurrent_kernel.shape))
    x = rows(1, 4, 2)
    for node, changed in ((0, [True, True]), (1, [True, False])):
        other = x.copy()
        other[..., node] += 1
        differs = np.asarray(layer(x) != layer(other)).any((0, 1))
        assert differs.tolist() == changed


@pytest.mark.parametrize("skip", ["before", "after"])
def test_simple_cells_compute_this(skip):
    model = recurrent(GRAPH, 3, 2, skip=skip)
    layers, states = layered(GRAPH), []

    def run(name, x):
        kernel, states_kernel, bias = model.get_layer(name).get_weights()
        h, found = np.zeros((len(x), len(bias))), []
        for step in range(x.shape[1]):
            h = np.tanh(x[:, step] @ kernel + h @ states_kernel + bias)
            found.append(h)
        return np.stack(found, 1)

    states.append(run("layer_0", X))
    for t in range(1, len(layers.nodes)):
        sources = layers.sources(t)
        if skip == "before":
            read = np.concatenate([states[s] for s in sources], -1)
            states.append(run(f"layer_{t}", read))
        else:
            names = {s: f"layer_{t}" + f"_skip_{s}" * (s != t - 1) for s in sources}
            states.append(sum(run(names[s], states[s]) for s in sources))
    kernel, bias = model.get_layer("outputs").get_weights()
    expected = states[-1][:, -1] @ kernel + bias
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)


@every_cell
def test_absent_connections_stay_zero(cell, tmp_path):
    skip = "after" if cell == "simple" else "before"
    model = recurrent(GRAPH, 3, 2, cell=cell, skip=skip)
    before = model.get_weights()
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(X, Y, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert_same(priors.graph_of(model), priors.oriented(GRAPH))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X), model(X))
    assert_same(priors.graph_of(again), priors.oriented(GRAPH))


@every_cell
def test_it_is_pruned_stripped_and_compacted(cell):
    graph = nx.Graph([*GRAPH.edges, (0, 6), (6, 7), (7, 8)])  # layer 1 is {2, 5, 6}
    model = recurrent(graph, 3, 2, cell=cell)
    # Node 2 reads nothing and has no other states, so it is always zero.
    cell_of_2 = model.get_layer("layer_1").cell
    cell_of_2.recurrent_kernel.assign(np.zeros(cell_of_2.recurrent_kernel.shape))
    reads = cell_of_2.kernel.numpy()
    reads[:, 0::3] = 0
    cell_of_2.kernel.assign(reads)
    pruned = kip.prune(model, 0.3, schedule="manual")
    pruned.prune_to(0.3)
    stripped = kip.strip_pruning(pruned)
    assert 2 in priors.graph_of(stripped)
    small = kip.compact(stripped)
    np.testing.assert_allclose(small(X), stripped(X), rtol=1e-4, atol=1e-5)
    assert set(graph) - set(priors.graph_of(small)) == {2, 5}  # 5 is read by none
    assert small.get_layer("layer_1").units == 1


def test_it_is_exported(tmp_path):
    model = recurrent(GRAPH, 3, 2, skip="before")
    choices = {"formats": ("tflite",), "batch_size": 1}  # a loop needs a fixed one
    done = kip.export(model, tmp_path / "out", data=X, **choices)
    assert "tflite" in str(done)


def test_tokens_are_embedded_and_padding_may_be_masked():
    tokens = np.array([[5, 3, 2, 0, 0], [5, 3, 2, 0, 0]], "int32")
    short = tokens[:, :3]
    reads = recurrent(GRAPH, Tokens(9), 2)
    assert reads.get_layer("embedding").output_dim == 2  # the nodes of layer 0
    assert np.any(np.abs(reads(tokens) - reads(short)) > 1e-4)
    skips = recurrent(GRAPH, Tokens(9, size=4, masked=True), 2)
    assert skips.get_layer("embedding").output_dim == 4
    np.testing.assert_allclose(skips(tokens), skips(short), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"cell": "gruu"}, "Unknown cell: 'gruu'. Did you mean 'gru'"),
        ({"cell": "LSMT"}, "Did you mean 'lstm'"),
        ({"inputs": Tokens(0)}, "`vocabulary` must be a positive integer"),
        ({"inputs": Tokens(5, 0)}, "`size` must be a positive integer"),
        ({"inputs": "abc"}, "`inputs` must be a positive integer"),
        ({"skip": "never"}, "`skip` must be"),
        ({"activation": "tan"}, "'tan'. Did you mean 'tanh'"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        recurrent(GRAPH, **{"inputs": 3, "outputs": 2, **given})


def test_numbers_of_numpy_will_do():
    sizes = np.array([9, 4, 2])
    model = priors.recurrent(GRAPH, priors.Tokens(*sizes[:2]), sizes[2])
    assert model.get_layer("embedding").get_config()["output_dim"] == 4
    assert priors.recurrent(GRAPH, sizes[0], sizes[2]).input_shape == (None, None, 9)
