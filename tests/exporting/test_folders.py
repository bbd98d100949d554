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
from keras_invprune_lab.training.checkpoint import Checkpoint

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
        Checkpoint,
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


@pytest.mark.parametrize("inside", [".", "runs/one"])
def test_a_file_is_not_taken_for_a_folder(inside, tmp_path_factory):
    file = tmp_path_factory.mktemp("files") / "mine"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="mine, which is a file. Choose"):
        in_claimed(file / inside)
    assert file.read_text() == "mine"


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


@pytest.fixture
def own_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


def write(folder, text):
    with folders.replacing(folder) as new:
        (new / "part").mkdir()
        (new / "part" / "text").write_text(text)
        folders.write_report(new, "keras_invprune/test/1", {})


def test_the_folder_itself_stays_where_it_is(own_folder, monkeypatch):
    own_folder.chmod(0o2770)
    monkeypatch.chdir(own_folder)
    for text in ("one", "two"):
        write(".", text)
        assert Path("part/text").read_text() == text  # here is still here
    assert own_folder.stat().st_mode & 0o7777 == 0o2770
    assert sorted(os.listdir(own_folder)) == ["part", "report.json"]
    assert not list(own_folder.parent.glob(f"{folders.UNFINISHED}*"))
    monkeypatch.undo()


def test_a_folder_that_is_a_file_system_of_its_own(own_folder, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == own_folder)
    made = []
    directory = folders.tempfile.TemporaryDirectory

    def beside(**options):
        made.append(options["dir"])
        return directory(**options)

    monkeypatch.setattr(folders.tempfile, "TemporaryDirectory", beside)
    for text in ("one", "two"):
        write(own_folder, text)
    assert made == [own_folder] * 2  # nothing is moved to another file system
    assert (own_folder / "part" / "text").read_text() == "two"
    assert sorted(os.listdir(own_folder)) == ["part", "report.json"]


@pytest.mark.parametrize("failing", range(4))
def test_an_exchange_cut_short_leaves_what_was_there(failing, own_folder, monkeypatch):
    write(own_folder, "one")
    replace, count = os.replace, iter(range(99))

    def cut_short(*paths):
        if next(count) == failing:
            raise OSError(28, "No space left on device")
        replace(*paths)

    monkeypatch.setattr(os, "replace", cut_short)
    with pytest.raises(OSError, match="Make room"):
        write(own_folder, "two")
    assert (own_folder / "part" / "text").read_text() == "one"
    folders.check_free(own_folder)  # ours, and whole


def test_a_folder_must_have_a_name():
    with pytest.raises(ValueError, match="must have a name"):
        folders.local("")
