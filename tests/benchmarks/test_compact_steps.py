"""What is alive in the sparse network whose steps are timed, and how seeds add up."""

import numpy as np

import keras_invprune as kip


def test_the_drawn_lenet_has_as_many_living_units_as_it_should(benchmark):
    alive = 530, 260, 90
    _, stripped = benchmark.lenet(0, alive)
    first, second, _ = (layer.kernel for layer in stripped.layers if layer.weights)
    for kernel in (first, second):
        assert np.count_nonzero(kernel) == round(0.05 * np.size(kernel))
    small = kip.compact(stripped, inputs="gather")
    shapes = [layer.kernel.shape for layer in small.layers if layer.weights]
    assert shapes == [(530, 260), (260, 90), (90, 10)]


def test_connections_reach_each_living_unit_and_no_other(benchmark):
    generator = np.random.default_rng(0)
    sources, targets = np.array([0, 3, 7]), np.array([1, 2, 4, 8, 9])
    mask = benchmark.connections(sources, targets, (20, 10), generator)
    assert mask.sum() == 10
    np.testing.assert_array_equal(np.flatnonzero(mask.any(1)), sources)
    np.testing.assert_array_equal(np.flatnonzero(mask.any(0)), targets)


def test_seeds_are_summed_up_by_network_and_model(benchmark):
    rows = [
        {"network": "lenet", "model": "compact", "parameters": "10", "ms": "1"}
        | {"ratio": "0.5", "cpu_ratio": str(share)}
        for share in (0.6, 0.8)
    ]
    rows.append({**rows[0], "network": "residual"})
    lenet, residual = benchmark.summary(rows)
    assert lenet == "lenet compact 2 10 0 1.00 0.00 0.50 0.00 0.70 0.14".split()
    once = ["10", "", "1.00", "", "0.50", "", "0.60", ""]  # one seed has no spread
    assert residual == ["residual", "compact", "1", *once]
