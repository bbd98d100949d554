"""Where a run was made."""

import os
import platform
from importlib.metadata import version

LIBRARIES = ("keras", "tensorflow", "tensorflow-model-optimization", "numpy")


def environment() -> dict:
    """Versions and machine."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in LIBRARIES},
    }
