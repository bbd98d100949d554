"""Where a run was made, and what is installed."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

LIBRARIES = ("keras", "tensorflow", "tensorflow-model-optimization", "numpy")
IF_THERE = ("scikit-learn", "xgboost-cpu", "xgboost")


def environment() -> dict:
    """Return versions and machine."""
    from keras_invprune.exporting.timing import processor  # which imports TensorFlow

    found = {name: version(name) for name in LIBRARIES}
    for name in IF_THERE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        **found,
    }


def installed() -> dict[str, dict[str, str]]:
    """Return ``{part: {library: version, or "missing"}}`` of the package and extras."""
    parts = {"keras-invprune": {"keras-invprune": _version("keras-invprune")}}
    for requirement in requires("keras-invprune") or ():
        name = re.match(r"[\w.-]+", requirement)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        other = re.search(r"platform_system\s*(==|!=)\s*['\"](\w+)['\"]", requirement)
        if other and (platform.system() == other[2]) != (other[1] == "=="):
            continue
        if name != "keras-invprune":
            part = f"extra {extra[1]}" if extra else "keras-invprune"
            parts.setdefault(part, {})[name] = _version(name)
    return parts


def devices() -> list[str]:
    """Return what TensorFlow sees, such as "CPU" or "GPU NVIDIA H200"."""
    import tensorflow as tf

    found = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        found.append(f"{device.device_type} {details.get('device_name', '')}".strip())
    return found


def _version(name) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
