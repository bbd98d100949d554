"""Tests of how networks of equal size are compared."""

import pytest


def row(method, size, accuracy, seed=0, sparsity=0.0):
    return {
        "method": method,
        "pattern": "" if method == "dense" else "units",
        "sparsity": sparsity,
        "seed": seed,
        "bytes": size,
        "accuracy": accuracy,
    }


DENSE = [row("dense", 100, 90.0), row("dense", 10_000, 94.0), row("dense", 1000, 88.0)]
KEY = "omp", "units", 0.5


@pytest.mark.parametrize(
    ("size", "lead"),
    [
        (100, 3.0),  # 90, the smallest dense network
        (1000, 3.0),  # 90 as well: the network of that size is worse
        (10_000, -1.0),
        (100_000, -1.0),  # no larger dense network was measured
        (3162.27766, 1.0),  # 92: half of the way in the logarithm
    ],
)
def test_leads_compare_with_the_best_dense_network_that_is_no_larger(
    benchmark, size, lead
):
    pruned = row("omp", size, 93.0, sparsity=0.5)
    found = benchmark.leads([*DENSE, pruned], "bytes")
    assert found[KEY] == [pytest.approx(lead, abs=1e-6)]


def test_there_is_no_lead_where_no_dense_network_is_as_small(benchmark):
    pruned = row("omp", 99, 93.0, sparsity=0.5)
    assert not benchmark.leads([*DENSE, pruned], "bytes")


def test_each_seed_has_dense_networks_of_its_own(benchmark):
    other = [
        row("dense", size, accuracy) | {"seed": "1"}
        for size, accuracy in (
            (100, 80.0),
            (10_000, 80.0),
        )
    ]
    pruned = [row("omp", 100, 93.0, seed, 0.5) for seed in (0, "1")]
    assert benchmark.leads([*DENSE, *other, *pruned], "bytes")[KEY] == [3.0, 13.0]
