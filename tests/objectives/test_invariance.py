"""The invariance objective: bound to a model, whatever the structure of its data."""

import functools

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import keras_invprune as kip

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 8)).astype("float32")
Y = np.arange(48) % 3
SPARSE = "sparse_categorical_crossentropy"


def network(name="out"):
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(3, "softmax", name=name),
        ]
    )


def searched(make, loss=SPARSE, y=Y, x=X, batch_size=16, **objective):
    """The invariance loss of an epoch, all of which searches."""
    keras.utils.set_random_seed(0)
    views = objective.pop("views", (None, kip.views.ScarfCorruption(seed=1)))
    pruned = kip.prune_for_invariance(
        make(),
        0.5,
        objective=kip.Invariance(views, **objective),
        schedule="manual",  # one step to trace, not two
    )
    pruned.compile("sgd", loss, jit_compile=False)
    options = {"batch_size": batch_size, "shuffle": False, "verbose": 0}
    history = pruned.fit(x, y, **options)
    return history.history["invariance_loss"][0]


@functools.cache
def expected(sparse=False):
    """What is found with labels, of dense rows."""
    return searched(network, x=np.where(X > 0, X, 0) if sparse else X)


def sparse_network():
    plain = network()
    return keras.Sequential([keras.Input((8,), sparse=True), *plain.layers])


@pytest.mark.parametrize("make", [network, sparse_network])
@pytest.mark.parametrize("convert", [tf.sparse.from_dense, scipy.sparse.csr_matrix])
def test_sparse_rows_are_searched_like_dense_ones(convert, make):
    rows = convert(np.where(X > 0, X, 0))
    assert searched(make, x=rows) == pytest.approx(expected(sparse=True), rel=1e-6)


def test_sparse_rows_of_a_data_set_are_searched():
    x = np.where(X > 0, X, 0)
    rows = tf.data.Dataset.from_tensor_slices((tf.sparse.from_dense(x), Y))
    found = searched(network, x=rows.batch(16), y=None, batch_size=None)
    assert found == pytest.approx(expected(sparse=True), rel=1e-6)


def test_compiled_views_give_the_same_loss(views_are_compiled):
    assert searched(network) == pytest.approx(expected(), rel=1e-5)


@pytest.mark.parametrize(("projection", "widths"), [(None, (16, 16)), (4, (16, 12))])
def test_one_objective_serves_several_models(projection, widths):
    objective = kip.Invariance(projection=projection)
    models = []
    for width in widths:
        plain = keras.Sequential(
            [
                keras.Input((8,)),
                keras.layers.Dense(width, "relu"),
                keras.layers.Dense(3, "softmax"),
            ]
        )
        models.append(kip.prune_for_invariance(plain, 0.5, objective=objective))
    for model in models:
        model.compile("sgd", SPARSE, jit_compile=False)
        outputs, _ = model(X, with_embedding=True)
        np.testing.assert_allclose(outputs, model(X), atol=1e-6)
        before = [weight.numpy() for weight in model.trainable_weights]
        model.fit(X, Y, epochs=2, verbose=0)
        after = model.trainable_weights
        moved = [np.any(a.numpy() != b) for a, b in zip(after, before, strict=False)]
        assert all(moved[:4])
    assert objective.views is None  # as it was given


def test_a_projection_given_unbuilt_is_each_models_own():
    head = keras.layers.Dense(4)
    objective = kip.Invariance(projection=head)
    one, other = (
        kip.prune_for_invariance(network(), 0.5, objective=objective) for _ in range(2)
    )
    heads = [model.plan.objective.projection for model in (one, other)]
    assert heads[0] is not heads[1] and not head.built


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(name="ce"),
        [SPARSE],
        keras.losses.sparse_categorical_crossentropy,
    ],
)
def test_a_loss_is_a_classification_loss_whatever_it_is_called(loss):
    assert searched(network, loss) == pytest.approx(expected(), rel=1e-5)


