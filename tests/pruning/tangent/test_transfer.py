"""Neural tangent transfer: terms, masks, what is read, where it runs, bad input."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from keras import layers

import keras_invprune as kip
from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent import tangent_kernel
from keras_invprune.pruning.tangent.student import Student
from keras_invprune.pruning.tangent.transfer import MaskRenewal

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 8)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def network(*body, activation=None):
    body = body or (layers.Dense(16, activation="relu", name="hidden"),)
    head = layers.Dense(2, activation=activation, name="head")
    return keras.Sequential([keras.Input((8,)), *body, head])


def transfer(model, x=X, sparsity=0.75, **options):
    options = {"epochs": 2, "batch_size": 12, "mask_every": 3, "verbose": 0} | options
    names = [field.name for field in dataclasses.fields(kip.TransferSettings)]
    own = {name: options.pop(name) for name in names if name in options}
    settings = kip.TransferSettings(**own)
    return kip.neural_tangent_transfer(model, x, sparsity, settings, **options)


def test_settings_as_arguments_of_their_own_are_deprecated():
    with pytest.warns(DeprecationWarning, match=r"TransferSettings\(mask_every=...\)"):
        kip.neural_tangent_transfer(
            network(), X, 0.5, epochs=1, verbose=0, mask_every=3
        )
    with pytest.raises(TypeError, match="must be given only once"):
        kip.neural_tangent_transfer(
            network(), X, 0.5, kip.TransferSettings(), mask_every=3
        )
    with pytest.raises(TypeError, match="no argument 'alocation'.*'allocation'"):
        kip.neural_tangent_transfer(network(), X, 0.5, alocation="global")


@pytest.mark.parametrize(
    "convert",
    [
        tf.sparse.from_dense,
        scipy.sparse.csr_matrix,
        lambda x: tf.data.Dataset.from_tensor_slices(tf.sparse.from_dense(x)).batch(12),
    ],
)
def test_sparse_rows_are_taken_like_dense_ones(convert):
    keras.utils.set_random_seed(0)
    model, x = network(), np.where(X > 0, X, 0)
    found, rows = [], convert(x)
    if isinstance(rows, tf.data.Dataset):
        x = tf.data.Dataset.from_tensor_slices(x).batch(12)
    for each in (x, rows):
        keras.utils.set_random_seed(0)
        found.append(transfer(model, each, epochs=1).inner.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_terms_are_those_of_the_paper():
    pruned = prune(network(activation="softmax"), 0.5, schedule="manual")
    student = Student(pruned, kernel_weight=1e-3, penalty=1e-4)
    MaskRenewal(pruned, 10).renew()
    inner, kernel = pruned.inner, pruned.inner.get_layer("hidden").kernel
    logits = keras.Sequential([*inner.layers[:-1], layers.Dense(2)])
    logits.build((None, 8))
    logits.layers[-1].set_weights(inner.layers[-1].get_weights())
    f_t, kernel_t = tangent_kernel(logits, X)
    target, distance, penalty = student.terms(X)
    dense, mask = kernel.numpy(), pruned.masks["hidden/kernel"].numpy()
    kernel.assign(dense * mask)
    f_s, kernel_s = tangent_kernel(logits, X)
    assert float(target) == pytest.approx(np.mean((f_s - f_t) ** 2), rel=1e-4)
    expected = np.mean((kernel_s - kernel_t) ** 2)
    assert float(distance) == pytest.approx(expected, rel=1e-4)
    assert float(penalty) == pytest.approx(np.sum((dense * mask) ** 2) / 0.5, rel=1e-4)


def test_the_student_comes_nearer_to_its_teacher():
    logs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, log: logs.append(log)
    )
    transfer(
        network(),
        sparsity=0.5,
        penalty=0.0,
        kernel_weight=1.0,
        epochs=80,
        batch_size=48,
        mask_every=20,
        optimizer=keras.optimizers.Adam(3e-2),
        callbacks=[record],
    )
    for term in ("target_distance", "kernel_distance", "loss"):
        assert logs[-1][term] < 0.75 * logs[0][term]
    assert {log["sparsity"] for log in logs} == {0.5}


def test_masks_are_final_and_training_goes_on_with_labels():
    model = network(activation="softmax")
    before = model.get_weights()
    pruned = transfer(model)
    assert pruned.finished and pruned.sparsity == 0.75
    mask = pruned.masks["hidden/kernel"].numpy()
    pruned.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    pruned.fit(X, Y, epochs=1, verbose=0)
    final = kip.strip_pruning(pruned)
    zeros = final.get_layer("hidden").kernel.numpy() == 0
    np.testing.assert_array_equal(zeros, mask == 0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_computed_again_for_their_gradients_are_refused():
    class Repeated(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense = layers.Dense(8)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return tf.recompute_grad(self.dense)(x)

    with pytest.raises(ValueError, match="no gradient: .*dense/kernel"):
        transfer(network(Repeated(name="repeated")))


def test_what_is_masked_keeps_its_value_and_may_come_back():
    pruned = prune(network(), 0.5, schedule="manual")
    kernel = pruned.inner.get_layer("hidden").kernel
    values = kernel.numpy()
    renewal = MaskRenewal(pruned, 1)
    renewal.renew()
    np.testing.assert_array_equal(kernel.numpy(), values)
    gone = np.argwhere(pruned.masks["hidden/kernel"].numpy() == 0)[0]
    values[tuple(gone)] = 9.0
    kernel.assign(values)
    renewal.renew()
    assert pruned.masks["hidden/kernel"].numpy()[tuple(gone)] == 1


def test_masks_are_renewed_on_time_and_not_at_the_end(monkeypatch):
    steps, step = [], []
    renew = MaskRenewal.renew
    monkeypatch.setattr(
        MaskRenewal,
        "renew",
        lambda self, *plan: (steps.append(len(step)), renew(self, *plan)),
    )
    count = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: step.append(batch)
    )
    for optimizer in (
        keras.optimizers.Adam(),
        keras.optimizers.Adam(gradient_accumulation_steps=4),
        keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(), 2.0**60),
    ):
        steps.clear(), step.clear()
        options = {"epochs": 3, "mask_every": 3, "optimizer": optimizer}
        transfer(network(), callbacks=[count], **options)
        assert steps == [0, 3, 6]  # of 12: the last three steps follow fixed masks


def test_interrupted_it_goes_on_to_the_same_weights(tmp_path):
    keras.utils.set_random_seed(1)
    model, x = network(), tf.data.Dataset.from_tensor_slices(X).batch(12)

    def run(*callbacks):
        # So fast that it matters which masks the weights have had.
        optimizer = keras.optimizers.Adam(3e-2)
        return transfer(model, x, epochs=4, optimizer=optimizer, callbacks=callbacks)

    whole = run()

    def interrupt(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        run(backup, stop)
    epochs = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs=None: epochs.append(epoch)
    )
    again = run(backup, count)
    assert epochs == [2, 3]
    for one, other in zip(whole.inner.weights, again.inner.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    for key, mask in whole.masks.items():
        np.testing.assert_array_equal(mask.numpy(), again.masks[key].numpy())


def test_no_label_is_read():
    def rows(y):
        return tf.data.Dataset.from_tensor_slices((X, y)).batch(12)

    found = []
    for data in (rows(Y), tf.data.Dataset.from_tensor_slices(X).batch(12)):
        keras.utils.set_random_seed(0)
        found.append(transfer(network(), data, first_score="logit_snip").get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "body",
    [
        lambda: [layers.Dense(6), layers.BatchNormalization(), layers.ReLU()],
        lambda: [
            layers.Reshape((4, 2, 1)),
            layers.Conv2D(3, 2, activation="relu"),
            layers.Dropout(0.5),
            layers.Flatten(),
        ],
    ],
    ids=["batch_norm", "convolution_and_dropout"],
)
def test_other_layers(body):
    model = network(*body())
    statistics = [w.numpy() for w in model.non_trainable_variables]
    pruned = transfer(model, kernel_rows=4, allocation="global")
    assert pruned.sparsity == pytest.approx(0.75, abs=0.03)
    after = [w.numpy() for w in pruned.inner.non_trainable_variables]
    for a, b in zip(statistics, after, strict=True):
        if a.dtype == np.float32:  # not the seeds
            np.testing.assert_array_equal(a, b)


def test_a_last_batch_of_one_row_has_no_kernel():
    data = tf.data.Dataset.from_tensor_slices(X[:13]).batch(12)
    logs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, log: logs.append(log)
    )
    transfer(network(), data, epochs=1, callbacks=record)
    assert np.isfinite(logs[0]["loss"])


def test_a_shuffled_allocation_is_no_mask_of_zeros():
    shuffled = kip.allocation.Shuffled("uniform", seed=1)
    pruned = transfer(network(), allocation=shuffled)
    kernel = pruned.inner.get_layer("hidden").kernel.numpy()
    assert np.count_nonzero(kernel) == kernel.size // 4


def test_several_inputs_without_callbacks():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    hidden = [layers.Dense(8, activation="relu")(tensor) for tensor in inputs]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(hidden)))
    pruned = transfer(model, [X[:, :4], X[:, 4:]], callbacks=None)  # as in fit
    assert pruned.finished and pruned.sparsity == 0.75


def test_two_replicas_find_what_one_finds(strategy):
    found = []
    data = tf.data.Dataset.from_tensor_slices(X).batch(24, drop_remainder=True)
    # The kernel is that of each replica's own rows, hence only the other terms.
    for scope in (tf.distribute.get_strategy(), strategy):
        with scope.scope():
            keras.utils.set_random_seed(0)
            pruned = transfer(
                network(), data, kernel_weight=0.0, optimizer=keras.optimizers.SGD(0.1)
            )
        found.append([v.numpy() for v in pruned.inner.trainable_variables])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_batch_too_short_for_all_replicas_is_left_out(strategy):
    data = tf.data.Dataset.from_tensor_slices(X[:9]).batch(8)
    logs = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, log: logs.append(log)
    )
    with strategy.scope():
        pruned = transfer(network(), data, callbacks=record)
        with pytest.raises(ValueError, match="Use larger batches"):
            transfer(network(), data.unbatch().batch(1))
        with pytest.raises(ValueError, match="Use larger batches"):
            transfer(network(), X, batch_size=1)
    assert pruned.finished and np.isfinite([log["loss"] for log in logs]).all()


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 3])
def test_with_xla_where_it_can(groups, monkeypatch):
    # As on a GPU, where "auto" means XLA.
    monkeypatch.setattr(Student, "_resolve_auto_jit_compile", lambda self: True)
    body = [
        layers.Reshape((4, 2, 1)),
        layers.Conv2D(3, 2),
        layers.BatchNormalization(),
        layers.Conv2D(3, 1, groups=groups),
        layers.Flatten(),
    ]
    seen = []
    look = keras.callbacks.LambdaCallback()

    def note(logs=None):
        seen.append(look.model.jit_compile)
        if groups > 1:  # trained like all others, which takes seconds to trace
            raise InterruptedError

    look.on_train_begin = note
    with contextlib.suppress(InterruptedError):
        assert transfer(network(*body), callbacks=look).finished
    assert seen == [groups == 1]


def test_xla_on_several_replicas_is_refused(strategy):
    with strategy.scope(), pytest.raises(ValueError, match="jit_compile=False"):
        transfer(network(), jit_compile=True)


def test_what_is_no_keras_3_model_is_refused():
    tf_keras = pytest.importorskip("tf_keras")
    old = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(8,))])
    with pytest.raises(TypeError, match="Build it with Keras 3"):
        transfer(old)
    with pytest.raises(TypeError, match="must be a Keras 3 model"):
        transfer("model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_weight": -1}, "kernel_weight"),
        ({"penalty": float("nan")}, "penalty"),
        ({"mask_every": 0}, "mask_every"),
        ({"kernel_rows": 1}, "kernel_rows"),
        ({"sparsity": 75}, "Did you mean 0.75"),
        ({"x": X[:1]}, "two rows"),
        ({"first_score": "snipp"}, "Did you mean 'snip'"),
        ({"first_score": "snip"}, "must read no labels"),
        ({"first_score": "movement"}, "must not be a score that learns"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        transfer(network(), **options)


@pytest.mark.parametrize("x", [iter(()), keras.utils.PyDataset()])
def test_what_is_neither_arrays_nor_a_data_set_is_refused(x):
    with pytest.raises(TypeError, match="arrays or a tf.data.Dataset"):
        transfer(network(), x)


def test_a_layer_that_loses_all_its_weights_is_named(caplog):
    model = network(*(layers.Dense(16, name=name) for name in ("first", "second")))
    model.get_layer("first").kernel.assign(1e-4 * model.get_layer("first").kernel)
    pruned = transfer(model, sparsity=0.95, allocation="global", epochs=1)
    assert pruned.collapsed == ["first/kernel"]
    assert any("nothing left of first/kernel" in what for _, what in pruned.events)
    assert "Layer collapse: nothing is left of first/kernel" in caplog.text


def test_two_replicas_have_the_mean_of_their_kernels_distances(strategy):
    with strategy.scope():
        student = Student(prune(network(), 0.5, schedule="manual"), 1.0, 0.0)
        student.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    for variable in student.pruned.inner.trainable_variables:
        variable.assign(variable + 0.1)
    each = [float(student.terms(tf.constant(x))[1]) for x in (X[:12], X[12:24])]
    data = tf.data.Dataset.from_tensor_slices((X[:24],)).batch(24)
    logs = student.fit(data, shuffle=False, verbose=0).history
    assert np.mean(each) > 0.01
    assert logs["kernel_distance"][0] == pytest.approx(np.mean(each), rel=1e-5)


def test_inputs_of_no_known_length_are_refused():
    steps = [layers.Dense(3), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((None, 2)), *steps])
    data = tf.data.Dataset.from_tensor_slices(np.ones((8, 5, 2), "float32"))
    data = data.padded_batch(4, (None, 2))
    with pytest.raises(ValueError, match="Pad all batches to one length"):
        transfer(model, data)


def test_a_model_with_two_outputs_is_refused():
    inputs = keras.Input((8,))
    hidden = layers.Dense(4)(inputs)
    model = keras.Model(inputs, [layers.Dense(2)(hidden), layers.Dense(3)(hidden)])
    with pytest.raises(ValueError, match="one output"):
        transfer(model)


@pytest.mark.parametrize("ragged", [False, True])
def test_a_layer_whose_rows_are_not_the_batch_s_is_refused(ragged):
    inputs = keras.Input((4, 5))
    x = layers.Dense(6, name="of_all")(keras.ops.reshape(inputs, (-1, 5)))
    x = layers.Dense(2)(x)
    x = keras.ops.mean(keras.ops.reshape(x, (-1, 4, 2)), axis=1)
    model, rows = keras.Model(inputs, x), np.ones((10, 4, 5), "float32")
    given = tf.data.Dataset.from_tensor_slices(rows).batch(4) if ragged else rows
    with pytest.raises(ValueError, match="'of_all' with 8 rows where the batch has 2"):
        kip.neural_tangent_transfer(model, given, 0.5, epochs=1, verbose=0)
