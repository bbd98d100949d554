"""Tables that are measured once, also after a kill between two files."""

import sys

import pytest


def test_a_table_is_done_once_all_its_files_are_written(
    benchmark, tmp_path, monkeypatch
):
    row, measured = {"table": "gru", "predictor": "vote", "r2": 0.5}, []
    write = benchmark.write_csv

    def measure(folder, name):
        measured.append(name)
        return [row], [row, row], [row]

    def killed(file, rows):
        write(file, rows)
        raise KeyboardInterrupt

    command = ["x", "folder", "--only", "gru", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(benchmark, "measure", measure)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(benchmark, "write_csv", killed)
        benchmark.main()
    for _ in range(2):
        benchmark.main()
        assert measured == ["gru", "gru"]
    counts = [len(benchmark.ledger.rows(file)) for file in sorted(tmp_path.iterdir())]
    assert counts == [2, 1, 1]  # importances, prediction, protocol
