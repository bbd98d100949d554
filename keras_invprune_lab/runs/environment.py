"""Where a run was made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("keras", "tensorflow", "tensorflow-model-optimization", "numpy")
IF_THERE = ("scikit-learn", "xgboost-cpu", "xgboost")


def environment() -> dict:
    """Versions and machine."""
    found = {name: version(name) for name in LIBRARIES}
    for name in IF_THERE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        **found,
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor()
