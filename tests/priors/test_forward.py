import keras
import networkx as nx
import numpy as np
import pytest

import keras_invprune as kip
from graphs import GRAPH, assert_same, reads_of, rows
from keras_invprune import priors
from keras_invprune.graph.connections import Connections
from keras_invprune.graph.weights import weights_by_key

DENSE = priors.make("watts-strogatz", n=12, k=4, seed=1)
PLACES = ["before", "after"]
X = rows(16, 3)
Y = rows(16, 2, seed=1)
both = pytest.mark.parametrize("skip", PLACES)


def relu(x):
    return np.maximum(x, 0)


def constrained(model):
    """The kernels of certain connections."""
    return [
        (variable.constraint, variable.numpy())
        for _, variable in weights_by_key(model).values()
        if isinstance(variable.constraint, Connections)
    ]


def shake(model, seed=0):
    """Other weights, biases as well."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        value = random.normal(size=weight.shape)
        limit = weight.constraint
        weight.assign(value if limit is None else np.where(limit.mask, value, 0))
    return model


def by_nodes(graph, model, x, skip):
    """The outputs, node by node, from the edges' weights."""
    w = {layer.name: layer for layer in model.layers}
    levels = {}
    for node, read in reads_of(graph).items():
        levels[node] = max((levels[u] + 1 for u in read), default=0)
    place = {
        v: sorted(u for u in graph if levels[u] == levels[v]).index(v) for v in graph
    }
    states = {}
    for node in sorted(graph, key=lambda v: (levels[v], v)):
        level, parts = levels[node], {}
        name = f"layer_{level}"
        for u in reads_of(graph)[node]:
            parts.setdefault(levels[u], []).append(u)
        if level == 0:
            kernel, bias = (each[..., place[node]] for each in w[name].get_weights())
            states[node] = relu(x @ kernel + bias)
        elif skip == "before":
            kernel, bias = (each[..., place[node]] for each in w[name].get_weights())
            sources = w[name].kernel_constraint.sources.tolist()
            total = sum(
                states[u] * kernel[sources.index(u)] for p in parts.values() for u in p
            )
            states[node] = relu(total + bias)
        else:
            total = 0.0
            # every layer that some node of this layer reads adds a part with its bias
            for s in range(level):
                own = name if s == level - 1 else f"{name}_skip_{s}"
                if own in w:
                    kernel, bias = (e[..., place[node]] for e in w[own].get_weights())
                    z = sum(states[u] * kernel[place[u]] for u in parts.get(s, []))
                    total = total + relu(z + bias)
            states[node] = total
    last = max(levels.values())
    h = np.stack([states[v] for v in sorted(graph) if levels[v] == last], axis=1)
    kernel, bias = w["outputs"].get_weights()
    return h @ kernel + bias


@both
@pytest.mark.parametrize("graph", [GRAPH, DENSE], ids=["small", "watts-strogatz"])
def test_each_node_is_a_unit_that_reads_its_neighbors(graph, skip):
    model = shake(priors.feed_forward(graph, 3, 2, skip=skip))
    expected = by_nodes(graph, model, X.astype("float64"), skip)
    np.testing.assert_allclose(model(X), expected, rtol=1e-3, atol=1e-3)


@both
def test_the_layers_are_ordinary(skip):
    model = priors.feed_forward(GRAPH, (2, 2), 2, skip=skip, normalize=True)
    kinds = {type(layer).__module__.split(".")[0] for layer in model.layers}
    assert kinds == {"keras"}
    assert model.input_shape == (None, 2, 2)
    normal = keras.layers.LayerNormalization
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert sum(isinstance(x, normal) for x in model.layers) == len(dense) - 1


