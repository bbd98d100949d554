"""Real data for tests, and the plugin that prepares every test."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Set before Keras and XGBoost are imported. ~/.keras/keras.json may name a backend.
os.environ["KERAS_BACKEND"] = "tensorflow"
# XGBoost's threads wait for one another spinning: minutes beside other processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config):
    """Import TensorFlow, unless this process only hands out tests to others."""
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("every_test")


@pytest.fixture(scope="session")
def strategy():
    """Two replicas on this machine, for all trainings of all tests.

    One strategy, because TensorFlow keeps the shapes of collective operations by
    numbers that every strategy counts from the same start.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The folder from which tfds.load reads MNIST; skips the test without it."""
    return _folder("TFDS_DATA_DIR", "mnist")


@pytest.fixture(scope="session")
def openml() -> Path:
    """The folder in which the OpenML client finds its cache; skips without it."""
    return _folder("OPENML_CACHE_DIR", "org/openml")


def _folder(variable, content):
    folder = Path(os.environ.get(variable) or os.devnull)
    if not (folder / content).is_dir():
        pytest.skip(f"{variable} is not set to a folder that has {content} in it")
    return folder


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    """Marks each test that asks for real data as `data`; puts whole stories first.

    Guides, examples and networks of others are the files that take longest. At the end,
    one process would be busy with them, and the others would wait.
    """
    items.sort(key=lambda item: item.path.parent != TESTS)
    for item in items:
        if {"mnist", "openml"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("data")
