"""Random graphs of all kinds: equal outputs, no dead unit left, and nothing twice."""

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compactions import assert_same_outputs, compacted
from drawn_networks import drawn_network, on_maps, on_steps, on_vectors
from keras_invprune.compaction.liveness import liveness
from keras_invprune.compaction.network import network
from keras_invprune.compaction.removal import kept

PHASES = Phase.generate, Phase.shrink  # to explain a failure takes minutes


def check(data, step):
    model = drawn_network(data.draw, step)
    made = compacted(model)
    calls = network(made)
    stays = kept(calls, liveness(calls))
    assert all(side.all() for side in stays.signals)
    assert all(side.all() for side in stays.axes.values())
    again = keras.Model.from_config(made.get_config())
    again.set_weights(made.get_weights())
    assert_same_outputs(made, again, 1e-6)
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


@pytest.mark.slow
@settings(max_examples=12, phases=PHASES)
@given(st.data())
def test_vectors(data):
    check(data, on_vectors)


@pytest.mark.slow
@settings(max_examples=10, phases=PHASES)
@given(st.data())
def test_maps(data):
    check(data, on_maps)


@pytest.mark.slow
@settings(max_examples=6, phases=PHASES)
@given(st.data())
def test_steps(data):
    check(data, on_steps)
