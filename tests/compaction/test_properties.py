"""Random graphs of all kinds: equal outputs, no dead unit left, and nothing twice."""

import tempfile

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compactions import assert_same_outputs, compacted
from drawn_networks import (
    drawn_graph,
    drawn_network,
    on_maps,
    on_steps,
    on_vectors,
    on_volumes,
)
from keras_invprune.compaction import compact
from keras_invprune.compaction.liveness import liveness
from keras_invprune.compaction.network import network
from keras_invprune.compaction.removal import kept

PHASES = Phase.generate, Phase.shrink  # to explain a failure takes minutes


def described(model):
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    return again


def reloaded(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/small.keras")
        return keras.saving.load_model(f"{folder}/small.keras")


def check(data, model):
    made = compacted(model)
    calls = network(made)
    stays = kept(calls, liveness(calls))
    assert all(side.all() for side in stays.signals)
    assert all(side.all() for side in stays.axes.values())
    again = reloaded(made) if data.draw(st.booleans()) else described(made)
    assert_same_outputs(made, again, 1e-6)
    assert all(np.isfinite(weight).all() for weight in made.get_weights())
    check_rounded(model, data.draw(st.integers(2, 4)))


def check_rounded(model, multiple):
    """Of each axis, a multiple stays, or all, and the outputs are the same."""
    calls = network(model)
    stays = kept(calls, liveness(calls), multiple)
    for side in stays.axes.values():
        assert side.all() or side.sum() % multiple == 0
    made = compact(model, round_to=multiple)
    assert made.count_params() <= model.count_params()
    assert_same_outputs(model, made)


@pytest.mark.slow
@settings(max_examples=12, phases=PHASES)
@given(st.data())
def test_vectors(data):
    check(data, drawn_network(data.draw, on_vectors))


@pytest.mark.slow
@settings(max_examples=10, phases=PHASES)
@given(st.data())
def test_maps(data):
    check(data, drawn_network(data.draw, on_maps))


@pytest.mark.slow
@settings(max_examples=3, phases=PHASES)
@given(st.data())
def test_volumes(data):
    check(data, drawn_network(data.draw, on_volumes))


@pytest.mark.slow
@settings(max_examples=6, phases=PHASES)
@given(st.data())
def test_steps(data):
    check(data, drawn_network(data.draw, on_steps))


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.slow
@settings(max_examples=4, phases=PHASES)
@given(st.data())
def test_graphs(data):
    check(data, drawn_graph(data.draw))