def test_labels_count_only_for_classification():
    no_labels = searched(network, labels=False)
    assert expected() != pytest.approx(no_labels, rel=1e-3)
    two = np.eye(3)[Y].astype("float32")
    assert searched(network, "mse", two) == pytest.approx(no_labels, rel=1e-5)
    assert searched(network, "bce", two) == pytest.approx(
        searched(network, keras.losses.BinaryCrossentropy(name="x"), two), rel=1e-5
    )


def test_labels_may_come_in_a_list_of_one():
    assert searched(network, y=[Y]) == pytest.approx(expected(), rel=1e-5)


def test_a_projection_on_a_model_with_a_dict_of_inputs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    hidden = keras.layers.Dense(8, "relu")(joined)
    outputs = keras.layers.Dense(3, "softmax")(hidden)

    def make():
        return keras.Model({"a": a, "b": b}, outputs)

    x = {"a": X[:, :4], "b": X[:, 4:]}

    def noise(x):
        return {k: v + keras.random.normal(keras.ops.shape(v)) for k, v in x.items()}

    assert np.isfinite(searched(make, x=x, views=noise, projection=4))
    with pytest.raises(ValueError, match="2 inputs in a dict"):
        kip.prune_for_invariance(make(), 0.5)


ROWS = tf.data.Dataset.from_tensor_slices((X, Y))


@pytest.mark.parametrize(
    ("x", "y", "received"), [(ROWS, None, r"\(8,\)"), (X[:, None], Y, r"\(16, 1, 8\)")]
)
def test_what_is_not_a_batch_of_the_model_is_refused_before_the_views(x, y, received):
    with pytest.raises(ValueError, match=rf"\(None, 8\). Received: {received}.*batch"):
        searched(network, x=x, y=y, batch_size=None if y is None else 16)


def test_stateful_layers_are_refused():
    model = keras.Sequential(
        [
            keras.Input((5, 4), batch_size=8),
            keras.layers.LSTM(6, stateful=True, name="memory"),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(ValueError, match="stateful layer 'memory'.*stateful=False"):
        kip.prune_for_invariance(model, 0.5, views=lambda x: x)


def test_what_is_missing_is_named_where_it_is_set(tmp_path):
    file = tmp_path / "model.keras"

    class Unknown(keras.layers.Dense):
        """A projection that cannot be found by its module, as Keras 3.8 tries."""

    def shift(x):
        return x + 1.0

    pruned = kip.prune_for_invariance(
        network(),
        0.5,
        objective=kip.Invariance((None, shift), projection=Unknown(4)),
    )
    pruned.compile("sgd", SPARSE, jit_compile=False)
    pruned.save(file)
    loaded = keras.saving.load_model(file)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), pruned(X), atol=1e-6)
    with pytest.raises(RuntimeError, match="model.plan.objective.views = ..."):
        loaded.fit(X, Y, verbose=0)
    assert loaded.step == 0 and loaded.train_function is None  # before any tracing
    loaded.plan.objective.views = (None, shift)
    with pytest.raises(RuntimeError, match="plan.objective.projection"):
        loaded.fit(X, Y, verbose=0)
    kip.strip_pruning(loaded, allow_unfinished=True)


def test_a_projection_learns_its_statistics():
    parts = [keras.layers.Dense(4), keras.layers.BatchNormalization()]
    objective = kip.Invariance(projection=keras.Sequential(parts))
    pruned = kip.prune_for_invariance(network(), 0.5, objective=objective)
    pruned.compile("sgd", SPARSE, jit_compile=False)
    pruned.fit(X, Y, epochs=2, verbose=0)
    norm = pruned.plan.objective.projection.layers[1]
    assert norm.moving_mean.numpy().any()


# What is supervised

IMAGES = RNG.random((16, 8, 8, 1)).astype("float32")
BRIGHTER = {"shift": lambda x: x + 0.5, "stretch": lambda x: 2 * x}
shift, stretch = BRIGHTER.values()


