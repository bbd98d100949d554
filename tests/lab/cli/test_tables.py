"""What the commands print."""

import pytest

from keras_invprune.reporting.report import Report
from keras_invprune_lab.cli.tables import print_run


@pytest.mark.parametrize(
    ("budget", "left", "taken"),
    [
        (None, None, None),
        ("milliseconds=0.05", 0.04567, "0.04567 milliseconds"),
        ("macs=0.5", 1234567.0, "1,234,567 MACs"),
    ],
)
def test_a_run_with_a_budget_says_what_its_files_take(capsys, budget, left, taken):
    nothing = {"macs": None, "milliseconds": None, "accuracy": None}
    lists = {"layers": {}, "left_alone": {}, "files": {}, "consistency": {}}
    weights = {"total": 8, "zeros": 0, "sparsity": 0.0}
    report = Report(name="m", parameters=8, weights=weights, **nothing, **lists)
    found = {"report": report.to_json(), "config": {"epochs": 2, "batch_size": 16}}
    if budget:
        unit = taken.split()[1]
        found["budget"] = {"asked": budget, "left": left, "unit": unit}
    print_run(found, "out")
    printed = " ".join(capsys.readouterr().out.split())
    assert (f"Budget {budget}: the files take {taken}." in printed) == bool(budget)
    assert "Trained for 2 epochs in batches of 16." in printed
