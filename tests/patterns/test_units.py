"""Units that follow the graph of a model, from pruning to the smaller model."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
from keras_invprune.patterns import Units
from keras_invprune.pruning.plan import Plan

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def residual(width=8):
    """A ConvNet for the 8 x 8 digits."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(x)
    y = layers.Conv2D(12, 3, padding="same", activation="relu", name="inner")(x)
    y = layers.Conv2D(width, 3, padding="same", name="outer")(y)
    x = layers.MaxPooling2D()(layers.ReLU()(x + y))
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


def dense(*widths):
    hidden = [layers.Dense(n, "relu", name=f"hidden_{n}") for n in widths]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2, name="head")])


def kept(pruned):
    """How many units of each maker are left."""
    return {key: kept_of(pruned, key) for key in pruned.plan.dependencies.makers}


def kept_of(pruned, key):
    """How many outputs of one weight are left."""
    mask = pruned.masks[key].numpy()
    return int(mask.any((*range(mask.ndim - 1),)).sum())


@pytest.fixture(scope="module")
def digits():
    data = pytest.importorskip("sklearn.datasets").load_digits()
    x = (data.images[..., None] / 16).astype("float32")
    return (x[:1200], data.target[:1200]), (x[1200:], data.target[1200:])


@pytest.mark.parametrize(
    ("score", "allocation"),
    [("magnitude", "uniform"), ("taylor", "global"), ("snip", "lamp")],
)
def test_a_trained_network_shrinks_and_still_reads_digits(digits, score, allocation):
    train, test = digits
    schedule = kip.schedules.Gradual(0.5, begin=5, end=40, updates=4)
    choices = {"score": score, "allocation": allocation, "schedule": schedule}
    pruned = kip.prune(residual(), 0.5, pattern="units", copy=False, **choices)
    rate = keras.optimizers.Adam(0.01)
    pruned.compile(rate, LOSS, metrics=["accuracy"], jit_compile=False)
    pruned.fit(*train, epochs=2, batch_size=32, verbose=0)
    stripped = kip.strip_pruning(pruned)
    made = kip.compact(stripped, data=test[0][:50])
    counts = kept(pruned)
    assert counts["stem/kernel"] == counts["outer/kernel"]
    assert sum(counts.values()) - counts["outer/kernel"] == 10  # of 8 + 12
    layer = made.get_layer
    assert (
        layer("stem").filters == layer("norm").gamma.shape[0] == counts["stem/kernel"]
    )
    assert layer("inner").filters == counts["inner/kernel"]
    assert layer("head").kernel.shape[0] == 16 * counts["stem/kernel"]
    labels = made.predict(test[0], verbose=0).argmax(1)
    assert np.mean(labels == test[1]) > 0.7


@pytest.mark.parametrize("pattern", ["units", Units(tied=False)])
def test_no_layer_is_starved_unless_it_is_asked_for(pattern):
    model = dense(20, 10)
    for layer, scale in zip(model.layers, (0.01, 1, 1), strict=True):
        layer.kernel.assign(layer.kernel * scale)  # one ranking would take the first
    choices = {"pattern": pattern, "schedule": "manual"}
    starved = kip.prune(model, 0.6, allocation="global", **choices)
    loaded = Plan.load(starved.plan.save())  # files say which allocation it was
    assert loaded.allocation is starved.plan.allocation is kip.allocation.global_topk
    pruned = kip.prune(model, 0.6, **choices)
    for each in (starved, pruned):
        each.prune_to(0.6)
    hidden = ["hidden_20/kernel", "hidden_10/kernel"]
    assert [kept_of(pruned, key) for key in hidden] == [8, 4]
    assert kept_of(starved, "hidden_20/kernel") == 2


@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_as_many_units_stay_as_a_runtime_likes(multiple):
    model = dense(20, 14)
    choices = {"schedule": "manual", "allocation": "uniform"}
    pruned = kip.prune(model, 0.6, pattern=Units(round_to=multiple), **choices)
    for sparsity in (0.2, 0.4, 0.6):
        pruned.prune_to(sparsity)
    expected = {1: [8, 6], 4: [8, 8], 8: [8, 8]}[multiple]
    assert list(kept(pruned).values()) == expected
    made = kip.compact(kip.strip_pruning(pruned))
    assert [layer.units for layer in made.layers] == [*expected, 2]


