"""Files that a command writes."""

import keras
import pytest
from keras import layers

from keras_invprune_lab.cli.files import save_smaller


def mlp(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])


def test_a_file_with_the_same_outputs_appears(tmp_path):
    model = mlp(0)
    assert save_smaller(model, tmp_path / "new" / "small.keras", model)
    assert [path.name for path in tmp_path.glob("**/*.*")] == ["small.keras"]


def test_a_file_with_other_outputs_does_not(tmp_path):
    with pytest.raises(ValueError, match="differs on drawn inputs"):
        save_smaller(mlp(0), tmp_path / "small.keras", mlp(1))
    assert list(tmp_path.iterdir()) == []


def test_what_keras_has_saved_is_compared(tmp_path, monkeypatch):
    model, other = mlp(0), mlp(1)
    monkeypatch.setattr(model, "save", other.save)  # as if a config left something out
    with pytest.raises(ValueError, match="differs on drawn inputs"):
        save_smaller(model, tmp_path / "small.keras", model)
    assert list(tmp_path.iterdir()) == []
