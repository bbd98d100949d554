import json
import math
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_invprune as kip
from disks import small_disk
from keras_invprune.exporting import converter
from keras_invprune.exporting.planner import planning
from keras_invprune.exporting.planner.candidates import (
    CANDIDATES,
    Candidate,
    openvino,
)
from keras_invprune.exporting.planner.row import (
    BEST,
    INACCURATE,
    NOT_MADE,
    NOT_RUN,
    NOT_TRIED,
    OVER,
    SAME,
    WRONG,
)
from keras_invprune.exporting.planner.runtimes import Runtime
from keras_invprune.exporting.sandbox import Sandbox
from keras_invprune.exporting.timing import processor

WIDTH = 64


def network(zeros=True):
    """A classifier with a dead unit, and blocks of zeros in its first kernel."""
    model = keras.Sequential(
        [
            keras.Input((WIDTH,), name="features"),
            layers.Dense(WIDTH, activation="relu", name="hidden"),
            layers.Dense(4, name="head"),
        ]
    )
    if zeros:
        kernel = model.layers[0].kernel
        kept = np.random.default_rng(1).random((WIDTH // 4, WIDTH)) >= 0.8
        kept[:, 0] = False  # a unit that is always 0
        kernel.assign(kernel * np.repeat(kept, 4, axis=0))
    return model


def rows(model, count=96):
    shape = count, *model.input_shape[1:]
    return np.random.default_rng(2).normal(size=shape).astype("float32")


def labeled(model):
    x = rows(model)
    return x, model.predict(x, verbose=0).argmax(1)


def only(monkeypatch, *names):
    """Let the planner try only these kinds of files."""
    kinds = [kind for kind in CANDIDATES if kind.name in names]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """All files of a network, what was shown meanwhile, and the folder."""
    keras.utils.set_random_seed(0)
    folder, shown, model = tmp_path_factory.mktemp("planned"), [], network()

    def show(*now):
        shown.append(now)

    target = kip.Target("size", rounds=1, show=show)
    data = labeled(model)
    return (
        model,
        data,
        folder,
        kip.export(model, folder, data=data, target=target),
        shown,
    )


def test_the_best_file_is_right_and_accurate(planned):
    model, (x, y), folder, found, _ = planned
    run = Interpreter(str(folder / "model.tflite")).get_signature_runner()
    (outputs,) = run(features=x).values()
    assert found.metric == "accuracy" and found.keras == 1.0
    assert np.mean(outputs.argmax(1) == y) == found.best.score >= 1 - 0.003
    assert (folder / "model.tflite").stat().st_size == found.best.bytes


def test_no_file_that_was_dropped_is_smaller_without_a_reason(planned):
    *_, found, _ = planned
    for row in found.files:
        assert row.verdict and (row.reason or row is found.best)
    left = [row for row in found.files if row.is_right and row.loss <= 0.003]
    assert found.best.bytes == min(row.bytes for row in left)
    assert found.best.uses_zeros
    assert found.notes[-1].startswith("Pruning helps: with all weights, '")


def test_each_file_ran_in_each_runtime(planned):
    *_, found, _ = planned
    runs = [
        "Interpreter, 1 thread",
        "Interpreter, 2 threads",
        "Interpreter without delegate, 1 thread",
        "Interpreter without delegate, 2 threads",
        "CompiledModel, 1 thread",
    ]
    measured = [row for row in found.files if row.is_right]
    assert len(measured) >= 4
    for row in measured:
        assert [run.runtime for run in row.runs] == runs
        for run in row.runs:
            assert run.fault or 0 < run.low <= run.milliseconds <= run.high
        assert 0 < row.gzip_bytes < row.bytes * 1.1


def test_the_compact_model_is_tried_as_well(planned):
    *_, found, _ = planned
    by_name = {row.name: row for row in found.files}
    smaller = by_name["compact, float32"]
    assert smaller.bytes < by_name["float32"].bytes
    assert smaller.uses_zeros and not by_name["float32"].uses_zeros


@pytest.mark.parametrize(
    ("target", "names"),
    [("litert-cpu", ["compact", "compact to 32s"]), ("size", ["compact"])],
)
def test_for_time_the_compact_model_is_tried_in_multiples(
    folder, monkeypatch, target, names
):
    only(monkeypatch, "float32")
    dense = [layers.Dense(96, "relu", name="hidden"), layers.Dense(4, name="head")]
    model = keras.Sequential([keras.Input((8,)), *dense])
    kernel = dense[1].kernel.numpy()
    kernel[:41] = 0  # 55 units stay, or 64
    dense[1].kernel.assign(kernel)
    target = kip.Target(target, rounds=1)
    found = kip.export(model, folder, data=rows(model), target=target)
    every = ["float32", *(f"{name}, float32" for name in names)]
    assert [row.name for row in found.files] == every
    sizes = {row.name: row.bytes for row in found.files}
    assert sorted(sizes, key=sizes.get) == [*every[1:], every[0]]
    assert all(row.uses_zeros == (row.name != "float32") for row in found.files)


def test_the_report_has_all_of_it(planned):
    _, (x, _), folder, found, _ = planned
    saved = json.loads((folder / "report.json").read_text())
    assert saved == found.to_json()
    assert list(saved)[0] == "schema" and saved["schema"] == "keras_invprune/planned/1"
    assert set(saved["sha256"]) == {"model.tflite"}
    measured = saved["rows"], saved["rounds"], saved["processor"]
    assert measured == (len(x), 1, processor())
    assert {path.name for path in folder.iterdir()} == {"model.tflite", "report.json"}


def test_the_table_has_a_line_for_each_file(planned):
    *_, found, _ = planned
    text = str(found)
    assert all(f"\n{row.name} " in text for row in found.files)
    lines = text.splitlines()
    assert lines[3].split()[:4] == ["file", "bytes", "gzip", "zstd"]
    assert lines[4].startswith(found.best.name) and " best" in lines[4]
    for run in found.best.runs:
        assert f"{run.runtime}: {run.fault or f'{run.milliseconds:.4f} ms'}" in text


def test_progress_is_shown(planned):
    *_, found, shown = planned
    assert [name for name, *_ in shown] == [*(r.name for r in found.files), "timing"]
    assert [done for _, done, _ in shown] == list(range(len(shown)))
    assert {total for *_, total in shown} == {len(shown)}


def test_files_that_do_not_fit_into_memory_together_are_timed(folder, monkeypatch):
    only(monkeypatch, "float32", "float16")
    monkeypatch.setattr(planning, "MEMORY", 1)
    loads, once = [], planning._once
    monkeypatch.setattr(planning, "_once", lambda *a: loads.append(a) or once(*a))
    target = kip.Target("size", rounds=2)
    found = kip.export(network(zeros=False), folder, target=target, max_loss=1.0)
    runs = [run for row in found.files for run in row.runs]
    assert len(loads) == 2 * len(runs) and all(run.milliseconds > 0 for run in runs)


def test_a_model_without_zeros_is_told_so(folder, monkeypatch):
    only(monkeypatch, "float32", "float32, sparse")
    model = network(zeros=False)
    found = kip.export(model, folder, data=rows(model), target="size")
    assert found.metric == "agreement" and found.best.name == "float32"
    assert found.notes[-1].startswith("Pruning does not help here")
    assert found.notes[-1].endswith("no file that does was made.")
    verdicts = {row.name: row.verdict for row in found.files}
    assert verdicts == {"float32": BEST, "float32, sparse": NOT_TRIED}


def test_without_labels_all_rows_that_are_given_count(folder, monkeypatch):
    only(monkeypatch, "float32", "int4 weights")
    model = network(zeros=False)
    target = kip.Target("size", rounds=1)
    found = kip.export(model, folder, data=rows(model, 1000), target=target)
    (four,) = (row for row in found.files if row.name == "int4 weights")
    lost = 1000 * four.loss  # rows of another class
    assert lost > 0 and lost == pytest.approx(round(lost))
    assert not any("more rows" in note for note in found.notes)


def test_too_few_rows_for_the_limit_are_said(folder, monkeypatch):
    only(monkeypatch, "float32")
    model = network(zeros=False)
    for limit, said in {0.01: True, 0.02: False, 0.0: False}.items():
        found = kip.export(
            model, folder, data=labeled(model), target="size", max_loss=limit
        )
        assert any("loses 0.0104" in note for note in found.notes) == said


def test_limits_may_be_numbers_of_numpy(folder, monkeypatch):
    only(monkeypatch, "float32")
    loss, tolerance = np.float32(0.5), np.float32(0.25)
    target = kip.Target("size", rounds=np.int64(1))
    found = kip.export(
        network(), folder, target=target, max_loss=loss, tolerance=tolerance
    )
    assert (found.max_loss, found.tolerance) == (0.5, 0.25)
    json.dumps(found.to_json())


def test_the_fastest_of_any_runtime(folder, monkeypatch):
    only(monkeypatch, "SavedModel", "float16")
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("any", rounds=1))
    assert found.inputs == "random"
    assert found.best.name == "float16"  # TensorFlow takes ten times as long
    first = next(row for row in found.files if row.name == "SavedModel")
    assert [run.runtime for run in first.runs] == ["TensorFlow, all threads"]


def test_a_folder_is_kept_if_it_is_best(folder, monkeypatch):
    only(monkeypatch, "SavedModel")
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("any", rounds=1))
    assert found.best.file == "saved_model"
    loaded = keras.layers.TFSMLayer(folder / "saved_model", call_endpoint="serve")
    x = rows(model)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-5)


