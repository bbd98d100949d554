"""Data sets by name, through their own loaders."""

import sys

import numpy as np
import pytest

from keras_invprune.experiments.data import load
from keras_invprune.experiments.models import MODELS, get_model


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("sklearn:digits", (8, 8, 1), 10),
        ("sklearn:iris", (4,), 3),
        ("sklearn:wine", (13,), 3),
        ("sklearn:breast_cancer", (30,), 2),
    ],
)
def test_those_inside_scikit_learn(name, shape, classes):
    data = load(name)
    assert data.x_train.shape[1:] == shape and data.classes == classes
    assert set(data.y_test) == set(range(classes))
    model = get_model(None, data)
    assert model(data.x_test[:2]).shape == (2, classes)


def test_mnist(mnist):
    data = load("tfds:mnist")
    assert data.x_train.shape == (60000, 28, 28, 1) and data.classes == 10
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert get_model(None, data).name == "lenet_300_100"


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("31", 1000, 61, 2),
        ("credit-g", 1000, 61, 2),  # strings
        ("2", 898, 74, 5),  # much is missing
        ("1468", 1080, 752, 9),  # wide; 104 columns are constant in training
        ("1502", 245057, 3, 2),  # long
        ("5", 452, 314, 13),  # small classes
    ],
)
def test_tables_of_openml(openml, name, rows, columns, classes):
    data = load(f"openml:{name}")
    assert len(data.x_train) + len(data.x_test) == rows
    assert data.x_train.shape[1] == columns and data.classes == classes
    assert np.isfinite(data.x_train).all() and np.isfinite(data.x_test).all()


@pytest.mark.parametrize("name", ["999999", "credit-x"])
def test_what_is_not_in_the_cache_names_the_variable(openml, name, monkeypatch):
    import openml as client

    def no_network(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(client.datasets, "get_dataset", no_network)
    monkeypatch.setattr(client.datasets, "list_datasets", no_network)
    policy = client.config.retry_policy
    with pytest.raises(RuntimeError, match="no network.*OPENML_CACHE_DIR"):
        load(f"openml:{name}")
    assert client.config.retry_policy == policy


def test_what_is_not_prepared_names_the_variable(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def no_network(*_, **__):
        raise ConnectionError("no network.")

    monkeypatch.setattr(tfds, "load", no_network)
    with pytest.raises(RuntimeError, match="no network.*TFDS_DATA_DIR"):
        load("tfds:mnist")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "is named 'sklearn:NAME'"),
        ("sklern:digits", "Did you mean 'sklearn:digits'"),
        ("sklearn:digit", "Did you mean 'digits'"),
        ("tfds:mnisst", "Did you mean 'mnist'"),
        ("openml:", "Received: 'openml:'"),
    ],
)
def test_unknown_names_get_near_matches(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("sklearn:iris", "sklearn"),
        ("tfds:mnist", "tensorflow_datasets"),
        ("openml:31", "openml"),
    ],
)
def test_a_missing_library_names_the_extra(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install '\.\[data\]'"):
        load(name)


@pytest.mark.parametrize("name", MODELS)
def test_each_network_by_name(name):
    data = load("sklearn:digits")
    assert get_model(name, data)(data.x_test[:2]).shape == (2, 10)


def test_networks_that_are_not_there_or_do_not_fit():
    with pytest.raises(ValueError, match="Did you mean 'convnet'"):
        get_model("convnett", load("sklearn:digits"))
    with pytest.raises(ValueError, match="'convnet' needs images"):
        get_model("convnet", load("sklearn:iris"))