def losses_of(views, supervised, **model):
    """L_SUP of the search, and the plain loss under each of the views."""
    plain = network()
    objective = kip.Invariance(views, supervised=supervised)
    pruned = kip.prune(plain, 0.5, objective=objective)
    loss = keras.losses.SparseCategoricalCrossentropy()
    pruned.compile("sgd", loss)
    found = pruned.search_loss(keras.ops.convert_to_tensor(X), Y)
    return float(found.terms["supervised_loss"]), {
        name: float(loss(Y, plain(view(X))))
        for name, view in {"original": lambda x: x, **BRIGHTER}.items()
    }


@pytest.mark.parametrize(
    ("views", "supervised", "seen"),
    [
        ((shift, stretch), "first", ["shift"]),
        ((shift, stretch), "both", ["shift", "stretch"]),
        ((shift, stretch), "auto", ["shift", "stretch"]),
        ((shift, stretch), "original", ["original"]),
        ((shift, None), "original", ["original"]),
        ((None, stretch), "original", ["original"]),
        ((None, stretch), "first", ["original"]),
        ((None, stretch), "auto", ["original", "stretch"]),
        ((shift, None), "both", ["original", "shift"]),
        (shift, "both", ["shift"]),
        (shift, "original", ["original"]),
    ],
)
def test_the_supervised_loss_is_the_mean_over_what_is_supervised(
    views, supervised, seen
):
    found, plain = losses_of(views, supervised)
    assert found == pytest.approx(np.mean([plain[name] for name in seen]), rel=1e-5)
    assert len({round(loss, 4) for loss in plain.values()}) == 3


def test_a_sum_over_the_batch_is_not_doubled():
    pruned = kip.prune(network(), 0.5, objective=kip.Invariance((None, lambda x: x)))
    pruned.compile("sgd", keras.losses.SparseCategoricalCrossentropy(reduction="sum"))
    found = pruned.search_loss(keras.ops.convert_to_tensor(X), Y)
    each = keras.losses.sparse_categorical_crossentropy(Y, pruned.inner(X))
    supervised = float(found.terms["supervised_loss"])
    assert supervised == pytest.approx(float(np.sum(each)), rel=1e-5)


def test_metrics_of_the_search_see_the_original():
    keras.utils.set_random_seed(0)
    objective = kip.Invariance((lambda x: -9 * x, None))
    pruned = kip.prune(network(), 0.5, objective=objective)
    pruned.compile("sgd", SPARSE, metrics=["accuracy"])
    predictions = pruned.search_loss(keras.ops.convert_to_tensor(X), Y).predictions
    np.testing.assert_allclose(predictions, pruned.inner(X), rtol=1e-5)


def segmenter(threshold=0.5):
    """Finds, without an error, the pixels that are brighter than a threshold."""
    brightness = keras.layers.Conv2D(2, 1, name="brightness")
    model = keras.Sequential([keras.Input((8, 8, 1)), brightness])
    far = 1e3
    brightness.set_weights([np.array([[[[0, far]]]]), np.array([0, -threshold * far])])
    return model


MAPS = (IMAGES[..., 0] > 0.5).astype("int32")
BY_PIXEL = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def segmentation_loss(views, supervised="auto", loss=BY_PIXEL, y=MAPS):
    objective = kip.Invariance(views, embedding="brightness", supervised=supervised)
    pruned = kip.prune_for_invariance(
        segmenter(), 0.0, objective=objective, initial_scale=1.0, select="brightness"
    )
    pruned.compile("sgd", loss)
    x = keras.ops.convert_to_tensor(IMAGES)
    terms = pruned.search_loss(x, keras.ops.convert_to_tensor(y)).terms
    return float(terms["supervised_loss"])


