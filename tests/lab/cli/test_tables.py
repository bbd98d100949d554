"""What the commands print."""

import pytest

from keras_invprune.reporting.report import Report
from keras_invprune_lab.cli.tables import print_run


@pytest.mark.parametrize("budget", [None, "milliseconds=0.05"])
def test_a_run_with_a_budget_says_what_its_files_take(capsys, budget):
    nothing = {"macs": None, "milliseconds": None, "accuracy": None}
    lists = {"layers": {}, "left_alone": {}, "files": {}, "consistency": {}}
    weights = {"total": 8, "zeros": 0, "sparsity": 0.0}
    report = Report(name="m", parameters=8, weights=weights, **nothing, **lists)
    found = {"report": report.to_json(), "config": {"epochs": 2, "batch_size": 16}}
    if budget:
        found["budget"] = {"asked": budget, "left": 0.04567, "unit": "milliseconds"}
    print_run(found, "out")
    printed = " ".join(capsys.readouterr().out.split())
    said = "Budget milliseconds=0.05: the files take 0.04567 milliseconds."
    assert (said in printed) == bool(budget)
    assert "Trained for 2 epochs in batches of 16." in printed