@both
def test_all_nodes_may_be_read(skip):
    model = priors.feed_forward(GRAPH, 3, 2, skip=skip, readout="all")
    assert model.get_layer("outputs").kernel.shape == (len(GRAPH), 2)
    assert_same(priors.graph_of(model), priors.oriented(GRAPH))
    shake(model)
    kernel, _ = model.get_layer("outputs").get_weights()
    last = priors.feed_forward(GRAPH, 3, 2, skip=skip)
    kernel[:-1] = 0  # but for node 4, the last layer
    model.get_layer("outputs").kernel.assign(kernel)
    for layer in last.layers:
        if layer.weights:
            layer.set_weights(
                model.get_layer(layer.name).get_weights()
                if layer.name != "outputs"
                else [kernel[-1:], model.get_layer("outputs").bias]
            )
    np.testing.assert_allclose(model(X), last(X), rtol=1e-4, atol=1e-5)


def test_the_seed_decides():
    one, same, other = (priors.feed_forward(GRAPH, 3, 2, seed=s)(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_signals_keep_their_size():
    # over the inputs that there are: over those of a dense kernel, they would vanish
    graph = priors.make("erdos-renyi", n=150, p=0.1)
    model = priors.feed_forward(graph, 64, 2, activation="linear")
    last = keras.Model(model.input, model.layers[-2].output)
    assert len(priors.layered(graph).nodes) > 15
    assert 0.3 < np.mean(np.square(last(rows(64, 64)))) < 3


@both
def test_a_large_graph_is_built(skip):
    graph = priors.make("barabasi-albert", n=2000, m=1)
    model = priors.feed_forward(graph, 8, 2, skip="before")
    assert_same(priors.graph_of(model), priors.oriented(graph))


def in_a_loop(model):
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X) - Y) ** 2)
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))


def fitted(optimizer="adam", **options):
    def train(model):
        model.compile(optimizer, "mse", **options)
        model.fit(X, Y, batch_size=8, verbose=0)

    return train


def proximal(model):
    operator = kip.proximal.L1({"layer_1": 0.01})
    fitted(kip.proximal.Proximal(keras.optimizers.SGD(0.1), operator))(model)


TRAININGS = {
    "fit": fitted(keras.optimizers.AdamW(0.1, weight_decay=0.1)),
    "xla": fitted(jit_compile=True),
    "loop": in_a_loop,
    "proximal": proximal,
}


@pytest.mark.parametrize("training", TRAININGS)
def test_absent_connections_stay_zero(training):
    model = priors.feed_forward(GRAPH, 3, 2, skip="after", activation="tanh")
    before = [kernel for _, kernel in constrained(model)]
    TRAININGS[training](model)
    moved = 0
    for (connections, kernel), old in zip(constrained(model), before, strict=True):
        assert not kernel[~connections.mask].any()
        moved += (kernel != old).sum()
    assert moved > 5


def test_absent_connections_stay_zero_on_replicas_in_mixed_precision(strategy):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        with strategy.scope():
            model = priors.feed_forward(GRAPH, 3, 2)
            model.compile("sgd", "mse", jit_compile=False)
        before = model.get_weights()
        model.fit(X, Y, batch_size=8, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert any(
        (new != old).any() for new, old in zip(model.get_weights(), before, strict=True)
    )
    for connections, kernel in constrained(model):
        assert not kernel[~connections.mask].any()


@pytest.mark.parametrize("schedule", ["gradual", "one_shot", "at_init"])
def test_a_sparsity_below_that_of_the_graph_warns_and_keeps_the_graph(caplog, schedule):
    graph = priors.make("watts-strogatz", n=20, seed=0)
    model = priors.feed_forward(graph, 3, 2)
    kernels = [layer.kernel for layer in model.layers if layer.weights][:-1]
    absent = sum(int((k.numpy() == 0).sum()) for k in kernels)
    absent /= sum(k.numpy().size for k in kernels)
    half = (1 + absent) / 2
    pruned = kip.prune(model, absent - 0.05, schedule=schedule)
    assert f"Nothing is left to prune: {half:.4g} removes half" in caplog.text
    pruned.compile("sgd", "mse")
    pruned.fit(X, Y, epochs=2, batch_size=2, verbose=0)
    assert pruned.finished and pruned.sparsity == pytest.approx(absent)
    assert_same(priors.graph_of(kip.strip_pruning(pruned)), priors.oriented(graph))
    pruned = kip.prune(model, half, schedule="manual")
    pruned.prune_to(half)
    with pytest.raises(ValueError, match="cannot come back"):
        pruned.prune_to(absent + 0.01)
    living = sum(np.count_nonzero(k) for k in pruned.masked.prunable.values())
    before = sum(np.count_nonzero(k) for k in kernels)
    assert living == pytest.approx(before / 2, abs=1)


@both
def test_it_is_saved_pruned_stripped_and_compacted(skip, tmp_path):
    graph = nx.Graph(GRAPH)
    model = priors.feed_forward(graph, 3, 2, skip=skip)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X), model(X))
    pruned = kip.prune(again, 0.6, schedule="one_shot")
    pruned.compile(keras.optimizers.Adam(0.1), "mse")
    pruned.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    left = priors.graph_of(pruned)
    stripped = kip.strip_pruning(pruned)
    assert_same(priors.graph_of(stripped), left)
    assert set(left.edges) < set(priors.oriented(graph).edges)
    small = kip.compact(stripped)
    np.testing.assert_allclose(small(X), stripped(X), rtol=1e-4, atol=1e-5)
    assert small.count_params() < stripped.count_params()
    found = priors.graph_of(small)
    assert 5 not in found and set(found.edges) <= set(left.edges)  # 5 leads nowhere
    # The smaller kernels have the connections that are theirs, also from a file.
    fitted()(small)
    for connections, kernel in constrained(small):
        assert not kernel[~connections.mask].any()
    small.save(tmp_path / "small.keras")
    assert_same(
        priors.graph_of(keras.models.load_model(tmp_path / "small.keras")), found
    )


