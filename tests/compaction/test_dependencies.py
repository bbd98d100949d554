"""Units that can only be removed together: found, masked on both sides, removed."""

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import layers, ops

import keras_invprune as kip
from compactions import assert_same_outputs, sparse
from drawn_networks import (
    drawn_graph,
    drawn_network,
    on_maps,
    on_steps,
    on_vectors,
)
from keras_invprune.compaction.dependencies import dependencies
from keras_invprune.graph.groups import STAYS
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.graph.weights import shapes_of, weights_by_key
from keras_invprune.patterns import Units

PHASES = Phase.generate, Phase.shrink  # to explain a failure takes minutes


def found(model, select=None):
    """The groups of a model whose every weight may be masked, unless it is frozen."""
    weights = weights_by_key(model)
    selected = prunable_weights(model, select, weights)
    every = prunable_weights(model, lambda *_: True, weights)
    return dependencies(model, weights, selected, every)


def holds(groups, key, axis, family):
    """The indices of an axis that each group of a family holds."""
    start = 0
    for name, count in groups.families.items():
        if name == family:
            break
        start += count
    along = groups.axes[key][axis]
    return [np.flatnonzero(along == start + i).tolist() for i in range(count)]


def each(count):
    return [[i] for i in range(count)]


def shapes(model):
    return shapes_of(weights_by_key(model))


def check_removed(model, pruned, tolerance=1e-5):
    """Compaction removes exactly the groups that are masked; outputs stay the same."""
    tied = pruned.plan.dependencies
    masks = {key: mask.numpy() for key, mask in pruned.masks.items()}
    kept = {key: values.any(0) for key, values in tied.gather(masks).items()}
    stripped = kip.strip_pruning(pruned)
    made = kip.compact(stripped)
    assert_same_outputs(stripped, made, tolerance)
    assert shapes(made) == tied.shapes(kept, shapes(model))


# Which groups


def test_a_model_at_each_step():
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, "relu", name="wide"),
        ]
    )
    inputs = keras.Input((3, 6, 6, 2))
    x = layers.TimeDistributed(inner, name="frames")(inputs)
    x = layers.GRU(5, name="rnn")(x)
    model = keras.Model(inputs, layers.Dense(2, name="head")(x))
    groups = found(model)
    conv, wide = (f"frames/layer/{name}/kernel" for name in ("conv", "wide"))
    assert holds(groups, conv, 3, conv) == holds(groups, wide, 0, conv) == each(4)
    assert holds(groups, "rnn/cell/kernel", 0, wide) == each(6)
    pruned = kip.prune(model, 0.5, pattern="units", schedule="manual")
    pruned.prune_to(0.5)
    check_removed(model, pruned)


def test_a_chain():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="one"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(5, 3, name="two"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )
    groups = found(model)
    assert groups.families == {"one/kernel": 4, "two/kernel": 5}
    assert groups.makers == {"one/kernel": (3,), "two/kernel": (3,)}
    assert (groups.readers, groups.reasons) == (("head/kernel",), {})
    assert holds(groups, "norm/gamma", 0, "one/kernel") == each(4)
    assert holds(groups, "two/kernel", 2, "one/kernel") == each(4)
    assert holds(groups, "head/kernel", 0, "two/kernel") == [
        list(range(unit, 80, 5)) for unit in range(5)
    ]
    assert "head/bias" not in groups.axes


def test_a_single_group_of_its_kind_is_not_counted():
    sizes = [layers.Dense(1, name="narrow"), layers.Dense(4, name="wide")]
    head = layers.Dense(2, name="head")
    model = keras.Sequential([keras.Input((3,)), *sizes, head])
    groups = found(model)
    assert groups.families == {"wide/kernel": 4}
    assert groups.makers.keys() == {"wide/kernel"}
    assert groups.reasons == {
        "narrow/kernel": "its channels stay: one of a kind always stays, and there is "
        "one"
    }
    pruned = kip.prune(model, 0.75, pattern="units", schedule="manual")
    pruned.prune_to(0.75)  # three of four: as many as can go
    assert pruned.state.removed == 0.75
    check_removed(model, pruned)


def functional(shape, body, **options):
    inputs = keras.Input(shape)
    x = body(inputs)
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(2, name="head")(x), **options)


def conv(filters, name, size=1, **options):
    return layers.Conv2D(filters, size, padding="same", name=name, **options)


