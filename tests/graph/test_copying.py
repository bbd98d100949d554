"""A copy is the model again, and shares nothing with it."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import zoo
from keras_invprune.graph.copying import changed_copy, copy_model
from keras_invprune.graph.weights import walk, weights_by_key


def test_it_shares_no_layer_and_no_variable():
    model = zoo.subclassed().model
    copied = copy_model(model)
    assert not {id(v) for v in copied.variables} & {id(v) for v in model.variables}
    assert not {id(e) for _, e in walk(copied)} & {id(e) for _, e in walk(model)}


@pytest.mark.parametrize("name", ["subclassed", "subclass_of_functional", "dense"])
def test_it_is_of_the_same_class_with_the_same_weights(name):
    model = zoo.CASES[name]().model
    copied = copy_model(model)
    assert type(copied) is type(model) and copied.name == model.name
    found, expected = weights_by_key(copied), weights_by_key(model)
    assert list(found) == list(expected)
    for key, (_, variable) in expected.items():
        np.testing.assert_array_equal(found[key].variable, variable)


def test_the_graph_of_a_class_with_its_own_call_is_that_of_the_copy(tmp_path):
    class Twice(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    x = keras.Input((3,))
    copied = copy_model(Twice(x, layers.Dense(2)(x)))
    assert [tensor._keras_history.operation for tensor in copied.outputs] == [
        copied.layers[-1]
    ]
    copied.save(tmp_path / "copy.keras")  # Keras looks its tensors up in the graph


def test_a_copy_with_another_config():
    first, last = layers.Dense(4, name="first"), layers.Dense(2, name="last")
    model = keras.Sequential([keras.Input((3,)), first, layers.ReLU(), last])
    first.trainable = False
    copied, pairs = changed_copy(model, {id(last): {"units": 5, "use_bias": False}})
    assert copied.output_shape == (None, 5) and not copied.layers[0].trainable
    np.testing.assert_array_equal(copied.layers[0].kernel, first.kernel)
    assert [path for path, *_ in pairs] == ["", "first", "re_lu", "last"]


def test_a_copy_that_picks_what_it_reads():
    inputs = keras.Input((3,))
    wide = layers.Dense(4, name="wide")
    model = keras.Model(inputs, layers.Dense(2, name="last")(wide(inputs)))
    picks = {id(wide): (-1, [0, 2])}
    last = model.get_layer("last")
    copied, _ = changed_copy(model, {id(last): {"activation": "relu"}}, picks)
    assert copied.get_layer("last").kernel.shape == (2, 2)
    assert copied.get_layer("wide").units == 4


def test_it_is_not_compiled_whatever_the_loss():
    def unregistered_loss(y, prediction):
        return keras.ops.mean(keras.ops.square(prediction))

    model, x, y, *_ = zoo.dense()
    model.compile("adam", unregistered_loss)
    model.fit(x, y, verbose=0)
    assert not copy_model(model).compiled
    assert model.compiled and model.optimizer.iterations == 1


def test_it_keeps_the_precision_under_any_global_policy():
    model = zoo.mixed_float16().model
    copied = copy_model(model)
    assert copied.dtype_policy == model.dtype_policy
    assert copied.layers[-1].compute_dtype == "float16"


def test_it_keeps_what_layers_have_learned_beside_weights():
    lookup = layers.StringLookup()
    lookup.adapt(["a", "b", "b"])
    embed = layers.Embedding(lookup.vocabulary_size(), 2)
    model = keras.Sequential([keras.Input((1,), dtype="string"), lookup, embed])
    x = keras.ops.convert_to_tensor([["b"], ["a"], ["c"]])
    np.testing.assert_array_equal(copy_model(model)(x), model(x))


def test_custom_classes_need_not_be_registered():
    class Scale(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", initializer="ones")

        def call(self, x):
            return x * self.scale

    inner = keras.Sequential([keras.Input((3,)), Scale()])
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(2)])
    copied = copy_model(model)
    assert type(copied.layers[0].layers[0]) is Scale


def sequential(function):
    layer = layers.Lambda(function)
    return keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])


def functional(function):
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(2)(layers.Lambda(function)(inputs)))


@pytest.mark.parametrize("make", [sequential, functional])
def test_the_callers_lambdas_are_trusted(make):
    model = make(lambda x: 2.0 * x)
    np.testing.assert_array_equal(
        copy_model(model)(zoo.floats(3)), model(zoo.floats(3))
    )


@pytest.mark.parametrize("make", [sequential, functional])
def test_functions_are_kept_as_they_are(make):
    factor = 3.0  # a file would hold neither this nor what `np` is
    model = make(lambda x: factor * np.pi * x)
    copied = copy_model(model)
    np.testing.assert_array_equal(copied(zoo.floats(3)), model(zoo.floats(3)))


def test_the_error_says_what_to_do():
    model = zoo.unregistered().model
    with pytest.raises(ValueError) as error:
        copy_model(model)
    message = str(error.value)
    assert "Model 'unregistered' (Unregistered) cannot be rebuilt" in message
    assert "a `get_config` that returns all arguments" in message
    assert "copy=False (its weights will change)" in message
    assert "Keras reports: " in message


@pytest.mark.parametrize("name", ["subclassed", "nested_with_one_name", "dense"])
def test_what_is_frozen_stays_frozen(name):
    model = zoo.CASES[name]().model
    layers = [layer for path, layer in walk(model) if path and layer.weights]
    layers[0].trainable = False
    frozen = {path for path, layer in walk(model) if not layer.trainable}
    copied = copy_model(model)
    assert {path for path, layer in walk(copied) if not layer.trainable} == frozen
    assert len(copied.trainable_weights) == len(model.trainable_weights)


# What tells layers and weights apart is their place


def alike(model, x=None):
    """The copy, after a check of its outputs and keys against the model's."""
    x = zoo.floats(4) if x is None else x
    copied = copy_model(model)
    np.testing.assert_array_equal(copied(x), model(x))
    assert list(weights_by_key(copied)) == list(weights_by_key(model))
    kinds = [[type(layer) for _, layer in walk(each)] for each in (model, copied)]
    assert kinds[0] == kinds[1]
    return copied