def test_it_is_exported(tmp_path):
    model = priors.feed_forward(GRAPH, 3, 2)
    done = kip.export(model, tmp_path / "out", data=X, formats=("tflite",))
    assert "tflite" in str(done)


def on_weights_alone(model):
    """The constraints are those of the weights, and in no layer's config."""
    for layer in model.layers:
        if vars(layer).get("kernel_constraint") is not None:
            layer.kernel_constraint = None
    return model


@pytest.mark.parametrize("place", [shake, lambda model: on_weights_alone(shake(model))])
def test_merged_layers_have_the_connections_of_both(place):
    graph = nx.Graph([(0, 2), (1, 3), (2, 4), (3, 4), (3, 5)])  # in which none skips
    model = place(priors.feed_forward(graph, 3, 2))
    for variable in model.get_layer("layer_1").weights:  # only its ReLU does nothing
        variable.assign(np.abs(variable))
    merged = kip.merge_layers(model)
    assert merged.depth[1] < merged.depth[0]
    np.testing.assert_allclose(merged.model(X), model(X), rtol=1e-4, atol=1e-5)
    expected = nx.DiGraph([(0, 4), (1, 4), (1, 5)])
    assert_same(priors.graph_of(merged.model), expected)
    fitted()(merged.model)
    assert_same(priors.graph_of(merged.model), expected)


@pytest.mark.parametrize("positive", ["layer_0", "layer_1"])
def test_a_merged_layer_is_initialized_as_its_second_layer_was(positive):
    model = shake(priors.feed_forward(nx.path_graph(3), 3, 2, seed=1))
    for variable in model.weights:  # only its ReLU does nothing
        size = np.abs(variable)
        variable.assign(size if variable.path.startswith(positive) else -size)
    merged = kip.merge_layers(model, nonnegative_inputs=True, data=np.abs(X)).model
    assert positive not in {layer.name for layer in merged.layers}
    second = f"layer_{int(positive[-1]) + 1}"
    before, after = (m.get_layer(second).kernel_initializer for m in (model, merged))
    assert (after.scale, after.seed) == (before.scale, before.seed)