def test_both_sides_of_an_addition_are_one():
    def body(x):
        x = conv(4, "stem")(x)
        return x + conv(4, "out")(conv(6, "inner")(x))

    groups = found(functional((5, 5, 3), body))
    assert groups.families == {"stem/kernel": 4, "inner/kernel": 6}
    assert groups.makers.keys() == {"stem/kernel", "inner/kernel", "out/kernel"}
    assert holds(groups, "out/kernel", 3, "stem/kernel") == each(4)
    assert holds(groups, "out/kernel", 2, "inner/kernel") == each(6)


def test_a_filter_goes_with_its_gate():
    def body(x):
        x = conv(6, "conv")(x)
        gate = conv(2, "squeeze")(ops.mean(x, (1, 2), keepdims=True))
        return layers.Multiply()([x, conv(6, "excite", activation="sigmoid")(gate)])

    groups = found(functional((5, 5, 3), body))
    assert groups.families == {"conv/kernel": 6, "squeeze/kernel": 2}
    assert holds(groups, "excite/kernel", 3, "conv/kernel") == each(6)
    assert holds(groups, "squeeze/kernel", 2, "conv/kernel") == each(6)


def test_filters_of_a_depthwise_convolution_go_with_their_channel():
    def body(x):
        x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="deep")(conv(3, "a")(x))
        return layers.SeparableConv2D(4, 3, name="both")(x)

    groups = found(functional((8, 8, 3), body))
    assert groups.families == {"a/kernel": 3, "both/pointwise_kernel": 4}
    pairs = [[0, 1], [2, 3], [4, 5]]
    assert holds(groups, "deep/kernel", 2, "a/kernel") == each(3)
    assert holds(groups, "deep/bias", 0, "a/kernel") == pairs
    assert holds(groups, "both/depthwise_kernel", 2, "a/kernel") == pairs
    assert holds(groups, "both/pointwise_kernel", 2, "a/kernel") == pairs
    assert "deep/kernel" not in groups.makers


def test_a_convolution_in_groups_loses_whole_ones():
    def body(x):
        x = conv(6, "wide")(x)
        return conv(9, "grouped", groups=3)(x)

    groups = found(functional((5, 5, 3), body))
    assert groups.families == {"wide/kernel": 3}
    assert holds(groups, "wide/kernel", 3, "wide/kernel") == [[0, 1], [2, 3], [4, 5]]
    assert holds(groups, "grouped/kernel", 3, "wide/kernel") == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
    assert groups.axes["grouped/kernel"][2] is None


def test_concatenated_channels_keep_their_groups():
    def body(x):
        x = conv(3, "stem")(x)
        for i in range(2):
            x = layers.Concatenate()([x, conv(2, f"grow{i}")(x)])
        return conv(4, "last")(x)

    groups = found(functional((5, 5, 3), body))
    families = {"stem/kernel": 3, "grow0/kernel": 2, "grow1/kernel": 2}
    assert groups.families == {**families, "last/kernel": 4}
    assert holds(groups, "last/kernel", 2, "stem/kernel") == [[0], [1], [2]]
    assert holds(groups, "last/kernel", 2, "grow1/kernel") == [[5], [6]]
    assert holds(groups, "grow1/kernel", 2, "grow0/kernel") == [[3], [4]]


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
def test_the_gates_of_a_recurrent_unit_are_one(kind, gates):
    model = functional((4, 3), getattr(layers, kind)(5, name="rnn"))
    groups = found(model)
    assert groups.families == {"rnn/cell/kernel": 5}
    columns = [[unit + 5 * gate for gate in range(gates)] for unit in range(5)]
    for key in ("rnn/cell/kernel", "rnn/cell/recurrent_kernel"):
        assert groups.makers[key] == (1,)
        assert holds(groups, key, 1, "rnn/cell/kernel") == columns
    assert holds(groups, "rnn/cell/recurrent_kernel", 0, "rnn/cell/kernel") == each(5)


@pytest.mark.parametrize("mode", ["concat", "sum"])
def test_equal_places_of_both_directions_are_one(mode):
    rnn = layers.Bidirectional(layers.SimpleRNN(3), merge_mode=mode, name="both")
    groups = found(functional((4, 2), rnn))
    assert list(groups.families.values()) == [3]
    (name,) = groups.families
    for way in ("forward", "backward"):
        (key,) = (k for k in groups.makers if way in k and "recurrent" not in k)
        assert holds(groups, key, 1, name) == each(3)
    expected = [[0, 3], [1, 4], [2, 5]] if mode == "concat" else each(3)
    assert holds(groups, "head/kernel", 0, name) == expected


