"""Search, pruning, rewinding and fine-tuning in one fit: models, data, ways to run."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_invprune as kip
import zoo
from keras_invprune.graph.weights import weights_by_key
from keras_invprune.masks.selection import keep_count

SPARSITY = 0.5
TERMS = ("supervised_loss", "invariance_loss")


def searching(model, loss, at=2, compiled=None, **options):
    """A model that will search for `at` steps, as if it were fresh."""
    options.setdefault("schedule", kip.schedules.OneShot(SPARSITY, at=at))
    options = {"pretrained": False, "rewind": "initial", **options}
    pruned = kip.prune_for_invariance(model, SPARSITY, **options)
    compiled = {"optimizer": keras.optimizers.SGD(0.1, 0.9), **(compiled or {})}
    pruned.compile(loss=loss, **{"jit_compile": False, **compiled})
    return pruned


def weights(model):
    return {key: w.variable.numpy() for key, w in weights_by_key(model).items()}


def assert_equal(found, expected, tolerance=0.0):
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, tolerance, tolerance)


def assert_finished(pruned, logs):
    """The losses are finite, and the masks keep as many weights as they should."""
    assert np.isfinite(logs["loss"]).all()
    masks = {key: mask.numpy() for key, mask in pruned.masks.items()}
    found = weights(pruned.inner)
    size = sum(mask.size for mask in masks.values())
    kept = keep_count(size, SPARSITY)
    assert pruned.finished and not pruned.searching
    assert sum(map(np.count_nonzero, masks.values())) == kept
    assert sum(np.count_nonzero(found[key]) for key in masks) == kept
    assert not any(found[key][mask == 0].any() for key, mask in masks.items())


def image_model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(zoo.CLASSES, activation="softmax", name="head"),
        ]
    )


def images():
    model = image_model()
    return zoo.Case(model, zoo.floats(8, 8, 1), zoo.labels(), zoo.CLASSIFY)


def binary(y):
    body = [layers.Dense(6, activation="relu"), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((4,)), *body])
    return zoo.Case(model, zoo.floats(4), y, "binary_crossentropy")


def one_hot():
    model, x, y, *_ = zoo.dense()
    return zoo.Case(model, x, np.eye(zoo.CLASSES)[y], "categorical_crossentropy")


def regression():
    body = [layers.Dense(6, activation="relu"), layers.Dense(2)]
    model = keras.Sequential([keras.Input((4,)), *body])
    y = np.stack([zoo.labels(), zoo.labels()], axis=1).astype("float32")
    return zoo.Case(model, zoo.floats(4), y, "mse")


class Noise(layers.Layer):
    """A view of inputs in any structure."""

    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, inputs):
        def add(x):
            return x + keras.random.normal(ops.shape(x), stddev=0.1, seed=self.seed)

        return keras.tree.map_structure(add, inputs)


def same(inputs):
    return inputs


@zoo.register
def kind_of(y):
    return y["kind"]


def invariance(**options):
    return {"objective": kip.Invariance(**options)}


SEARCHES = {
    "rows": (zoo.dense, {}),
    "images": (images, {}),
    "batch_norm_and_dropout": (zoo.batch_norm_and_dropout, {}),
    "inner_model": (zoo.nested_with_one_name, invariance(embedding="first/same")),
    "several_outputs": (
        zoo.several_outputs,
        invariance(embedding="body", labels=kind_of),
    ),
    "subclassed": (zoo.subclassed, invariance(embedding="blocks_1_0")),
    "mixed_float16": (zoo.mixed_float16, {}),
    "float32_head": (zoo.mixed_float16_with_float32_head, {}),
    "regularizers": (zoo.regularizers, {}),
    "one_hot_labels": (one_hot, {}),
    "binary_labels": (lambda: binary(zoo.labels() % 2), {}),
    "column_of_labels": (lambda: binary(zoo.labels()[:, None] % 2), {}),
    "regression": (regression, {}),
    "projection": (zoo.dense, invariance(projection=4)),
    "several_inputs": (zoo.several_inputs, {"views": Noise()}),
    "dict_of_inputs": (zoo.dict_of_inputs, {"views": Noise()}),
    "words": (zoo.embedding_with_mask, {"views": same, "select": "lstm"}),
    "sequences": (zoo.lstm, {"views": Noise()}),
    "without_shapes": (
        zoo.without_shapes,
        invariance(views=Noise(), embedding="each"),
    ),
}


# Of rows and images, in two floats; the others have views like these.
COMPILED = ("rows", "images", "mixed_float16")


@pytest.mark.parametrize("name", SEARCHES)
def test_each_kind_is_searched_and_pruned_in_one_fit(name, request):
    if name in COMPILED:
        request.getfixturevalue("views_are_compiled")
    make, options = SEARCHES[name]
    case = make()
    before = weights(case.model)
    pruned = searching(case.model, case.loss, **options)
    assert pruned.searching
    logs = pruned.fit(case.x, case.y, batch_size=2, verbose=0).history
    assert_finished(pruned, logs)
    stripped = kip.strip_pruning(pruned)
    assert_equal(stripped(case.x), pruned(case.x), 1e-6)
    assert_equal(weights(case.model), before)
    assert weights(stripped).keys() == before.keys()


@pytest.mark.parametrize("name", ["several_outputs", "subclassed"])
def test_where_the_embedding_is_not_clear_it_must_be_named(name):
    case = zoo.CASES[name]()
    with pytest.raises(ValueError, match="embedding=.*Candidates:.*'(body|first)'"):
        kip.prune_for_invariance(case.model, SPARSITY)


@pytest.mark.parametrize("name", ["several_inputs", "dict_of_inputs", "lstm"])
@pytest.mark.parametrize("objective", [None, kip.Invariance()])
def test_where_there_are_no_default_views_they_must_be_given(name, objective):
    case = zoo.CASES[name]()
    with pytest.raises(ValueError, match="Pass `views="):
        kip.prune_for_invariance(case.model, SPARSITY, objective=objective)


def test_a_subclassed_model_of_a_dict_needs_views():
    case = zoo.CASES["subclassed_of_dict"]()
    with pytest.raises(ValueError, match="Pass `views="):
        kip.prune(case.model, SPARSITY, objective=kip.Invariance(embedding="first"))


# What the loss is made of; with views that change nothing it can be computed again


def test_the_logged_loss_includes_the_regularizers():
    case = zoo.regularizers()
    pruned = searching(case.model, case.loss, at=1, views=same)
    # Keras 3.8 does not divide activity losses by the rows, and a batch has both views.
    predictions = pruned.inner(np.tile(case.x, (2, 1)), training=True)[: zoo.ROWS]
    penalties = float(sum(pruned.inner.losses))
    errors = keras.losses.sparse_categorical_crossentropy(case.y, predictions)
    supervised = float(ops.mean(errors)) + penalties
    options = {"batch_size": zoo.ROWS, "epochs": 2, "verbose": 0}
    logs = pruned.fit(case.x, case.y, **options).history
    assert penalties > 0.01
    assert logs["supervised_loss"] == [pytest.approx(supervised, rel=1e-5)]
    assert logs["loss"][0] == pytest.approx(
        supervised + logs["invariance_loss"][0], rel=1e-5
    )


@pytest.mark.parametrize("make, labels", [(zoo.dense, True), (regression, False)])
def test_labels_are_used_where_the_loss_is_of_classification(make, labels):
    def invariance_loss(chosen):
        keras.utils.set_random_seed(0)
        case = make()
        options = invariance(views=same, labels=chosen)
        pruned = searching(case.model, case.loss, **options)
        losses = pruned.search_loss(case.x, ops.convert_to_tensor(case.y))
        return float(losses.terms["invariance_loss"])

    found = {labels: invariance_loss(labels) for labels in ("auto", True, False)}
    assert found["auto"] == found[labels] != found[not labels]


def words_by_word():
    """Each word gets a label; what is masked counts in no loss."""
    spread = keras.initializers.RandomNormal(stddev=9.0, seed=0)
    body = [
        layers.Embedding(8, 4, spread, mask_zero=True),
        layers.LSTM(4, return_sequences=True, name="lstm"),
        layers.Dense(zoo.CLASSES, kernel_initializer=spread, name="head"),
    ]
    model = keras.Sequential([keras.Input((5,), dtype="int32"), *body])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return zoo.Case(model, zoo.tokens(), zoo.tokens() % zoo.CLASSES, loss)


@pytest.mark.parametrize("embedding", [None, "lstm"])
def test_masked_steps_of_a_sequence_count_in_no_loss(embedding):
    case = words_by_word()
    objective = kip.Invariance(views=same, embedding=embedding)
    pruned = searching(case.model, case.loss, objective=objective)
    x, y = ops.convert_to_tensor(case.x), ops.convert_to_tensor(case.y)
    found = pruned.search_loss(x, y).terms["supervised_loss"]
    each = keras.losses.sparse_categorical_crossentropy(
        y, pruned.inner(x), from_logits=True
    )
    each = ops.convert_to_numpy(each)
    assert float(found) == pytest.approx(each[case.x != 0].mean(), rel=1e-5)
    assert each[case.x != 0].mean() != pytest.approx(each.mean(), rel=1e-3)


def test_label_maps_are_not_compared_unless_asked():
    y = ops.zeros((zoo.ROWS, 4, 4), "int32")  # all equal

    def invariance_loss(labels):
        keras.utils.set_random_seed(0)
        options = invariance(views=same, embedding="conv", labels=labels)
        maps = layers.Conv2D(zoo.CLASSES, 1, name="maps")
        body = [keras.Input((4, 4, 1)), layers.Conv2D(3, 1, name="conv"), maps]
        model = keras.Sequential(body)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        pruned = searching(model, loss, select="conv", **options)
        return float(pruned.search_loss(zoo.floats(4, 4, 1), y).terms[TERMS[1]])

    assert invariance_loss("auto") == invariance_loss(False) != invariance_loss(True)


def test_sample_weights_weigh_both_terms():
    case = zoo.dense()
    pruned = searching(case.model, case.loss, views=same)
    x, y = case.x, ops.convert_to_tensor(case.y)
    plain, ones, twos = (
        pruned.search_loss(x, y, w and w * ops.ones(zoo.ROWS)).terms
        for w in (None, 1.0, 2.0)
    )
    for name in TERMS:
        assert float(ones[name]) == pytest.approx(float(plain[name]), rel=1e-6)
        assert float(twos[name]) == pytest.approx(2 * float(plain[name]), rel=1e-6)


def test_sample_weights_go_through_fit():
    case = zoo.dense()
    pruned = searching(case.model, case.loss)
    weight = np.linspace(0.5, 1.5, zoo.ROWS)
    options = {"sample_weight": weight, "batch_size": 2, "verbose": 0}
    assert_finished(pruned, pruned.fit(case.x, case.y, **options).history)


# Ways to run


class AtPruning(keras.callbacks.Callback):
    """Keeps the weights that the first step after pruning begins with."""

    weights = None

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.finished and self.weights is None:
            self.weights = weights(self.model.inner)


WAYS = {
    "graph": (zoo.dense, {}),
    "xla": (images, {"jit_compile": True}),
    "eager": (images, {"run_eagerly": True}),
    "steps_per_execution": (images, {"steps_per_execution": 4}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_search_prune_rewind_and_fine_tune_in_every_way_to_run(way):
    make, options = WAYS[way]
    case = make()
    compiled = {"optimizer": "adam", **options}
    pruned = searching(case.model, case.loss, at=4, compiled=compiled, views=Noise())
    start = weights(pruned.inner)
    at_pruning = AtPruning()
    options = {"batch_size": 1, "epochs": 2, "verbose": 0, "callbacks": [at_pruning]}
    logs = pruned.fit(case.x[:4], case.y[:4], **options).history
    assert_finished(pruned, logs)
    assert pruned.step == 8
    assert len(logs["loss"]) == 2 and len(logs["invariance_loss"]) == 1
    for key, mask in pruned.masks.items():
        start[key] = start[key] * mask.numpy()
    assert_equal(at_pruning.weights, start)
    assert np.any(weights(pruned.inner)["head/kernel"] != start["head/kernel"])


# On two replicas


def replicas(variable):
    return [value.numpy() for value in variable.value.values]


@pytest.mark.slow
def test_replicas_agree_and_go_on_training(strategy):
    with strategy.scope():
        case = images()
        pruned = searching(case.model, case.loss, views=Noise())
        options = {"batch_size": 2, "epochs": 2, "verbose": 0}
        logs = pruned.fit(case.x[:4], case.y[:4], **options).history
        assert_finished(pruned, logs)
        before = weights(pruned.inner)
        pruned.fit(case.x[:4], case.y[:4], **options)
    assert_finished(pruned, logs)
    assert np.any(weights(pruned.inner)["conv/kernel"] != before["conv/kernel"])
    for variable in pruned.masked.weights:
        first, second = replicas(variable)
        # As in any Keras model, each replica has BatchNorm statistics of its own.
        if "moving" not in variable.name:
            np.testing.assert_array_equal(first, second)
    stripped = kip.strip_pruning(pruned)
    assert_equal(stripped(case.x), pruned(case.x), 1e-5)


def test_the_callers_model_may_be_outside_the_scope(strategy, views_are_compiled):
    case = zoo.dense()
    with strategy.scope():
        pruned = searching(case.model, case.loss)
        logs = pruned.fit(case.x, case.y, batch_size=2, verbose=0).history
    assert_finished(pruned, logs)
    first, second = replicas(next(iter(pruned.masks.values())))
    np.testing.assert_array_equal(first, second)


def test_a_replica_without_rows_leaves_the_logs_finite(strategy):
    case = zoo.dense()
    rows = tf.data.Dataset.from_tensor_slices((case.x, case.y))
    rows = rows.concatenate(rows.take(1)).batch(2)  # one row for two replicas
    with strategy.scope():
        pruned = searching(case.model, case.loss, at=int(rows.cardinality()))
        logs = pruned.fit(rows, epochs=2, verbose=0, shuffle=False).history
    assert np.isfinite(logs["loss"]).all()
    assert np.isfinite(logs["invariance_loss"][0])
    assert all(np.isfinite(value).all() for value in weights(pruned.inner).values())


def test_fit_may_be_called_outside_the_scope(strategy):
    with strategy.scope():
        case = zoo.dense()
        pruned = searching(case.model, case.loss)
    logs = pruned.fit(case.x, case.y, batch_size=2, verbose=0).history
    assert_finished(pruned, logs)
    first, second = replicas(next(iter(pruned.masks.values())))
    np.testing.assert_array_equal(first, second)


def test_a_model_pruned_outside_is_refused_inside(strategy):
    case = zoo.dense()
    pruned = searching(case.model, case.loss)
    with strategy.scope(), pytest.raises(ValueError, match="inside.*strategy.scope"):
        pruned.fit(case.x, case.y)


def test_a_caller_model_made_outside_is_refused_inside_without_a_copy(strategy):
    case = zoo.dense()
    with strategy.scope(), pytest.raises(ValueError, match="copy=True"):
        kip.prune(case.model, SPARSITY, copy=False)


def test_xla_on_replicas_is_refused(strategy):
    """XLA cannot read a variable of another replica, in plain Keras neither."""
    case = zoo.dense()
    with strategy.scope():
        pruned = searching(case.model, case.loss, compiled={"jit_compile": True})
        with pytest.raises(ValueError, match="jit_compile=False"):
            pruned.fit(case.x, case.y, batch_size=2, verbose=0)
