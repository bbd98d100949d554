import csv
import sys
from types import SimpleNamespace

import keras


def test_rows_of_the_networks_named_replace_earlier_ones(
    benchmark, tmp_path, monkeypatch
):
    def tiny():
        return keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])

    def estimated(model, patterns, shares, rounds):
        about = {"pattern": patterns[0], "file": "float32", "bytes": 130}
        rows = [
            SimpleNamespace(sparsity=share, milliseconds=0.3 * rounds, **about)
            for share in (0.0, *shares)
        ]
        return SimpleNamespace(estimates=rows)

    networks = dict.fromkeys(("first", "second"), (tiny, "units", 0.5))
    monkeypatch.setattr(benchmark, "NETWORKS", networks)
    monkeypatch.setattr(benchmark.kip, "estimate_savings", estimated)
    monkeypatch.setattr(benchmark, "trained", lambda model, pattern, share: model)
    monkeypatch.setattr(benchmark, "measured", lambda model, rounds: (100, 0.2))
    for more in (["--rounds", "1"], ["--rounds", "2", "--networks", "first"]):
        monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path), *more])
        benchmark.main()
    with open(tmp_path / "estimate_savings.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [(row["network"], row["ms_ratio"]) for row in found] == [
        ("first", "3.0"),
        ("second", "1.5"),
    ]
    assert all(row["bytes_ratio"] == "1.3" for row in found)
    assert tuple(found[0]) == benchmark.FIELDS
