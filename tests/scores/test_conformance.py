"""What holds for every score: on every model, with every allocation and pattern."""

import itertools

import keras
import numpy as np
import pytest

import keras_invprune as kip
import zoo
from keras_invprune.allocation import ALLOCATIONS, uniform
from keras_invprune.allocation import get as get_allocation
from keras_invprune.contracts import Allocation, Pattern, Score
from keras_invprune.graph.prunable import prunable_weights
from keras_invprune.patterns import Block, NByM, Units
from keras_invprune.pruning.plan import Plan
from keras_invprune.schedules import Gradual, OneShot
from keras_invprune.scores import SCORES, SynFlow

# One less quickly made: its number of rounds.
EVERY = {**SCORES, "synflow": SynFlow(rounds=3)}
TRAITS = {name: Score.of(score) for name, score in EVERY.items()}
# In training; before it they say nothing.
LEARNED = [name for name, score in TRAITS.items() if score.learns]
# After the first step, before which these learn nothing.
SCHEDULES = {
    name: OneShot(0.5, at=1)
    if score.updates == "one"
    else Gradual(0.5, begin=0, end=1, updates=1)
    for name, score in TRAITS.items()
    if score.effective is not None
}
ASKED = [name for name in EVERY if name not in LEARNED]
PATTERNS = [None, Block((4, 1)), NByM(2, 4), NByM(4, 8), Units(tied=False)]
ALLOCATED = [
    *ALLOCATIONS,
    {"first/kernel": 0.5, "second/kernel": 0.5},
    lambda scores, sparsity: uniform(scores, sparsity),
]
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
Y = np.arange(8) % 3


class Together:
    """Asks every score, from within a real `fit`; prunes by the last."""

    examples = 2

    def __init__(self, names=tuple(ASKED)):
        self.names = names
        self.found = {}

    def __call__(self, weights, model):
        for name in self.names:
            self.found[name] = EVERY[name](weights, model)
        return self.found[self.names[-1]]


def arrays(variables):
    return [variable.numpy() for variable in variables]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def network():
    """Each tensor has 2 · 24 blocks of (4, 1), and half of it is a whole number."""
    layers = [
        keras.layers.Dense(16, "relu", name="first"),
        keras.layers.Dense(4, name="second"),
        keras.layers.ReLU(),
    ]
    return keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3)])


def fit_together(allocation, pattern):
    """Some allocations decide which weights of a kernel stay, as some patterns do."""
    known = Allocation.of(get_allocation(allocation))
    return Pattern.of(pattern).allocates or known.even(0.5)


def pairs(score):
    """Three of the patterns in turn, and over all scores each with most allocations."""
    start = list(EVERY).index(score)
    for index, pattern in enumerate(PATTERNS):
        if (start + index) % len(PATTERNS) > 2:
            continue
        fitting = [each for each in ALLOCATED if fit_together(each, pattern)]
        yield fitting[(start + index) % len(fitting)], pattern


def kept_of(masks, pattern):
    """Share of what the pattern counts: weights, or units of whatever size."""
    masks = [np.asarray(mask) for mask in masks]
    if isinstance(pattern, Units):
        assert all((mask.any(0) == mask.all(0)).all() for mask in masks)
        masks = [mask[0] for mask in masks]
    return np.mean(np.concatenate([np.ravel(mask) for mask in masks]))


@pytest.mark.parametrize("score", EVERY)
def test_every_score_prunes_before_its_first_chance_and_is_stripped(score):
    bare = network()
    initial = bare.get_weights()
    moves = TRAITS[score].rewires
    moving = kip.schedules.Rewire(0.5, every=1, until=2)
    schedule = moving if moves else SCHEDULES.get(score, "at_init")
    for allocation, pattern in pairs(score):
        bare.set_weights(initial)
        choices = {"allocation": allocation, "pattern": pattern, "copy": False}
        model = kip.prune(bare, 0.5, score=EVERY[score], schedule=schedule, **choices)
        model.compile("sgd", LOSS, run_eagerly=True)
        model.fit(X, Y, batch_size=4, verbose=0)
        assert model.finished and model.finished_step == (score in SCHEDULES)
        assert model.step == 2
        assert len(model.events) == 1 + moves
        assert kept_of(model.masks.values(), pattern) == 0.5, choices
        outputs, stripped = model(X), kip.strip_pruning(model)
        weights = prunable_weights(stripped, list(model.masks))
        for weight, mask in zip(weights.values(), model.masks.values(), strict=True):
            assert not weight.numpy()[mask.numpy() == 0].any()
        np.testing.assert_allclose(stripped(X), outputs, 1e-6, 1e-6)