def test_connections_that_were_set_on_weights_are_cut_with_them():
    model = on_weights_alone(shake(priors.feed_forward(GRAPH, 3, 2)))
    small = kip.compact(model)
    left = priors.oriented(GRAPH)
    left.remove_node(5)  # it leads nowhere
    assert_same(priors.graph_of(small), left)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"skip": "sum"}, "`skip` must be 'before' or 'after'.*'sum'"),
        ({"readout": "first"}, "`readout` must be 'last' or 'all'.*'first'"),
        ({"activation": "rellu"}, "`activation` must be.*'rellu'. Did you mean 'relu'"),
        ({"activation": None}, "`activation` must be.*None. Did you mean 'linear'"),
        ({"activation": keras.ops.relu}, "`activation` must be the name of.*function"),
        ({"inputs": True}, "`inputs` must be a positive integer.*True"),
        ({"inputs": 0}, "`inputs` must be a positive integer.*0"),
        ({"inputs": (8, None)}, "`inputs` must be a positive integer.*None"),
        ({"outputs": 2.5}, "`outputs` must be a positive integer.*2.5"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        priors.feed_forward(GRAPH, **{"inputs": 3, "outputs": 2, **given})


def test_numbers_of_numpy_will_do():
    sizes = np.array([3, 2])
    model = priors.feed_forward(GRAPH, tuple(sizes), sizes[1])
    assert model.input_shape == (None, 3, 2) and model.output_shape == (None, 2)
    assert keras.models.model_from_json(model.to_json()).output_shape == (None, 2)


@pytest.mark.parametrize("schedule", ["rewire", "manual"])
def test_methods_that_move_connections_are_refused(schedule):
    model = priors.feed_forward(GRAPH, 3, 2)
    with pytest.raises(ValueError, match="made from a graph are fixed.*only removes"):
        kip.prune(model, 0.5, score="rigl", schedule=schedule)


@pytest.mark.parametrize("score", ["dst", "gumbel", "movement", "random"])
@pytest.mark.parametrize("sparsity", [0.2, 0.9])
def test_absent_connections_are_removed_first_whatever_their_scores(score, sparsity):
    model = priors.feed_forward(DENSE, 3, 2, activation="tanh")
    absent = sum((~connections.mask).sum() for connections, _ in constrained(model))
    pruned = kip.prune(model, sparsity, score=score, schedule="manual")
    pruned.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    pruned.fit(X, Y, batch_size=8, verbose=0)
    pruned.prune_to(sparsity)
    kept = {key: mask.numpy() != 0 for key, mask in pruned.masks.items()}
    size = sum(mask.size for mask in kept.values())
    weights = weights_by_key(pruned.inner)
    for key, mask in kept.items():
        if isinstance(weights[key].variable.constraint, Connections):
            assert not (mask & ~weights[key].variable.constraint.mask).any()
    left = min(size - absent, round((1 - sparsity) * size))
    assert sum(mask.sum() for mask in kept.values()) == left


def test_shares_far_below_that_of_the_graph_follow_each_other(caplog):
    pruned = kip.prune(priors.feed_forward(DENSE, 3, 2), 0.2, schedule="manual")
    pruned.prune_to(0.1)
    absent = pruned.sparsity
    pruned.prune_to(0.2)
    assert pruned.finished and pruned.sparsity == absent > 0.2
    assert "or a graph has fewer connections" in caplog.text


def test_tied_units_are_ranked_by_the_weights_that_they_have():
    model = priors.feed_forward(DENSE, 3, 2, activation="tanh", readout="all")
    pruned = kip.prune(model, 0.6, pattern="units", score="gumbel", schedule="manual")
    pruned.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    pruned.fit(X, Y, batch_size=8, verbose=0)
    weights = {key: v.numpy() for key, v in pruned.masked.prunable.items()}
    expected = pruned.plan.masks(weights, pruned, 0.6)
    pruned.prune_to(0.6)
    for key, mask in pruned.masks.items():
        np.testing.assert_array_equal(mask, expected[key])


@pytest.mark.parametrize("score", ["movement", "magnitude"])
def test_nobody_is_warned_that_absent_connections_may_come_back(score, caplog):
    model = priors.feed_forward(DENSE, 3, 2)
    kip.prune(model, 0.1, score=score, schedule="manual")
    assert "may come back" not in caplog.text
    kernel = model.get_layer("layer_0").kernel
    kernel.assign(np.where(np.arange(3)[:, None] == 1, 0, kernel))
    kip.prune(model, 0.1, score=score, schedule="manual")
    assert "may come back" in caplog.text
