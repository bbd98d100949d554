"""What the tables of benchmarks hold, and the networks that they keep."""

import pytest


class Model:
    """What can be saved; it may be killed half-way."""

    def __init__(self, killed=False):
        self.killed = killed

    def save(self, file):
        file.write_text("half")
        if self.killed:
            raise KeyboardInterrupt
        file.write_text("whole")


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


def test_rows_are_the_same_whether_measured_or_read(benchmark, tmp_path):
    file, fields = tmp_path / "out" / "rows.csv", ("seed", "share", "name")
    found = {seed: [{"seed": seed, "share": 0.5, "name": "a"}] for seed in (2, 1)}
    found[1].append({"seed": 1, "share": None})
    benchmark.write(found, file, fields)
    assert found == benchmark.finished(file)
    found[3] = [{"seed": 3, "share": 0.5, "name": "a"}]
    benchmark.write(found, file, fields)
    kinds = [(row["share"], row["name"]) for each in found.values() for row in each]
    assert kinds == [("0.5", "a"), ("0.5", "a"), ("", ""), ("0.5", "a")]


def test_a_network_is_made_once_and_kept_whole(benchmark, tmp_path):
    file, made = tmp_path / "folder" / "network.keras", []

    def make():
        made.append(Model(killed=not made))
        return made[-1]

    with pytest.raises(KeyboardInterrupt):
        benchmark.kept(file, make)
    assert not [*file.parent.iterdir()]
    for _ in range(2):
        assert benchmark.kept(file, make, lambda file: file.read_text()) == "whole"
    assert len(made) == 2