@pytest.mark.parametrize("score", EVERY)
def test_every_mask_is_exactly_half(score):
    model = kip.prune(network(), 0.5, score=EVERY[score], schedule="manual")
    model.compile("sgd", LOSS, run_eagerly=True)
    model.fit(X, Y, verbose=0)
    model.state.examples = X[:3], Y[:3], None
    weights = {key: variable.numpy() for key, variable in model.masked.prunable.items()}
    # All combinations are tried, each by three scores or more.
    every = list(itertools.product(ALLOCATED, PATTERNS))
    every = [pair for pair in every if fit_together(*pair)]
    for allocation, pattern in every[list(EVERY).index(score) % 4 :: 4]:
        plan = Plan.of(0.5, score=EVERY[score], allocation=allocation, pattern=pattern)
        masks = plan.masks(weights, model, 0.5)
        assert {key: mask.shape for key, mask in masks.items()} == {
            key: weight.shape for key, weight in weights.items()
        }
        assert kept_of(masks.values(), pattern) == 0.5, plan


@pytest.mark.parametrize("score", EVERY)
def test_every_score_removes_whole_units_on_both_sides(score):
    moves = TRAITS[score].rewires
    moving = kip.schedules.Rewire(0.5, every=1, until=2)
    schedule = moving if moves else SCHEDULES.get(score, "at_init")
    choices = {"pattern": "units", "allocation": "uniform", "copy": False}
    model = kip.prune(network(), 0.5, score=EVERY[score], schedule=schedule, **choices)
    model.compile("sgd", LOSS, run_eagerly=True)
    model.fit(X, Y, batch_size=4, verbose=0)
    assert (model.plan.dependencies is None) is bool(moves)  # they could not return
    outputs, stripped = model(X), kip.strip_pruning(model)
    np.testing.assert_allclose(stripped(X), outputs, 1e-6, 1e-6)
    if not moves:
        made = kip.compact(stripped)
        assert [weight.shape for weight in made.weights[::2]] == [
            (8, 8),
            (8, 2),
            (2, 3),
        ]


# A softmax after the head: no flow comes through it.
WITHOUT_FLOW = ["operations"]


@pytest.mark.parametrize("name", zoo.CASES)
def test_every_score_takes_every_other_kind_of_model(name):
    case = zoo.CASES[name]()
    first = list(zoo.CASES).index(name) % 2
    asked = ASKED[first::2]
    names = [n for n in asked if not (name in WITHOUT_FLOW and n == "synflow")]
    together = Together(tuple(names))
    options = {"select": case.select, "copy": False, "allocation": "erk"}
    model = kip.prune(case.model, 0.5, score=together, schedule="at_init", **options)
    model.compile("sgd", case.loss, run_eagerly=True)
    model.fit(case.x, case.y, batch_size=zoo.ROWS, verbose=0)
    assert model.finished and model.sparsity == pytest.approx(0.5, abs=0.1)
    for score, found in together.found.items():
        assert list(found) == list(model.masks)
        for key, mask in model.masks.items():
            assert found[key].shape == mask.shape
            assert np.isfinite(found[key]).all()
        assert any(np.any(values) for values in found.values()), score


@pytest.mark.parametrize("index, name", [*enumerate(zoo.CASES)])
def test_methods_that_learn_in_training_take_every_kind_of_model(index, name):
    # Each kind with one of them, in turn: what they read is read in the same place.
    score = [*SCHEDULES][index % len(SCHEDULES)]
    case = zoo.CASES[name]()
    options = {"select": case.select, "copy": False, "allocation": "erk"}
    options |= {"score": score, "schedule": SCHEDULES[score]}
    model = kip.prune(case.model, 0.5, **options)
    model.compile("sgd", case.loss, run_eagerly=True)
    model.fit(case.x, case.y, batch_size=zoo.ROWS // 2, epochs=2, verbose=0)
    assert model.finished and model.sparsity == pytest.approx(0.5, abs=0.1)
    assert model.masked.settled and not model.masked.remembers


def busy():
    """A model of all that has a state, and two losses; both heads have activations."""
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, activity_regularizer="l2")(inputs)
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(8, "relu", kernel_regularizer="l2")(
        keras.layers.Flatten()(keras.layers.MaxPooling2D(2)(x))
    )
    kind = keras.layers.Dense(3, "softmax", name="kind")(x)
    size = keras.layers.Dense(1, "sigmoid", name="size")(x)
    return keras.Model(inputs, {"kind": kind, "size": size})


