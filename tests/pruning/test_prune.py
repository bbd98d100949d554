"""prune, prune_for_invariance, strip_pruning: the defaults, and bad input."""

import functools
import inspect
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.graph.inventory import inventory
from keras_invprune.graph.weights import known_layers, weights_by_key
from keras_invprune.schedules import Gradual, OneShot

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def rows_model():
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers])


def image_model():
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


@pytest.fixture
def rows():
    x = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64")


# One census of each model


def counted(call, *args, **kwargs):
    """What a call returns, and the models of which it takes a census, in order."""
    models, before = [], sys.getprofile()

    def look(frame, event, _):
        if event == "call" and frame.f_code is weights_by_key.__code__:
            models.append(frame.f_locals["model"])

    sys.setprofile(look)
    try:
        return call(*args, **kwargs), models
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"pattern": "units", "allocation": "uniform"},
        {"initial_scale": (0.5, "all"), "rewind": "unscaled"},
        {"select": ["body"]},
    ],
)
def test_prune_takes_one_census_of_the_model_and_one_of_its_copy(choices):
    layers = [keras.layers.Dense(8, name="body"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    pruned, models = counted(kip.prune, model, 0.5, **choices)
    assert models == [model, pruned.inner]
    pruned, models = counted(kip.prune, model, 0.5, copy=False, **choices)
    assert models == [model]


def test_later_calls_take_one_census_at_most():
    pruned = kip.prune(rows_model(), 0.5, pattern="units", schedule="manual")
    assert counted(pruned.prune_to, 0.5)[1] == []
    stripped, models = counted(kip.strip_pruning, pruned)
    assert models == [stripped]
    assert counted(inventory, stripped)[1] == [stripped]
    assert counted(lambda: pruned.left_alone)[1] == [pruned.inner]


# Defaults


def test_views_follow_the_inputs_rank():
    rows = kip.prune_for_invariance(rows_model()).plan.objective.views
    assert rows[0] is None and isinstance(rows[1], kip.views.ScarfCorruption)
    images = kip.prune_for_invariance(image_model()).plan.objective.views
    assert images[0] is None and isinstance(images[1], keras.layers.Pipeline)


NAMES = ("BatchNormalization", "LayerNormalization", "RMSNormalization")
NORMALIZED = known_layers(*NAMES)


@pytest.mark.parametrize("kind", [None, *NORMALIZED])
def test_rows_start_small_where_normalization_takes_the_scale_out_again(kind):
    body = [keras.layers.Dense(8), *([kind()] if kind else []), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((4,)), keras.Sequential(body)])
    model(np.zeros((1, 4)))
    objective = kip.Invariance(embedding=model.layers[0].name)
    pruned = kip.prune_for_invariance(model, objective=objective)
    assert pruned.plan.initial_scale == (0.25 if kind else 1.0)
    kernels = [m.layers[0].layers[0].kernel.numpy() for m in (pruned.inner, model)]
    np.testing.assert_allclose(kernels[0], pruned.plan.initial_scale * kernels[1])


def test_images_start_at_half_their_size():
    assert kip.prune_for_invariance(image_model()).plan.initial_scale == 0.5


def test_the_callers_model_is_untouched(rows):
    model = rows_model()
    before = model.get_weights()
    pruned = kip.prune_for_invariance(model, 0.5)
    pruned.compile("adam", LOSS, jit_compile=False)
    pruned.fit(*rows, epochs=2, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not model.compiled


def test_the_head_stays_dense_and_the_count_is_exact(rows):
    pruned = kip.prune_for_invariance(rows_model(), 0.3)
    pruned.compile("adam", LOSS, jit_compile=False)
    pruned.fit(*rows, epochs=2, verbose=0)
    assert list(pruned.masks) == ["dense/kernel"]
    final = kip.strip_pruning(pruned)
    kernels = [w.numpy() for w in final.weights if w.name == "kernel"]
    assert np.count_nonzero(kernels[0]) == round(32 * 0.7)
    assert np.all(kernels[1] != 0)


def test_a_fresh_model_is_scaled_and_a_trained_one_is_not(rows):
    fresh = rows_model()
    plan = kip.prune_for_invariance(fresh).plan
    assert isinstance(plan.schedule, OneShot)
    fresh.compile("adam", LOSS)
    fresh.fit(*rows, verbose=0)
    trained = kip.prune_for_invariance(fresh)
    assert trained.plan.initial_scale == 1.0 and trained.plan.rewind == "initial"
    assert isinstance(trained.plan.schedule, Gradual)
    for old, new in zip(fresh.weights, trained.inner.weights, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())


def test_weights_loaded_without_an_optimizer_count_as_trained(rows):
    source, target = rows_model(), rows_model()
    source.compile("adam", LOSS)
    source.fit(*rows, verbose=0)
    target.set_weights(source.get_weights())
    assert isinstance(kip.prune_for_invariance(target).plan.schedule, Gradual)


def test_an_lstm_and_a_constant_bias_look_fresh():
    layers = [keras.layers.LSTM(3), keras.layers.Dense(2, bias_initializer="ones")]
    model = keras.Sequential([keras.Input((5, 4)), *layers])
    views = keras.layers.GaussianNoise(0.1)
    plan = kip.prune_for_invariance(model, views=views).plan
    assert isinstance(plan.schedule, OneShot)


def test_every_choice_takes_the_users_own_callable(rows):
    called = []

    def score(weights, model):
        called.append("score")
        return {key: np.arange(w.size).reshape(w.shape) for key, w in weights.items()}

    def allocation(scores, sparsity):
        called.append("allocation")
        return {key: s >= sparsity * s.size for key, s in scores.items()}

    def pattern(scores, sparsity, allocation):
        called.append("pattern")
        return allocation(scores, sparsity)

    def schedule(step):
        called.append("schedule")
        return step == 2, 0.5

    def objective(model, x, y, sample_weight):
        called.append("objective")
        predictions = model(x, training=True)
        return model.compute_loss(x=x, y=y, y_pred=predictions), predictions

    pruned = kip.prune(
        rows_model(),
        0.5,
        objective=objective,
        score=score,
        allocation=allocation,
        pattern=pattern,
        schedule=schedule,
    )
    pruned.compile("adam", LOSS, jit_compile=False)
    pruned.fit(*rows, batch_size=8, verbose=0)
    expected = {"score", "allocation", "pattern", "schedule", "objective"}
    assert set(called) == expected
    mask = pruned.masks["dense/kernel"].numpy().ravel()
    np.testing.assert_array_equal(mask, np.arange(32) >= 16)


def test_stripping_twice_gives_two_models(rows):
    pruned = kip.prune(rows_model(), 0.5)
    pruned.compile("adam", LOSS, jit_compile=False)
    pruned.fit(*rows, epochs=2, verbose=0)
    first, second = kip.strip_pruning(pruned), kip.strip_pruning(pruned)
    assert first is not second and type(first) is keras.Sequential
    expected = pruned.predict(rows[0], verbose=0)
    for model in (first, second):
        np.testing.assert_allclose(
            model.predict(rows[0], verbose=0), expected, atol=1e-6
        )


# Bad input, before any training


@pytest.mark.parametrize(
    "sparsity, error, message",
    [
        (90, ValueError, "Did you mean 0.9"),
        (1.0, ValueError, r"\[0, 1\).*sparsity=1.0"),
        (-0.1, ValueError, r"\[0, 1\).*sparsity=-0.1"),
        (float("nan"), ValueError, r"\[0, 1\).*nan"),
        ("0.9", TypeError, "number.*str"),
        (True, TypeError, "number.*bool"),
        (None, TypeError, "number.*NoneType"),
    ],
)
@pytest.mark.parametrize("function", [kip.prune, kip.prune_for_invariance])
def test_sparsity(function, sparsity, error, message):
    with pytest.raises(error, match=message):
        function(rows_model(), sparsity)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: keras.Sequential([keras.layers.Dense(2)]), ValueError, "not built"),
        (lambda: keras.layers.Dense(2), TypeError, "keras.Sequential"),
        (lambda: "model.keras", TypeError, "Keras 3 model.*builtins.str.*load_model"),
        (lambda: kip.prune(rows_model(), 0.5), ValueError, "strip_pruning"),
        (
            lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]),
            ValueError,
            "nothing to prune.*head",
        ),
    ],
)
def test_models(make, error, message):
    with pytest.raises(error, match=message):
        kip.prune_for_invariance(make(), 0.5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"score": "magnitud"}, "Did you mean 'magnitude'"),
        ({"allocation": "globl"}, "Did you mean 'global'"),
        ({"schedule": "oneshot"}, "Did you mean 'one_shot'"),
        ({"score": "SR-STE"}, "Did you mean 'sr_ste'"),
        ({"allocation": "ERK"}, "Did you mean 'erk'"),
        ({"score": "rigl"}, "RigL moves connections.*schedule='rewire'"),
        ({"score": "gumbel", "schedule": "at_init"}, "first step. .*'one_shot'"),
        ({"score": "movement", "schedule": "at_init"}, "first step. .*'gradual'"),
        ({"objective": "invarianz"}, "Did you mean 'invariance'"),
        ({"pattern": "2:4"}, r"an object such as NByM\(2, 4\)"),
        ({"schedule": OneShot(0.8)}, "sparsity=0.5.*ends at 0.8"),
        ({"pattern": kip.patterns.NByM(1, 4)}, "sparsity=0.75"),
        ({"initial_scale": 0}, r"\(0, 1\].*initial_scale=0"),
        ({"initial_scale": (0.5, "some")}, "kernels"),
        ({"select": ["dense_9"]}, "dense_9.*Prunable weights"),
        ({"rewind": "begin"}, "first_epoch"),
    ],
)
def test_choices(options, message):
    with pytest.raises(ValueError, match=message):
        kip.prune(rows_model(), 0.5, **options)


