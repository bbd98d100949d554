"""Weights as stacks of matrices: positions, inputs, outputs."""

import logging

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune.graph.layouts import Layout, layout_of, layouts, unfit
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.patterns import Block, NByM, Units


def built(layer, shape):
    layer.build(shape)
    return layer


def axes_of(layer, shape, name="kernel"):
    built(layer, shape)
    (variable,) = [v for v in layer.weights if v.name == name]
    return layout_of(layer, variable)


EINSUM = keras.layers.EinsumDense


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (keras.layers.Dense(3), (None, 4), ((), (0,), (1,))),
        (keras.layers.Conv2D(3, 2), (None, 5, 5, 4), ((0, 1), (2,), (3,))),
        (keras.layers.Conv2DTranspose(3, 2), (None, 5, 5, 4), ((0, 1), (3,), (2,))),
        (EINSUM("abc,cde->abde", (None, 2, 5)), (None, 3, 4), ((), (0,), (1, 2))),
        (EINSUM("abcd,cde->abe", (None, 5)), (None, 3, 2, 4), ((), (0, 1), (2,))),
        (EINSUM("...x,xy->...y", 5), (None, 3, 4), ((), (0,), (1,))),
        (EINSUM("abc,ecb->abe", (3, 5)), (None, 3, 4), ((), (1,), (2, 0))),
    ],
)
def test_the_axes_of_each_kind_of_kernel(layer, shape, expected):
    assert axes_of(layer, shape) == Layout(*expected)


def test_lookups_have_no_matrix():
    words = built(keras.layers.Embedding(3, 4), (None,))
    assert layout_of(words, words.embeddings) is None
    depthwise = built(keras.layers.DepthwiseConv2D(2), (None, 5, 5, 4))
    assert layout_of(depthwise, depthwise.kernel) is None
    separable = built(keras.layers.SeparableConv2D(3, 2), (None, 5, 5, 4))
    found = {v.name: layout_of(separable, v) for v in separable.weights[:2]}
    assert found["depthwise_kernel"] is None
    assert found["pointwise_kernel"] == Layout((0, 1), (2,), (3,))


@pytest.mark.parametrize(
    "equation, inputs, output",
    [
        ("abc,cde->abde", (2, 3, 4), (None, 2, 5)),
        ("abcd,cde->abe", (2, 3, 2, 4), (None, 5)),
        ("abcd,dce->abe", (2, 3, 2, 4), (None, 5)),
        ("abc,ecb->abe", (2, 3, 4), (3, 5)),
    ],
)
def test_arranged_it_is_the_matrix_of_the_layers_sum(equation, inputs, output):
    """Inputs that are flat, times the arranged kernel, are the layer's outputs."""
    layer = built(EINSUM(equation, output), inputs)
    x = np.random.default_rng(0).normal(size=inputs).astype("float32")
    layout = layout_of(layer, layer.kernel)
    kernel = layer.kernel.numpy()
    matrix = layout.arrange(kernel)
    assert layout.shape(kernel.shape) == matrix.shape
    if equation == "abc,ecb->abe":  # a column for each b and e
        found = np.einsum("abc,cbe->abe", x, matrix.reshape(4, 3, 5))
    else:
        found = x.reshape(-1, matrix.shape[0]) @ matrix
        found = found.reshape(layer(x).shape)
    np.testing.assert_allclose(found, layer(x), 1e-5, 1e-5)
    np.testing.assert_array_equal(layout.restore(matrix, kernel.shape), kernel)


@pytest.mark.parametrize(
    "equation, inputs, output",
    [("abb,bc->ac", (2, 3, 3), 4), ("abc,bc->abc", (2, 3, 4), (3, 4))],
)
def test_without_a_sum_or_with_repeats_there_is_none(equation, inputs, output):
    layer = built(EINSUM(equation, output), inputs)
    assert layout_of(layer, layer.kernel) is None


def test_a_bias_has_no_layout():
    layer = built(keras.layers.Dense(3), (4,))
    assert layout_of(layer, layer.bias) is None


