"""What every test stands on: two CPU devices, one seed, a clean Keras. A plugin."""

import functools
import gc
import os
import types

# Imports make millions of objects and no garbage. Collections begin with the tests.
gc.disable()

import hypothesis  # noqa: E402
import keras  # noqa: E402
import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer  # noqa: E402
from tensorflow.lite.python import lite  # noqa: E402
from tensorflow.python import pywrap_tfe  # noqa: E402
from tensorflow.python.eager import context  # noqa: E402
from tensorflow.python.framework import ops  # noqa: E402

from keras_invprune.pruning.tracing import variables_made_outside  # noqa: E402
from keras_invprune.views import are_compilable  # noqa: E402

# Two replicas for MirroredStrategy on any machine. TensorFlow fixes its devices when
# they are first used, so that a fixture would come too late.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

# Set by `make test-all`, where graphs are made and optimized as for users.
AS_FOR_USERS = "AS_FOR_USERS" in os.environ

# Most graphs run for a few steps. To optimize them takes longer than that.
tf.config.optimizer.set_experimental_options(
    {"disable_meta_optimizer": not AS_FOR_USERS}
)

# No deadline, because the first call of a tf.function traces it; and the same
# examples in every run, so that a red test is red again for whoever looks at it.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish():
    """Garbage collections skip what was imported: TensorFlow's converter runs them."""
    gc.collect()
    gc.freeze()
    # A third as often as by default: each looks at all graphs that are in use.
    gc.set_threshold(2_000, 10, 10)
    gc.enable()


@pytest.fixture(autouse=True)
def clean_keras():
    """One seed for all; no layer name, dtype policy or graph outlives its test."""
    keras.utils.set_random_seed(0)
    yield
    # Without the garbage collection, which takes a quarter of a second each time.
    keras.backend.clear_session(free_memory=False)
    _forget_graphs()


@pytest.fixture(scope="session", autouse=True)
def steps_of_keras_are_traced_once():
    """Spare plain models the second trace, as pruned ones spare it to themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in () if AS_FOR_USERS else ("train_step", "test_step"):
            patch.setattr(TensorFlowTrainer, name, _traced_once(name))
        yield


def _traced_once(name):
    step = getattr(TensorFlowTrainer, name)

    @functools.wraps(step)
    def traced_once(self, data):
        with variables_made_outside(self):
            return step(self, data)

    return traced_once


COMPILABLE = "keras_invprune.objectives.invariance.are_compilable"


@pytest.fixture(scope="session", autouse=True)
def views_are_not_compiled():
    """Spare each search the seconds in which XLA compiles its views.

    Each view is compiled in tests/views; searches with compiled views are in
    tests/objectives, test_zoo_search.py and test_recipes.py, in examples and wherever
    a search has a process of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(COMPILABLE, lambda views: False)
        yield


@pytest.fixture
def views_are_compiled(monkeypatch):
    """Compile the views of the searches of one test, as for users."""
    monkeypatch.setattr(COMPILABLE, are_compilable)


@pytest.fixture(scope="module", autouse=True)
def kernels_are_kept():
    """Spare operations new kernels in each test of a file.

    A seed that is set clears all kernels of TensorFlow, since some draw from a state of
    their own. Those of Keras and of the package draw from seed generators.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not AS_FOR_USERS:
            patch.setattr(pywrap_tfe, "TFE_ContextClearCaches", lambda handle: None)
        yield
    context.context().clear_kernel_cache()  # they take memory


@pytest.fixture(scope="module", autouse=True)
def converters_collect_once():
    """Spare each conversion a sixth of a second: garbage goes at the end of a file."""
    asked: list[None] = []
    instead = types.SimpleNamespace(collect=lambda: asked.append(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite, "gc", instead, raising=False)
        yield
    if asked:
        gc.collect()


@pytest.fixture
def graphs_are_collected():
    """Free the graphs of one test of large networks at once."""
    yield
    _forget_graphs()
    gc.collect()


def _forget_graphs():
    # TensorFlow registers the gradient of an optimizer's all-reduce anew for each
    # training step that is traced, and the registry keeps the whole graph, some 30 MB.
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient")]:
        del registry[name]
