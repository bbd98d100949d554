"""What `prune` refuses before it makes anything."""

import keras
import pytest

import keras_invprune as kip


class Wide:
    """Somebody's own allocation, which needs inputs and outputs of 4 or more."""

    def __call__(self, scores, sparsity):
        return kip.allocation.uniform(scores, sparsity)

    def check_weights(self, weights):
        for key, (layer, variable) in weights.items():
            if min(variable.shape) < 4:
                raise ValueError(f"{layer.name} is too narrow: {key}")


@pytest.mark.parametrize("shuffle", [lambda a: a, kip.allocation.Shuffled])
def test_any_allocation_is_asked_whether_it_can_read_the_weights(shuffle):
    sizes = {"wide": 8, "narrow": 3, "head": 5}
    layers = [keras.layers.Dense(units, name=name) for name, units in sizes.items()]
    plain, allocation = keras.Sequential([keras.Input((4,)), *layers]), shuffle(Wide())
    assert kip.prune(plain, 0.5, allocation=allocation, select=["wide"]).masks
    with pytest.raises(ValueError, match="narrow is too narrow: narrow/kernel"):
        kip.prune(plain, 0.5, allocation=allocation)
    # Of whole units it gets a number each, in which there is nothing to read.
    for tied in (True, False):
        units = kip.patterns.Units(tied=tied)
        assert kip.prune(plain, 0.5, allocation=Wide(), pattern=units).masks