@pytest.mark.parametrize("choice", ["score", "allocation", "pattern", "objective"])
def test_a_class_in_place_of_an_object(choice):
    of = {
        "score": kip.scores.Snip,
        "allocation": kip.allocation.PerLayer,
        "pattern": kip.patterns.Block,
        "objective": kip.Invariance,
    }
    with pytest.raises(TypeError, match=r"not a class.*Write \w+\(\.\.\.\)"):
        kip.prune(rows_model(), 0.5, **{choice: of[choice]})


def test_a_search_that_would_not_take_place():
    with pytest.raises(ValueError, match="nothing is searched.*schedule='one_shot'"):
        kip.prune_for_invariance(rows_model(), 0.5, schedule="at_init")


@pytest.mark.parametrize(
    ("choice", "wrong", "message"),
    [
        ("score", lambda w: w, r"^A score .* \(weights, model\).* takes \(w\)"),
        ("allocation", lambda s: s, r"^An allocation .* \(scores, sparsity\)"),
        ("pattern", lambda s, p: s, r"^A pattern .* \(scores, sparsity, allocation\)"),
        ("objective", lambda m: m, r"^An objective .* \(model, x, y, sample_weight\)"),
        ("schedule", lambda: 1, r"^A schedule is called with \(step\)"),
    ],
)
def test_callables_of_other_arguments_are_refused_at_once(choice, wrong, message):
    with pytest.raises(TypeError, match=message):
        kip.prune(rows_model(), 0.5, **{choice: wrong})


