"""CHT: its link predictor against counting by hand, and that connections move."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_invprune as kip
from keras_invprune.schedules import Rewire
from keras_invprune.scores import CHT
from keras_invprune.scores.cht import _drawn, link_scores


def counted(links, u, v):
    """Σ (1 + di) / (1 + de) over the nodes on paths u - b - a - v, node by node."""
    of_u = {b for b in range(links.shape[1]) if links[u, b]}
    of_v = {a for a in range(links.shape[0]) if links[a, v]}
    edges = {(a, b) for a in of_v for b in of_u if links[a, b]}
    total = 0.0
    for b in {b for _, b in edges}:
        inside = sum((a, b) in edges for a in of_v)
        outside = links[:, b].sum() - inside - 1  # one goes to u
        total += (1 + inside) / (1 + outside)
    for a in {a for a, _ in edges}:
        inside = sum((a, b) in edges for b in of_u)
        outside = links[a].sum() - inside - 1
        total += (1 + inside) / (1 + outside)
    return total


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.7))
def test_missing_links_score_as_counted_by_hand(seed, density):
    links = np.random.default_rng(seed).random((3, 7, 6)) < density
    found = link_scores(links)
    for graph, scores in zip(links, found, strict=True):
        for u, v in np.argwhere(~graph):
            assert scores[u, v] == pytest.approx(counted(graph, u, v), rel=1e-5)


def test_draws_follow_the_scores():
    scores = np.array([0.0, 1.0, 2.0, 5.0], "float32")
    generator = np.random.default_rng(0)
    draws = [
        int(np.argmax(_drawn(scores, generator.random(4).astype("float32"))))
        for _ in range(4000)
    ]
    shares = np.bincount(draws, minlength=4) / len(draws)
    np.testing.assert_allclose(shares, scores / scores.sum(), atol=0.03)


def pruned(score, every=2, **choices):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, "relu", name=f"hidden_{n}") for n in (16, 12)]
    network = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(2)])
    choices = {"allocation": "erk", "schedule": "manual"} | choices
    model = kip.prune(network, 0.75, score=score, **choices)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    return model


def test_the_links_that_grow_are_the_likeliest_once_the_weakest_are_gone():
    model = pruned(CHT(fraction=0.5, sampled=False))
    model.prune_to(0.75)
    for key, before in {k: m.numpy() for k, m in model.masks.items()}.items():
        weight = model.masked.prunable[key].numpy()
        active = np.flatnonzero(before)
        dropped = int(0.5 * active.size)
        order = np.argsort(-np.abs(weight).ravel()[active], kind="stable")
        stays = np.zeros(before.size, bool)
        stays[active[order[: active.size - dropped]]] = True
        left = stays.reshape(before.shape)
        scores = model.plan.score(
            {k: v.numpy() for k, v in model.masked.prunable.items()}, model
        )[key]
        np.testing.assert_array_equal(scores == 2, left)
        grown = scores == 1
        assert grown.sum() == dropped
        likely = {(u, v): counted(left, u, v) for u, v in np.argwhere(~left)}
        least = min(likely[u, v] for u, v in np.argwhere(grown))
        others = [likely[u, v] for u, v in np.argwhere(~left & ~grown)]
        assert least >= max(others) - 1e-5


@pytest.mark.parametrize("sampled", [True, False])
def test_a_real_training_moves_connections_and_keeps_their_number(sampled):
    data = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = (data.images[..., None] / 16).astype("float32"), data.target
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(12, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(16, 2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(32, "relu"),
    ]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    network.add(keras.layers.Dense(10))
    schedule = Rewire(0.8, every=20)
    score = CHT(sampled=sampled)
    model = kip.prune(network, 0.8, score=score, schedule=schedule, allocation="erk")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.005), loss, metrics=["accuracy"])
    masks = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            masks.append({k: m.numpy() for k, m in self.model.masks.items()})

    logs = model.fit(
        x, y, batch_size=32, epochs=6, verbose=0, callbacks=[Seen()]
    ).history
    assert logs["accuracy"][-1] > 0.9
    for key in masks[0]:
        assert len({int(mask[key].sum()) for mask in masks}) == 1
    assert any(np.any(masks[0][key] != masks[-1][key]) for key in masks[0])


def test_arguments_and_config():
    with pytest.raises(ValueError, match="fraction=1.5"):
        CHT(fraction=1.5)
    config = CHT(0.25, sampled=False, seed=3).get_config()
    assert config == {"fraction": 0.25, "sampled": False, "seed": 3}
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(CHT(0.25, sampled=False, seed=3))
    )
    assert again.get_config() == config
    with pytest.raises(ValueError, match="schedule='rewire'"):
        pruned(CHT(), schedule="one_shot")
