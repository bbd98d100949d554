"""What `fit` refuses before any training."""

import keras
import numpy as np
import pytest

import keras_invprune as kip
from keras_invprune import tfmot

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = np.arange(30) % 3
SPARSE = "sparse_categorical_crossentropy"


def model_with(loss, rewind=None):
    plain = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(3, "softmax")]
    )
    model = kip.prune(plain, 0.5, rewind=rewind)
    model.compile("sgd", loss, jit_compile=False)
    return model


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (SPARSE, np.eye(3)[Y], r"Class numbers of shape \(\).*y.argmax"),
        (SPARSE, Y + 1, r"labels must be 0 to 2. Received: \[3\]"),
        (SPARSE, Y - 1, r"labels must be 0 to 2. Received: \[-1\]"),
        ("categorical_crossentropy", Y, r"One-hot labels of shape \(3,\).*to_categ"),
        (keras.losses.CategoricalCrossentropy(), np.eye(4)[Y], "shape \\(30, 4\\)"),
        (SPARSE, np.array(list("abc"))[Y], "must be numbers.*np.unique"),
        ("mse", np.array(["a"] * 30, object), "must be numbers"),
    ],
)
def test_labels_that_do_not_fit(loss, y, message):
    model = model_with(loss)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)
    assert model.step == 0


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (SPARSE, Y[:, None]),
        (SPARSE, list(Y)),
        (SPARSE, Y.astype("float32")),
        (keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), Y - (Y == 0)),
        ("categorical_crossentropy", np.eye(3)[Y]),
        ("mse", np.eye(3)[Y]),
        (keras.losses.sparse_categorical_crossentropy, Y),
    ],
)
def test_labels_that_fit(loss, y):
    model = model_with(loss)
    y = np.asarray(y) if isinstance(y, list) else y
    model.fit(X, y, epochs=2, verbose=0)
    assert model.finished


def test_labels_of_an_unknown_number_of_outputs_must_not_be_negative():
    steps = [keras.layers.Dense(1, name="body"), keras.layers.Flatten()]
    plain = keras.Sequential([keras.Input((None, 4)), *steps, keras.layers.Softmax()])
    model = kip.prune(plain, 0.5, select="body")
    model.compile("sgd", SPARSE, jit_compile=False)
    with pytest.raises(ValueError, match=r"must be at least 0. Received: \[-1\]"):
        model.fit(np.stack([X] * 3, axis=1), Y - 1, verbose=0)


def test_labels_of_sequences_of_any_length():
    plain = keras.Sequential(
        [keras.Input((None, 4)), keras.layers.Dense(8), keras.layers.Dense(3)]
    )
    x, y = np.zeros((6, 5, 4), "float32"), np.zeros((6, 5), int)
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    one_hot = keras.losses.CategoricalCrossentropy(from_logits=True)
    for loss, labels in ((logits, y), (one_hot, np.eye(3)[y])):
        model = kip.prune(plain, 0.5)
        model.compile("sgd", loss, jit_compile=False)
        model.fit(x, labels, epochs=2, verbose=0)
        assert model.finished
    with pytest.raises(ValueError, match=r"One-hot labels of shape \(None, 3\)"):
        model.fit(x, np.zeros((6, 5, 2)), verbose=0)


def own(name):
    """A registered model class with its own method of that name."""

    def method(self, *args, **kwargs):
        return getattr(super(made, self), name)(*args, **kwargs)

    made = type(f"Own_{name}", (Plain,), {name: method})
    return keras.saving.register_keras_serializable("test_checks")(made)