def test_what_a_score_may_return_besides_a_dictionary(rows):
    model = kip.prune(
        rows_model(), 0.5, score=lambda w, m: m.masked.prunable, schedule="manual"
    )
    model.prune_to(0.5)
    assert model.sparsity == pytest.approx(0.5, abs=0.02)
    searched = kip.prune(rows_model(), 0.5, objective=plain)
    searched.compile("sgd", LOSS)
    searched.fit(*rows, epochs=2, verbose=0)
    assert searched.finished


def plain(model, x, y, sample_weight):
    outputs = model(x, training=True)
    return [model.compute_loss(x, y, outputs, sample_weight), outputs]


@pytest.mark.parametrize("pattern", [None, "units", kip.patterns.Block((2, 1))])
def test_an_allocation_is_named_whatever_the_pattern(pattern):
    choices = {"pattern": pattern, "schedule": "manual"}
    model = kip.prune(rows_model(), 0.5, allocation=lambda s, p: 3, **choices)
    with pytest.raises(TypeError, match="^An allocation must return .*Received: int"):
        model.prune_to(0.5)


@pytest.mark.parametrize("score", ["gumbel", "movement"])
def test_what_was_learned_may_be_used_at_the_start_of_a_second_fit(rows, score):
    model = kip.prune(rows_model(), 0.5, score=score, schedule="manual")
    model.compile("sgd", LOSS)
    model.fit(*rows, verbose=0)
    model.plan.schedule = OneShot(0.5, at=0)
    model.fit(*rows, verbose=0)
    assert model.finished