def test_several_outputs_keep_names_and_order_and_augmentation_is_off(
    folder, monkeypatch
):
    only(monkeypatch, "float32", "int8 weights", "int8 static")
    image = keras.Input((6, 6, 2), name="an image")
    features = layers.Flatten()(layers.RandomFlip()(image))
    outputs = {
        "zeta": layers.Dense(3)(features),
        "alpha": layers.Dense(2, activation="softmax")(features),
    }
    model = keras.Model(image, outputs)
    target = kip.Target("litert-cpu", rounds=1)
    labels = {"zeta": np.zeros(96), "alpha": np.zeros(96)}
    data = rows(model), labels
    found = kip.export(model, folder, data=data, target=target, max_loss=1.0)
    assert found.renamed == {"an image": "an_image"}
    assert found.metric == "agreement" and found.notes[0] == planning.NO_LABELS
    run = Interpreter(str(folder / "model.tflite")).get_signature_runner()
    x = rows(model)
    found, expected = run(an_image=x), model(x, training=False)
    for name, shape in {"zeta": (96, 3), "alpha": (96, 2)}.items():
        assert found[name].shape == shape
        np.testing.assert_allclose(found[name], expected[name], atol=0.1)


def test_states_are_those_before(folder, monkeypatch):
    only(monkeypatch, "float32")
    cell = layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, 2, 3)), cell])
    model(np.ones((1, 2, 3)))
    before = [state.numpy() for state in cell.states]
    found = kip.export(model, folder, target=kip.Target("size", rounds=1))
    assert found.batch_size == 1 and found.best.milliseconds > 0
    for state, value in zip(cell.states, before, strict=True):
        np.testing.assert_array_equal(state, value)


