"""β-LASSO against NumPy."""

import keras
import numpy as np
import pytest

from keras_invprune.proximal import Proximal
from keras_invprune_lab.training.beta_lasso import BetaLasso, with_penalty


def reference(theta, gradients, rate, penalty, beta):
    """Algorithm 1 of 2007.13657, in float64."""
    for gradient in gradients:
        theta = theta - rate * (gradient + penalty * np.sign(theta))
        theta = np.where(np.abs(theta) > beta * penalty, theta, 0.0)
        yield theta


def test_several_steps_are_those_of_the_algorithm():
    generator = np.random.default_rng(0)
    start = generator.normal(0, 0.1, (6, 5)).astype("float32")
    gradients = generator.normal(0, 0.3, (8, 6, 5)).astype("float32")
    variable = keras.Variable(start)
    optimizer = Proximal(keras.optimizers.SGD(0.1), BetaLasso(0.01, 5.0))
    zeros = []
    for gradient, expected in zip(
        gradients, reference(start, gradients, 0.1, 0.01, 5.0), strict=True
    ):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4)
        zeros.append(expected == 0)
    assert np.all(start != 0) and zeros[0].any() and not zeros[-1].all()
    assert np.any(zeros[0] & ~zeros[-1])  # what is zero may come back


def test_weights_that_tell_nothing_become_zero_in_a_fit():
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    network.compile(Proximal(sgd, BetaLasso(0.01, 10.0)), "mse", jit_compile=False)
    network.fit(x, 2 * x[:, :1], batch_size=16, epochs=10, verbose=0)
    kernel = network.layers[0].kernel.numpy()[:, 0]
    np.testing.assert_array_equal(kernel != 0, [True, False, False, False, False])


def test_a_weight_without_a_gradient_gets_no_penalty():
    variables = [keras.Variable([2.0]), keras.Variable([2.0])]
    optimizer = Proximal(keras.optimizers.SGD(0.5), BetaLasso(0.01))
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([keras.ops.zeros(1), None], variables)
    assert [v.numpy()[0] for v in variables] == pytest.approx([1.995, 2.0])


def test_it_comes_back_from_its_config():
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    optimizer = Proximal(sgd, BetaLasso(0.01, 5.0), name="mine")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.operator.penalty, again.operator.beta) == (0.01, 5.0)
    assert again.inner_optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": 0.0}, "penalty=0.0, beta=50.0"),
        ({"penalty": -1e-5}, "penalty=-1e-05"),
        ({"penalty": float("nan")}, "penalty=nan"),
        ({"beta": 0}, "penalty=1e-05, beta=0"),
    ],
)
def test_penalty_and_beta_are_above_zero(arguments, message):
    with pytest.raises(ValueError, match=message):
        BetaLasso(**arguments)


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_an_optimizer_keeps_its_schedule_and_gets_the_penalty(kind):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    given = kind(schedule, weight_decay=0.25)
    found = with_penalty(given, 0.01)
    assert found.inner_optimizer is given and found.operator.penalty == 0.01
    variable = keras.Variable([2.0, 0.4])
    found.apply([keras.ops.zeros(2)], [variable])
    assert variable.numpy()[0] > 1.5 and variable.numpy()[1] == 0