@keras.saving.register_keras_serializable("test_checks")
class Plain(keras.Model):
    """A subclassed model that trains as Keras does."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = keras.layers.Dense(8)
        self.head = keras.layers.Dense(3, "softmax")

    def call(self, x):
        return self.head(self.hidden(x))


OWN = ["train_step", "compute_loss", "compute_metrics", "fit", "make_train_function"]


@pytest.mark.parametrize("name", OWN)
def test_a_training_of_its_own_is_refused(name):
    plain = own(name)()
    plain(X[:1])
    model = kip.prune(plain, 0.5)
    model.compile("sgd", SPARSE, jit_compile=False)
    for run in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=f"has its own {name}.*custom_loop"):
            run(X, Y, verbose=0)
    assert model.step == 0
    model.predict(X, verbose=0)  # as ever


def test_a_step_that_is_set_on_the_model_itself_is_refused():
    plain = Plain()
    plain(X[:1])
    plain.train_step = lambda data: {}
    model = kip.prune(plain, 0.5, copy=False)
    model.compile("sgd", SPARSE, jit_compile=False)
    with pytest.raises(ValueError, match="has its own train_step"):
        model.fit(X, Y, verbose=0)


def test_a_model_without_one_is_trained():
    plain = Plain()
    plain(X[:1])
    model = kip.prune(plain, 0.5)
    model.compile("sgd", SPARSE, jit_compile=False)
    model.fit(X, Y, epochs=2, verbose=0)
    assert model.finished


def with_a_dead_input_and_unit():
    kernel = np.random.default_rng(0).uniform(0.5, 1, (4, 8))
    kernel[0], kernel[:, 0] = 0.1, 0.1
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="first")])
    plain.layers[0].set_weights([kernel, np.zeros(8)])
    plain.add(keras.layers.Dense(3, "softmax"))
    model = kip.prune(plain, 11 / 32, select=["first"], schedule="manual")
    model.prune_to(11 / 32)
    return model


def test_adafactor_needs_an_epsilon_whose_square_is_not_zero():
    model = with_a_dead_input_and_unit()
    model.compile(keras.optimizers.Adafactor(0.01), SPARSE)
    with pytest.warns(UserWarning, match="epsilon_1=1e-15"):
        model.fit(X, Y, verbose=0)
    assert not np.isfinite(model.inner.layers[0].kernel).all()
    model = with_a_dead_input_and_unit()
    model.compile(keras.optimizers.Adafactor(0.01, epsilon_1=1e-15), SPARSE)
    model.fit(X, Y, verbose=0)  # without a warning
    assert np.isfinite(model.inner.layers[0].kernel).all()


def test_reducing_the_rate_on_a_plateau_must_wait_for_fine_tuning():
    model = model_with(SPARSE, rewind="initial")
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    with pytest.raises(ValueError, match=r"AfterPruning\(ReduceLROnPlateau"):
        model.fit(X, Y, callbacks=[plateau], verbose=0)
    gated = kip.callbacks.AfterPruning(plateau)
    model.fit(X, Y, callbacks=[gated], epochs=4, verbose=0)
    assert model.finished


def test_callbacks_of_tf_keras_are_refused_but_for_the_one_that_does_nothing(tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    model = model_with(SPARSE)
    for old in (
        tfmot.sparsity.PruningSummaries(str(tmp_path)),
        tf_keras.callbacks.EarlyStopping(),
    ):
        with pytest.raises(TypeError, match="must be Keras 3's.*`keras.callbacks`"):
            model.fit(X, Y, callbacks=[old], verbose=0)
    assert model.step == 0
    steps = tfmot.sparsity.UpdatePruningStep()
    model.fit(X, Y, callbacks=[steps], epochs=4, verbose=0)
    assert model.finished


def test_a_layer_frozen_between_two_fits_asks_for_a_new_compile():
    model = model_with(SPARSE, rewind="initial")
    model.compile(keras.optimizers.SGD(0.1, 0.9), SPARSE, jit_compile=False)
    with pytest.warns(UserWarning, match="target"):
        model.fit(X, Y, epochs=2, batch_size=10, verbose=0, callbacks=[Stop()])
    model.inner.layers[0].trainable = False
    with pytest.raises(ValueError, match="layer frozen since.*Compile"):
        model.fit(X, Y, epochs=4, verbose=0)


class Stop(keras.callbacks.Callback):
    """Stops before half of the steps are made."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = True


def test_a_loop_of_ones_own_asks_for_compile_too():
    plain = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(3)]
    )
    callback = kip.callbacks.PruningCallback()
    callback.set_model(kip.prune(plain, 0.5, rewind="initial"))
    callback.set_params({"epochs": 2, "steps": 2})
    with pytest.raises(ValueError, match="Call `compile"):
        callback.on_train_begin()
