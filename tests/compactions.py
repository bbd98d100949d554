"""What the tests of compaction share: sparse weights, and what must always hold."""

import keras
import numpy as np

from keras_invprune.compaction import compact, plan


def sparse(model, share=0.6, units=0.3, seed=0):
    """Draw all weights; zero some, and all that leads into or out of some channels."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        shape = tuple(variable.shape)
        values = random.normal(size=shape)
        if "variance" in variable.name:
            values = np.abs(values) + 0.5
        elif len(shape) > 1 and variable.name != "bias":
            values *= random.random(shape) >= share
            values *= random.random(shape[-1]) >= units
            values *= random.random((shape[-2], 1)) >= units
        elif len(shape) == 1:
            values *= random.random(shape) >= units
        variable.assign(values)
    return model


def drawn(model, rows=3, seed=1):
    """Inputs for a model, in its structure."""
    random = np.random.default_rng(seed)

    def values(tensor):
        shape = (tensor.shape[0] or rows, *(size or 7 for size in tensor.shape[1:]))
        if "int" in tensor.dtype or tensor.dtype == "bool":
            drawn = random.integers(0, 3, shape)
            drawn[0] = 0  # a row of which a mask leaves nothing
            return drawn.astype(tensor.dtype)
        return random.normal(size=shape).astype(tensor.dtype)

    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(values, structure)


def outputs(model, x):
    return [np.asarray(part) for part in keras.tree.flatten(model(x, training=False))]


def assert_same_outputs(model, made, tolerance=1e-5):
    x = drawn(model)
    for one, other in zip(outputs(model, x), outputs(made, x), strict=True):
        assert one.shape == other.shape
        finite = np.isfinite(one)  # as means of steps that are all masked are not
        assert finite.any()
        one, other = one[finite], other[finite]
        size = max(float(np.max(np.abs(one))), 1e-9)
        assert np.max(np.abs(one - other)) <= tolerance * size


def compacted(model):
    """The smaller model, after checks of all that must hold for every one."""
    before = [variable.numpy() for variable in model.variables]
    planned = plan(model)
    made = compact(model)
    assert_same_outputs(model, made)
    assert planned.parameters == (model.count_params(), made.count_params())
    for variable, values in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), values)
    assert [layer.name for layer in made.layers] == [x.name for x in model.layers]
    again = plan(made)
    assert again.changes == ()
    assert again.parameters[0] == planned.parameters[1]
    return made
