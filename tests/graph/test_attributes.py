"""A copy holds what the layers' attributes hold, and shares nothing that changes."""

import functools
import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_invprune.graph.copying import copy_model

X = np.linspace(-90.0, 300.0, 12, dtype="float32").reshape(3, 4)


def both(layer, training=False, x=X):
    """The layer's outputs in a model and in its copy."""
    model = keras.Sequential([keras.Input((4,)), layer])
    copied = copy_model(model)
    outputs = [np.asarray(each(x, training=training)) for each in (model, copied)]
    return copied.layers[0], *outputs


class Applies(layers.Layer):
    """Applies what a constructor makes of an argument that the config forgets."""

    def __init__(self, value=1.0, **options):
        super().__init__(**options)
        self.held = self.made(value)

    def call(self, x):
        return self.applied(x)

    def get_config(self):
        return super().get_config()


class InList(Applies):
    made = staticmethod(lambda value: [lambda x: ops.minimum(x, value)])
    applied = property(lambda self: self.held[0])


class InDict(Applies):
    made = staticmethod(lambda value: {"cap": lambda x: ops.minimum(x, value), "n": 1})
    applied = property(lambda self: self.held["cap"])


class Bound(Applies):
    made = staticmethod(lambda value: functools.partial(ops.minimum, value))
    applied = property(lambda self: self.held)


class Slots:
    __slots__ = ("cap",)

    def __init__(self, cap):
        self.cap = cap


class InSlots(Applies):
    made = Slots
    applied = property(lambda self: lambda x: ops.minimum(x, self.held.cap))


class InModule(Applies):
    class Cap(tf.Module):
        def __init__(self, cap):
            super().__init__()
            self.cap = tf.Variable(cap, trainable=False)

    made = Cap
    applied = property(lambda self: lambda x: ops.minimum(x, self.held.cap))


@pytest.mark.parametrize("kind", [InList, InDict, Bound, InSlots, InModule])
def test_what_an_attribute_remembers_is_carried(kind):
    twin, expected, found = both(kind(255.0))
    np.testing.assert_array_equal(expected, np.minimum(X, 255.0))
    np.testing.assert_array_equal(found, expected)


def test_variables_inside_objects_are_not_shared():
    layer = InModule(255.0)
    twin, *_ = both(layer)
    twin.held.cap.assign(1.0)
    assert layer.held.cap == 255.0


