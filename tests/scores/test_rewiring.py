"""Dynamic sparse training: what is dropped, what grows, and that it goes on."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_invprune as kip
from keras_invprune.patterns import Block, NByM, Units
from keras_invprune.schedules import Rewire
from keras_invprune.scores import RigL, SparseEvolution
from keras_invprune.scores._rewiring import moved, rewired

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
SCORES = {"set": SparseEvolution, "rigl": lambda **kw: RigL(examples=64, **kw)}


def pruned(score, every=2, until=0.75, activation="relu", **choices):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, activation, name=f"hidden_{n}") for n in (16, 12)]
    model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(2)])
    schedule = Rewire(0.75, every, until)
    choices = {"allocation": "erk", "schedule": schedule} | choices
    found = kip.prune(model, 0.75, score=score, **choices)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, jit_compile=False)
    return found


class Masks(keras.callbacks.Callback):
    """Remembers the masks and the weights after each step."""

    def __init__(self):
        super().__init__()
        self.each, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        masks = self.model.masks.items()
        self.each.append({key: mask.numpy() for key, mask in masks})
        prunable = self.model.masked.prunable.items()
        self.weights.append({key: variable.numpy() for key, variable in prunable})


def train(model, **options):
    seen = Masks()
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[seen], **options)
    return seen


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99), st.integers(1, 30))
def test_as_many_grow_as_are_dropped_and_no_more(seed, share, active):
    generator = np.random.default_rng(seed)
    weight, growth = generator.normal(size=(2, 5, 6))
    growth = np.abs(growth)
    mask = generator.permutation(np.arange(30) < active).reshape(5, 6)
    scores = rewired(weight * mask, mask, growth, share)
    dropped = int(share * active)
    assert np.count_nonzero(scores == 2) == active - dropped
    assert np.count_nonzero(scores == 1) == dropped
    stays, grows = scores == 2, scores == 1
    assert np.all(mask[stays])
    weakest = np.abs(weight[stays]).min(initial=np.inf)
    assert weakest >= np.abs(weight[mask & ~stays]).max(initial=0)
    neither = ~stays & ~grows
    assert scores[neither].max(initial=0) < 1
    assert growth[grows].min(initial=np.inf) >= growth[neither].max(initial=-np.inf)


@pytest.mark.parametrize("name", SCORES)
def test_an_interrupted_training_moves_what_it_would_have_moved(name, tmp_path):
    def fit(*callbacks):
        model = pruned(SCORES[name](seed=3), every=3, until=0.9)
        model.fit(
            X, Y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=callbacks
        )
        return model

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(keras.callbacks.BackupAndRestore(tmp_path), Interrupt())
    again = fit(keras.callbacks.BackupAndRestore(tmp_path))
    assert [event for event in whole.events if event[0] >= 16] == again.events
    for one, other in zip(again.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_a_training_too_short_to_move_anything_warns():
    model = pruned(SparseEvolution(), every=100)
    with pytest.warns(UserWarning, match="updates the masks only once in 8 steps"):
        train(model)


def test_a_finished_model_needs_no_examples_for_what_moves_no_more():
    model = pruned(RigL(examples=64))
    train(model)
    rows = ((X[:8], Y[:8]) for _ in range(4))
    model.fit(rows, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", SCORES)
def test_connections_move_when_it_is_time_and_their_number_stays(name):
    model = pruned(SCORES[name](fraction=0.9))
    seen = train(model, epochs=2)  # 16 steps: renewed before 1, 3, 5, ..., 13
    moved = [
        any(np.any(a[key] != b[key]) for key in a)
        for a, b in zip(seen.each, seen.each[1:], strict=False)
    ]
    assert not any(moved[0::2]) and all(moved[1:11:2]) and not any(moved[13:])
    for key in seen.each[0]:
        assert len({int(masks[key].sum()) for masks in seen.each}) == 1
    assert model.finished and model.sparsity == pytest.approx(0.75, abs=0.01)
    final = kip.strip_pruning(model)
    for key, mask in seen.each[-1].items():
        kernel = final.get_layer(key.split("/")[0]).kernel.numpy()
        assert np.all(kernel[mask == 0] == 0)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    "pattern",
    [Block((2, 1)), Units(tied=False), NByM(1, 4)],
    ids=["block", "units", "n_by_m"],
)
def test_what_a_pattern_keeps_whole_moves_whole(name, pattern):
    choices = {"pattern": pattern, "select": ["hidden_12"], "activation": "tanh"}
    model = pruned(SCORES[name](fraction=0.5), **choices)
    seen = [masks["hidden_12/kernel"] for masks in train(model, epochs=2).each]
    for mask in seen:
        if isinstance(pattern, Units):
            assert mask.any(0).sum() == 3 and np.all(mask.any(0) == mask.all(0))
        elif isinstance(pattern, Block):
            assert mask.sum() == 48 and np.all(mask[::2] == mask[1::2])
        else:
            assert np.all(mask.reshape(4, 4, 12).sum(1) == 1)
    assert any(np.any(a != b) for a, b in zip(seen, seen[1:], strict=False))


def test_blocks_drop_by_their_mean_magnitude_and_grow_by_their_mean_gradient():
    model = pruned(
        RigL(fraction=0.5, examples=(X, Y), batch_size=64),
        schedule="manual",
        pattern=Block((2, 1)),
        select=["hidden_16"],
    )
    model.prune_to(0.75)
    key = "hidden_16/kernel"
    weight, mask = model.masked.prunable[key].numpy(), model.masks[key].numpy()
    g = np.abs(np.random.default_rng(3).normal(size=weight.shape).astype("float32"))
    found = moved({key: weight}, {key: g}, 0.5, model.score_context())[key]
    blocks = [np.abs(v).reshape(3, 2, 16).mean(1) for v in (weight, mask, g)]
    expected = rewired(blocks[0], blocks[1] > 0, blocks[2], 0.5)
    expected = np.floor(expected).repeat(2, axis=0)
    np.testing.assert_array_equal(found, expected)
    assert (found == 1).sum() == (found == 2).sum() == 12


def test_what_grows_begins_at_zero():
    model = pruned(SparseEvolution(fraction=0.5), every=1)
    model.optimizer.learning_rate = 0.0
    seen = train(model, epochs=1)
    for before, after, masks in zip(
        seen.each, seen.each[1:], seen.weights[1:], strict=False
    ):
        for key in before:
            grown = (after[key] == 1) & (before[key] == 0)
            assert np.all(masks[key][grown] == 0)


def test_rigl_grows_where_the_gradient_of_the_dense_network_is_largest():
    model = pruned(
        RigL(fraction=0.5, examples=(X, Y), batch_size=64), schedule="manual"
    )
    model.prune_to(0.75)
    weights = {k: v.numpy() for k, v in model.masked.prunable.items()}
    masks = {key: mask.numpy() for key, mask in model.masks.items()}
    scores = model.plan.score(weights, model)
    w1, b1, w2, b2, w3, b3 = (w.numpy() for w in model.inner.trainable_variables)
    h1 = np.maximum(X @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    logits = h2 @ w3 + b3
    p = np.exp(logits - logits.max(1, keepdims=True))
    delta = (p / p.sum(1, keepdims=True) - np.eye(2)[Y]) / len(X)
    delta2 = (delta @ w3.T) * (h2 > 0)
    gradients = {
        "hidden_12/kernel": h1.T @ delta2,
        "hidden_16/kernel": X.T @ ((delta2 @ w2.T) * (h1 > 0)),
    }
    for key, g in gradients.items():
        expected = np.floor(rewired(weights[key], masks[key], np.abs(g), 0.5))
        np.testing.assert_array_equal(scores[key], expected)


@pytest.mark.parametrize("name", SCORES)
def test_a_loaded_model_goes_on_moving(name, tmp_path):
    model = pruned(SCORES[name](fraction=0.9))
    train(model, epochs=1)
    model.save(tmp_path / "half.keras")
    again = keras.saving.load_model(tmp_path / "half.keras")
    assert again.finished
    seen = train(again, epochs=2, initial_epoch=1)
    key = "hidden_16/kernel"
    assert np.any(seen.each[0][key] != seen.each[-1][key])


def test_the_share_decays_as_a_cosine():
    schedule = Rewire(0.9, every=10, until=100)
    schedule.start(step=5, steps=400)
    assert schedule.decay(5) == 1.0
    assert schedule.decay(55) == pytest.approx(0.5)
    assert schedule.decay(105) == schedule.decay(300) == pytest.approx(0.0)


@pytest.mark.parametrize("score", ["magnitude", "snip", "random"])
def test_a_score_that_lets_nothing_grow_is_refused(score):
    with pytest.raises(ValueError, match=f"(?i){score}.* does not grow any.*'rigl'"):
        train(pruned(score))
    train(pruned(lambda weights, model: weights))  # one's own may


@pytest.mark.parametrize("name", SCORES)
def test_in_a_second_training_nothing_moves(name, tmp_path):
    model = pruned(SCORES[name](fraction=0.9), until=1000)
    assert len({m["hidden_16/kernel"].tobytes() for m in train(model).each}) > 2
    model.save(tmp_path / "first.keras")
    again = keras.saving.load_model(tmp_path / "first.keras")
    seen = train(again)
    assert len({m["hidden_16/kernel"].tobytes() for m in seen.each}) == 1


@pytest.mark.parametrize("decays", [True, False])
def test_where_it_does_not_decay_connections_move_to_the_last(decays):
    schedule = Rewire(0.75, every=1, until=16, decays=decays)
    schedule = Rewire.from_config(schedule.get_config())
    seen = train(pruned(SparseEvolution(fraction=0.5), schedule=schedule), epochs=2)
    before, after = seen.each[-2:]
    key = "hidden_16/kernel"
    assert np.any(before[key] != after[key]) == (not decays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RigL(fraction=1.5), "fraction"),
        (lambda: SparseEvolution(fraction=0.0), "fraction"),
        (lambda: Rewire(0.9, every=0), "every"),
        (lambda: Rewire(0.9, until=1.5), "until"),
        (lambda: Rewire(90), "Did you mean 0.9"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"schedule": "one_shot"}, "Use schedule='rewire'"),
        ({"rewind": "initial"}, "nothing is searched or rewound"),
        ({"objective": "invariance"}, "nothing is searched or rewound"),
    ],
)
def test_what_could_not_move_is_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        pruned(SparseEvolution(), **choices)


@pytest.mark.parametrize("name", SCORES)
def test_a_second_training_does_not_begin_again(name, tmp_path):
    model = pruned(SCORES[name](fraction=0.9))
    last = train(model, epochs=2).each[-1]
    model.save(tmp_path / "done.keras")
    for again in (model, keras.saving.load_model(tmp_path / "done.keras")):
        seen = train(again, epochs=2).each[-1]
        for key, mask in last.items():
            np.testing.assert_array_equal(seen[key], mask)


def test_what_grows_begins_at_zero_under_momentum_too():
    model = pruned(SparseEvolution(fraction=0.5), every=1)
    seen, starts = [], []

    class Starts(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            masks = {key: mask.numpy() for key, mask in self.model.masks.items()}
            prunable = self.model.masked.prunable.items()
            if seen:
                for key, variable in prunable:
                    grown = (masks[key] == 1) & (seen[-1][key] == 0)
                    starts.extend(variable.numpy()[grown])
            seen.append(masks)

    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[Starts()])
    assert len(starts) > 10 and not np.any(starts)


def test_what_grows_by_hand_begins_at_zero_too():
    model = pruned(SparseEvolution(fraction=0.5), schedule="manual")
    model.prune_to(0.75)
    for _ in range(3):
        before = {key: mask.numpy() for key, mask in model.masks.items()}
        model.fit(X, Y, batch_size=8, verbose=0)
        model.prune_to(0.75)
        for key, mask in model.masks.items():
            grown = (mask.numpy() == 1) & (before[key] == 0)
            assert grown.any()
            assert not model.masked.prunable[key].numpy()[grown].any()
