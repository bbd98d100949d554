"""What every view layer must do, whichever it is."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune import views

LAYERS = [
    getattr(views, name)
    for name in views.__all__
    if inspect.isclass(getattr(views, name))
]
MAKERS = [*LAYERS, views.images, views.natural_images]
for_every_layer = pytest.mark.parametrize("make", LAYERS, ids=lambda f: f.__name__)
for_every_view = pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__)


def batch(make, size=16):
    """Values in [0, 1) of the shape that the view takes."""
    shape = (size, 9) if getattr(make, "rank", 4) == 2 else (size, 8, 10, 3)
    return np.random.default_rng(0).random(shape, dtype="float32")


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@for_every_view
def test_returns_the_input_shape_in_float32(make):
    x = batch(make)
    y = make()(x)
    assert y.shape == x.shape
    assert y.dtype == "float32"
    assert np.all(np.isfinite(y))


@for_every_view
def test_64_bit_floats_as_keras_s_default_change_nothing(make):
    x = batch(make)
    expected = make(seed=3)(x)
    before = keras.config.floatx()
    keras.config.set_floatx("float64")  # then Keras counts in 64 bits, too
    try:
        np.testing.assert_array_equal(make(seed=3)(x), expected)
    finally:
        keras.config.set_floatx(before)


@for_every_view
def test_consecutive_draws_differ(make):
    x, view = batch(make), make(seed=1)
    assert not np.array_equal(view(x), view(x))


@for_every_view
def test_a_seed_fixes_the_draws_and_another_changes_them(make):
    x = batch(make)
    y = make(seed=3)(x)
    np.testing.assert_array_equal(make(seed=3)(x), y)
    assert not np.array_equal(make(seed=4)(x), y)


@for_every_layer
def test_layers_without_a_seed_differ(make):
    x = batch(make)
    assert not np.array_equal(make()(x), make()(x))


@for_every_layer
def test_each_example_gets_a_draw_of_its_own(make):
    x = batch(make)
    if x.ndim == 2:
        x = np.repeat(np.arange(16.0, dtype="float32")[:, None], 9, axis=1)
        changes = array(make(seed=5)(x)) - x
    else:
        changes = array(make(seed=5)(np.repeat(x[:1], 16, axis=0)))
    assert len(np.unique(changes.reshape(16, -1), axis=0)) > 1


@for_every_view
def test_compiles_under_xla_with_sizes_left_open(make):
    x, view = batch(make), make(seed=1)
    sizes = [None] * (x.ndim - 1)
    signature = tf.TensorSpec((*sizes, x.shape[-1]), "float32")
    compiled = tf.function(view, input_signature=[signature], jit_compile=True)
    first, second = compiled(x), compiled(x)
    assert first.shape == x.shape
    assert not np.array_equal(first, second)


@for_every_view
def test_is_part_of_a_model_saved_with_it_and_active_in_inference(make, tmp_path):
    x = batch(make)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, make(seed=1)(inputs))
    assert model.output_shape == (None, *x.shape[1:])
    model.save(tmp_path / "model.keras")
    y = keras.saving.load_model(tmp_path / "model.keras")(x, training=False)
    assert not np.array_equal(y, x)
    # Files of Keras hold the seed, not how far its stream was read.
    np.testing.assert_array_equal(y, make(seed=1)(x))


@for_every_layer
def test_config_makes_an_equal_layer(make):
    layer = make(seed=7, name="mine")
    again = make.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(batch(make)), layer(batch(make)))


@for_every_layer
def test_integers_are_cast_with_their_values_kept(make):
    x = (batch(make) * 255).astype("uint8")
    y = make(seed=2)(x)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, make(seed=2)(x.astype("float32")))


@for_every_layer
def test_half_precision_draws_the_same_transformation(make):
    x = batch(make)
    y = make(seed=2, dtype="float16")(x)
    assert y.dtype == "float16"
    # Values up to 1, and sums of a few of them, to 11 bits.
    np.testing.assert_allclose(y, make(seed=2)(x), atol=5e-3)


@for_every_view
def test_mixed_precision_leaves_views_in_float32(make):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        y = make(seed=2)(batch(make))
    finally:
        keras.config.set_dtype_policy(policy)
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, make(seed=2)(batch(make)))


@for_every_layer
def test_another_rank_is_refused(make):
    with pytest.raises(ValueError, match=rf"{make.__name__} needs .* Received: shape"):
        make()(np.zeros((2, 3, 4), "float32"))


def test_the_layers_of_a_preset_draw_different_numbers():
    for preset in (views.images, views.natural_images):
        seeds = [layer.seed for layer in preset(seed=1).layers]
        assert len(set(seeds)) == len(seeds)
        assert set(seeds).isdisjoint(layer.seed for layer in preset(seed=2).layers)
        assert [layer.seed for layer in preset().layers] == [None] * len(seeds)
        for seed in (-1, 0.5, "a", True):
            with pytest.raises(ValueError, match="`seed` must be an integer"):
                preset(seed=seed)


@for_every_layer
def test_replicas_draw_different_transformations(make):
    x = batch(make)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        view = make(seed=1)
    results = tf.function(lambda: strategy.run(view, args=(x,)))()
    first, second = strategy.experimental_local_results(results)
    np.testing.assert_allclose(first, make(seed=1)(x), atol=1e-5)
    assert np.abs(array(first) - array(second)).max() > 0.01
