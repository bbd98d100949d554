import json
import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
from keras_invprune.exporting import sandbox, timing
from keras_invprune.exporting.planner import planning
from keras_invprune.exporting.planner.candidates import (
    CANDIDATES,
    Candidate,
    NotTried,
)
from keras_invprune.reporting import savings

BLOCKS = kip.patterns.Block((4, 1))


def dense(*widths, inputs=32):
    hidden = [layers.Dense(width, activation="relu") for width in widths]
    return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(4)])


def convolutional(filters, shape=(8, 8, 3)):
    return keras.Sequential(
        [
            keras.Input(shape),
            *[layers.Conv2D(n, 3, activation="relu") for n in filters],
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


def residual():
    x = keras.Input((32,))
    first = layers.Dense(48, activation="relu")(x)
    second = layers.Add()([first, layers.Dense(48, activation="relu")(first)])
    return keras.Model(x, layers.Dense(4)(second))


def only(monkeypatch, *names):
    """Let only these kinds of files be made."""
    kinds = [kind for kind in CANDIDATES if kind.name in names]
    monkeypatch.setattr(savings, "CANDIDATES", kinds)


@pytest.fixture(scope="module")
def found():
    """The savings of a small network, and what was shown meanwhile."""
    keras.utils.set_random_seed(0)
    shown, model = [], dense(64, 48)
    before = model.get_weights()
    with pytest.MonkeyPatch.context() as patch:
        only(patch, "float32", "float32, sparse", "float16, sparse")
        result = kip.estimate_savings(
            model, shares=(0.5, 0.9), rounds=1, show=lambda *now: shown.append(now)
        )
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    return result, shown


@pytest.mark.slow
def test_each_pattern_and_share_has_its_files(found):
    result, _ = found
    first = result.estimates[0]
    assert (first.pattern, first.sparsity, first.file) == ("none", 0.0, "float32")
    kinds = {(each.pattern, each.sparsity) for each in result.estimates}
    shares = 0.5, 0.9
    patterns = "unstructured", repr(BLOCKS), "units"
    assert kinds == {("none", 0.0)} | {(p, s) for p in patterns for s in shares}


@pytest.mark.slow
def test_more_zeros_save_more(found):
    result, _ = found
    sizes = {(e.pattern, e.sparsity, e.file): e.bytes for e in result.estimates}
    whole = sizes["none", 0.0, "float32"]
    for pattern, file in [
        ("unstructured", "float32, sparse"),
        (repr(BLOCKS), "float32, sparse"),
        ("units", "float32"),
    ]:
        assert whole > sizes[pattern, 0.5, file] > sizes[pattern, 0.9, file]
    assert (
        sizes[repr(BLOCKS), 0.9, "float32, sparse"]
        < (sizes["unstructured", 0.9, "float32, sparse"])
    )


@pytest.mark.slow
def test_files_that_cannot_be_used_say_why(found):
    result, _ = found
    faults = {
        each.pattern: each
        for each in result.estimates
        if each.file == "float16, sparse" and each.sparsity == 0.9
    }
    assert "wrong: Interpreter" in faults[repr(BLOCKS)].fault
    assert faults[repr(BLOCKS)].milliseconds is None
    assert faults["unstructured"].fault == ""
    assert faults["unstructured"].milliseconds > 0


@pytest.mark.slow
def test_the_table_and_json(found):
    result, _ = found
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["estimates"]
    saved = result.to_json()
    assert saved["schema"] == "keras_invprune/savings/1"
    assert saved["processor"] == timing.processor() != ""
    heading, *lines = str(result).splitlines()
    assert heading.split()[:3] == ["pattern", "removed", "file"]
    assert len(lines) == len(result.estimates) + 2
    assert " 1.0x " in lines[0]
    assert 0 <= result.error < 0.3
    assert lines[-1] == f"Uneven zeros change sizes by up to {result.error:.0%}."


@pytest.mark.slow
def test_progress_is_shown(found):
    _, shown = found
    names = [name for name, *_ in shown]
    assert names[0] == "none 0%" and names[-1] == "timing"
    assert "units 90%" in names
    assert [done for _, done, _ in shown] == list(range(len(shown)))
    assert {total for *_, total in shown} == {len(shown)}


def test_only_the_runtime_that_is_shown_is_timed(monkeypatch):
    only(monkeypatch, "float32")
    counts, times = [], planning.times

    def counted(runs, rounds):
        counts.append(len(runs))
        return times(runs, rounds)

    monkeypatch.setattr(planning, "times", counted)
    found = kip.estimate_savings(dense(8), patterns=["units"], shares=[0.5], rounds=1)
    assert counts == [len(found.estimates)] == [2]


def test_files_of_all_removals_run_in_one_process(monkeypatch):
    only(monkeypatch, "float32")
    processes, started = [], sandbox._started
    monkeypatch.setattr(
        sandbox, "_started", lambda: processes.append(started()) or processes[-1]
    )
    kip.estimate_savings(dense(8), patterns=["units"], shares=[0.5], rounds=1)
    (process,) = processes
    assert process.returncode == 0


def test_a_kind_that_is_never_tried_is_named(monkeypatch):
    def make(source):
        raise NotTried("needs what is not there")

    kinds = [each for each in CANDIDATES if each.name == "float32"]
    kinds += [
        Candidate("mine", make, targets=("size",)),
        Candidate("ours", make, targets=("size",)),
        Candidate("others", make, targets=("any",)),
    ]
    monkeypatch.setattr(savings, "CANDIDATES", kinds)
    model = dense(8)
    found = kip.estimate_savings(
        model, patterns=["units"], shares=[0.5], rounds=1, target="size"
    )
    assert {each.file for each in found.estimates} == {"float32"}
    (note,) = found.notes  # for both
    assert note == "'mine', 'ours': not tried, needs what is not there."
    assert found.to_json()["notes"] == list(found.notes)
    assert str(found).endswith(f"{note}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, pattern, share",
    [
        (lambda: dense(96, 64), "unstructured", 0.9),
        (lambda: dense(128), BLOCKS, 0.8),
        (lambda: convolutional((12, 24)), "unstructured", 0.8),
        (lambda: convolutional((16, 16)), "units", 0.5),
        (residual, "units", 0.75),
    ],
    ids=["mlp", "blocks", "convolutions", "filters", "residual"],
)
def test_sizes_are_those_of_the_trained_model(
    make, pattern, share, monkeypatch, tmp_path
):
    only(monkeypatch, "float32", "float32, sparse")
    model = make()
    result = kip.estimate_savings(model, patterns=[pattern], shares=[share], rounds=1)
    (estimate,) = (each for each in result.estimates if each.sparsity == share)

    random = np.random.default_rng(3)
    x = random.normal(size=(64, *model.input_shape[1:])).astype("float32")
    pruned = kip.prune(model, share, pattern=pattern)  # by magnitude
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("adam", loss, run_eagerly=True)  # quicker for a few steps
    pruned.fit(x, random.integers(0, 4, 64), epochs=4, verbose=0)
    final = kip.strip_pruning(pruned)
    if pattern == "units":
        final = kip.compact(final)
    made = kip.export(final, tmp_path / "out", formats=("tflite",))
    measured = made.files["model.tflite"]["bytes"]
    assert estimate.bytes == pytest.approx(measured, rel=0.3)


def test_shares_may_be_numbers_of_numpy(monkeypatch):
    only(monkeypatch, "float32")
    shares = [np.float32(0.5)]
    found = kip.estimate_savings(dense(8), patterns=["units"], shares=shares, rounds=1)
    assert json.loads(json.dumps(found.to_json()))["estimates"][-1]["sparsity"] == 0.5


def test_a_pattern_that_does_not_fit_is_left_out(monkeypatch, caplog):
    only(monkeypatch, "float32")
    model = dense(6, inputs=3)
    result = kip.estimate_savings(model, patterns=[BLOCKS], shares=[0.5], rounds=1)
    assert [each.pattern for each in result.estimates] == ["none"]
    assert math.isnan(result.error) and result.to_json()["error"] is None
    assert "is left out" in caplog.text


def test_a_model_without_a_tflite_file_is_refused(monkeypatch):
    only(monkeypatch, "float32")
    determinant = layers.Lambda(keras.ops.linalg.det)
    model = keras.Sequential([keras.Input((3, 3)), layers.Dense(3), determinant])
    with pytest.raises(kip.ExportError, match="No file for 'litert-cpu' can be"):
        kip.estimate_savings(model, patterns=["unstructured"], shares=[0.5], rounds=1)


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ({"shares": []}, ValueError, r"must be a list of numbers in \(0, 1\)"),
        ({"shares": 0.5}, ValueError, "a list of numbers.*shares=0.5"),
        ({"shares": [1.0]}, ValueError, r"shares=\[1.0\]"),
        ({"shares": [True]}, ValueError, "shares"),
        ({"patterns": "units"}, ValueError, "`patterns` must be a list"),
        ({"patterns": BLOCKS}, ValueError, "`patterns` must be a list"),
        ({"patterns": ["uints"]}, ValueError, "units"),
        ({"batch_size": "8"}, ValueError, "`batch_size` must be an integer"),
        ({"rounds": 0}, ValueError, "`rounds` must be an integer"),
        ({"target": "gpu"}, ValueError, "`target` must be one of"),
        ({"target": kip.Target()}, ValueError, r"must be one of \(.*'any'.*=Target"),
    ],
)
def test_impossible_arguments_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        kip.estimate_savings(dense(4), **arguments)


def test_models_are_refused_that_are_not_plain():
    with pytest.raises(TypeError, match="must be a Keras 3 model.*builtins.str"):
        kip.estimate_savings("model")
    with pytest.raises(ValueError, match="Strip them first"):
        kip.estimate_savings(kip.prune(dense(8), 0.5))