def test_the_converter_quantizes_without_the_extra(folder, monkeypatch):
    only(monkeypatch, "float32", "int8 dynamic, converter")
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("size", rounds=1))
    rows = {row.name: row for row in found.files}
    assert rows["float32"].is_right and rows["int8 dynamic, converter"].is_right
    assert found.best.name == "int8 dynamic, converter"
    assert found.best.bytes < rows["float32"].bytes


def test_a_missing_extra_is_named(folder, monkeypatch):
    only(monkeypatch, "float32", "int8 dynamic")
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("size", rounds=1))
    row = next(row for row in found.files if row.name == "int8 dynamic")
    assert row.verdict == NOT_TRIED
    assert row.reason == "needs litert-quantizer: pip install '.[quantize]'"
    assert found.best.zstd_bytes is None


@pytest.mark.parametrize(
    "target, libraries, reason",
    [
        (
            "onnxruntime-cpu",
            ["onnx", "tf2onnx"],
            r"needs onnx and tf2onnx: pip install '.\[onnx\]'",
        ),
        (
            "openvino-cpu",
            ["openvino"],
            r"needs openvino: pip install '.\[openvino\]'",
        ),
    ],
)
def test_a_runtime_that_is_missing_is_named(
    folder, monkeypatch, target, libraries, reason
):
    openvino._core.cache_clear()
    for name in libraries:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(kip.ExportError, match=f"No file can be kept.*{reason}"):
        kip.export(network(), folder, target=target)
    assert not folder.exists()


