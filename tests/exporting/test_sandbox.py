"""Files in a process of their own: the same outputs, and an end that harms nothing."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_invprune import export
from keras_invprune.exporting import litert, sandbox
from keras_invprune.exporting.sandbox import Crashed, Sandbox

X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A .tflite file of one layer."""
    out = tmp_path_factory.mktemp("export") / "files"
    model = keras.Sequential([keras.Input((6,), name="x"), keras.layers.Dense(3)])
    export(model, out, formats=("tflite",))
    return out / "model.tflite"


@pytest.fixture
def box():
    with Sandbox() as found:
        yield found


def process(box) -> subprocess.Popen:
    return box._process


@pytest.mark.parametrize(
    ("delegate", "rows"),
    [(True, X), (False, X), (None, X[:1])],
    ids=["default delegate", "no delegate", "CompiledModel"],
)
def test_outputs_are_those_of_this_process(box, file, delegate, rows):
    run = box.load(file, delegate=delegate)
    (found,) = run({"x": rows}).values()
    (expected,) = litert.load(file, delegate)({"x": rows}).values()
    assert found.shape == (len(rows), 3)
    np.testing.assert_array_equal(found, expected)
    assert process(box).pid != os.getpid()


def test_a_tensor_may_be_two_outputs(tmp_path):
    inputs = keras.Input((6,), name="x")
    twice = keras.layers.Dense(3)(inputs)
    export(keras.Model(inputs, {"a": twice, "b": twice}), tmp_path, formats=("tflite",))
    file, rows = tmp_path / "model.tflite", {"x": X[:1]}
    compiled = litert.load(file, None)(rows)
    for name, expected in litert.load(file, False)(rows).items():
        np.testing.assert_allclose(compiled[name], expected, rtol=1e-5)


def test_one_process_runs_file_after_file(box, file):
    first = box.load(file, delegate=True)
    own = process(box)
    second = box.load(file, delegate=False, threads=2)
    second({"x": X})
    assert process(box) is own
    with pytest.raises(RuntimeError, match=r"model.tflite is not loaded any more"):
        first({"x": X})


@pytest.mark.parametrize("moment", ["load", "run", "unload"])
def test_a_process_that_is_ended_is_replaced(box, file, moment):
    run = box.load(file, delegate=True)
    process(box).send_signal(signal.SIGSEGV)
    with pytest.raises(Crashed, match=r"LiteRT crashed \(signal SIGSEGV\)"):
        if moment == "load":
            box.load(file, delegate=True)
        elif moment == "run":
            run({"x": X})
        else:
            box.unload()
    with pytest.raises(RuntimeError, match="not loaded any more"):
        run({"x": X})
    assert box.load(file, delegate=True)({"x": X})


def test_an_exit_is_reported_with_its_code(box, monkeypatch, tmp_path, file):
    program = tmp_path / "ends.py"
    program.write_text("raise SystemExit(3)")
    monkeypatch.setattr(sandbox.litert, "__file__", str(program))
    with pytest.raises(Crashed, match=r"\(exit code 3\)"):
        box.load(file, delegate=True)


def test_a_file_that_hangs_is_given_up(box, monkeypatch, tmp_path, file):
    program = tmp_path / "hangs.py"
    program.write_text("import time\ntime.sleep(600)")
    with monkeypatch.context() as patch:
        patch.setattr(sandbox.litert, "__file__", str(program))
        patch.setattr(sandbox, "LONGEST", 0.3)
        with pytest.raises(Crashed, match="LiteRT did not answer for 0.3 s"):
            box.load(file, delegate=True)
    assert box.load(file, delegate=True)({"x": X})


def test_what_litert_raises_is_raised_here_and_ends_nothing(box, tmp_path, file):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(file.read_bytes()[:200])
    box.load(file, delegate=True)
    own = process(box)
    with pytest.raises(RuntimeError, match="(?i)model"):
        box.load(broken, delegate=True)
    run = box.load(file, delegate=True)
    with pytest.raises(RuntimeError, match=r"(?i)invalid input name \(y\)"):
        run({"y": X})
    assert run({"x": X})
    assert process(box) is own


@pytest.mark.parametrize("direction", ["dump", "load"])
def test_an_interruption_ends_the_process(box, file, monkeypatch, direction):
    run = box.load(file, delegate=True)
    own = process(box)

    def interrupted(*given):
        if direction == "dump":  # more of a request than a pipe holds, and not its end
            given[1].write(pickle.dumps(b"x" * 2**20)[:-9])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sandbox.pickle, direction, interrupted)
        run({"x": X})
    assert own.returncode is not None
    assert box.load(file, delegate=True)({"x": X})


def test_a_broken_pipe_is_known_on_windows(box, file, monkeypatch):
    run = box.load(file, delegate=True)

    def broken(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    with monkeypatch.context() as patch, pytest.raises(Crashed, match="exit code 0"):
        patch.setattr(sandbox.pickle, "dump", broken)
        run({"x": X})
    assert box.load(file, delegate=True)({"x": X})


def test_an_unloaded_file_is_gone(box, file):
    run = box.load(file, delegate=True)
    box.unload()
    with pytest.raises(RuntimeError, match="not loaded any more"):
        run({"x": X})
    with pytest.raises(RuntimeError, match="not callable"):  # nor there
        box._ask({"x": X})
    assert box.load(file, delegate=True)({"x": X})


@pytest.mark.parametrize(
    ("name", "value"),
    [*(("executable", each) for each in ("", None, "/bin/uwsgi")), ("frozen", True)],
)
def test_within_another_program_files_run_in_its_process(
    box, file, monkeypatch, name, value
):
    monkeypatch.setattr(sys, name, value, raising=False)
    assert box.load(file, delegate=True)({"x": X})
    box.unload()
    assert process(box) is None


def test_what_python_ignores_in_its_path_is_ignored(box, file, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", Path("here"), *sys.path])
    assert box.load(file, delegate=True)({"x": X})


def test_it_ends_with_the_context(file):
    with Sandbox() as box:
        box.load(file, delegate=True)
        own = process(box)
    assert own.returncode is not None


def test_it_starts_when_it_is_needed(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with Sandbox():
        pass