def test_a_schedule_of_ones_own_may_be_one_update(rows):
    third = {"score": "gumbel", "schedule": lambda step: (step == 3, 0.5)}
    model = kip.prune(rows_model(), 0.5, **third)
    model.compile("sgd", LOSS)
    model.fit(*rows, epochs=3, verbose=0)
    assert model.finished


@pytest.mark.parametrize("given", [3, None, [np.ones(2)]])
@pytest.mark.parametrize("choice", ["score", "allocation", "pattern"])
def test_own_choices_that_return_no_dictionary(choice, given):
    def own(*_):
        return given

    model = kip.prune(rows_model(), 0.5, schedule="manual", **{choice: own})
    with pytest.raises(TypeError, match=r"must return \{key: array\}. Received: \w+"):
        model.prune_to(0.5)
    assert model.sparsity == 0


def test_an_objective_that_returns_no_loss_and_predictions(rows):
    model = kip.prune(rows_model(), 0.5, objective=lambda m, x, y, w: 3)
    model.compile("sgd", LOSS)
    with pytest.raises(TypeError, match=r"must return \(loss, predictions\).*: int"):
        model.fit(*rows, epochs=2, verbose=0)


def test_views_for_another_rank():
    with pytest.raises(ValueError, match="rank 4"):
        kip.prune_for_invariance(rows_model(), views=kip.views.RandomShift())


def test_inputs_without_default_views_need_the_users_own():
    tokens = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(9, 4),
            keras.layers.LSTM(4),
            keras.layers.Dense(2),
        ]
    )
    with pytest.raises(ValueError, match="views="):
        kip.prune_for_invariance(tokens)


def test_views_and_objective_together():
    with pytest.raises(ValueError, match="not both"):
        kip.prune_for_invariance(
            rows_model(), views=lambda x: x, objective=kip.Invariance()
        )


def test_nan_in_the_data(rows):
    x, y = rows
    x = x.copy()
    x[3, 2] = np.nan
    pruned = kip.prune_for_invariance(rows_model(), 0.5)
    pruned.compile("adam", LOSS, jit_compile=False)
    with pytest.raises(ValueError, match="`x` holds 1 NaN"):
        pruned.fit(x, y, verbose=0)
    assert pruned.step == 0


@pytest.mark.parametrize("pattern", ["connections", "units"])
def test_weights_that_are_not_finite_are_refused_at_once(pattern):
    model = rows_model()
    model.layers[0].bias.assign(np.full(model.layers[0].bias.shape, np.inf))
    with pytest.raises(ValueError, match=r"finite. Received: NaN or .*\['dense/bias"):
        kip.prune(model, 0.5, pattern=pattern)


def test_a_search_that_diverges_is_not_pruned(rows):
    pruned = kip.prune(rows_model(), 0.5)
    pruned.compile(keras.optimizers.SGD(1e30), LOSS, jit_compile=False)
    with pytest.raises(ValueError, match="dense/kernel.*diverged"):
        pruned.fit(*rows, batch_size=4, epochs=2, verbose=0)


def test_labels_of_the_wrong_length(rows):
    pruned = kip.prune_for_invariance(rows_model(), 0.5)
    pruned.compile("adam", LOSS, jit_compile=False)
    with pytest.raises(ValueError, match="cardinality|same"):
        pruned.fit(rows[0], rows[1][:-1], verbose=0)
    assert pruned.step == 0


def test_labels_of_the_wrong_shape(rows):
    pruned = kip.prune_for_invariance(rows_model(), 0.5)
    pruned.compile("adam", "categorical_crossentropy", jit_compile=False)
    with pytest.raises(ValueError, match="One-hot labels.*to_categorical"):
        pruned.fit(*rows, verbose=0)
    assert pruned.step == 0