def test_the_best_of_the_removed_units_are_kept():
    scores = {"kernel": np.array([[5.0, 1.0, 4.0, 3.0, 2.0, 0.0]])}
    pattern = Units(round_to=4)
    mask = pattern(scores, 0.5, kip.allocation.global_topk)["kernel"][0]
    np.testing.assert_array_equal(mask, [1, 0, 1, 1, 1, 0])
    mask = Units(round_to=10)(scores, 0.5, kip.allocation.global_topk)["kernel"]
    assert mask.all()  # there are no more


@pytest.mark.parametrize("value", [0, -8, 2.5, "8"])
def test_only_a_positive_integer_is_a_multiple(value):
    with pytest.raises(ValueError, match="`round_to` must be a positive integer"):
        Units(round_to=value)


def test_the_units_of_old_files_are_not_tied():
    assert Units.from_config({"pooling": "max"}) == Units("max", tied=False)
    assert Units.from_config(Units().get_config()) == Units()


def test_a_loaded_model_prunes_the_same_groups(tmp_path):
    choices = {"pattern": "units", "schedule": "manual", "allocation": "uniform"}
    pruned = kip.prune(residual(), 0.5, **choices)
    pruned.prune_to(0.25)
    pruned.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert loaded.plan.readers == pruned.plan.readers == ("head/kernel",)
    assert loaded.plan.dependencies.families == {"stem/kernel": 8, "inner/kernel": 12}
    for each in (pruned, loaded):
        each.prune_to(0.5)
    for key, mask in pruned.masks.items():
        np.testing.assert_array_equal(mask, loaded.masks[key])


def test_the_head_is_masked_but_neither_scaled_nor_scored():
    model = dense(8)
    head = model.get_layer("head").kernel.numpy()
    choices = {"pattern": "units", "schedule": "manual", "initial_scale": 0.5}
    pruned = kip.prune(model, 0.5, **choices)
    assert pruned.plan.scaled == ("hidden_8/kernel",)
    pruned.prune_to(0.5)
    mask = pruned.masks["head/kernel"].numpy()
    np.testing.assert_array_equal(mask.any(1), mask.all(1))
    assert mask.any(1).sum() == 4
    found = pruned.inner.get_layer("head").kernel.numpy()
    np.testing.assert_array_equal(found, head * mask)


@pytest.mark.parametrize(("score", "closed"), [("gumbel", -100), ("dst", 100)])
def test_what_readers_would_learn_is_neither_trained_nor_read(score, closed):
    pruned = kip.prune(dense(8), 0.5, pattern="units", score=score)
    (learned, *_) = pruned.masked.own["head/kernel"]
    (other,) = pruned.masked.learned  # that of the hidden layer
    assert not learned.trainable and learned is not other
    learned.assign(keras.ops.full(learned.shape, closed))
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    assert np.any(pruned.masked(x, training=True))
    other.assign(keras.ops.full(other.shape, closed))
    np.testing.assert_allclose(pruned.masked(x, training=True), 0, atol=1e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = layers.Dense(8, "relu"), layers.Dense(2)

    def call(self, x):
        return self.head(self.hidden(x))


def test_the_units_of_a_subclassed_model_go_by_themselves(caplog):
    model = Subclassed()
    model(np.ones((1, 6), "float32"))
    pruned = kip.prune(model, 0.5, pattern="units", schedule="manual", copy=False)
    assert caplog.text.count("prunes the units of each weight by themselves") == 1
    pruned.prune_to(0.5)
    (mask,) = pruned.masks.values()
    assert mask.numpy().any(0).sum() == 4
    assert pruned.plan.readers == ()


def test_units_that_move_go_by_themselves(caplog):
    schedule = kip.schedules.Rewire(0.5, every=1)
    pruned = kip.prune(dense(8), 0.5, pattern="units", score="rigl", schedule=schedule)
    assert pruned.plan.dependencies is None and list(pruned.masks) == [
        "hidden_8/kernel"
    ]
    assert "get no gradients to return" in caplog.text


def test_a_second_pruning_keeps_what_the_first_has_removed(caplog):
    choices = {"pattern": "units", "schedule": "manual", "allocation": "uniform"}
    first = kip.prune(dense(8, 6), 0.5, **choices)
    first.prune_to(0.5)
    stripped = kip.strip_pruning(first)
    second = kip.prune(stripped, 0.5, **choices)
    assert "may come back" not in caplog.text
    second.prune_to(0.5)
    for key, mask in first.masks.items():
        np.testing.assert_array_equal(mask, second.masks[key])