MOVING = {
    "default": None,
    "a pair": (None, kip.views.RandomShift(0.3, seed=0)),
    "drawn twice": kip.views.RandomShift(0.3, seed=0),
    "a function": lambda x: keras.ops.roll(x, 3, axis=1),
    "the second is the image": (kip.views.RandomFlip(probability=1.0), None),
}


@pytest.mark.parametrize("name", MOVING)
def test_labels_that_have_a_place_are_held_against_the_image_as_it_is(
    name, caplog, request
):
    if name == "default":
        request.getfixturevalue("views_are_compiled")
    margin = np.abs(IMAGES - 0.5).min()  # of the pixel nearest to the threshold
    bound = np.log1p(np.exp(-1e3 * margin))
    assert segmentation_loss(MOVING[name]) <= bound + 1e-6
    assert "have positions" in caplog.text


def test_labels_of_an_autoencoder_are_not_moved_either(caplog):
    y = np.stack([0 * IMAGES[..., 0], 1e3 * (IMAGES[..., 0] - 0.5)], axis=-1)
    assert segmentation_loss(None, loss="mse", y=y) == pytest.approx(0, abs=1e-4)


def flat_loss(y, loss, views=None):
    """L_SUP of the objective for a network that passes all pixels on as they are."""
    layer = keras.layers.Dense(64, use_bias=False, name="same")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), layer])
    layer.set_weights([np.eye(64)])
    objective = kip.Invariance(views, embedding="same")
    pruned = kip.prune_for_invariance(
        model, 0.0, objective=objective, initial_scale=1.0, select="same"
    )
    pruned.compile("sgd", loss)
    x, y = map(keras.ops.convert_to_tensor, (IMAGES, y))
    return float(pruned.search_loss(x, y).terms["supervised_loss"])


def test_a_map_may_be_flat():
    y = IMAGES.reshape(len(IMAGES), 64)
    entropy = -np.mean(y * np.log(y) + (1 - y) * np.log(1 - y))  # the least there is
    assert flat_loss(y, "binary_crossentropy") == pytest.approx(entropy, rel=1e-4)
    assert flat_loss(y, "mse") == pytest.approx(0, abs=1e-6)


def test_a_flat_map_of_images_with_channels_first_has_a_place(caplog):
    keras.config.set_image_data_format("channels_first")
    try:
        parts = [keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.Dense(16)]
        model = keras.Sequential([keras.Input((3, 4, 4)), *parts])
        pruned = kip.prune(model, 0.5, objective=kip.Invariance())
        pruned.compile("sgd", "binary_crossentropy")
        x = keras.ops.convert_to_tensor(RNG.random((6, 3, 4, 4)).astype("float32"))
        pruned.search_loss(x, keras.ops.mean(keras.ops.reshape(x, (6, 3, 16)), axis=1))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert "have positions" in caplog.text


def test_as_many_classes_as_pixels_are_classes():
    y = np.eye(64, dtype="float32")[np.arange(len(IMAGES)) % 64]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    alone = np.mean(np.log(np.exp(IMAGES.reshape(-1, 64)).sum(1)))
    alone -= np.mean(IMAGES.reshape(-1, 64)[np.arange(len(IMAGES)), y.argmax(1)])
    views = (None, lambda x: 0 * x)  # log 64 for an empty image
    expected = (alone + np.log(64)) / 2
    assert flat_loss(y, loss, views) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("views", "supervised"),
    [
        (kip.views.RandomShift(0.3), "first"),
        (kip.views.images(), "both"),
        ((None, kip.views.RandomFlip()), "both"),
        ((None, kip.views.natural_images()), "both"),
    ],
)
def test_moved_images_are_not_held_against_unmoved_labels(views, supervised):
    with pytest.raises(ValueError, match="labels have positions.*'original'"):
        segmentation_loss(views, supervised)


class Brighter(keras.layers.Layer):
    """A view that moves nothing."""

    def call(self, x):
        return x + 0.4


