"""Layers whose calls run when no masks are read."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = np.arange(30) % 3
SPARSE = "sparse_categorical_crossentropy"
# Keras 3.8 has neither.
REMAT = getattr(keras, "remat", tf.recompute_grad)
needs_scope = pytest.mark.skipif(
    not hasattr(keras, "RematScope"), reason="this Keras has no RematScope"
)


def rematerialized(mode, **options):
    with keras.RematScope(mode=mode, **options):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, "relu", name="body"),
                keras.layers.Dense(3, "softmax"),
            ]
        )


@needs_scope
@pytest.mark.parametrize(
    ("mode", "options"),
    [("full", {}), ("larger_than", {}), ("list_of_layers", {"layer_names": ["body"]})],
)
def test_layers_computed_again_for_their_gradients_are_refused(mode, options):
    with pytest.raises(ValueError, match=r"RematScope cannot be masked: .*body'"):
        kip.prune(rematerialized(mode, **options), 0.5, copy=False)


@needs_scope
def test_a_model_that_is_refused_is_not_scaled():
    model = rematerialized("full")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"cannot be masked: \['body'"):
        kip.prune(model, 0.5, copy=False, initial_scale=0.25)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@needs_scope
def test_pruned_models_made_or_loaded_inside_a_scope_are_refused(tmp_path):
    plain = rematerialized(None)
    kip.prune(plain, 0.5).save(tmp_path / "pruned.keras")
    for make in (
        lambda: keras.saving.load_model(tmp_path / "pruned.keras"),
        lambda: kip.prune(plain, 0.5, copy=False),
    ):
        with (
            keras.RematScope(mode="full"),
            pytest.raises(ValueError, match="or load the model outside of the scope"),
        ):
            make()


class Repeated(keras.layers.Layer):
    """Calls a layer inside it by way of a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.dense = keras.layers.Dense(8)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.function(self.dense)(x)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("function", [REMAT, tf.recompute_grad, lambda f: f])
def test_weights_whose_gradients_the_masks_stop_are_refused(function, eager):
    plain = keras.Sequential(
        [keras.Input((4,)), Repeated(function), keras.layers.Dense(3, "softmax")]
    )
    model = kip.prune(plain, 0.5, copy=False, schedule="manual")
    model.compile("sgd", SPARSE, run_eagerly=eager, jit_compile=False)
    (kernel,) = model.masked.prunable.values()
    before = kernel.numpy()
    if function in (REMAT, tf.recompute_grad):
        with pytest.raises(ValueError, match="no gradient: .*repeated.*dense/kernel"):
            model.fit(X, Y, verbose=0)
    else:
        model.fit(X, Y, verbose=0)
        assert (kernel.numpy() != before).all()


def test_a_layer_of_ones_own_that_is_not_used_is_not_refused():
    class Unused(Repeated):
        def call(self, x):
            return x

    plain = keras.Sequential(
        [keras.Input((4,)), Unused(None), keras.layers.Dense(3, "softmax")]
    )
    model = kip.prune(plain, 0.5, copy=False, schedule="manual")
    model.compile("sgd", SPARSE)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(X, Y, verbose=0)


@needs_scope
@pytest.mark.parametrize(
    ("mode", "options", "copy"),
    [
        ("full", {}, True),  # the copy is made outside of the scope
        ("activations", {}, False),
        ("list_of_layers", {"layer_names": ["other"]}, False),
    ],
)
def test_masked_kernels_are_trained_where_nothing_of_them_is_computed_again(
    mode, options, copy
):
    model = kip.prune(rematerialized(mode, **options), 0.5, copy=copy)
    model.compile("sgd", SPARSE, run_eagerly=True)
    (kernel,) = model.masked.prunable.values()
    before = kernel.numpy()
    model.fit(X, Y, epochs=2, verbose=0)
    kept = model.masks["body/kernel"].numpy() == 1
    assert (kernel.numpy() != before)[kept].all() and not kernel.numpy()[~kept].any()


class Decorated(Repeated):
    """Calls a layer inside it in a tf.function."""

    def __init__(self):
        super().__init__(lambda dense: dense)

    @tf.function
    def call(self, x):
        return super().call(x)


class Helped(Repeated):
    """Calls a layer inside it in another method, which is a tf.function."""

    def __init__(self):
        super().__init__(None)

    @tf.function
    def help(self, x):
        return self.dense(x)

    def call(self, x):
        return self.help(x)


def test_masks_that_would_not_be_read_are_refused():
    plain = keras.Sequential([keras.Input((4,)), Helped(), keras.layers.Dense(3)])
    model = kip.prune(plain, 0.5, copy=False)
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(ValueError, match="not be read in training: .*dense/kernel"):
        model.fit(X, X[:, :3], verbose=0)
    assert model.step == 0


def decorated_later():
    layer = Repeated(lambda dense: dense)
    layer.call = tf.function(layer.call)
    return layer


@pytest.mark.parametrize("make", [Decorated, decorated_later])
def test_a_call_that_was_traced_without_masks_is_refused(make):
    head = keras.layers.Dense(3, "softmax")
    plain = keras.Sequential([keras.Input((4,)), make(), head])
    before = plain.get_weights()
    with pytest.raises(ValueError, match=r"tf.function .*\['(Decorated|Repeated)'\]"):
        kip.prune(plain, 0.5, copy=False, initial_scale=0.5)
    for old, new in zip(before, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    kip.prune(plain, 0.5, copy=False, select=head.name)  # it reads no other masks