class Trained(layers.Layer):
    """Uses what its attributes hold in training only."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Identity()
        self.inner.gain = 1.0
        self.mixed = {"gain": 1.0, "layer": self.inner}

    def call(self, x, training=False):
        gain = self.inner.gain * self.mixed["gain"]
        return self.inner(x) * gain if training else x


def test_what_acts_in_training_only_is_carried():
    layer = Trained()
    layer.inner.gain, layer.mixed["gain"] = 5.0, 3.0
    twin, expected, found = both(layer, training=True)
    np.testing.assert_array_equal(expected, 15.0 * X)
    np.testing.assert_array_equal(found, expected)
    assert twin.mixed["layer"] is twin.inner is not layer.inner


def test_a_function_that_uses_its_layer_must_remember_the_same():
    class Times(layers.Layer):
        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.scale = 2.0
            self.apply = lambda x: x * self.scale * factor

        def call(self, x):
            return self.apply(x)

        def get_config(self):
            return super().get_config()

    _, expected, found = both(Times())
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="'apply'.*holds 3.0, and in the copy 1.0"):
        both(Times(3.0))


class Looks(layers.Layer):
    def __init__(self, words=("x",), **options):
        super().__init__(**options)
        self.table = self.made(words)

    def call(self, x):
        return self.table.lookup(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "int64")

    def get_config(self):
        return super().get_config()


class Static(Looks):
    def made(self, words):
        ids = tf.range(1, len(words) + 1, dtype="int64")
        start = tf.lookup.KeyValueTensorInitializer(tf.constant(list(words)), ids)
        return tf.lookup.StaticHashTable(start, 0)


class Mutable(Looks):
    def made(self, words):
        return tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)


def looked_up(model, words):
    return np.asarray(model(tf.constant([words]))).tolist()


def test_words_of_lookup_tables_are_carried():
    static, mutable = Static(["cat", "dog"]), Mutable()
    inputs = keras.Input((2,), dtype="string")
    for layer in (static, mutable):
        model = keras.Model(inputs, layer(inputs))
        if layer is mutable:
            ids = tf.constant([1, 2], "int64")
            layer.table.insert(tf.constant(["cat", "dog"]), ids)
        copied = copy_model(model)
        assert looked_up(copied, ["dog", "cat"]) == [[2, 1]]
    copied.layers[1].table.insert(tf.constant(["owl"]), tf.constant([9], "int64"))
    assert looked_up(model, ["owl", "cat"]) == [[0, 1]]


def functions_regularize():
    """Whether Keras takes functions as regularizers; 3.8 does not."""
    try:
        keras.Variable(0.0).regularizer = ops.abs
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("own", [layers.Dense, layers.EinsumDense])
def test_lambdas_keep_what_they_remember(own):
    factor = np.arange(4, dtype="float32")
    options = {
        "activation": lambda x: x * factor,
        "kernel_initializer": lambda shape, dtype=None: ops.ones(shape, dtype),
    }
    if functions_regularize():
        options["kernel_regularizer"] = lambda kernel: 0.25 * ops.sum(kernel)
    layer = own(4, **options) if own is layers.Dense else own("ab,bc->ac", 4, **options)
    twin, expected, found = both(layer)
    np.testing.assert_allclose(expected, X.sum(1, keepdims=True) * factor, rtol=1e-5)
    np.testing.assert_array_equal(found, expected)
    assert [float(value) for value in twin.losses] == [4.0] * functions_regularize()
    assert options["activation"].__name__ == "<lambda>"


def test_a_function_that_uses_a_variable_is_refused_with_its_name():
    factor = tf.Variable(3.0)
    with pytest.raises(ValueError, match="'scaled'.*uses the variable 'factor'"):
        both(layers.Lambda(lambda x: x * factor, name="scaled"))


@pytest.mark.skipif(
    not functions_regularize(), reason="Keras 3.8 cannot read a layer as an activation"
)
def test_a_layer_that_two_layers_hold_is_named():
    shared = layers.PReLU(name="slopes")
    inputs = x = keras.Input((4,))
    for _ in range(2):
        x = layers.Dense(4, activation=shared)(x)
    with pytest.raises(ValueError, match="PReLU.* is shared: several"):
        copy_model(keras.Model(inputs, x))


def test_losses_that_a_layer_adds_are_carried():
    class Penalty(layers.Layer):
        def __init__(self, weight=0.0, **options):
            super().__init__(**options)
            self.terms = [lambda x: weight * ops.sum(x)]

        def call(self, x):
            self.add_loss(self.terms[0](x))
            return x

        def get_config(self):
            return super().get_config()

    twin, *_ = both(Penalty(3.0))
    assert float(sum(twin.losses)) == pytest.approx(3.0 * X.sum())


def test_objects_may_hold_each_other():
    class Node:
        def __init__(self):
            self.me, self.cap, self.known = self, 1.0, {"me": self}

    class Holds(Applies):
        made = staticmethod(lambda value: Node())
        applied = property(lambda self: lambda x: ops.minimum(x, self.held.me.cap))

    layer = Holds()
    layer.held.cap = 255.0
    twin, expected, found = both(layer)
    np.testing.assert_array_equal(expected, np.minimum(X, 255.0))
    np.testing.assert_array_equal(found, expected)
    assert twin.held.me is twin.held is not layer.held


def test_what_belongs_to_one_model_or_process_does_not_matter():
    class Holds(Applies):
        def made(self, value):
            return [threading.Lock(), weakref.ref(self), self.same, iter([1]), value]

        def same(self, x):
            return x

        applied = property(lambda self: self.held[2])

    twin, expected, found = both(Holds(3.0))
    np.testing.assert_array_equal(found, expected)
    assert twin.held[1]() is twin and twin.held[4] == 3.0


def test_a_function_may_read_a_table_of_the_same_words():
    class Reads(Static):
        def made(self, words):
            table = super().made(words)
            self.read = lambda x: (self, table.lookup(x))[1]
            return None

        def call(self, x):
            return self.read(x)

    inputs = keras.Input((2,), dtype="string")
    model = keras.Model(inputs, Reads()(inputs))
    assert looked_up(copy_model(model), ["x", "y"]) == [[1, 0]]
    with pytest.raises(ValueError, match="'read'.*holds"):
        copy_model(keras.Model(inputs, Reads(["cat"])(inputs)))


def test_metrics_of_the_authors_own_stay_those_of_the_twin():
    class Most(keras.metrics.Mean):
        limit = 3.0

    class Measures(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.most = Most()

        def call(self, x):
            self.most.update_state(x)
            return x

    layer = Measures()
    twin, expected, found = both(layer)
    np.testing.assert_array_equal(found, expected)
    assert type(twin.most) is Most and twin.most is not layer.most
    assert len(twin.variables) == len(layer.variables)


def test_states_of_recurrent_layers_stay_their_own():
    inputs = keras.Input((5, 4), batch_size=2)
    model = keras.Model(inputs, layers.GRU(3, stateful=True)(inputs))
    model(np.ones((2, 5, 4)))
    copied = copy_model(model)
    states = [each.layers[1].states[0] for each in (model, copied)]
    assert states[0] is not states[1]
    np.testing.assert_array_equal(*states)
    copied(np.ones((2, 5, 4)))
    assert not np.array_equal(*states)
