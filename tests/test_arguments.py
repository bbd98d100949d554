"""Every registered choice takes NumPy's numbers, and its config holds Python's."""

import json

import keras
import numpy as np
import pytest
from keras.layers import Dense

import keras_invprune as kip
from keras_invprune.allocation import global_topk
from keras_invprune.arguments import is_integer, is_number, is_positive_integer
from keras_invprune.proximal import Proximal
from keras_invprune.pruning.initializers import check_scale
from keras_invprune.schedules import Gradual, OneShot

ROOMS = (
    "allocation",
    "objectives",
    "patterns",
    "proximal",
    "schedules",
    "scores",
    "views",
)
# For choices that need arguments, and those whose defaults are no numbers.
GIVEN = {
    "Block": {"shape": (2, 3)},
    "Budget": {"macs": 0.5},
    "Distillation": {"teacher": global_topk, "base": None},
    "Gradual": {"sparsity": 0.5, "begin": 2, "end": 30},
    "Grid": {"bits": 4},
    "GumbelSoftmax": {"seed": 1},
    "GumbelWeight": {
        "penalty": 0.5,
        "odds": 2.0,
        "rate": 1.0,
        "temperatures": (1.0, 0.1),
        "seed": 1,
    },
    "HoldBack": {"schedule": Gradual(0.5), "tolerance": 0.5},
    "Invariance": {"weight": 0.5},
    "L1": {"strengths": {"dense": 0.5}},
    "Manual": {"sparsity": 0.5},
    "NByM": {"n": 2, "m": 4},
    "NegativeParts": {"strengths": {"dense": 0.5}},
    "OneShot": {"sparsity": 0.5},
    "PerLayer": {"sparsities": {"dense": 0.5}},
    "Quantized": {"score": "magnitude", "bits": 4},
    "RandomColorJitter": {"value_range": (0.0, 2.0), "seed": 1},
    "Rewire": {"sparsity": 0.5},
    "Shuffled": {"allocation": global_topk, "seed": 1},
    "SlopesToOne": {"strengths": {"prelu": 0.5}},
    "Sum": {"each": {"kernel": 0.5}},
    "UnitLasso": {"strengths": {"dense": 0.5}},
    "WhenConverged": {"sparsity": 0.5},
}
KINDS = {
    kind.__name__: kind
    for kind in keras.saving.get_custom_objects().values()
    if isinstance(kind, type)
    and kind.__module__.split(".")[:2] in [["keras_invprune", room] for room in ROOMS]
    and kind is not Proximal  # an optimizer
}


def of(real, whole, value):
    """The value with other kinds of numbers."""
    if isinstance(value, dict):
        return {key: of(real, whole, each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(of(real, whole, each) for each in value)
    if is_number(value):
        return whole(value) if is_integer(value) else real(value)
    return value


def arguments(kind):
    """The arguments of a choice: those given above, and its defaults."""
    given = GIVEN.get(kind.__name__, {})
    config = kind(**given).get_config() | given
    config.pop("reference_shape", None)
    return config


@pytest.mark.parametrize("whole", [np.int32, np.int64])
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_numbers_of_numpy_are_taken_and_saved_as_those_of_python(kind, real, whole):
    given = arguments(kind)
    made = kind(**of(real, whole, given))
    config = made.get_config()
    assert config == kind(**of(lambda x: float(real(x)), int, given)).get_config()
    saved = json.dumps(keras.saving.serialize_keras_object(made))
    again = keras.saving.deserialize_keras_object(json.loads(saved))
    assert json.dumps(again.get_config()) == json.dumps(config)


@pytest.mark.parametrize("name", ["dst", "sr_ste", "gumbel"])
def test_tensors_are_multiplied_by_numbers_of_numpy(name):
    kind = type(kip.scores.get(name))
    given = arguments(kind)
    model = keras.Sequential([keras.Input((3,)), Dense(4), Dense(2)])
    score = kind(**of(np.float64, np.int64, given))
    every = kip.schedules.Rewire(0.5, every=np.int64(1))
    schedule = every if name == "sr_ste" else "one_shot"
    pruned = kip.prune(model, 0.5, score=score, schedule=schedule)
    pruned.compile("sgd", "mse", jit_compile=False)
    pruned.fit(np.ones((8, 3)), np.ones((8, 2)), batch_size=1, verbose=0)
    assert pruned.finished


@pytest.mark.parametrize(
    ("value", "integer", "number"),
    [
        (1, True, True),
        (np.uint8(1), True, True),
        (1.0, False, True),
        (np.float16(1), False, True),
        (True, False, False),
        (np.True_, False, False),
        ("1", False, False),
        (None, False, False),
        (1j, False, False),
        (np.ones(1), False, False),
    ],
)
def test_which_values_are_numbers(value, integer, number):
    assert is_integer(value) == is_positive_integer(value) == integer
    assert is_number(value) == number
    assert not is_positive_integer(0) and not is_positive_integer(np.int64(-1))


def test_a_share_of_numpy_is_a_share_and_an_integer_of_numpy_counts_steps():
    for kind in (np.float32, np.float64):
        early, late = OneShot(0.5, at=kind(0.5)), Gradual(0.5, kind(0.25), kind(0.5))
        for schedule in (early, late):
            schedule.start(0, 100)
        assert early(51)[0] and late(51)[0] and not late(52)[0]
        assert kip.schedules.final_sparsity(Ends(kind(0.5))) == 0.5
    counted = OneShot(0.5, at=np.int64(7))
    counted.start(0, 100)
    assert counted(8)[0]
    with pytest.raises(ValueError, match="`begin` must come before `end`"):
        Gradual(0.5, np.float32(0.5), 0.25)


class Ends:
    """Somebody's own schedule."""

    def __init__(self, sparsity):
        self.final_sparsity = sparsity


def test_options_of_prune_are_numbers_of_any_kind():
    assert check_scale(np.float32(0.5)) == (0.5, False)
    model = keras.Sequential([keras.Input((3,)), Dense(4), Dense(2)])
    pruned = kip.prune(model, np.float32(0.5), initial_scale=np.float32(0.5))
    assert pruned.plan.sparsity == 0.5


def test_the_width_of_a_projection_is_an_integer_of_any_kind():
    first, last = kip.objectives.Invariance(projection=np.int64(4)).projection.layers
    assert first.units == last.units == 4
