"""Files that are known to be wrong, unusable or pointless, each made and run here."""

import re
import types

import keras
import numpy as np
import pytest
from keras import layers

from keras_invprune.exporting import litert
from keras_invprune.exporting.planner.candidates import Source
from keras_invprune.exporting.planner.row import NOT_RUN, NOT_TRIED, WRONG

WIDTH = 64


def sparse_model(share, block=1, inputs=WIDTH):
    """A network whose first kernel has zeros in runs of `block` along the inputs."""
    model = keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(WIDTH, activation="relu"),
            layers.Dense(4),
        ]
    )
    kernel = model.layers[0].kernel
    order = np.random.default_rng(1).permutation(WIDTH * WIDTH // block)
    kept = order.reshape(WIDTH // block, WIDTH) >= share * order.size
    kernel.assign(kernel * np.repeat(kept, block, axis=0)[:inputs])
    return model


def test_float16_blocks_are_nan(tries):
    row = tries(sparse_model(0.8, 4), "float16, sparse")["float16, sparse"].row
    assert row.bytes > 0  # a real file
    assert row.verdict == WRONG and "is off by nan" in row.reason


def test_int8_blocks_are_right_only_without_the_default_delegate(tries):
    # So comparing the outputs in one runtime would not be enough.
    found = tries(sparse_model(0.8, 16), "int8 dynamic, sparse")
    made, same = found["int8 dynamic, sparse"], found["sources"].same
    assert made.row.verdict == WRONG
    assert re.search("^Interpreter, 1 thread: .* is off by", made.row.reason)
    run = same.of_runtime(lambda: litert.load(made.path, delegate=False))
    assert same(run, 1e-1, None)


@pytest.mark.parametrize("inputs", [61, 62, 63])
def test_blocks_that_do_not_fill_a_kernel_lack_its_last_inputs(tries, inputs):
    model = sparse_model(0.8, 4, inputs)
    found = tries(model, "float32, sparse", "float32, sparse rows")
    row = found["float32, sparse"].row
    assert row.verdict == NOT_TRIED and "leaves out the last inputs" in row.reason
    assert found["float32, sparse rows"].row.verdict == ""


def test_int8_that_is_half_zeros_is_larger_without_them(tries):
    pytest.importorskip("litert_quantizer")
    found = tries(sparse_model(0.5), "int8 dynamic", "int8 dynamic, sparse")
    dense, sparse = (
        found[name].row for name in ("int8 dynamic", "int8 dynamic, sparse")
    )
    assert sparse.bytes > dense.bytes and dense.verdict == ""
    assert sparse.verdict == NOT_RUN and "failed to delegate" in sparse.reason


def test_more_zeros_may_make_a_larger_file_but_not_row_by_row(tries):
    # The converter then stores blocks of 4, most of them with three zeros.
    name, own = "float32, sparse", "float32, sparse rows"
    fewer = tries(sparse_model(0.95), name)[name].row
    more = tries(sparse_model(0.98), name, own)
    assert more[name].row.bytes > fewer.bytes > more[own].row.bytes
    # Both are right, and the choice compares their bytes.
    assert more[name].row.verdict == more[own].row.verdict == ""


def test_a_file_that_has_no_zeros_to_leave_out_is_not_tried(tries):
    row = tries(sparse_model(0.0), "float32, sparse")["float32, sparse"].row
    assert row.verdict == NOT_TRIED and "no kernel has enough zeros" in row.reason


def test_loops_take_one_row_and_are_not_calibrated(tries):
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2)])
    found = tries(model, "float32", "int8 static, sparse")
    (note,) = found["sources"].notes
    assert "one row at a time" in note and "unroll=True" in note
    assert found["sources"].same.file_batch == 1
    assert found["float32"].row.verdict == ""
    row = found["int8 static, sparse"].row  # TensorFlow's calibrator would crash
    assert row.verdict == NOT_TRIED and "loops" in row.reason


def test_calibration_uses_all_rows_in_batches_of_one_size(monkeypatch, tmp_path):
    monkeypatch.setattr(litert, "has_loops", lambda content: False)
    same = types.SimpleNamespace(
        file_batch=8, inputs={"a b": np.arange(20)}, names={"a b": "a_b"}
    )
    source = Source("", None, same, tmp_path, True, {((), False): b"dense"})
    batches = [batch["a_b"] for batch in source.examples()]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert set(np.concatenate(batches)) == set(range(20))


def test_unrolled_loops_take_any_number_of_rows(tries):
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2, unroll=True)])
    found = tries(model, "float32")
    assert found["sources"].notes == []
    assert found["sources"].same.file_batch is None
    assert found["float32"].row.verdict == ""