@pytest.mark.parametrize(
    "target, libraries",
    [("onnxruntime-cpu", ["onnx", "tf2onnx"]), ("openvino-cpu", ["openvino"])],
)
def test_states_are_not_lost(folder, target, libraries):
    for name in libraries:
        pytest.importorskip(name)
    cell = layers.LSTM(2, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(1, 2, 3)), cell])
    with pytest.raises(kip.ExportError, match="would not keep states"):
        kip.export(model, folder, target=target)


def test_activations_are_quantized_only_with_rows(folder, monkeypatch):
    pytest.importorskip("litert_quantizer")
    only(monkeypatch, "float32", "int8 static")
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("size", rounds=1))
    row = next(row for row in found.files if row.name == "int8 static")
    assert row.verdict == NOT_TRIED and "data=x" in row.reason


def test_what_the_metric_loses_decides(folder, monkeypatch):
    pytest.importorskip("litert_quantizer")
    only(monkeypatch, "float32", "int4 weights")
    model, seen = network(zeros=False), []

    def metric(y, outputs):
        seen.append(outputs.shape)
        return -float(np.abs(outputs - y).max())

    x = rows(model)
    data, target = (x, model(x).numpy()), kip.Target("size", metric, rounds=1)
    strict = kip.export(model, folder, data=data, target=target, max_loss=1e-3)
    assert strict.best.name == "float32"
    assert strict.files[1].verdict == INACCURATE
    lenient = kip.export(model, folder, data=data, target=target, max_loss=10)
    assert lenient.best.name == "int4 weights" and lenient.metric == "metric"
    assert set(seen) == {(96, 4)}


@pytest.mark.parametrize("value", [math.nan, None, ValueError("all the same")])
def test_a_file_without_a_metric_is_dropped_and_no_other(folder, monkeypatch, value):
    only(monkeypatch, "float32", "float16")
    model, calls = network(zeros=False), []

    def metric(y, outputs):  # called for Keras, float32 and float16
        calls.append(1)
        if len(calls) == 3:
            if isinstance(value, Exception):
                raise value
            return value
        return 1.0

    found = kip.export(
        model, folder, data=labeled(model), target=kip.Target("size", metric, rounds=1)
    )
    (dropped,) = (row for row in found.files if row.name == "float16")
    assert found.best.name == "float32" and dropped.verdict == INACCURATE
    assert "`metric` must return" in dropped.reason and str(value) in dropped.reason


def test_the_budget_limits_the_choice(folder, monkeypatch):
    only(monkeypatch, "float32", "float16")
    model = network(zeros=False)
    target = kip.Target("litert-cpu", rounds=1)
    limits = {"bytes": 14_000}
    found = kip.export(model, folder, target=target, budget=limits, max_loss=0.1)
    assert found.best.name == "float16" and found.best.bytes <= 14_000
    assert [row.verdict for row in found.files] == [OVER, BEST]
    assert found.budget == {"bytes": 14_000, "milliseconds": None}
    before = (folder / "model.tflite").read_bytes()
    with pytest.raises(kip.ExportError, match="nearest is 'float16'.* of 10 bytes"):
        kip.export(model, folder, target=target, budget={"bytes": 10}, max_loss=0.1)
    assert (folder / "model.tflite").read_bytes() == before


def made(content):
    """A kind of file that has this content, or raises it."""

    def make(source):
        if isinstance(content, BaseException):
            raise content
        return source.dense if content is None else content

    return Candidate("own", make)


def test_what_cannot_be_made_is_dropped(folder, monkeypatch):
    kinds = [CANDIDATES[0], made(None), made(RuntimeError("no such op"))]
    assert kinds[0].name == "float32"
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    model = network(zeros=False)
    found = kip.export(model, folder, target=kip.Target("size", rounds=1))
    assert [row.verdict for row in found.files] == [BEST, SAME, NOT_MADE]
    assert found.files[1].reason == "has the bytes of 'float32'"
    assert found.files[2].reason == "no such op"