def rows(*body):
    return keras.Sequential([keras.Input((4,)), *body, layers.Dense(3)])


def test_a_class_may_be_called_as_one_of_keras():
    class Dense(layers.Dense):
        def call(self, x):
            return 2.0 * super().call(x)

    copied = alike(rows(Dense(4), layers.Dense(4)))
    assert [type(layer) for layer in copied.layers[:2]] == [Dense, layers.Dense]


def block_of(activation, register=False):
    class Block(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense = layers.Dense(4)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return activation(self.dense(x))

    if register:
        keras.saving.register_keras_serializable("test_copying")(Block)
    return Block


@pytest.mark.parametrize("registered", [False, True])
def test_two_classes_may_have_one_name(registered):
    kinds = [block_of(f, registered) for f in (keras.ops.relu, keras.ops.tanh)]
    copied = alike(rows(*[kind() for kind in kinds]))
    assert [type(layer) for layer in copied.layers[:2]] == kinds


@pytest.mark.parametrize(
    "merge, operate",
    [
        (layers.Add, lambda x: x + 1.0),
        (layers.Multiply, lambda x: x * 2.0),
        (layers.Maximum, lambda x: keras.ops.maximum(x, 0.1)),
    ],
)
def test_an_operation_may_be_called_as_a_layer(merge, operate):
    inputs = keras.Input((4,))
    x = merge()([layers.Dense(4)(inputs), layers.Dense(4)(inputs)])
    alike(keras.Model(inputs, layers.Dense(3)(operate(x))))


class Linear(layers.Layer):
    """Its weights have no name."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 4), initializer="glorot_uniform")
        self.b = [self.add_weight(shape=(4,), initializer="ones")]

    def call(self, x):
        return x @ self.w + self.b[0]


def test_weights_need_no_name():
    copied = alike(rows(Linear(name="linear")))
    assert list(weights_by_key(copied))[:2] == ["linear/w", "linear/b_0"]


@keras.saving.register_keras_serializable("test_copying")
class Nameless(layers.Layer):
    """Keras finds no config for what stands in `kw`: neither name nor dtype."""

    def __init__(self, units=4, **kw):
        super().__init__(**kw)
        self.dense = layers.Dense(units)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


def test_a_name_that_the_config_drops_is_kept():
    copied = alike(rows(Nameless(name="mine")))
    assert "mine/dense/kernel" in weights_by_key(copied)


def test_a_layer_that_two_nested_models_share_is_shared_in_the_copy():
    copied = copy_model(zoo.shared_by_nested_models().model)
    shared = [
        inner.get_layer("shared")
        for inner in copied.layers
        if "shared" in [layer.name for layer in getattr(inner, "layers", ())]
    ]
    assert len(shared) == 2 and shared[0] is shared[1]


def test_functions_and_initializers_need_not_be_registered():
    def cube(x):
        return x**3

    class Fives(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return keras.ops.full(shape, 5.0, dtype)

    inner = layers.LSTM(3, activation=cube, kernel_initializer=Fives())
    inputs = keras.Input((2, 5, 2))
    model = keras.Model(inputs, layers.TimeDistributed(inner)(inputs))
    alike(model, zoo.floats(2, 5, 2))


# What no config holds


class Center(layers.Layer):
    """Its mean is set later, and in no config."""

    mean = 0.0

    def call(self, x):
        return x - self.mean


class Times(layers.Layer):
    """Its config forgets the factor."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()


def test_numbers_and_arrays_that_no_config_holds_are_kept():
    center = Center()
    center.mean = np.arange(4, dtype="float32")
    copied = alike(rows(center, Times(0.01), layers.Dense(4)))
    assert copied.layers[0].mean is not center.mean


class Hidden(layers.Layer):
    """Does what its argument says, by a function that no config holds."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.apply = tf.function(lambda x: x * factor)

    def call(self, x):
        return self.apply(x)

    def get_config(self):
        return super().get_config()


def test_other_outputs_are_refused_with_the_layer_and_the_way_out():
    model = rows(layers.Dense(4), Hidden(3.0, name="hidden"))
    with pytest.raises(
        ValueError, match="(?s)differs from it.*'hidden'.*Hidden.*copy=False"
    ):
        copy_model(model)


class Owner(layers.Layer):
    """Holds a layer of the author's, whose class its config tells by name."""

    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner = inner if isinstance(inner, list) else [inner]

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x

    def get_config(self):
        inner = [keras.saving.serialize_keras_object(layer) for layer in self.inner]
        return {**super().get_config(), "inner": inner}

    @classmethod
    def from_config(cls, config):
        made = map(keras.saving.deserialize_keras_object, config.pop("inner"))
        return cls(list(made), **config)


def test_two_classes_of_one_name_within_one_config_are_refused():
    owner = Owner([block_of(f)() for f in (keras.ops.relu, keras.ops.tanh)])
    with pytest.raises(ValueError, match="inner_.*Block.*names.*copy=False"):
        copy_model(rows(owner))


def test_outputs_of_subclassed_models_are_compared_too():
    class Outer(keras.Model):
        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.hidden, self.dense = Hidden(factor), layers.Dense(3)

        def call(self, x):
            return self.dense(self.hidden(x))

        def get_config(self):
            return {"name": self.name}

    model = Outer(3.0)
    model(zoo.floats(4))
    with pytest.raises(ValueError, match="'hidden'.*Hidden.*copy=False"):
        copy_model(model)


def test_a_model_that_is_random_in_evaluation_is_copied():
    class Noise(layers.Layer):
        def call(self, x):
            return x + keras.ops.convert_to_tensor(np.random.normal(size=()), x.dtype)

    model = rows(Noise())
    copied = copy_model(model)
    np.testing.assert_array_equal(copied.layers[1].kernel, model.layers[1].kernel)


def test_to_compare_changes_no_state():
    class Counts(layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(name="count", shape=(), initializer="zeros")

        def call(self, x):
            self.count.assign_add(1.0)
            return x

    model = rows(Counts(), layers.Dropout(0.5, seed=1))
    before = [np.asarray(v) for v in model.variables]
    copied = copy_model(model)
    for each in (model, copied):
        for variable, value in zip(each.variables, before, strict=True):
            np.testing.assert_array_equal(variable, value)


def test_adapted_layers_are_copied_with_what_they_learned():
    normalize = layers.Normalization()
    normalize.adapt(np.array([[1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 9.0, 4.5]]))
    alike(rows(normalize))
    text = layers.TextVectorization(output_sequence_length=3)
    text.adapt(["a b", "b c"])
    body = [text, layers.Embedding(text.vocabulary_size(), 2)]
    model = keras.Sequential([keras.Input((1,), dtype="string"), *body])
    alike(model, keras.ops.convert_to_tensor([["c b"], ["a d"]]))


class Running(layers.Layer):
    """Keeps a mean in a variable of TensorFlow's own, and counts in Python."""

    def __init__(self, **options):
        super().__init__(**options)
        self.mean, self.calls = tf.Variable(0.0, trainable=False), 0

    def call(self, x):
        self.mean.assign_add(keras.ops.mean(x))
        self.calls += 1
        return x - self.mean


def test_variables_of_tensorflow_are_kept_and_not_shared():
    running = Running()
    model = rows(running, layers.Dense(4))
    running.mean.assign(2.0)
    calls = running.calls
    twin = copy_model(model).layers[0]
    assert running.mean == twin.mean == 2 and running.mean is not twin.mean
    assert running.calls == twin.calls == calls  # to compare is not to call
    twin.mean.assign(3.0)
    assert running.mean == 2


@dataclasses.dataclass
class Settings:
    rate: float = 1.0
    parts: list = dataclasses.field(default_factory=list)


class InTraining(layers.Layer):
    """Does something in training only, so that outputs cannot tell."""

    def __init__(self, **options):
        super().__init__(**options)
        self.settings = Settings()

    def call(self, x, training=False):
        return x * self.settings.rate if training else x


def test_objects_of_the_authors_own_are_kept_and_not_shared():
    layer = InTraining()
    model = rows(layer)
    layer.settings.rate, layer.settings.parts = 7.0, [np.arange(2)]
    twin = alike(model).layers[0].settings
    assert twin.rate == 7 and twin is not layer.settings
    np.testing.assert_array_equal(twin.parts[0], [0, 1])
    assert twin.parts[0] is not layer.settings.parts[0]


@pytest.mark.parametrize(
    ("lookup", "dtype", "x"),
    [
        (layers.StringLookup(vocabulary=["a", "b"]), "string", [["x"], ["b"], ["z"]]),
        (layers.IntegerLookup(vocabulary=[1, 2]), "int64", [[7], [2], [9]]),
    ],
)
def test_a_vocabulary_that_was_set_later_is_kept(lookup, dtype, x):
    lookup.set_vocabulary([*np.array(x)[[2, 0, 1], 0]])
    inputs = keras.Input((1,), dtype=dtype)
    model = keras.Sequential([inputs, lookup, layers.Embedding(9, 2)])
    x = keras.ops.convert_to_tensor(x)
    copied = copy_model(model)
    np.testing.assert_array_equal(copied(x), model(x))
    assert len(np.unique(copied(x))) == 6  # three words told apart


def test_words_that_layers_know_are_among_the_inputs_compared():
    inputs = keras.Input((1,), dtype="string")
    words = {"cat": 0, "dog": 1}

    class Known(layers.Layer):
        def __init__(self, words=None, **options):
            super().__init__(**options)
            self.words = functools.lru_cache(lambda: words)
            self.index = dict(words or {})

        def call(self, x):
            found = [tf.equal(x, word) for word in self.words() or {}]
            zeros = keras.ops.zeros(keras.ops.shape(x))
            return sum([keras.ops.cast(one, "float32") for one in found], zeros)

        def compute_output_shape(self, shape):
            return shape

        def get_config(self):
            return super().get_config()

    model = keras.Model(inputs, layers.Dense(3)(Known(words, name="known")(inputs)))
    with pytest.raises(ValueError, match="'known'.*different outputs"):
        copy_model(model)


def test_regularizers_and_constraints_of_a_weight_itself_are_kept():
    dense = layers.Dense(4, name="regularized")
    model = rows(dense)
    dense.kernel.regularizer = keras.regularizers.L2(0.1)
    dense.kernel.constraint = keras.constraints.NonNeg()
    copied = copy_model(model)
    expected = 0.1 * np.sum(np.square(dense.kernel))
    assert float(sum(copied.losses)) == pytest.approx(expected)
    assert isinstance(copied.layers[0].kernel.constraint, keras.constraints.NonNeg)


def test_a_regularizer_of_the_same_kind_is_kept_as_it_is():
    dense = layers.Dense(4, name="regularized", kernel_regularizer="l2")
    model = rows(dense)
    dense.kernel.regularizer = keras.regularizers.L2(0.5)
    expected = 0.5 * np.sum(np.square(dense.kernel))
    assert float(sum(copy_model(model).losses)) == pytest.approx(expected)


def test_a_regularizer_set_on_the_layer_when_it_was_built_does_nothing_in_the_copy():
    dense = layers.Dense(4)
    model = rows(dense)
    dense.kernel_regularizer = keras.regularizers.L2(0.1)  # Keras reads it no more
    assert model.losses == copy_model(model).losses == []
