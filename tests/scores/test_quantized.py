"""Pruning and training for a file of integers, and that the file holds them."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_invprune as kip
from keras_invprune.contracts import Score
from keras_invprune.exporting import litert
from keras_invprune.exporting.planner.candidates.quantized import quantized
from keras_invprune.exporting.planner.planning import Sources
from keras_invprune.pruning.masked import Masked
from keras_invprune.saving import Missing
from keras_invprune.scores import Quantized
from keras_invprune.scores.quantized import Grid

G = np.random.default_rng(0)
X = G.normal(size=(16, 4)).astype("float32")
Y = G.normal(size=(16, 3)).astype("float32")
RATE = 0.1


def on_grid(weight, bits, axes=(0,)):
    """The reference, in NumPy: integers times a scale for each channel."""
    levels = 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axes, keepdims=True) / np.float32(levels)
    scale = np.where(scale == 0, 1, scale)
    integers = np.clip(np.rint(weight / scale), -levels, levels)
    return (integers * scale).astype(weight.dtype)


def network():
    """A body that is pruned, a head that is not."""
    body = layers.Dense(8, "relu", name="body")
    return keras.Sequential([keras.Input((4,)), body, layers.Dense(3, name="head")])


def linear(score, schedule="manual"):
    layer = layers.Dense(3, use_bias=False, name="only")
    model = keras.Sequential([keras.Input((4,)), layer])
    model = kip.prune(model, 0.5, select=["only"], score=score, schedule=schedule)
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


def step(model):
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)


# The grid


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2)])
def test_it_is_the_reference_and_zeros_stay_zero(bits, axes):
    weight = G.normal(size=(3, 3, 4, 5)).astype("float32")
    weight[G.random(weight.shape) < 0.5] = 0
    weight[..., 2] = 0  # a channel of zeros
    found = np.asarray(Grid(bits)(weight, axes))
    np.testing.assert_allclose(found, on_grid(weight, bits, axes), 1e-6)
    assert not found[weight == 0].any()
    again = np.asarray(Grid(bits)(found, axes))
    np.testing.assert_allclose(again, found, 1e-6)
    largest = np.abs(weight).max(axes)
    np.testing.assert_allclose(np.abs(found).max(axes), largest, 1e-6)
    width = largest / (2 ** (bits - 1) - 1)
    assert (np.abs(found - weight).max(axes) <= width / 2 + 1e-6).all()


def test_its_gradient_is_one():
    weight = tf.Variable(X)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(Grid(4)(weight, (0,)) * X)
    np.testing.assert_array_equal(tape.gradient(loss, weight), X)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_it_keeps_the_dtype(dtype):
    weight = tf.cast(X, dtype)
    found = Grid(8)(weight, (0,))
    assert found.dtype == dtype
    np.testing.assert_allclose(tf.cast(found, "float32"), on_grid(X, 8), 1e-2, 2e-2)


def test_a_wrapper_reads_each_kernel_by_its_channels():
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            layers.Conv2DTranspose(3, 2, name="back"),
            layers.SeparableConv2D(3, 2, name="apart"),
            layers.Flatten(),
            layers.Dense(12, name="wide"),
            layers.Reshape((6, 2)),
            layers.EinsumDense("abc,cde->abde", (None, 2, 4), name="einsum"),
        ]
    )
    assert {
        key: axes for key, (_, axes) in Masked(inner, grid=Grid(8)).rounded.items()
    } == {
        "conv/kernel": (0, 1, 2),
        "depthwise/kernel": (0, 1),
        "back/kernel": (0, 1, 3),
        "apart/depthwise_kernel": (0, 1),
        "apart/pointwise_kernel": (0, 1, 2),
        "wide/kernel": (0,),
        "einsum/kernel": (0,),
    }


def rare_kinds():
    """Kernels of which files hold some as floats, or as matrices that share scales."""
    return keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.Conv2DTranspose(3, 2, name="back"),
            layers.SeparableConv2D(3, 2, name="apart"),
            layers.Reshape((3, 3, 3, 1)),
            layers.Conv3D(4, 2, name="solid"),
            layers.Reshape((8, 4)),
            layers.EinsumDense("abc,bcd->abd", (8, 3), name="positions"),
        ]
    )


RARE = ["apart/pointwise_kernel", "positions/kernel"]
ONLY_8 = ["depthwise/kernel", "back/kernel", "apart/depthwise_kernel"]


@pytest.mark.parametrize("bits, keys", [(4, RARE), (8, RARE + ONLY_8)])
def test_the_file_holds_the_same_kernels_rounded(bits, keys, tmp_path):
    model = kip.prune(rare_kinds(), 0.5, score=Quantized(bits=bits), schedule="manual")
    assert sorted(model.masked.rounded) == sorted(keys)
    pytest.importorskip("litert_quantizer")
    from ai_edge_litert.interpreter import Interpreter

    rows = G.normal(size=(8, 4, 4, 2)).astype("float32")
    stripped = kip.strip_pruning(model, allow_unfinished=True)
    sources = Sources(stripped, rows, None, None, tmp_path, calibrates=True)
    file = quantized(sources.given, f"weight_only_wi{bits}_afp32")
    run = sources.same.of_runtime(lambda: litert.runtime(file, delegate=False))
    tensors = Interpreter(model_content=file).get_tensor_details()
    scales = [each["quantization_parameters"]["scales"] for each in tensors]
    assert sum(len(each) > 0 for each in scales) == len(keys)
    (found,) = run(sources.same.inputs).values()
    np.testing.assert_allclose(found, stripped.predict(rows, verbose=0), 1e-4, 1e-5)


def test_embeddings_biases_and_slopes_are_not_rounded():
    inner = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(7, 4),
            layers.PReLU(),
            layers.GRU(3, name="gru"),
        ]
    )
    rounded = Masked(inner, grid=Grid(8)).rounded
    assert [key.rpartition("/")[2] for key in rounded] == ["kernel", "recurrent_kernel"]


# Training


@pytest.mark.parametrize("bits", [4, 8])
def test_steps_are_those_of_the_rounded_weights(bits):
    model = linear(Quantized(bits=bits))
    (weight,) = model.inner.get_weights()
    mask = np.ones_like(weight)
    for sparsity in (0.0, 0.5):
        if sparsity:
            model.prune_to(sparsity)
            mask = np.abs(weight) >= np.sort(np.abs(weight), axis=None)[-6]
            np.testing.assert_array_equal(model.masks["only/kernel"], mask)
            weight = weight * mask
        for _ in range(2):
            step(model)
            residual = X @ on_grid(weight, bits) - Y
            weight = weight - RATE * (2 * X.T @ residual / Y.size) * mask
        np.testing.assert_allclose(model.inner.get_weights()[0], weight, 1e-4, 1e-6)
    stripped = kip.strip_pruning(model)
    np.testing.assert_allclose(
        stripped.get_weights()[0], on_grid(weight, bits), 1e-4, 1e-6
    )
    np.testing.assert_allclose(stripped(X), model(X, training=True), 1e-5, 1e-6)


def test_other_kernels_are_rounded_as_well_and_biases_are_not():
    model = kip.prune(network(), 0.5, score=Quantized(bits=4), schedule="manual")
    model.inner.get_layer("head").bias.assign([0.11, 0.22, 0.333])
    model.prune_to(0.5)
    stripped = kip.strip_pruning(model)
    kernel, _, head, bias = stripped.get_weights()
    inner = model.inner.get_layer("head").kernel.numpy()
    np.testing.assert_allclose(head, on_grid(inner, 4), 1e-6)
    assert not np.allclose(head, inner, 1e-3)
    np.testing.assert_array_equal(bias, np.float32([0.11, 0.22, 0.333]))
    assert not kernel[model.masks["body/kernel"].numpy() == 0].any()
    np.testing.assert_allclose(stripped(X), model(X), 1e-5, 1e-6)


@pytest.mark.parametrize("score", ["movement", "sr_ste", "gumbel", "set"])
def test_it_combines_with_methods_that_learn_or_move(score):
    other = {
        "gumbel": kip.schedules.OneShot(0.5, at=0.5),
        "set": kip.schedules.Rewire(0.5, every=1, until=2),
    }
    schedule = other.get(score, "gradual")
    model = kip.prune(network(), 0.5, score=Quantized(score, 4), schedule=schedule)
    plain = kip.prune(network(), 0.5, score=score, schedule=schedule)
    assert model.masked.remembers == plain.masked.remembers
    assert len(model.search_only) == len(plain.search_only)
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert model.finished and model.sparsity == 0.5
    stripped = kip.strip_pruning(model)
    for kernel in (stripped.get_weights()[0], stripped.get_weights()[2]):
        np.testing.assert_allclose(kernel, on_grid(kernel, 4), 1e-5)
    np.testing.assert_allclose(stripped(X), model(X), 1e-5, 1e-6)


@pytest.mark.parametrize("policy, xla", [("mixed_float16", False), ("float32", True)])
def test_other_policies_and_xla(policy, xla):
    keras.config.set_dtype_policy(policy)
    try:
        model = kip.prune(network(), 0.5, score=Quantized(bits=4))
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("sgd", "mse", jit_compile=xla)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    stripped = kip.strip_pruning(model)
    kernel = stripped.get_weights()[0]
    np.testing.assert_allclose(kernel, on_grid(kernel, 4), 1e-5)
    np.testing.assert_allclose(stripped(X), model(X), 1e-5, 1e-6)


def test_replicas_train_as_one_machine_does(strategy):
    def fit():
        keras.utils.set_random_seed(0)
        model = kip.prune(network(), 0.5, score=Quantized(bits=4))
        model.compile("sgd", "mse", jit_compile=False)
        model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return kip.strip_pruning(model).get_weights()

    with strategy.scope():
        found = fit()
    for one, other in zip(found, fit(), strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-5)


# The file


@pytest.fixture(scope="module")
def trained():
    """A convolutional network that was pruned and trained for 4 bits, and its rows."""
    keras.utils.set_random_seed(0)
    bare = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),  # the converter folds it into the kernel
            layers.ReLU(),
            layers.DepthwiseConv2D(2),
            layers.Flatten(),
            layers.Dense(16, "relu"),
            layers.Dense(3),
        ]
    )
    images = G.normal(size=(32, 6, 6, 2)).astype("float32")
    model = kip.prune(bare, 0.6, score=Quantized(bits=4))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(images, G.normal(size=(32, 3)), batch_size=8, epochs=2, verbose=0)
    other = keras.models.clone_model(model.inner)
    other.set_weights(model.inner.get_weights())  # not rounded
    return {4: kip.strip_pruning(model), 8: in_bytes(other), None: other}, images


def in_bytes(model):
    score = Quantized(bits=8)
    model = kip.prune(model, 0.5, score=score, schedule="manual")
    return kip.strip_pruning(model, allow_unfinished=True)


@pytest.mark.parametrize("bits", [4, 8])
def test_the_file_holds_the_weights_that_were_trained(trained, bits, tmp_path):
    pytest.importorskip("litert_quantizer")
    models, rows = trained

    def error(model):
        sources = Sources(model, rows, None, None, tmp_path, calibrates=True)
        file = quantized(sources.given, f"weight_only_wi{bits}_afp32")
        run = sources.same.of_runtime(lambda: litert.runtime(file, delegate=False))
        (found,) = run(sources.same.inputs).values()
        expected = model.predict(rows, verbose=0)
        return np.abs(found - expected).max() / np.abs(expected).max()

    assert error(models[None]) > 1e-3
    assert error(models[bits]) < 1e-5


# Saving, and what is refused


def test_it_is_saved_and_loaded(tmp_path):
    model = kip.prune(network(), 0.5, score=Quantized("movement", 4))
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.plan.score.get_config() == model.plan.score.get_config()
    assert again.masked.grid.bits == 4
    np.testing.assert_allclose(again(X), model(X), 1e-6)


class Own(Score):
    """A score that is not registered, and needs more than weights."""

    examples = 8
    rounds = 3

    def rank(self, weights, context):
        assert len(context.examples[0]) == self.examples
        return {key: np.abs(weight) for key, weight in weights.items()}


def test_a_score_of_ones_own_may_be_missing_on_loading(tmp_path, monkeypatch):
    own = Own()
    model = kip.prune(network(), 0.5, score=Quantized(own))
    model.save(tmp_path / "model.keras")
    monkeypatch.delattr(sys.modules[__name__], "Own")  # Keras 3.8 would find it there
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.plan.score.score, Missing)
    np.testing.assert_allclose(again(X), model(X), 1e-6)
    again.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="set `model.plan.score.score = ...`"):
        again.fit(X, Y, verbose=0)
    again.plan.score.score = own
    assert (again.plan.score.examples, again.plan.score.rounds) == (8, 3)
    again.fit(X, Y, batch_size=4, verbose=0)
    assert again.finished


def test_a_wrapper_with_a_grid_is_saved(tmp_path):
    wrapper = Masked(layers.Dense(3), grid=Grid(4))
    model = keras.Sequential([keras.Input((4,)), wrapper])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].grid.bits == 4
    np.testing.assert_allclose(again(X), model(X), 1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Quantized(bits=2), "must be 4 or 8. Received: bits=2"),
        (lambda: Quantized(Quantized()), "cannot wrap another Quantized"),
        (lambda: Quantized("quantized"), "cannot wrap another Quantized"),
        (lambda: Quantized("sinflow"), "Did you mean 'synflow'"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