def test_all_of_a_head_is_one():
    def body(x):
        attend = layers.MultiHeadAttention(2, 3, name="attend")
        return layers.Dense(3, name="after")(attend(x, x))

    groups = found(functional((4, 5), body))
    query = "attend/query_dense/kernel"
    output = "attend/output_dense/kernel"
    assert groups.families == {query: 2, output: 5, "after/kernel": 3}
    for role in ("query", "key", "value"):
        assert groups.makers[f"attend/{role}_dense/kernel"] == (1,)
        assert holds(groups, f"attend/{role}_dense/kernel", 1, query) == each(2)
        assert holds(groups, f"attend/{role}_dense/bias", 0, query) == each(2)
    assert holds(groups, output, 0, query) == each(2)
    assert holds(groups, output, 2, output) == each(5)


def test_all_calls_of_a_shared_layer_agree():
    one, two = keras.Input((4,)), keras.Input((4,))
    first, second = (layers.Dense(3, name=name) for name in ("first", "second"))
    shared = layers.Dense(5, name="shared")
    x = shared(first(one)) - layers.Dropout(0.1)(shared(second(two)))
    groups = found(keras.Model([one, two], layers.Dense(2, name="head")(x)))
    assert groups.families == {"first/kernel": 3, "shared/kernel": 5}
    assert holds(groups, "second/kernel", 1, "first/kernel") == each(3)


def test_groups_pass_the_border_of_an_inner_model():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="in"), layers.Dense(4, name="out")],
        name="inner",
    )

    def body(x):
        x = layers.Dense(4, name="before")(x)
        return x + inner(x)

    groups = found(functional((2,), body))
    assert groups.families == {"before/kernel": 4, "inner/in/kernel": 3}
    assert holds(groups, "inner/out/kernel", 1, "before/kernel") == each(4)


def test_a_channel_that_is_concatenated_with_itself():
    def body(x):
        x = layers.Dense(5, name="wide")(x)
        return layers.Concatenate()([x, x * x])

    groups = found(functional((3,), body))
    assert groups.families == {"wide/kernel": 5}
    assert holds(groups, "head/kernel", 0, "wide/kernel") == [
        [unit, unit + 5] for unit in range(5)
    ]


def test_families_differ_where_groups_hold_other_numbers_of_weights():
    def body(x):
        first = layers.Dense(2, name="first")(x)
        both = layers.Concatenate()([first, layers.Dense(3, name="second")(x)])
        return both + layers.Dense(5, name="sum")(layers.LayerNormalization()(x))

    groups = found(functional((4,), body))
    assert groups.families == {"first/kernel": 2, "second/kernel": 3}
    assert holds(groups, "sum/kernel", 1, "first/kernel") == [[0], [1]]
    assert holds(groups, "sum/kernel", 1, "second/kernel") == [[2], [3], [4]]


def test_a_weight_may_make_several_families():
    def body(x):
        wide = layers.Dense(5, name="wide")(x)
        first, second = (layers.Dense(n, name=f"to_{n}")(x) for n in (2, 3))
        wide = layers.Dropout(0.1)(layers.Dropout(0.1)(wide))
        return wide + layers.Concatenate()([first, second])

    groups = found(functional((4,), body))
    assert groups.families == {"wide/kernel": 2, "wide/kernel/2": 3}
    assert holds(groups, "wide/kernel", 1, "wide/kernel/2") == [[2], [3], [4]]
    assert holds(groups, "to_3/kernel", 1, "wide/kernel/2") == each(3)


# What stays


def test_what_a_wall_needs_stays():
    def body(x):
        x = layers.Dense(4, name="one")(x)
        x = layers.LayerNormalization(name="norm")(x)
        return layers.Dense(5, name="two")(x)

    groups = found(functional((3,), body))
    assert groups.families == {"two/kernel": 5}
    assert groups.reasons == {
        "one/kernel": "its channels stay: 'norm' needs all of them: its statistics are "
        "those of all channels, and zeros take part in them"
    }


def test_outputs_of_the_model_stay():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="one")(inputs)
    y = layers.Dense(5, name="two")(x)
    model = keras.Model(inputs, [x, layers.Dense(2, name="head")(y)])
    groups = found(model, ["one", "two", "head"])
    assert groups.families == {"two/kernel": 5}
    outside = "its channels stay: they are those of an input or output of the model"
    assert groups.reasons == {"one/kernel": outside, "head/kernel": outside}


