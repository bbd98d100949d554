import copy

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from keras import layers

from keras_invprune.exporting import converter, litert
from keras_invprune.exporting.serving import write_saved_model
from keras_invprune.exporting.sparse_rows import OVERHEAD, Rows, without_zeros


def restored(rows, shape):
    """The array, from its rows, as the format describes them."""
    found = np.zeros(shape, rows.values.dtype).reshape(-1, shape[-1])
    bounds = zip(rows.segments[:-1], rows.segments[1:], strict=True)
    for row, (start, end) in zip(found, bounds, strict=True):
        row[rows.indices[start:end]] = rows.values[start:end]
    return found.reshape(shape)


shapes = arrays.array_shapes(min_dims=2, max_dims=4, max_side=6)


@hypothesis.given(arrays.arrays(np.int8, shapes))
def test_an_array_is_restored_from_its_rows(array):
    array = np.where(array % 3 == 0, array, 0).astype(np.int8)
    rows = Rows.of(array)
    np.testing.assert_array_equal(restored(rows, array.shape), array)
    assert len(rows.values) == np.count_nonzero(array)
    assert rows.bytes == sum(each.nbytes for each in rows)


@pytest.mark.parametrize(
    "width, kept, segments, indices",
    [
        (256, 100, np.uint8, np.uint8),
        (257, 256, np.uint16, np.uint16),
        (70_000, 69_999, np.int32, np.int32),
    ],
)
def test_numbers_are_as_narrow_as_they_can_be(width, kept, segments, indices):
    array = np.zeros((1, width), np.float32)
    array[0, width - kept :] = 1
    rows = Rows.of(array)
    assert (rows.segments.dtype, rows.indices.dtype) == (segments, indices)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Convolutions and Dense layers with 95 % zeros, and their SavedModel."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="x"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(4),
        ]
    )
    random = np.random.default_rng(1)
    for layer in (model.layers[1], model.layers[3]):
        kernel = layer.kernel
        kernel.assign(kernel * (random.random(kernel.shape) >= 0.95))
    folder = tmp_path_factory.mktemp("saved")
    write_saved_model(model, converter.signature(model), folder)
    return model, folder


X = np.random.default_rng(2).normal(size=(5, 8, 8, 3)).astype("float32")


def outputs(content, delegate):
    (found,) = litert.runtime(content, delegate=delegate)({"x": X}).values()
    return found


@pytest.mark.parametrize("delegate", [True, False])
@pytest.mark.parametrize("options", [(), ("float16",)], ids=["float32", "float16"])
def test_the_file_computes_the_same_bit_for_bit(network, options, delegate):
    _, folder = network
    dense = converter.converted(folder, options)
    sparse = without_zeros(dense)
    assert len(sparse) < len(dense) / 2 and litert.is_sparse(sparse)
    np.testing.assert_array_equal(outputs(sparse, delegate), outputs(dense, delegate))


def test_quantized_weights_may_be_left_out_as_well(network):
    pytest.importorskip("litert_quantizer")
    from litert_quantizer import recipe
    from litert_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(converter.converted(network[1], ())))
    quantizer.load_quantization_recipe(recipe.weight_only_wi8_afp32())
    dense = bytes(quantizer.quantize(enable_progress_report=False).quantized_model)
    sparse = without_zeros(dense)
    assert len(sparse) < len(dense)
    np.testing.assert_array_equal(outputs(sparse, True), outputs(dense, True))


def test_the_largest_kernels_decide_the_size(network):
    model, folder = network
    dense = converter.converted(folder, ())
    kept = [np.count_nonzero(model.layers[n].kernel) for n in (1, 3)]
    whole = [model.layers[n].kernel.numpy().size for n in (1, 3)]
    # Each weight has 4 bytes and 1 for its place among 32 or 256 inputs. Where a row
    # begins takes 1 or 2: there are at most 255 weights in the first kernel.
    assert kept[0] <= 255 < kept[1]
    rows = (16 * 9 + 1) + 2 * (64 + 1)
    expected = len(dense) - 4 * sum(whole) + 5 * sum(kept) + rows
    assert expected < len(without_zeros(dense)) < expected + 3 * OVERHEAD


def as_output(schema, model, graph, kernel):
    graph.outputs = [*graph.outputs, kernel]


def in_a_shared_buffer(schema, model, graph, kernel):
    graph.tensors.append(copy.copy(graph.tensors[kernel]))


def with_another_reader(schema, model, graph, kernel):
    relu = schema.BuiltinOperator.RELU
    model.operatorCodes.append(schema.OperatorCodeT(builtinCode=relu))
    number = len(model.operatorCodes) - 1
    reader = schema.OperatorT(opcodeIndex=number, inputs=[kernel], outputs=[0])
    graph.operators.append(reader)


def with_operations_by_number(schema, model, graph, kernel):
    metadata = schema.MetadataT(name="model_control_dependencies", buffer=0)
    model.metadata.append(metadata)


@pytest.mark.parametrize(
    "change, others",
    [
        (as_output, True),
        (in_a_shared_buffer, True),
        (with_another_reader, True),
        (with_operations_by_number, False),
    ],
)
def test_kernels_that_something_else_needs_keep_their_zeros(network, change, others):
    schema = litert.schema()
    dense = converter.converted(network[1], ())
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(dense))
    (graph,) = model.subgraphs
    kernel = max(
        range(len(graph.tensors)), key=lambda n: np.prod(graph.tensors[n].shape)
    )
    assert model.buffers[graph.tensors[kernel].buffer].data is not None
    change(schema, model, graph, kernel)
    found = without_zeros(litert.serialized(model))
    assert (found is not None) == others
    if others:  # the other kernel is sparse
        tensors = schema.Model.GetRootAs(found).Subgraphs(0)
        assert tensors.Tensors(kernel).Sparsity() is None


def test_a_file_that_would_not_get_smaller_is_left_alone(tmp_path):
    model = keras.Sequential([keras.Input((32,)), layers.Dense(32)])
    write_saved_model(model, converter.signature(model), tmp_path)
    assert without_zeros(converter.converted(tmp_path, ())) is None
