"""How scores are made, what they ask for, and what they refuse."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune import scores
from keras_invprune.allocation import collapsed, global_topk
from keras_invprune.scores import (
    Fisher,
    Grasp,
    LogitSnip,
    OptimalBrainDamage,
    Random,
    RigL,
    Snip,
    SparseEvolution,
    SynFlow,
    Taylor,
)

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 3
ON_EXAMPLES = [Snip, LogitSnip, Grasp, Fisher, OptimalBrainDamage, Taylor]


def sequential(*widths, activation=None, **options):
    body = [keras.layers.Dense(width, "relu", **options) for width in widths[1:-1]]
    head = keras.layers.Dense(widths[-1], activation, name="head", **options)
    return keras.Sequential([keras.Input((widths[0],)), *body, head])


def pruned(network=None, score="magnitude", **options):
    network = network or sequential(4, 6, 3)
    model = kip.prune(network, 0.5, score=score, schedule="manual", **options)
    model.compile("sgd", LOSS)
    return model


def weights_of(model):
    return {key: variable.numpy() for key, variable in model.masked.prunable.items()}


# Configs


@pytest.mark.parametrize(
    "score",
    [
        Random(seed=3),
        Snip(50, batch_size=10),
        LogitSnip(50, batch_size=10),
        Grasp(50, batch_size=10, temperature=3.0),
        SynFlow(rounds=7),
        Fisher(50),
        OptimalBrainDamage(50),
        Taylor(50, batch_size=10),
        SparseEvolution(fraction=0.2, seed=3),
        RigL(fraction=0.2, seed=3, examples=50, batch_size=10),
    ],
    ids=lambda score: type(score).__name__,
)
def test_scores_come_back_from_their_config(score):
    saved = json.dumps(keras.saving.serialize_keras_object(score))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    assert type(again) is type(score)
    assert vars(again) == vars(score)


@pytest.mark.parametrize("kind", ON_EXAMPLES)
def test_of_examples_that_were_given_only_the_number_is_saved(kind):
    config = keras.saving.serialize_keras_object(kind(examples=(X, Y)))
    assert len(json.dumps(config)) < 500
    assert keras.saving.deserialize_keras_object(config).examples == len(X)
    nested = kind(examples=({"a": X, "b": X}, Y, None))
    assert nested.get_config()["examples"] == len(X)


def test_a_model_pruned_on_examples_is_saved_without_them(tmp_path):
    model = pruned(score=Snip(4))
    model.fit(X, Y, verbose=0)
    assert len(model.examples[0]) == 4
    model.prune_to(0.5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.examples is None and again.plan.score.examples == 4
    assert again.sparsity == 0.5


def own(weights, model):
    return weights


def test_get_takes_names_and_callables():
    for name, score in scores.SCORES.items():
        assert scores.get(name) is score
    assert scores.get(own) is own
    with pytest.raises(ValueError, match="Did you mean 'synflow'"):
        scores.get("sinflow")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Snip(examples=(X, Y[:5])), r"same number of rows.*of \[8, 5\] rows"),
        (lambda: Snip(examples=(X[:0], Y[:0])), r"same number of rows.*\[0, 0\] rows"),
        (lambda: Snip(examples=()), "same number of rows"),
        (lambda: Snip(examples=(X, Y, None, Y)), "Received: 4 parts of"),
        (lambda: Snip(examples=([1.0, 2.0], Y)), "must be a tuple of arrays"),
        (lambda: Snip(examples=(tf.constant(3.0),)), "must be a tuple of arrays"),
        (lambda: LogitSnip(examples=X), r"in a tuple \(x,\). Received: ndarray.$"),
        *((lambda k=k: k(examples=0), "positive number of rows") for k in ON_EXAMPLES),
        (lambda: Snip(examples=-3), "Received: examples=-3"),
        (lambda: Snip(examples=True), "Received: examples=True"),
        (lambda: Snip(examples="all"), "Received: examples='all'"),
        (lambda: Snip(examples=[X, Y]), r"in a tuple \(x, y\). Received: list"),
        (lambda: Grasp(temperature=0), "temperature=0"),
        (lambda: Grasp(temperature=float("nan")), "temperature=nan"),
        (lambda: SynFlow(rounds=0), "rounds=0"),
        (lambda: SynFlow(rounds=2.5), "rounds=2.5"),
        (lambda: SparseEvolution(fraction=0), "fraction=0"),
        (lambda: RigL(fraction=1), "fraction=1"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Examples and losses that are not there


@pytest.mark.parametrize("kind", ON_EXAMPLES)
def test_outside_of_fit_examples_must_be_given(kind):
    needs = r"\(x,\)" if kind is LogitSnip else r"\(x, y\)"
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(examples={needs}\)"):
        pruned(score=kind()).prune_to(0.5)
    model = pruned(score=kind(examples=(X, Y)))
    model.prune_to(0.5)
    assert model.sparsity == 0.5


@pytest.mark.parametrize("kind", ON_EXAMPLES)
def test_without_a_loss_only_what_needs_none_can_score(kind):
    model = kip.prune(sequential(4, 6, 3), 0.5, score=kind(examples=(X, Y)))
    if kind is LogitSnip:
        model.prune_to(0.5)
    else:
        with pytest.raises(ValueError, match="compile the model first"):
            model.prune_to(0.5)
    assert model.finished == (kind is LogitSnip)


@pytest.mark.parametrize("kind", ON_EXAMPLES)
def test_without_labels_only_what_reads_none_can_score(kind):
    model = pruned(score=kind(examples=(X,)))
    if kind is LogitSnip:
        model.prune_to(0.5)
    else:
        with pytest.raises(ValueError, match="needs labels and was given none"):
            model.prune_to(0.5)
    assert model.finished == (kind is LogitSnip)


@pytest.mark.parametrize("score", [Grasp, LogitSnip])
def test_the_activation_is_given_back_where_scoring_fails(score):
    model = pruned(sequential(4, 6, 3, activation="softmax"))
    wrong = np.ones((2, 99), "float32"), np.zeros(2)
    # In the words of Keras, of the layer that cannot take it.
    with pytest.raises(ValueError, match="99"):
        score(examples=wrong)(weights_of(model), model)
    head = model.inner.get_layer("head")
    assert head.activation is keras.activations.softmax


def test_an_activation_that_is_a_layer_is_given_back():
    network = sequential(4, 6, 3, activation=keras.layers.Softmax())
    model = pruned(network, copy=False)  # Keras 3.8 reads no such config
    before = model.predict(X, verbose=0)
    own = model.inner.get_layer("head").activation
    SynFlow()(weights_of(model), model)
    assert model.inner.get_layer("head").activation is own
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)


# SynFlow's own


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 100])
def test_synflow_refuses_a_softmax_that_is_a_layer(classes):
    for seed in range(4):
        keras.utils.set_random_seed(seed)
        network = sequential(20, 30, classes)
        network.add(keras.layers.Softmax())
        model = pruned(network)
        with pytest.raises(ValueError, match="let the model end in logits"):
            SynFlow()(weights_of(model), model)


def test_synflow_names_a_flow_that_is_zero_or_not_finite():
    model = pruned(select=lambda *_: True)
    weights = weights_of(model)
    for factor, flow in ((0.0, "zero"), (1e38, "not finite")):
        scaled = {key: weight * np.float32(factor) for key, weight in weights.items()}
        with pytest.raises(ValueError, match=f"The synaptic flow is {flow}"):
            SynFlow()(scaled, model)


def test_synflow_leaves_no_layer_empty_at_a_compression_of_1000():
    network = sequential(20, 100, 100, 100, 20, 10, use_bias=False)
    model = kip.prune(
        network, 0.999, score="synflow", schedule="manual", select=lambda *_: True
    )
    weights = weights_of(model)
    magnitudes = {key: np.abs(weight) for key, weight in weights.items()}
    assert collapsed(global_topk(magnitudes, 0.999))
    model.prune_to(0.999)
    assert collapsed({key: mask.numpy() for key, mask in model.masks.items()}) == []
    SynFlow()(weights_of(model), model)  # which would raise where no path is left