def test_a_strategys_scope_entered_too_late(rows):
    pruned = kip.prune(rows_model(), 0.5)
    pruned.compile("adam", LOSS)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope(), pytest.raises(ValueError, match="strategy.scope"):
        pruned.fit(*rows, verbose=0)


def test_a_score_that_returns_other_shapes(rows):
    pruned = kip.prune(rows_model(), 0.5, score=lambda w, m: {"dense/kernel": w})
    pruned.compile("adam", LOSS, jit_compile=False)
    with pytest.raises((ValueError, AttributeError), match="score|shape"):
        pruned.fit(*rows, epochs=2, verbose=0)


def test_strip_of_a_plain_model():
    with pytest.raises(ValueError, match="made by `prune`.*Sequential"):
        kip.strip_pruning(rows_model())


# A network that is sparse already


def sparse_network(rows, initializer="glorot_uniform", train=True):
    """Trained, with 60 of the 96 weights of its first two kernels at zero."""
    make = functools.partial(keras.layers.Dense, kernel_initializer=initializer)
    body = [make(8, activation="relu"), make(8), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((4,)), *body])
    if train:
        model.compile("adam", LOSS)
        model.fit(*rows, verbose=0)
    pruned = kip.prune(model, 60 / 96, schedule="manual")
    pruned.prune_to(60 / 96)
    return kip.strip_pruning(pruned)


def zeros(model):
    return {i: model.layers[i].kernel.numpy() == 0 for i in (0, 1)}


ON = {
    "prune": lambda model: kip.prune(model, 0.8),
    "for invariance": lambda model: kip.prune_for_invariance(model, 0.8),
    "rewound": lambda model: kip.prune(model, 0.8, rewind="first_epoch"),
    "gradually": lambda model: kip.prune(model, 0.8, schedule="gradual"),
    "at random": lambda model: kip.prune(model, 0.8, score="random"),
}


@pytest.mark.parametrize(
    ("name", "train"), [*((name, True) for name in ON), ("gradually", False)]
)
def test_what_an_earlier_pruning_has_left_at_zero_stays_zero(name, train, rows):
    model = sparse_network(rows, train=train)
    before = zeros(model)
    assert sum(z.sum() for z in before.values()) == 60
    pruned = ON[name](model)
    assert pruned.sparsity == pytest.approx(60 / 96)
    pruned.compile(keras.optimizers.Adam(0.01), LOSS)
    logs = pruned.fit(*rows, epochs=4, batch_size=8, verbose=0).history
    assert logs["sparsity"] == sorted(logs["sparsity"])
    after = zeros(kip.strip_pruning(pruned))
    assert sum(z.sum() for z in after.values()) == round(0.8 * 96)
    assert all((after[i] | ~before[i]).all() for i in (0, 1))


def test_fewer_zeros_than_there_are_is_said(rows, caplog):
    kip.prune(sparse_network(rows), 0.5)
    assert "0.625 of the weights to prune are zero already" in caplog.text


def test_zeros_that_are_not_selected_now_are_named(rows, caplog):
    model = sparse_network(rows)
    share = np.mean(model.layers[1].kernel.numpy() == 0)
    kip.prune(model, 0.9, select=model.layers[0].name)
    name = model.layers[1].name
    assert "not selected now" in caplog.text
    assert f"{name}/kernel ({share:.3g})" in caplog.text
    caplog.clear()
    kip.prune(model, 0.9)
    assert "not selected" not in caplog.text


def test_a_kernel_of_which_nothing_is_left_stays_so(rows):
    model = sparse_network(rows)
    kernel = model.layers[1].kernel
    kernel.assign(0 * kernel)
    pruned = kip.prune(model, 0.9)
    assert not pruned.masks[f"{model.layers[1].name}/kernel"].numpy().any()


