"""The files of graph2nn and of random-graph-nn-paper, made here in their formats."""

import pickle

import numpy as np
import pandas as pd
import pytest

from keras_invprune_lab.structure.prediction.reading import read

TRANSFORMS = ["talklinear", "dense", "64.0", "ws"]
GRAPHS = np.array(  # nodes, share, rewiring, seed, clustering, path
    [
        [64.0, 0.36550103, 0.09883558, 6.0, 0.57425391, 1.64087302],
        [64.0, 0.12951467, 0.69909733, 23.0, 0.13802534, 2.16418651],
    ]
)


def graph2nn(folder, keys=(("0.129515", "0.699097", "23.0"),), errors=(33.0, 34.0)):
    names = [[*TRANSFORMS, a, b, "sum", c] for a, b, c in keys]
    results = np.zeros((len(keys), len(errors), 8))
    results[:, :, 3] = errors
    np.save(folder / "names_mlp_cifar10_epoch200.npy", np.array(names))
    np.save(folder / "results_mlp_cifar10_epoch200.npy", results)
    return folder / "results_mlp_cifar10_epoch200.npy"


@pytest.mark.parametrize("place", ["final_results/mlp", "."])
def test_graph2nn_is_joined_from_its_files(place, tmp_path):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    np.save(tmp_path / "graphs_n64_2.npy", GRAPHS)
    found = read(graph2nn(tmp_path / place))
    assert (found.kind, found.cells) == ("graph2nn", ("mlp",))
    rows = found.rows("mlp", "test_accuracy")
    np.testing.assert_allclose(rows.runs, [[0.67, 0.66]])
    degree, clustering, path = rows.x.iloc[0]
    assert (clustering, path) == tuple(GRAPHS[1, 4:])
    assert degree == pytest.approx(64 * GRAPHS[1, 1])


def test_missing_and_wrong_files_of_graph2nn_are_named(tmp_path):
    file = graph2nn(tmp_path)
    with pytest.raises(FileNotFoundError, match="graphs_n64_3942.npy"):
        read(file)
    np.save(tmp_path / "graphs_n64_2.npy", GRAPHS[:1])
    with pytest.raises(ValueError, match="None of the 1 graphs"):
        read(file)
    np.save(tmp_path / "names_mlp_cifar10_epoch200.npy", np.array([["a"] * 8] * 3))
    with pytest.raises(ValueError, match="of the 3 graphs"):
        read(file)
    np.save(file, np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not an array of numbers"):
        read(file)
    (tmp_path / "names_mlp_cifar10_epoch200.npy").unlink()
    file.write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match="not an array of numbers"):
        read(file)


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
