"""The files of graph2nn, made here in their format."""

import numpy as np
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
