import keras
import pytest
from keras import layers

from keras_invprune.reporting import timing


def test_an_unknown_length_is_refused():
    model = keras.Sequential([keras.Input((None, 4)), layers.Dense(2)])
    with pytest.raises(ValueError, match="Give `keras.Input` all lengths"):
        timing.milliseconds_of_files([model])
