"""What Keras's own layers are configured with is the same in a copy."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_invprune.graph.copying import copy_model

MADE = {
    "max_value": lambda cap=6.0: layers.ReLU(cap),
    "rate": lambda rate=0.1: layers.Dropout(rate),
    "momentum": lambda momentum=0.99: layers.BatchNormalization(momentum=momentum),
    "mask_value": lambda value=0.0: layers.Masking(value),
    "bin_boundaries": lambda edges=(0.0, 1.0): layers.Discretization(list(edges)),
    "units": lambda units=4: layers.Dense(units),
}
OTHER = {
    "max_value": 200.0,
    "rate": 0.6,
    "momentum": 0.5,
    "mask_value": -1.0,
    "bin_boundaries": (0.0, 50.0),
    "units": 5,
}


class Forgets(layers.Layer):
    """Makes an inner layer by an argument that its config forgets."""

    def __init__(self, make=None, **options):
        super().__init__(**options)
        self.inner = (make or self.make)()

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return super().get_config()


@pytest.mark.parametrize("argument", MADE)
def test_a_forgotten_argument_of_an_inner_layer_is_refused(argument):
    class Block(Forgets):
        make = staticmethod(MADE[argument])

    make = MADE[argument]
    block = Block(lambda: make(OTHER[argument]), name="block")
    model = keras.Sequential([keras.Input((4,)), block])
    expected = f"'block/inner'.*{argument}=.*its copy.*get_config.*copy=False"
    with pytest.raises(ValueError, match=expected):
        copy_model(model)


@pytest.mark.parametrize("argument", MADE)
def test_an_argument_that_is_not_forgotten_is_copied(argument):
    class Block(Forgets):
        make = staticmethod(MADE[argument])

    copy_model(keras.Sequential([keras.Input((4,)), Block()]))


def test_forgotten_regularizers_are_carried():
    class Block(Forgets):
        make = staticmethod(lambda: layers.Dense(4))

    penalty = keras.regularizers.L2(0.5)
    block = Block(lambda: layers.Dense(4, activity_regularizer=penalty))
    model = keras.Sequential([keras.Input((4,)), block])
    x = zoo.floats(4)
    copied = copy_model(model)
    expected = 0.5 * np.sum(np.square(model(x)))
    if not penalized_by_sum():
        expected /= len(x)
    copied(x)
    assert float(sum(copied.losses)) == pytest.approx(float(expected), rel=1e-5)


def penalized_by_sum():
    """Whether Keras adds activity penalties over the rows, as 3.8 does."""
    layer = layers.ActivityRegularization(l2=1.0)
    layer(np.ones((2, 1)))
    return float(layer.losses[0]) == 2.0


def test_forgotten_words_are_carried():
    class Looks(Forgets):
        make = staticmethod(lambda words=("z",): layers.StringLookup(vocabulary=words))

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, "int64")

    make = Looks.make
    inputs = keras.Input((2,), dtype="string")
    model = keras.Model(inputs, Looks(lambda: make(["cat", "dog"]))(inputs))
    x = keras.ops.convert_to_tensor([["dog", "cat"], ["z", "dog"]])
    np.testing.assert_array_equal(copy_model(model)(x), [[2, 1], [0, 2]])


def test_inner_layers_that_draw_their_own_seeds_are_copied():
    class Augment(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.flip, self.drop = layers.RandomFlip(), layers.Dropout(0.5)

        def call(self, x):
            return self.drop(self.flip(x))

    copy_model(keras.Sequential([keras.Input((8, 8, 3)), Augment()]))


def test_a_quantized_model_is_refused_with_its_cause():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8), layers.Dense(2)])
    model.layers[0].quantize("float8")
    with pytest.raises(ValueError, match="quantized to float8. Prune before"):
        copy_model(model)