def test_views_that_move_nothing_may_be_supervised():
    both = segmentation_loss((None, Brighter()), "both")
    bright = segmentation_loss((Brighter(), None), "first")
    assert both == pytest.approx(bright / 2, rel=1e-4) and bright > 1


def test_rows_that_are_measured_are_supervised_as_they_are():
    keras.utils.set_random_seed(0)
    plain = network()
    pruned = kip.prune(plain, 0.5, objective=kip.Invariance((None, stretch)))
    pruned.compile("sgd", "mse")
    y = RNG.normal(size=(48, 3)).astype("float32")
    found = pruned.search_loss(keras.ops.convert_to_tensor(X), y)
    expected = float(np.mean((plain(X) - y) ** 2))
    assert float(found.terms["supervised_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("supervised", ["second", None, True])
def test_what_cannot_be_supervised_is_refused(supervised):
    with pytest.raises(ValueError, match="`supervised` must be one of"):
        kip.Invariance(supervised=supervised)


def test_the_choice_is_saved():
    config = kip.Invariance(supervised="first").get_config()
    assert kip.Invariance.from_config(config).supervised == "first"
    del config["supervised"]  # as saved before there was a choice
    assert kip.Invariance.from_config(config).supervised == "first"


# Data that Keras adapts before it calls a model

ADAPTED = {
    "no axis of channels": ((8, 8, 1), IMAGES[..., 0]),
    "8 bits": ((8, 8, 1), (255 * IMAGES[..., 0]).astype("uint8")),
    "numbers": ((1,), X[:16, 0]),
    "integers": ((3,), RNG.integers(0, 9, (16, 3))),
}


@pytest.mark.parametrize("name", ADAPTED)
def test_whatever_fit_takes_is_searched_with(name):
    shape, x = ADAPTED[name]
    parts = [keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), *parts])
    pruned = kip.prune_for_invariance(model, 0.5)
    pruned.compile("sgd", SPARSE)
    logs = pruned.fit(x, Y[:16], epochs=2, batch_size=8, verbose=0).history
    assert np.isfinite(logs["invariance_loss"][0]) and pruned.finished