def halves(policy="float16"):
    """A model that computes in float16."""
    half = layers.Dense(2, dtype=policy)
    return keras.Sequential([keras.Input((4,)), half])


def test_files_of_a_model_of_mixed_precision_compute_in_float32(folder):
    model = halves("mixed_float16")
    found = kip.export(model, folder, target=kip.Target("any", rounds=1))
    note = "in float32, since LiteRT does not support the dtype policy 'mixed_float16'"
    assert note in found.notes[0]
    dropped = {row.name for row in found.files if row.verdict in (NOT_MADE, WRONG)}
    assert not dropped & {"float32", "float16", "SavedModel", "ONNX"}
    assert model.layers[0].compute_dtype == "float16"


def test_what_may_help_is_said_if_no_file_can_be_made(folder, monkeypatch):
    only(monkeypatch, "float32")
    with pytest.raises(kip.ExportError, match="may help: a float32 twin of the model"):
        kip.export(halves(), folder, target="size")


def test_what_may_help_is_said_if_only_another_runtime_has_a_file(folder, monkeypatch):
    only(monkeypatch, "float32", "SavedModel")
    goal = kip.Target("any", rounds=1)
    found = kip.export(halves(), folder, target=goal)
    assert found.best.name == "SavedModel"
    (note,) = [each for each in found.notes if "LiteRT cannot run" in each]
    assert "What may help: a float32 twin of the model" in note and note in str(found)
    found = kip.export(network(zeros=False), folder, target=goal)
    assert not any("LiteRT cannot run" in each for each in found.notes)


def test_what_was_not_made_is_below_the_table_by_reason(folder, monkeypatch):
    kinds = [CANDIDATES[0], made(RuntimeError("no op")), made(RuntimeError("no op"))]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    target = kip.Target("size", rounds=1)
    printed = str(kip.export(network(zeros=False), folder, target=target))
    heading, *table = printed.partition("file  ")[2].splitlines()
    assert heading.split()[0] == "bytes"
    assert table[0].startswith("float32") and table[1] == ""
    assert table[2] == "'own', 'own': not made, no op"


def test_what_fails_once_is_not_made_again(folder, monkeypatch):
    calls = []

    def fails(saved_model, options, examples=None):
        calls.append((*options, examples is None))
        raise RuntimeError("no such op")

    monkeypatch.setattr(converter, "converted", fails)
    model = network()
    with pytest.raises(kip.ExportError, match="'float32', .*: not made, no such op"):
        kip.export(model, folder, data=rows(model), target="size")
    assert {("float16", True), ("sparsity", True)} < set(calls)
    assert len(calls) == 2 * len(set(calls))  # the model and the compact one


@pytest.mark.parametrize("place", [1, 6])
def test_a_file_that_ends_its_process_is_dropped(folder, monkeypatch, place):
    """It does so in its first runtime, or later, when the metric is measured."""
    load, seen = Sandbox.load, []

    def deadly(self, file, *how):
        run = load(self, file, *how)
        seen.append(file)
        if len(seen) == place:
            self._process.kill()
        return run

    only(monkeypatch, "float32", "float16")
    monkeypatch.setattr(Sandbox, "load", deadly)
    target = kip.Target("size", rounds=1)
    found = kip.export(network(zeros=False), folder, target=target)
    by_name = {row.name: row for row in found.files}
    verdicts = {name: row.verdict for name, row in by_name.items()}
    assert verdicts == {"float32": NOT_RUN, "float16": BEST}
    reason = by_name["float32"].reason
    assert reason.endswith("LiteRT crashed (signal SIGKILL)")


def test_a_file_that_ends_its_process_when_it_is_unloaded_is_dropped(
    folder, monkeypatch
):
    unload, seen = Sandbox.unload, []

    def deadly(self):
        seen.append(self)
        if len(seen) == 1:
            self._process.kill()
        unload(self)

    only(monkeypatch, "float32", "float16")
    monkeypatch.setattr(Sandbox, "unload", deadly)
    target = kip.Target("size", rounds=1)
    found = kip.export(network(zeros=False), folder, target=target)
    verdicts = {row.name: (row.verdict, row.reason) for row in found.files}
    fault = "LiteRT crashed (signal SIGKILL)"
    assert verdicts == {"float32": (NOT_RUN, fault), "float16": (BEST, "")}


