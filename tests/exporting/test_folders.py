"""Folders of results: what is written where, and what is refused."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import keras_invprune as kip
from keras_invprune.exporting import folders
from keras_invprune_lab.bench.benchmark import Benchmark
from keras_invprune_lab.cli.main import app
from keras_invprune_lab.demo import run_demo
from keras_invprune_lab.runs.run import Run, execute
from keras_invprune_lab.training.resuming import Progress

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def network():
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.fixture(autouse=True)
def nothing_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert os.listdir(tmp_path) == []


def in_replacing(folder):
    with folders.replacing(folder):
        raise AssertionError("it must not come to this")


def in_claimed(folder):
    with folders.claimed(folder):
        raise AssertionError("it must not come to this")


@pytest.mark.parametrize(
    "write",
    [
        lambda out: kip.export(network(), out),
        lambda out: execute(Run("sklearn:digits", epochs=2), out),
        lambda out: run_demo(out, epochs=2),
        lambda out: Benchmark("digits", out),
        Progress,
        in_replacing,
        in_claimed,
        folders.check_free,
        lambda out: folders.check_room(out, 1),
    ],
)
@pytest.mark.parametrize("path", ["gs://b/out", "ram://out", Path("s3://b/out")])
def test_results_are_not_written_to_a_path_with_a_scheme(write, path):
    with pytest.raises(ValueError, match="to a local folder.*(gs|ram|s3):/.*copy it"):
        write(path)


@pytest.mark.parametrize(
    "command", [["demo"], ["run", "--dataset", "sklearn:digits"], ["bench", "digits"]]
)
def test_the_command_line_refuses_them_too(command):
    found = CliRunner().invoke(app, [*command, "--out", "gs://b/out"])
    assert isinstance(found.exception, ValueError)
    assert "local folder" in str(found.exception)


@pytest.mark.parametrize("path", ["C:/mine", "mine/gs:/b", "/tmp/a:b", "gs:b"])
def test_what_only_looks_like_a_scheme(path):
    assert folders.local(path) == Path(path)


def test_a_board_goes_where_tensorboard_goes():
    model = kip.prune(network(), 0.5)
    model.compile("sgd", "mse")
    boards = [kip.PruningBoard("ram://logs"), keras.callbacks.TensorBoard("ram://logs")]
    model.fit(X, X[:, :2], epochs=2, verbose=0, callbacks=boards)
    assert tf.io.gfile.glob("ram://logs/pruning/events*")
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        kip.PruningBoard(tf.io.gfile.glob("ram://logs/pruning/events*")[0])


def test_a_board_refuses_a_path_that_lost_a_slash():
    with pytest.raises(ValueError, match="as a string.*Received: .*gs:/b"):
        kip.PruningBoard(Path("gs://b"))
