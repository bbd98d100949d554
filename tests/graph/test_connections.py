import json

import keras
import numpy as np
import pytest

from keras_invprune.graph.connections import Connections, OnConnections, connections_of

RANDOM = np.random.default_rng(0)
MASK = RANDOM.random((40, 30)) < 0.2
CONNECTIONS = Connections(MASK, range(40), range(100, 130))


def through_json(thing):
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(thing)))
    return keras.saving.deserialize_keras_object(saved)


def assert_equal(one, other):
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.sources, other.sources)
    np.testing.assert_array_equal(one.targets, other.targets)


def test_absent_connections_become_zero_whatever_they_were():
    kernel = RANDOM.normal(size=MASK.shape).astype("float32")
    kernel[~MASK] = np.nan
    np.testing.assert_array_equal(CONNECTIONS(kernel), np.where(MASK, kernel, 0))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_values_have_the_variance_that_each_output_needs(dtype):
    values = OnConnections(CONNECTIONS, scale=2, seed=1)(MASK.shape, dtype)
    assert keras.backend.standardize_dtype(values.dtype) == dtype
    values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
    assert not values[~MASK].any()
    limits = np.sqrt(6 / MASK.sum(0))
    shares = (np.abs(values) / limits)[MASK]
    assert 0.97 < shares.max() <= 1.01 and abs(np.mean(shares) - 0.5) < 0.05


def test_the_seed_decides():
    one, same, other = (
        OnConnections(CONNECTIONS, seed=s)(MASK.shape) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_they_come_back_from_json():
    assert_equal(through_json(CONNECTIONS), CONNECTIONS)
    initializer = OnConnections(CONNECTIONS, 2, seed=4)
    again = through_json(initializer)
    np.testing.assert_array_equal(again(MASK.shape), initializer(MASK.shape))


def test_sparse_masks_take_few_bytes():
    size = 1000
    mask = np.eye(size, dtype=bool)
    config = Connections(mask, range(size), range(size)).get_config()
    assert len(config["mask"]) < size**2 / 8 / 10  # a tenth of the bits


def test_a_cut_keeps_the_numbers_of_nodes():
    rows, columns = np.array([3, 1]), np.array([7])
    found = CONNECTIONS.cut(rows, columns)
    np.testing.assert_array_equal(found.mask, MASK[[3, 1], 7:8])
    assert found.sources.tolist() == [3, 1] and found.targets.tolist() == [107]
    assert OnConnections(CONNECTIONS).cut(rows, columns)((2, 1)).shape == (2, 1)


def test_an_initializer_moves_with_its_scale_and_seed():
    initializer, other = OnConnections(CONNECTIONS, 3, 5), CONNECTIONS.cut([1], [7])
    expected = OnConnections(other, 3, 5).get_config()
    assert initializer.moved(other).get_config() == expected
    # of all connections: the same variance, in ±√(3·scale / n)
    every = np.asarray(initializer.moved(None)((40, 2000)))
    assert 0.97 < np.abs(every).max() / np.sqrt(3 * 3 / 40) <= 1
    np.testing.assert_array_equal(every, initializer.moved(None)((40, 2000)))


def test_a_product_connects_what_its_factors_connect():
    second = Connections(RANDOM.random((30, 5)) < 0.1, range(100, 130), range(5))
    found = CONNECTIONS.then(second)
    kernel = MASK.astype(float) @ second.mask.astype(float)
    np.testing.assert_array_equal(found.mask, kernel != 0)
    assert 0 < found.mask.sum() < found.mask.size


def test_kernels_tell_their_connections():
    layers = [keras.layers.Dense(30, kernel_constraint=c) for c in (CONNECTIONS, None)]
    keras.Sequential([keras.Input((40,)), *layers])
    found = connections_of({str(i): each.kernel for i, each in enumerate(layers)})
    assert found == {"0": CONNECTIONS}


def test_kernels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="another kernel.*(40, 30).*(2, 2)"):
        CONNECTIONS(np.ones((2, 2), "float32"))
    with pytest.raises(ValueError, match="row for each source.*(40, 30).*(3,)"):
        Connections(MASK, range(3), range(30))