def test_a_metric_without_labels_is_refused_before_anything_is_made(
    folder, monkeypatch
):
    monkeypatch.setattr(planning, "Sources", None)
    target = kip.Target(metric=lambda y, outputs: 0)
    with pytest.raises(ValueError, match="no labels"):
        kip.export(network(), folder, data=np.ones((8, 64)), target=target)


@pytest.mark.parametrize("verdict", [WRONG, NOT_RUN])
def test_a_file_that_fails_in_a_row_that_was_not_compared_is_dropped(
    folder, monkeypatch, verdict
):
    """There, it is NaN, or the runtime raises an error."""
    model = network(zeros=False)
    x = rows(model, 260)
    x[258] = 7

    def load(path, same, states):
        run = same.of_keras(model)

        def failing(inputs):
            marked = inputs["features"][:, :1] == 7
            if verdict == NOT_RUN and marked.any():
                raise RuntimeError("no such row")
            return {k: np.where(marked, np.nan, v) for k, v in run(inputs).items()}

        return failing

    runtime = Runtime("own", load)
    own = Candidate("own", lambda source: b"small", runtimes=(runtime,))
    monkeypatch.setattr(planning, "CANDIDATES", [CANDIDATES[0], own])
    data, target = (x, np.zeros(260)), kip.Target("size", rounds=1)
    found = kip.export(model, folder, data=data, target=target, max_loss=1.0)
    assert [row.verdict for row in found.files] == [BEST, verdict]
    reasons = {WRONG: "output 'output_0' is NaN", NOT_RUN: "no such row"}
    assert f"own: {reasons[verdict]}" in found.files[1].reason


@pytest.mark.parametrize(
    "error, expected, text",
    [
        (KeyboardInterrupt("now"), KeyboardInterrupt, "now"),
        (RuntimeError("No space left on device"), OSError, "Make room"),
        (RuntimeError("part-0; File too large [Op:SaveV2]"), OSError, "Make room"),
        (RuntimeError("Disk quota exceeded"), OSError, "quota.*Make room"),
    ],
)
def test_nothing_is_half_written(folder, monkeypatch, error, expected, text):
    monkeypatch.setattr(planning, "CANDIDATES", [CANDIDATES[0], made(error)])
    with pytest.raises(expected, match=text):
        kip.export(network(), folder, target="size")
    assert not folder.exists()


def test_a_random_model_is_refused(folder, monkeypatch):
    @keras.saving.register_keras_serializable("test_planning")
    class Noise(layers.Layer):
        """Adds a number, another one in each call, but a constant in a graph."""

        def call(self, x):
            return x + float(np.random.default_rng().normal())

    only(monkeypatch, "float32")
    model = keras.Sequential([keras.Input((3,)), Noise()])
    with pytest.raises(kip.ExportError, match="different outputs when it is run again"):
        kip.export(model, folder, target="size")


def test_a_full_disk(tmp_path):
    model = network()
    with small_disk(tmp_path / "disk", kilobytes=40) as disk:
        with pytest.raises(OSError, match="was not written: No space left.*Make room"):
            kip.export(model, disk / "mine", target="size")
        assert [path.name for path in disk.iterdir()] == []


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"target": "gpu"}, "`target` must be one of"),
        ({"target": "size", "formats": ("keras",)}, "chooses the format itself"),
        ({"target": "size", "tflite_options": ()}, "chooses the format itself"),
        ({"target": "size", "max_loss": -0.1}, "`max_loss` must be >= 0"),
        ({"target": "size", "budget": {"kb": 3}}, "`budget` must be a dict"),
        ({"budget": {"bytes": 3}}, "no target. Pass one of .*'openvino-cpu'"),
        ({"max_loss": 0.1}, "no target. Pass one"),
        ({"target": "size", "data": np.ones((8, 5))}, r"rows of shape \(64,\)"),
        (
            {
                "target": kip.Target(metric=lambda y, outputs: 0),
                "data": np.ones((8, 64)),
            },
            "no labels",
        ),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(folder, arguments, text):
    with pytest.raises(ValueError, match=text):
        kip.export(network(), folder, **arguments)
    assert not folder.exists()
