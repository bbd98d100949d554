"""The files of random-graph-nn-paper, made here in their format."""

import pickle

import numpy as np
import pandas as pd
import pytest

from keras_invprune_lab.structure.prediction.reading import read


def frames():
    index = [
        f"{name}_{n}_30_v{v}"
        for name in ("er1kx", "bakx")
        for n in (5, 10)
        for v in (0, 1)
    ]
    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(8, 3)), index, ["num_nodes", "021D", "radius"])
    y = pd.DataFrame({"test_acc": np.linspace(92, 93, 8)}, index)
    return {"X_train": x[:4], "X_test": x[4:], "y_train": y[:4], "y_test": y[4:]}


class _Runs:
    def __reduce__(self):
        return print, ("run",)


def test_pickled_frames_are_read_and_versions_stay_together(tmp_path):
    file = tmp_path / "data30.pkl"
    found = frames()
    # Objects, as in pandas 1, which wrote the public files.
    for frame in found.values():
        frame.index = frame.index.astype(object)
        frame.columns = frame.columns.astype(object)
    file.write_bytes(pickle.dumps(found, protocol=4))
    table = read(file)
    assert table.features == ("num_nodes", "021D", "radius")
    rows = table.rows("resnet", "test_accuracy")
    np.testing.assert_allclose(rows.y, np.linspace(0.92, 0.93, 8))
    assert len(np.unique(rows.groups)) == 4
    assert set(table.frame.prior) == {"er1kx", "bakx"}


@pytest.mark.parametrize("inside", [_Runs(), {"X_train": _Runs()}])
def test_a_pickle_that_would_run_code_is_refused(inside, tmp_path, capsys):
    file = tmp_path / "data30.pkl"
    file.write_bytes(pickle.dumps(inside))
    with pytest.raises(ValueError, match="it asks for builtins.print.*as CSV"):
        read(file)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80\x04junk", pickle.dumps({"X": 1})])
def test_a_torn_or_other_pickle_is_refused(content, tmp_path):
    file = tmp_path / "data30.pkl"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="data30.pkl"):
        read(file)
