"""Dense networks: what goes, what is folded, what is refused."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_invprune as kip
from compactions import assert_same_outputs, compacted, drawn, outputs, sparse
from keras_invprune.compaction import CompactionError, distance, verify


def mlp(*widths, activation="relu", **kwargs):
    hidden = [layers.Dense(n, activation, name=f"d{i}") for i, n in enumerate(widths)]
    return keras.Sequential(
        [keras.Input((6,)), *hidden, layers.Dense(2, name="head")], **kwargs
    )


def kernel(layer, values):
    layer.kernel.assign(np.asarray(values, "float32"))


def test_a_unit_without_inputs_is_folded_into_the_next_bias():
    model = mlp(3, activation="sigmoid")
    hidden, head = model.layers
    hidden.set_weights([np.eye(6, 3) * [1, 0, 1], np.array([0.0, 2.0, 0.0])])
    head.set_weights([np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([0.5, 0.0])])
    made = compacted(model)
    assert made.layers[0].units == 2
    constant = 1 / (1 + np.exp(-2.0))  # σ(2), the value of the second unit
    expected = np.array([0.5, 0.0]) + constant * np.array([3.0, 4.0])
    np.testing.assert_allclose(made.layers[1].bias, expected, rtol=1e-6)
    np.testing.assert_array_equal(made.layers[1].kernel, [[1, 2], [5, 6]])


def test_a_bias_is_made_where_there_was_none():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2), layers.Dense(1, use_bias=False)]
    )
    model.set_weights([np.eye(2) * [1, 0], np.array([0.0, 3]), np.array([[1.0], [2]])])
    made = compacted(model)
    assert made.layers[1].use_bias
    np.testing.assert_array_equal(made.layers[1].bias, [6])


def test_no_bias_is_made_for_zeros():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2), layers.Dense(1, use_bias=False)]
    )
    model.set_weights([np.eye(2) * [1, 0], np.zeros(2), np.array([[1.0], [2]])])
    assert not compacted(model).layers[1].use_bias


def test_a_unit_that_nobody_reads_goes():
    model = mlp(4)
    kernel(model.layers[1], [[1, 2], [0, 0], [3, 4], [0, 0]])
    made = compacted(model)
    np.testing.assert_array_equal(
        made.layers[0].kernel, model.layers[0].kernel.numpy()[:, [0, 2]]
    )


def test_removal_goes_on_through_layers():
    model = mlp(3, 4, 5)
    kernel(model.layers[3], np.eye(5, 2))  # two of five are read
    kernel(model.layers[2], np.eye(4, 5))  # each by one
    kernel(model.layers[1], np.eye(3, 4))
    made = compacted(model)
    assert [layer.units for layer in made.layers] == [2, 2, 2, 2]


def test_one_unit_stays_where_none_is_needed():
    model = mlp(4, 4)
    kernel(model.layers[1], np.zeros((4, 4)))
    made = compacted(model)
    assert [layer.units for layer in made.layers] == [1, 1, 2]


def test_batch_normalization_passes_only_where_gamma_is_not_zero():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(3, name="dense"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dropout(0.5, seed=1),
            layers.Dense(1, name="head"),
        ]
    )
    norm = model.get_layer("norm")
    gamma, beta = np.array([1.0, 0, 2]), np.array([1.0, 4, -1])
    norm.set_weights([gamma, beta, np.array([1.0, 2, 3]), np.array([1.0, 2, 3])])
    head = model.get_layer("head")
    head.set_weights([np.array([[1.0], [10], [2]]), np.zeros(1)])
    made = compacted(model)
    assert made.get_layer("dense").units == 2
    np.testing.assert_array_equal(made.get_layer("norm").moving_mean, [1, 3])
    np.testing.assert_array_equal(made.get_layer("head").bias, [40])


def test_softmax_pins_its_units():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, "softmax"), layers.Dense(2)]
    )
    kernel(model.layers[1], [[1, 1], [0, 0], [0, 0]])
    assert compacted(model).layers[0].units == 3
    (wall,) = kip.compaction.plan(model).walls
    assert "softmax" in wall.reason


def test_no_share_of_a_softmax_is_constant():
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, "softmax"),
            layers.Dense(2, "relu"),
            layers.Dense(1),
        ]
    )
    kernel(model.layers[0], [[1, 0, 2], [3, 0, 1]])  # the second has no inputs
    kernel(model.layers[1], [[0, 1], [1, 1], [0, 1]])  # the first reads it alone
    kernel(model.layers[2], [[1], [1]])
    assert compacted(model).layers[1].units == 2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh", "gelu"])
def test_random_networks(activation, seed):
    compacted(sparse(mlp(9, 8, 7, activation=activation), seed=seed))


def test_the_result_saves_trains_and_keeps_what_layers_hold(tmp_path):
    model = sparse(mlp(8, 7, name="mine"), seed=3)
    model.layers[0].kernel_regularizer = keras.regularizers.L2(0.1)
    model.layers[1].trainable = False
    made = compacted(model)
    assert made.name == "mine"
    assert isinstance(made, keras.Sequential)
    assert not made.layers[1].trainable
    assert made.layers[0].kernel_regularizer.get_config()["l2"] == pytest.approx(0.1)
    made.save(tmp_path / "small.keras")
    assert_same_outputs(made, keras.saving.load_model(tmp_path / "small.keras"), 0)
    made.compile("sgd", "mse")
    made.fit(drawn(made, 8), np.zeros((8, 2)), verbose=0)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 1e-2), ("mixed_bfloat16", 5e-2)]
)
def test_a_policy_of_layers_is_kept(policy, tolerance):
    hidden = [layers.Dense(16, "softplus", dtype=policy) for _ in range(4)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2)])
    sparse(model, units=0.3, seed=6)
    made = kip.compact(model)
    assert made.layers[0].dtype_policy.name == policy
    assert made.layers[0].units < 16
    assert_same_outputs(model, made, tolerance)


def test_the_plan_says_it_all():
    model = mlp(3, activation="sigmoid")
    hidden, head = model.layers
    hidden.set_weights([np.eye(6, 3) * [1, 0, 1], np.array([0.0, 2.0, 0.0])])
    head.set_weights([np.array([[1.0, 2], [3, 4], [0, 0]]), np.zeros(2)])
    planned = kip.compaction.plan(model)
    first, second = planned.changes
    assert (first.layer, first.kind) == ("d0", "Dense")
    assert first.removed == {"units": [1, 2]}
    assert (second.removed, second.folded) == ({"inputs": [1, 2]}, 1)
    assert first.parameters == (21, 7)
    assert planned.parameters == (29, 11)
    assert planned.macs == (24, 8)
    assert list(planned.dead_inputs.values()) == [[1, 2, 3, 4, 5]]
    assert planned.sparsity == pytest.approx(18 / 24)
    assert planned.effective_sparsity == pytest.approx(1 - 3 / 24)  # one path: 1 + 2
    assert json.loads(json.dumps(planned.to_json()))["macs"] == [24, 8]
    for text in ("d0", "3 → 1", "29 → 11", "24 → 8"):
        assert text in str(planned)


def test_what_has_nothing_to_remove_is_unchanged():
    model = mlp(4)
    assert kip.compaction.plan(model).changes == ()
    assert_same_outputs(model, compacted(model), 0)


def test_a_model_that_differs_is_not_returned(monkeypatch):
    model = mlp(4)
    kernel(model.layers[1], [[1, 2], [0, 0], [3, 4], [0, 0]])

    def wrong(each, x, **_):
        return [outputs(each, x)[0] + (each is not model)]

    monkeypatch.setattr(distance, "outputs_of", wrong)
    with pytest.raises(CompactionError, match="yours is unchanged"):
        kip.compact(model)


def test_what_takes_no_drawn_inputs_is_said(monkeypatch, caplog):
    monkeypatch.setattr(verify, "answered", lambda model: [])
    with caplog.at_level("WARNING", "keras_invprune"):
        kip.compact(mlp(4))
    assert "were not compared" in caplog.text


def test_zero_times_infinity_is_not_compared():
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(3, "exponential"), layers.Dense(1)]
    )
    model.set_weights(
        [np.eye(2, 3), np.zeros(3), np.array([[1.0], [1], [0]]), np.zeros(1)]
    )
    made = kip.compact(model)  # e^1000 is infinite
    assert made.layers[0].units == 2


def test_a_row_that_magnifies_errors_does_not_excuse_others(monkeypatch):
    monkeypatch.setattr(verify, "answered", lambda model: [])
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(2, name="head")(keras.ops.floor(x)))
    made = keras.Model(x, layers.Dense(2)(keras.ops.floor(x)))
    made.set_weights([1.001 * weight for weight in model.get_weights()])
    rows = np.full((2, 6), 2.5)
    rows[1] = 2 - 1e-7  # which rounding moves to the next integer
    with pytest.raises(CompactionError, match="the given rows"):
        verify.check_same(model, made, rows)


def answering(weight):
    """Returns the name of a class: text."""
    body = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu")])
    head = layers.Dense(2)
    names = layers.StringLookup(vocabulary=["a", "b"], invert=True)
    model = keras.Model(body.inputs, names(ops.argmax(head(body.outputs[0]), axis=-1)))
    kernel(body.layers[0], np.eye(3, 4))
    kernel(head, weight * np.array([[1.0, -1], [-1, 1], [1, 0], [0, 0]]))
    return model


def test_text_is_compared():
    model = answering(1.0)
    assert kip.compact(model).count_params() < model.count_params()
    with pytest.raises(CompactionError, match="differs on drawn inputs by inf"):
        verify.check_same(model, answering(-1.0), None)


def test_an_output_without_rows_is_compared():
    x = keras.Input((3,))
    model = keras.Model(x, ops.mean(layers.Dense(2)(layers.Dense(4, "relu")(x))))
    other = keras.models.clone_model(model)
    assert_same_outputs(model, kip.compact(model), 0)
    with pytest.raises(CompactionError, match="differs"):
        verify.check_same(model, other, None)


def test_given_rows_are_compared(monkeypatch):
    model, seen = mlp(4), []
    check = verify._check
    monkeypatch.setattr(verify, "_check", lambda *a: seen.append(a[-1]) or check(*a))
    kip.compact(model, data=np.ones((300, 6)))
    assert seen[-1] == "the given rows"


@pytest.mark.parametrize(("size", "most"), [(6, 9), (2**15, 8), (2**20, 4)])
def test_given_rows_of_many_values_are_run_a_few_at_a_time(size, most):
    model = keras.Sequential([keras.Input((size, 1)), layers.GlobalMaxPooling1D()])
    rows = np.broadcast_to(np.arange(9.0)[:, None, None], (9, size, 1))
    found = [outputs[0] for _, outputs in distance.answered_rows(model, rows)]
    assert max(map(len, found)) == most
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], np.arange(9))


def test_masks_are_refused():
    pruned = kip.prune(mlp(8), 0.5)
    with pytest.raises(ValueError, match="strip_pruning"):
        kip.compact(pruned)


def test_a_masked_layer_inside_is_refused():
    model = keras.Sequential([keras.Input((3,)), kip.Masked(layers.Dense(2))])
    with pytest.raises(ValueError, match="masks in 'masked"):
        kip.compact(model)


def test_other_things_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    class OwnGraph(keras.Model):
        def call(self, x):
            return super().call(x) + 1

    x = keras.Input((2,))
    functional = OwnGraph(x, layers.Dense(2)(x))
    with pytest.raises(TypeError, match="Received: builtins.int"):
        kip.compact(3)
    with pytest.raises(ValueError, match="built"):
        kip.compact(keras.Sequential([layers.Dense(2)]))
    for model in (Own(), functional):
        with pytest.raises(ValueError, match="Functional model"):
            kip.compact(model)


def test_weights_must_be_finite():
    model = mlp(4)
    model.layers[0].bias.assign([np.nan, 0, 0, 0])
    with pytest.raises(ValueError, match="d0/bias"):
        kip.compaction.plan(model)


@pytest.mark.parametrize(
    ("rows", "message"),
    [(np.zeros((0, 6)), "0 rows"), (np.full((3, 6), np.nan), "none in the first 256")],
)
def test_rows_on_which_nothing_can_be_compared_are_refused(rows, message):
    with pytest.raises(ValueError, match=f"`data` must have.*{message}"):
        kip.compact(mlp(4), data=rows)


@pytest.mark.parametrize(
    "rows", [[[1.0] * 6], [np.zeros((3, 6)), 1], iter(()), tf.data.Dataset.range(3)]
)
def test_rows_that_are_no_arrays_are_refused_before_anything_is_done(rows, monkeypatch):
    model = mlp(4)
    monkeypatch.setattr(keras.Model, "__call__", None)
    for refused in (kip.compact, kip.merge_layers):
        with pytest.raises(ValueError, match="`data` must .*Received: "):
            refused(model, data=rows)


def test_rows_with_missing_values_are_compared_where_outputs_are_finite(monkeypatch):
    monkeypatch.setattr(verify, "answered", lambda model: [])
    x = keras.Input((2,))
    model = keras.Model(x, [x[:, :1], x[:, 1:]])
    rows = np.array([[np.nan, 1.0]])
    assert verify.check_same(model, model, rows)
    for wrong in (2 * x[:, 1:], x[:, 1:] + 0 * x[:, :1]):
        with pytest.raises(CompactionError, match="Output 1"):
            verify.check_same(model, keras.Model(x, [x[:, :1], wrong]), rows)


def test_outputs_that_are_never_finite_are_not_called_compared(caplog):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3), layers.Dense(1)])
    infinite = keras.Model(model.inputs, model.outputs[0] + np.inf)
    with caplog.at_level("WARNING", "keras_invprune"):
        kip.compact(infinite)
    assert "no finite outputs" in caplog.text


def some(mask):
    return ops.cast(ops.any(mask, axis=-1, keepdims=True), "float32")


@pytest.mark.parametrize(
    ("dtype", "look"),
    [
        ("bool", some),
        ("bool", lambda mask: some(ops.logical_not(mask))),
        ("int32", lambda indices: some(ops.not_equal(indices, 0))),
    ],
    ids=["nothing", "all", "only padding"],
)
@pytest.mark.parametrize("batch", [None, 1])
def test_a_difference_where_a_mask_is_at_its_edge_is_seen(dtype, look, batch):
    x = keras.Input(batch_shape=(batch, 3))
    mask = keras.Input(batch_shape=(batch, 40), dtype=dtype)
    model = keras.Model([x, mask], x * look(mask))
    with pytest.raises(CompactionError, match="drawn inputs"):
        verify.check_same(model, keras.Model([x, mask], x * 1.0))


def test_a_difference_where_all_steps_are_masked_is_seen():
    x = keras.Input((6, 2))
    masked = layers.Masking()(x)
    left = some(ops.any(ops.not_equal(x, 0.0), -1))[:, None]
    with pytest.raises(CompactionError, match="drawn inputs"):
        verify.check_same(keras.Model(x, masked + left), keras.Model(x, masked + 1.0))