def test_views_get_the_structure_that_the_model_takes():
    a, b = keras.Input((4,), name="a"), keras.Input((1,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    hidden = keras.layers.Dense(8, "relu")(joined)
    model = keras.Model([a, b], keras.layers.Dense(3, "softmax")(hidden))
    shapes = []

    def look(x):
        shapes.append([tuple(part.shape[1:]) for part in x])
        return x

    pruned = kip.prune_for_invariance(model, 0.5, views=look)
    pruned.compile("sgd", SPARSE, jit_compile=False)
    pruned.fit({"b": X[:, 0], "a": X[:, :4]}, Y, epochs=2, verbose=0)
    assert shapes and all(seen == [(4,), (1,)] for seen in shapes)


def test_what_becomes_of_labels_with_a_place_is_said_once(caplog):
    pruned = kip.prune_for_invariance(
        segmenter(), 0.0, views=(None, Brighter()), select="brightness"
    )
    pruned.compile("sgd", BY_PIXEL)
    for _ in range(3):
        pruned.search_loss(keras.ops.convert_to_tensor(IMAGES), MAPS)
    assert caplog.text.count("have positions") == 1


@pytest.mark.parametrize(("shape", "expected"), [((8, 8, 1), 0.3), ((8,), 1.0)])
def test_the_weight_of_the_term_follows_the_input(shape, expected):
    inputs = keras.Input(shape)
    hidden = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    objective = kip.Invariance()
    for given, found in [(None, expected), (0.7, 0.7), (0, 0.0)]:
        pruned = kip.prune_for_invariance(
            model, 0.5, objective=kip.Invariance(weight=given)
        )
        assert pruned.plan.objective.weight == found
    assert objective.weight is None and objective.get_config()["weight"] is None


# Models for batches of one size

ROWS_A_BATCH = 16


class Rows(keras.layers.Layer):
    """Writes down how many rows it is called with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        self.seen.append(x.shape[0])
        return x


def in_one_size(rows):
    """A network that works in `rows` rows; -1 for any."""
    inputs = keras.Input(batch_shape=(None if rows < 0 else rows, 8))
    x = keras.layers.Dense(4, "relu")(inputs)
    x = keras.ops.reshape(keras.ops.reshape(x, (rows, 2, 2)), (rows, 4))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(x))


@pytest.mark.parametrize("projection", [None, 4])
def test_a_batch_size_of_the_graph_is_kept(projection):
    views = (None, lambda x: 2 * x)
    y = np.eye(3)[Y[:ROWS_A_BATCH]].astype("float32")
    found, weights = [], None
    for rows in (-1, ROWS_A_BATCH):
        plain = in_one_size(rows)
        weights = weights or plain.get_weights()
        plain.set_weights(weights)
        keras.utils.set_random_seed(0)  # of the projection
        objective = kip.Invariance(views, projection=projection)
        pruned = kip.prune(plain, 0.5, objective=objective)
        pruned.compile("sgd", "categorical_crossentropy")
        x = keras.ops.convert_to_tensor(X[:ROWS_A_BATCH])
        found.append(pruned.search_loss(x, y).terms)
        pruned.fit(X, np.eye(3)[Y], batch_size=ROWS_A_BATCH, epochs=2, verbose=0)
    for term in kip.Invariance.terms:
        assert float(found[1][term]) == pytest.approx(float(found[0][term]), rel=1e-5)


class Called(keras.Model):
    """Knows the shape of the first batch it was called with."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.body = rows, keras.layers.Dense(4)
        self.head = keras.layers.Dense(3)

    def call(self, x):
        return self.head(self.rows(self.body(x)))


@pytest.mark.parametrize("kind", ["sequential", "subclassed", "graph"])
def test_a_batch_size_that_binds_nothing_costs_no_second_pass(kind):
    rows = Rows()
    parts = [keras.layers.Dense(4, name="body"), rows, keras.layers.Dense(3)]
    inputs = [keras.Input(batch_shape=(ROWS_A_BATCH, 8))] if kind == "graph" else []
    model = Called(rows) if kind == "subclassed" else keras.Sequential(inputs + parts)
    model(X[:ROWS_A_BATCH])
    objective = kip.Invariance((None, lambda x: 2 * x), embedding="body")
    pruned = kip.prune(model, 0.5, objective=objective, copy=False, select="body")
    pruned.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rows.seen.clear()
    x = keras.ops.convert_to_tensor(X[:ROWS_A_BATCH])
    pruned.search_loss(x, Y[:ROWS_A_BATCH])
    assert rows.seen == [2 * ROWS_A_BATCH]


def test_weights_of_rows_count_and_those_of_steps_do_not():
    hidden = keras.layers.Dense(8, name="hidden")
    steps = keras.layers.Reshape((4, 2))
    x, y = X[:16], np.zeros((16, 4, 1), "float32")

    def found(weights):
        keras.utils.set_random_seed(0)
        layers = [hidden.from_config(hidden.get_config()), steps, keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
        views = None, lambda rows: rows * 1.1
        objective = kip.Invariance(views, embedding="hidden")
        pruned = kip.prune_for_invariance(model, 0.5, objective=objective)
        pruned.compile("sgd", "mse", run_eagerly=True)
        history = pruned.fit(x, y, 16, 2, 0, sample_weight=weights, shuffle=False)
        return history.history["invariance_loss"][0]

    rows = np.linspace(0, 1, 16).astype("float32")[:, None]
    assert found(rows) != pytest.approx(found(None), rel=1e-2)
    assert found(rows.repeat(4, 1)) == pytest.approx(found(None), rel=1e-6)
