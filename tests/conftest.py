"""What every test stands on: two CPU devices, one seed, a clean Keras, real data."""

import gc
import os
from pathlib import Path

# Set before Keras and XGBoost are imported. ~/.keras/keras.json may name a backend.
os.environ["KERAS_BACKEND"] = "tensorflow"
# XGBoost's threads wait for one another spinning: minutes beside other processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

# Two replicas for MirroredStrategy on any machine. TensorFlow fixes its devices when
# they are first used, so that a fixture would come too late.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

# No deadline, because the first call of a tf.function traces it; and the same
# examples in every run, so that a red test is red again for whoever looks at it.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def clean_keras():
    """One seed for all; no layer name and no dtype policy outlives its test."""
    keras.utils.set_random_seed(0)
    yield
    # Without the garbage collection, which takes a quarter of a second each time.
    keras.backend.clear_session(free_memory=False)


@pytest.fixture(scope="module", autouse=True)
def graphs_are_forgotten():
    """Forget the graphs of a file's tests, some 30 MB for each training."""
    yield
    _forget_graphs()


@pytest.fixture
def graphs_are_forgotten_at_once():
    """Forget the graphs of one test of large networks."""
    yield
    _forget_graphs()


def _forget_graphs():
    # TensorFlow registers the gradient of an optimizer's all-reduce anew for each
    # training step that is traced, and the registry keeps the whole graph.
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient")]:
        del registry[name]
    gc.collect()


@pytest.fixture(scope="module")
def views_are_not_compiled():
    """Spare each search of a file the seconds in which XLA compiles its views.

    They are compiled in tests/views and tests/objectives, in test_zoo_search.py, in
    two recipes, in the examples and in processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        compilable = "keras_invprune.objectives.invariance.are_compilable"
        patch.setattr(compilable, lambda views: False)
        yield


@pytest.fixture(scope="session")
def strategy():
    """Two replicas on this machine, for all trainings of all tests.

    One strategy, because TensorFlow keeps the shapes of collective operations by
    numbers that every strategy counts from the same start.
    """
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


def pytest_collection_finish():
    """Garbage collections skip what was imported: TensorFlow's converter runs them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    """Marks each test that asks for real data as `data`."""
    for item in items:
        if {"mnist", "openml"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("data")
