"""The invariance objective: bound to a model, whatever the structure of its data."""

import keras
import numpy as np
import pytest

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


def searched(make, loss=SPARSE, y=Y, x=X, **objective):
    """The history of two epochs, one of which searches."""
    keras.utils.set_random_seed(0)
    views = objective.pop("views", (None, kip.views.ScarfCorruption(seed=1)))
    pruned = kip.prune_for_invariance(
        make(), 0.5, objective=kip.Invariance(views, **objective)
    )
    pruned.compile("sgd", loss, jit_compile=False)
    history = pruned.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    return history.history["invariance_loss"][0]


@pytest.mark.parametrize("projection", [None, 4])
def test_one_objective_serves_several_models(projection):
    objective = kip.Invariance(projection=projection)
    models = []
    for width in (16, 16, 12):
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
    assert searched(network, loss) == pytest.approx(searched(network), rel=1e-5)


def test_labels_count_only_for_classification():
    no_labels = searched(network, labels=False)
    assert searched(network) != pytest.approx(no_labels, rel=1e-3)
    two = np.eye(3)[Y].astype("float32")
    assert searched(network, "mse", two) == pytest.approx(no_labels, rel=1e-5)
    assert searched(network, "bce", two) == pytest.approx(
        searched(network, keras.losses.BinaryCrossentropy(name="x"), two), rel=1e-5
    )


def test_labels_may_come_in_a_list_of_one():
    assert searched(network, y=[Y]) == pytest.approx(searched(network), rel=1e-5)


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


def test_stateful_layers_are_refused():
    model = keras.Sequential(
        [
            keras.Input((5, 4), batch_size=8),
            keras.layers.LSTM(6, stateful=True, name="memory"),
            keras.layers.Dense(3),
        ]
    )
    with pytest.raises(ValueError, match="stateful 'memory'.*stateful=False"):
        kip.prune_for_invariance(model, 0.5, views=lambda x: x)


class Unknown(keras.layers.Dense):
    """A projection that no other process can find."""


def test_what_is_missing_is_named_where_it_is_set(tmp_path):
    file = tmp_path / "model.keras"

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