def attention():
    inputs = keras.Input((3, 8))
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    x = keras.layers.Conv1D(8, 1, name="narrow")(x[..., :2])
    x = keras.layers.Conv1DTranspose(6, 2, name="up")(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def groups_along_the_inputs(kernel, layout, m):
    matrix = layout.arrange(kernel)
    matrix = np.moveaxis(matrix, -2, -1).reshape(-1, matrix.shape[-2])
    return [row[i : i + m] for row in matrix for i in range(0, matrix.shape[1], m)]


@pytest.mark.parametrize("pattern", [Block((4, 1)), NByM(2, 4)])
def test_groups_run_along_the_inputs_whatever_the_layer(pattern, caplog):
    with caplog.at_level(logging.WARNING):
        model = kip.prune(attention(), 0.5, pattern=pattern, schedule="manual")
    assert "narrow/kernel is left out" in caplog.text
    assert "narrow/kernel" not in model.masks
    assert type(pattern).__name__ in model.left_alone["narrow/kernel"]
    model.prune_to(0.5)
    assert model.sparsity == 0.5 and len(model.masks) == 5
    found = layouts(weights_by_key(model.inner), model.masks)
    for key, mask in model.masks.items():
        for group in groups_along_the_inputs(mask.numpy(), found[key], 4):
            if isinstance(pattern, Block):
                assert group.all() or not group.any()
            else:
                assert group.sum() == 2
    kip.strip_pruning(model)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_whole_units_go(pooling):
    choices = {"pattern": Units(pooling, tied=False), "allocation": "uniform"}
    model = kip.prune(attention(), 0.5, schedule="manual", **choices)
    model.prune_to(0.5)
    kept, units = 0, 0
    for key, layout in layouts(weights_by_key(model.inner), model.masks).items():
        mask = layout.arrange(model.masks[key].numpy()).astype(bool)
        mask = mask.reshape(-1, mask.shape[-1])
        assert np.all(mask.any(axis=0) == mask.all(axis=0))
        kept, units = kept + mask.any(axis=0).sum(), units + mask.shape[1]
    assert kept == units / 2


def test_the_largest_units_are_kept():
    weights = {"k": np.float32([[[1, 0, 9], [1, 0, 0]], [[1, 5, 0], [1, 0, 0]]])}
    (mean,) = Units()(weights, 0.5, kip.allocation.uniform).values()
    np.testing.assert_array_equal(mean, np.tile([False, True, True], (2, 2, 1)))
    (largest,) = Units("max")(weights, 0.67, kip.allocation.uniform).values()
    np.testing.assert_array_equal(largest, np.tile([False, False, True], (2, 2, 1)))


def test_where_nothing_fits_prune_says_so():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(2)]
    )
    with pytest.raises(ValueError, match=r"fits none.*no block of \(4, 1\).*\(3, 5\)"):
        kip.prune(model, 0.5, pattern=Block((4, 1)))
    with pytest.raises(ValueError, match="fewer than 4 along axis -2"):
        kip.prune(model, 0.5, pattern=NByM(2, 4))
    with pytest.raises(ValueError, match="no axis 2"):
        kip.prune(model, 0.5, pattern=NByM(2, 4, axis=2))


def test_lookups_are_named():
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(8, 8, name="words"),
            keras.layers.Dense(4),
        ]
    )
    reasons = unfit(weights_by_key(model), ["words/embeddings"], Units())
    assert "no matrix of inputs and outputs" in reasons["words/embeddings"]
    assert unfit(weights_by_key(model), ["words/embeddings"], None) == {}


class Rows:
    """A pattern of the user's own, which sees weights as they are."""

    def unfit(self, shape):
        return "too flat" if shape[0] < 4 else None

    def __call__(self, scores, sparsity, allocation):
        return allocation(scores, sparsity)


def test_a_pattern_of_the_users_own_may_leave_weights_out():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="a"),
            keras.layers.Dense(4, name="b"),
            keras.layers.Dense(2),
        ]
    )
    pruned = kip.prune(model, 0.5, pattern=Rows())
    assert list(pruned.masks) == ["b/kernel"]
    assert pruned.left_alone["a/kernel"] == "Rows: too flat"
