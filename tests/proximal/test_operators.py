"""Proximal operators against NumPy, and against the definition of a proximal step."""

import keras
import numpy as np
import pytest

from keras_invprune.proximal import L1, NegativeParts, SlopesToOne, UnitLasso

G = np.random.default_rng(0)
KERNEL = G.normal(size=(3, 2)).astype("float32")
BIAS = G.normal(size=2).astype("float32")

PENALTIES = {
    NegativeParts: lambda w, b: np.sqrt((np.minimum(np.append(w, b), 0) ** 2).sum()),
    L1: lambda w, b: np.abs(w).sum(),
    UnitLasso: lambda w, b: np.sqrt((np.vstack([w, b]) ** 2).sum(0)).sum(),
    SlopesToOne: lambda w, b: np.sqrt(((w - 1) ** 2).sum()),
}


def found_by(kind, threshold):
    values = [KERNEL] if len(kind.weights) == 1 else [KERNEL, BIAS]
    tensors = [keras.ops.convert_to_tensor(value) for value in values]
    found = kind({"layer": 1.0}).prox(tensors, keras.ops.convert_to_tensor(threshold))
    return [np.asarray(part) for part in found]


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.1])
def test_it_minimizes_the_penalty_and_the_way(kind, threshold):
    """prox(v) = argmin ½‖u - v‖² + η·r·penalty(u), so that all else is worse."""
    found = found_by(kind, threshold)
    given = np.concatenate([KERNEL.ravel(), BIAS])[: sum(part.size for part in found)]

    def value(flat):
        rest = BIAS if flat.size == 6 else flat[6:]
        penalty = PENALTIES[kind](flat[:6].reshape(3, 2), rest)
        return 0.5 * np.square(flat - given).sum() + threshold * penalty

    flat = np.concatenate([part.ravel() for part in found]).astype("float64")
    # A convex function: no way leads lower, near or far.
    ways = np.random.default_rng(1).normal(size=(2000, flat.size))
    for length in (1e-3, 1e-2, 0.1, 1.0):
        assert min(value(flat + length * way) for way in ways) >= value(flat) - 1e-6


def test_the_negative_part_by_hand():
    kernel = np.array([[3.0, -3.0], [0.0, 1.0]], "float32")
    bias = np.array([-4.0, 2.0], "float32")  # the norm of -3 and -4 is 5
    operator = NegativeParts({"layer": 1.0})
    found = operator.prox([keras.ops.convert_to_tensor(v) for v in (kernel, bias)], 1.0)
    np.testing.assert_allclose(found[0], [[3, -2.4], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [-3.2, 2], rtol=1e-6)


@pytest.mark.parametrize("kind", PENALTIES)
def test_a_large_threshold_gives_exact_values(kind):
    found = found_by(kind, 100.0)
    if kind is NegativeParts:
        np.testing.assert_array_equal(found[0], np.maximum(KERNEL, 0))
        np.testing.assert_array_equal(found[1], np.maximum(BIAS, 0))
    else:
        target = 1.0 if kind is SlopesToOne else 0.0
        assert all((part == target).all() for part in found)


@pytest.mark.parametrize("kind", PENALTIES)
def test_no_threshold_changes_nothing(kind):
    found = found_by(kind, 0.0)
    np.testing.assert_allclose(found[0], KERNEL, rtol=1e-6)


@pytest.mark.parametrize("kind", PENALTIES)
def test_zeros_stay_zero_and_nan_stays_nan(kind):
    values = np.array([[0.0, 0.0, -2.0], [np.nan, 1.0, 0.0]], "float32")
    (found,) = kind({"layer": 1.0}).prox([keras.ops.convert_to_tensor(values[:1])], 0.5)
    if kind is not SlopesToOne:
        assert (np.asarray(found)[0, :2] == 0).all()
    (found,) = kind({"layer": 1.0}).prox([keras.ops.convert_to_tensor(values)], 0.5)
    assert np.isnan(np.asarray(found)).any()


@pytest.mark.parametrize("kind", PENALTIES)
def test_it_comes_back_from_its_config(kind):
    operator = kind({"a": 0.5, "b": 0})
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(operator)
    )
    assert type(again) is kind and again.strengths == {"a": 0.5, "b": 0.0}


def variables(*paths):
    found = []
    for path in paths:
        variable = keras.Variable([[1.0]], name=path.rpartition("/")[2])
        variable._path = path
        found.append(variable)
    return found


def test_layers_are_found_by_name_or_by_a_longer_path():
    known = variables("net/a/kernel", "net/a/bias", "inn/a/kernel", "net/b/kernel")
    groups = NegativeParts({"net/a": 1.0, "b": 2.0}).groups(known)
    assert [(r, [v.path for v in group]) for r, group in groups] == [
        (1.0, ["net/a/kernel", "net/a/bias"]),
        (2.0, ["net/b/kernel"]),
    ]
    with pytest.raises(ValueError, match="Two layers are called 'a'"):
        NegativeParts({"a": 1.0}).check(known)
    with pytest.raises(ValueError, match="trainable kernel is called 'c'"):
        NegativeParts({"c": 1.0}).check(known)


@pytest.mark.parametrize(
    ("strengths", "error", "message"),
    [
        ({"a": -1.0}, ValueError, "not negative.*Received: -1.0 for layer 'a'"),
        ({"a": float("nan")}, ValueError, "Received: nan"),
        ({"a": "high"}, TypeError, "must be a number. Received: 'high'"),
        ({"a": True}, TypeError, "must be a number"),
        ({}, ValueError, "must name a layer"),
        (0.1, TypeError, r"NegativeParts.of\(model, strength\)"),
    ],
)
def test_strengths_are_checked(strengths, error, message):
    with pytest.raises(error, match=message):
        NegativeParts(strengths)
