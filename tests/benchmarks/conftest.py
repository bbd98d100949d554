"""Benchmarks are scripts. They are imported as Python finds them when they run."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(request, monkeypatch):
    """The benchmark that a file of tests is about, by the name of that file."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module(request.path.stem.removeprefix("test_"))
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[name]