@pytest.fixture(scope="module")
def trained():
    """With the traces of three steps in a graph, as pruning in mid-training sees it."""
    x = np.random.default_rng(0).normal(size=(6, 6, 6, 2)).astype("float32")
    y = {"kind": np.arange(6) % 3, "size": np.arange(6.0) / 6}
    model = kip.prune(busy(), 0.5, score=Together(), schedule="manual")
    loss = {"kind": zoo.CLASSIFY, "size": "mse"}
    optimizer = keras.optimizers.SGD(0.1, 0.9)
    metrics = {"kind": ["accuracy"]}
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)
    model.fit(x, y, batch_size=2, verbose=0)
    return model


@pytest.mark.parametrize("name", ASKED)
def test_scoring_changes_no_state(trained, name):
    metrics = [v for metric in trained.metrics for v in metric.variables]
    state = [*trained.variables, *trained.optimizer.variables, *metrics]
    heads = [trained.inner.get_layer(part) for part in ("kind", "size")]
    before, activations = arrays(state), [head.activation for head in heads]
    weights = {key: v.numpy() for key, v in trained.masked.prunable.items()}
    given = {key: weight.copy() for key, weight in weights.items()}
    again = [EVERY[name](weights, trained) for _ in range(2)]
    assert_equal(arrays(state), before)
    assert_equal(weights.values(), given.values())
    assert [head.activation for head in heads] == activations
    assert_equal(again[0].values(), again[1].values())


def test_the_losses_logged_are_those_of_training_alone():
    x = np.random.default_rng(0).normal(size=(6, 6, 6, 2)).astype("float32")
    y = {"kind": np.arange(6) % 3, "size": np.arange(6.0) / 6}
    logs = []
    for score in ("magnitude", Together((*ASKED, "magnitude"))):
        keras.utils.set_random_seed(0)
        model = kip.prune(busy(), 0.5, score=score, schedule="at_init")
        loss = {"kind": zoo.CLASSIFY, "size": "mse"}
        model.compile("sgd", loss, run_eagerly=True)
        logs.append(model.fit(x, y, shuffle=False, verbose=0).history)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", [name for name in ASKED if not TRAITS[name].rewires])
def test_weights_once_pruned_do_not_come_back(name):
    network = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)]
    )
    model = kip.prune(network, 0.8, score=EVERY[name], schedule="manual")
    model.compile("sgd", LOSS)
    model.state.examples = X, Y, None
    before = np.ones((8, 16))
    for sparsity in (0.3, 0.5, 0.5, 0.7, 0.7, 0.8):
        model.prune_to(sparsity)
        (mask,) = model.masks.values()
        assert np.all(mask.numpy() <= before)
        before = mask.numpy()


# Two replicas: the scores are those of one, but for the scale of a loss's share.


def test_replicas_score_as_one_machine_does(strategy):
    def fit():
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Conv2D(4, 3, kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
        ]
        network = keras.Sequential(
            [keras.Input((6, 6, 2)), *layers, keras.layers.Dense(3)]
        )
        together = Together()
        model = kip.prune(network, 0.5, score=together, schedule="at_init")
        model.compile("sgd", LOSS, jit_compile=False)
        x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
        model.fit(x, Y, batch_size=4, verbose=0)
        assert model.finished_step == 0 and model.sparsity == 0.5
        return together.found

    with strategy.scope():
        found = fit()
    expected = fit()
    for name in ASKED:
        one, other = (
            np.concatenate([np.ravel(values) for values in scores[name].values()])
            for scores in (found, expected)
        )
        np.testing.assert_allclose(
            one / np.abs(one).max(), other / np.abs(other).max(), 1e-4, 1e-5
        )
