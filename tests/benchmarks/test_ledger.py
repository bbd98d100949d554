"""What the tables of benchmarks hold."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def ledger(monkeypatch):
    """The module, found as by the benchmarks."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("ledger")
    sys.modules.pop("ledger")


def test_a_mean_and_its_spread_are_two_cells(ledger):
    assert ledger.with_spreads(["ms", "bytes"]) == ["ms", "spread", "bytes", "spread"]
    assert ledger.mean_and_spread([1, 3]) == ["2.00", "1.41"]
    assert ledger.mean_and_spread([1, 3], "+.1f") == ["+2.0", "1.4"]
    assert ledger.mean_and_spread([1, 3], standard_error=True) == ["2.00", "1.00"]
    assert ledger.mean_and_spread([1000], ",.0f") == ["1,000", ""]
    assert ledger.mean_and_spread([]) == ["", ""]