def test_an_input_of_the_model_stays_on_both_sides_of_an_addition():
    groups = found(
        functional((3,), lambda x: x + layers.Dense(3, name="one")(x)), "one"
    )
    assert groups.families == {}
    assert "input or output" in groups.reasons["one/kernel"]


def added(x):
    x = layers.Dense(4, name="one")(x)
    return x + layers.Dense(4, name="two")(x)


def test_what_another_weight_makes_that_is_not_selected_stays():
    groups = found(functional((3,), added), ["one"])
    assert groups.families == {}
    reason = "its channels stay: 'two/kernel' makes them, too, and is not pruned"
    assert groups.reasons == {"one/kernel": reason}


def test_what_a_fixed_weight_reads_stays():
    model = functional((3,), added)
    model.get_layer("head").trainable = False
    groups = found(model, ["one", "two"])
    reason = "its channels stay: 'head/kernel' reads them and is fixed"
    assert groups.reasons == {"one/kernel": reason, "two/kernel": reason}


def test_what_no_rule_knows_is_left_alone(caplog):
    @keras.saving.register_keras_serializable(package="tests")
    class Times(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 3))

        def call(self, x):
            return x @ self.kernel

    model = keras.Sequential([keras.Input((4,)), Times(name="times")])
    with pytest.raises(ValueError, match=r"a wall: no rule says.*Units\(tied=False\)"):
        kip.prune(model, 0.5, pattern="units", select="times")
    model.add(layers.Dense(6, name="dense"))
    model.add(layers.Dense(2, name="head"))
    pruned = kip.prune(model, 0.5, pattern="units", schedule="manual")
    assert list(pruned.plan.dependencies.families) == ["dense/kernel"]
    assert "times/kernel" in pruned.left_alone
    assert "times/kernel is left out: 'times' is a wall: no rule" in caplog.text


def test_indices_of_no_group_are_marked():
    def body(x):
        x = layers.Dense(3, name="one")(x)
        return layers.Concatenate()([x, layers.LayerNormalization()(x * 1.0)])

    groups = found(functional((3,), lambda x: layers.Concatenate()([x, added(x)])))
    assert groups.axes["head/kernel"][0].tolist() == [STAYS] * 3 + [0, 1, 2, 3]
    assert found(functional((3,), body)).families == {}


# Nothing of a removed group remains


def random_pruning(draw, model, pattern=None):
    choices = {
        "score": draw(st.sampled_from(["magnitude", "random"])),
        "allocation": draw(st.sampled_from(["uniform", "global"])),
        "pattern": pattern or Units(draw(st.sampled_from(["mean", "max"]))),
    }
    try:
        return kip.prune(model, draw(SPARSITIES), schedule="manual", **choices)
    except ValueError as error:  # all channels stay
        assert "fits none of the weights" in str(error) or "nothing to prune" in str(
            error
        )
        return None


SPARSITIES = st.sampled_from([0.3, 0.5, 0.7])


def check(data, model):
    model = sparse(model, 0.0, 0.0)
    if (pruned := random_pruning(data.draw, model)) is None:
        return
    pruned.prune_to(pruned.plan.sparsity / 2)
    again = type(pruned).from_config(pruned.get_config())
    again.set_weights(pruned.get_weights())
    assert again.plan.dependencies.families == pruned.plan.dependencies.families
    pruned.prune_to(pruned.plan.sparsity)
    again.prune_to(pruned.plan.sparsity)
    for key, mask in pruned.masks.items():
        np.testing.assert_array_equal(mask.numpy(), again.masks[key].numpy(), key)
    check_removed(model, pruned)


@pytest.mark.slow
@settings(max_examples=12, phases=PHASES)
@given(st.data())
def test_vectors(data):
    check(data, drawn_network(data.draw, on_vectors))


@pytest.mark.slow
@settings(max_examples=10, phases=PHASES)
@given(st.data())
def test_maps(data):
    check(data, drawn_network(data.draw, on_maps))


@pytest.mark.slow
@settings(max_examples=8, phases=PHASES)
@given(st.data())
def test_steps(data):
    check(data, drawn_network(data.draw, on_steps))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.slow
@settings(max_examples=2, phases=PHASES)
@given(st.data())
def test_graphs(data):
    check(data, drawn_graph(data.draw))
