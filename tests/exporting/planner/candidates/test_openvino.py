import keras
import numpy as np
import pytest
from keras import layers

import keras_invprune as kip
from disks import small_disk
from keras_invprune.exporting.planner import planning
from keras_invprune.exporting.planner.candidates import CANDIDATES
from keras_invprune.exporting.planner.candidates import openvino as family
from keras_invprune.exporting.planner.row import NOT_TRIED

openvino = pytest.importorskip("openvino", reason="needs the extra openvino")

OUTPUTS = 11  # OpenVINO's reader puts "output_10" before "output_2"
STATIC, SPARSE = "OpenVINO, int8 static", "OpenVINO, int8 static, sparse"


def several(outputs=2):
    """A network of two inputs that augments one of them, and of several outputs."""
    image, number = keras.Input((6, 6, 2), name="an image"), keras.Input((3,), name="b")
    flat = layers.Flatten()(layers.RandomFlip()(image))
    joined = layers.Concatenate()([flat, number])
    found = [layers.Dense(1 + size)(joined) for size in range(outputs)]
    return keras.Model([number, image], found)


def test_names_and_order_are_kept_and_augmentation_is_off(folder, monkeypatch):
    model = several(OUTPUTS)
    kinds = [kind for kind in CANDIDATES if kind.name == "OpenVINO, float32"]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    target = kip.Target("openvino-cpu", rounds=1)
    found = kip.export(model, folder, target=target, max_loss=1.0)
    assert found.best.file == "openvino" and "openvino" in found.versions
    paths = [path.name for path in (folder / "openvino").iterdir()]
    assert sorted(paths) == ["model.bin", "model.xml"]
    random = np.random.default_rng(0)
    x = random.random((5, 3), "float32"), random.random((5, 6, 6, 2), "float32")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    path = folder / "openvino" / "model.xml"
    run = openvino.Core().compile_model(path, "CPU", settings)
    arrays = run(dict(zip(("b", "an_image"), x, strict=True))).values()
    for array, expected in zip(arrays, model(x, training=False), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-5)


def test_a_disk_that_is_full_for_one_file_ends_the_export(tmp_path, monkeypatch):
    # Next to the SavedModel, there is room for the float16 file only.
    names = "OpenVINO, float32", "OpenVINO, float16"
    kinds = [kind for kind in CANDIDATES if kind.name in names]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    dense = [layers.Dense(512), layers.Dense(4)]
    model = keras.Sequential([keras.Input((64,)), *dense])
    with small_disk(tmp_path / "disk", kilobytes=420) as disk:
        with pytest.raises(OSError, match="was not written: .*Make room"):
            kip.export(model, disk / "mine", target="openvino-cpu")
        assert [path.name for path in disk.iterdir()] == []


def test_zeros_are_used_only_with_amx(tries, monkeypatch, tmp_path):
    monkeypatch.setattr(family, "PROCESSOR", tmp_path / "cpuinfo")
    row = tries(several(), SPARSE)[SPARSE].row  # a system without this file
    assert row.verdict == NOT_TRIED and row.bytes is None
    assert row.reason.startswith("unmeasured: ") and "AMX" in row.reason
    family.PROCESSOR.write_text("flags\t\t: fpu amx_int8 sse\n")
    # The processor at hand may lack it, and OpenVINO then ignores the option.
    found = tries(several(), STATIC, SPARSE)
    for name in (STATIC, SPARSE):
        assert found[name].row.verdict == "", found[name].row.reason
        assert 0 < found[name].row.score <= 1
    assert found[SPARSE].row.uses_zeros and not found[STATIC].row.uses_zeros
    assert found[SPARSE].row.runs[0].runtime.endswith("50% zeros, 1 thread")


@pytest.mark.parametrize("name", ["OpenVINO, float32", STATIC])
def test_a_tensor_that_is_two_outputs_is_the_reason(tries, name):
    inputs = keras.Input((6,))
    twice = layers.Dense(3)(inputs)
    model = keras.Model(inputs, {"a": twice, "b": twice, "c": layers.Dense(2)(twice)})
    row = tries(model, name)[name].row
    assert row.verdict == NOT_TRIED
    assert "two outputs are one tensor" in row.reason
