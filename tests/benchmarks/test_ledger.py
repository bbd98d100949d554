"""What the tables of benchmarks hold."""


def test_a_mean_and_its_spread_are_two_cells(benchmark):
    assert benchmark.with_spreads(["ms", "bytes"]) == [
        "ms",
        "spread",
        "bytes",
        "spread",
    ]
    assert benchmark.mean_and_spread([1, 3]) == ["2.00", "1.41"]
    assert benchmark.mean_and_spread([1, 3], "+.1f") == ["+2.0", "1.4"]
    assert benchmark.mean_and_spread([1, 3], standard_error=True) == ["2.00", "1.00"]
    assert benchmark.mean_and_spread([1000], ",.0f") == ["1,000", ""]
    assert benchmark.mean_and_spread([]) == ["", ""]


def test_a_median_and_its_range_are_three_cells(benchmark):
    assert benchmark.with_ranges(["ms"], ("from", "to")) == ["ms", "from", "to"]
    assert benchmark.median_and_range([5, 1, 2, 4, 3]) == ["3.00", "2.00", "4.00"]
    assert benchmark.median_and_range([1, 9, 2], (0, 100)) == ["2.00", "1.00", "9.00"]