def test_a_kernel_set_to_zero_by_hand_in_a_fresh_network_is_trained():
    body = [keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")]
    model = keras.Sequential([keras.Input((4,)), *body, keras.layers.Dense(3)])
    model.layers[1].kernel.assign(np.zeros((4, 4)))
    assert kip.prune(model, 0.9).sparsity == 0.0


def all_alike(weights, model):
    return {key: np.full(w.shape, -5, "float32") for key, w in weights.items()}


def against_magnitude(weights, model):
    return {key: -np.abs(weight) for key, weight in weights.items()}


class Redrawn:
    """Another ranking at each update."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def __call__(self, weights, model):
        return {key: self.random.normal(size=w.shape) for key, w in weights.items()}


@pytest.mark.parametrize("score", [against_magnitude, all_alike, Redrawn()])
def test_the_share_asked_for_is_removed_whatever_the_score_says(score, rows):
    fresh = kip.prune(rows_model(), 0.9, score=score, schedule="manual")
    sparse = kip.prune(sparse_network(rows), 0.9, score=score, schedule="manual")
    size = sum(mask.shape[0] * mask.shape[1] for mask in fresh.masks.values())
    for share in (0.7, 0.8, 0.9):
        fresh.prune_to(share)
        assert fresh.sparsity == pytest.approx(share, abs=1 / size)
        sparse.prune_to(share)
        assert sparse.sparsity == pytest.approx(share, abs=1 / 96)


def test_zeros_of_an_initializer_are_trained(rows):
    body = [keras.layers.Dense(4, kernel_initializer="identity"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((4,)), *body])
    assert kip.prune(model, 0.9).sparsity == 0.0


# Messages


def test_an_unknown_argument_is_answered_in_its_own_name():
    with pytest.raises(TypeError, match=r"prune_for_invariance\(\).*'sparsty'.*spars"):
        kip.prune_for_invariance(rows_model(), sparsty=0.9)


OF_INVARIANCE = list(inspect.signature(kip.Invariance).parameters)


@pytest.mark.parametrize("name", [name for name in OF_INVARIANCE if name != "views"])
def test_an_argument_of_the_objective_is_answered_with_the_objective(name):
    with pytest.raises(TypeError, match=rf"objective=kip\.Invariance\({name}=\.\.\.\)"):
        kip.prune_for_invariance(rows_model(), **{name: 1})


def test_a_loop_without_the_callback_is_told_so(rows):
    pruned = kip.prune(rows_model(), 0.5)
    pruned.compile("sgd", LOSS)
    pruned.train_on_batch(*rows)
    with pytest.raises(ValueError, match="No PruningCallback has been called"):
        kip.strip_pruning(pruned)
    later = kip.schedules.OneShot(0.5, at=10**6)
    pruned = kip.prune(rows_model(), 0.5, schedule=later)
    pruned.compile("sgd", LOSS)
    with pytest.warns(UserWarning, match="target"):
        pruned.fit(*rows, verbose=0)
    with pytest.raises(ValueError, match="Train until the schedule has pruned"):
        kip.strip_pruning(pruned)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_zeros_that_are_drawn_by_chance_are_trained(dtype):
    keras.utils.set_random_seed(0)
    body = [keras.layers.Dense(256, dtype=dtype), keras.layers.Dense(2, dtype=dtype)]
    model = keras.Sequential([keras.Input((256,), dtype=dtype), *body])
    assert np.any(model.layers[0].kernel.numpy() == 0)
    assert kip.prune(model, 0.9).sparsity == 0.0


def test_a_schedule_by_hand_asks_for_prune_to():
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="body")])
    model = kip.prune(plain, 0.5, select=["body"], schedule="manual")
    with pytest.raises(ValueError, match=r"call prune_to\(0.5\), or call strip"):
        kip.strip_pruning(model)


class Tutorial(keras.layers.Layer):
    """A layer whose weights have names of its author's own."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 8), name="w")
        self.b = self.add_weight(shape=(8,), name="b")

    def call(self, x):
        return x @ self.w + self.b


@pytest.mark.parametrize("select", [None, ["lin"], ["lin/w"]])
def test_weights_of_other_names_are_said_not_to_be_pruned(select):
    body = Tutorial(name="lin")
    plain = keras.Sequential([keras.Input((4,)), body, keras.layers.Dense(2)])
    words = r"Only weights named kernel, .*\['lin/w'\] are not.*name=\"kernel\""
    with pytest.raises(ValueError, match=words):
        kip.prune(plain, 0.5, select=select)
