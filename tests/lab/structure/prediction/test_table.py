"""Tables of trained graphs: rows, groups, and what is refused."""

import numpy as np
import pytest

from keras_invprune import priors
from keras_invprune_lab.structure.columns import FEATURES
from keras_invprune_lab.structure.prediction.csv_tables import read_csv
from keras_invprune_lab.structure.prediction.reading import read
from structures import table


def written(frame, folder):
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def test_the_features_are_those_of_the_package():
    assert priors.FEATURES == FEATURES


def test_a_graph_is_a_row_with_all_its_trainings(tmp_path):
    frame = table(graphs=5, seeds=3, noise=0.1, cells=("gru", "lstm"))
    found = read(written(frame, tmp_path))
    assert found.cells == ("gru", "lstm")
    assert found.targets == ("parameters", "test_accuracy")
    rows = found.rows("lstm", "test_accuracy")
    of = frame[frame.cell == "lstm"]
    np.testing.assert_allclose(rows.y, of.groupby("graph").test_accuracy.mean())
    assert [len(runs) for runs in rows.runs] == [3] * 5
    np.testing.assert_allclose(rows.x["nodes"], of[of.seed == 0]["nodes"])


def test_equal_structures_are_one_group_whatever_their_names(tmp_path):
    frame = table(graphs=6)
    frame.loc[4, list(FEATURES)] = frame.loc[1, list(FEATURES)]
    groups = read(written(frame, tmp_path)).rows("gru", "test_accuracy").groups
    assert groups[4] == groups[1]
    assert len(np.unique(groups)) == 5


def test_groups_of_the_table_are_joined_with_equal_structures(tmp_path):
    frame = table(graphs=6).assign(group=["a", "a", "b", "", "", "c"])
    frame.loc[5, list(FEATURES)] = frame.loc[0, list(FEATURES)]  # joins c and a
    rows = read(written(frame, tmp_path)).rows("gru", "test_accuracy")
    assert len(np.unique(rows.groups)) == 4
    assert len({rows.groups[i] for i in (0, 1, 5)}) == 1
    means = rows.averaged()
    assert [len(runs) for runs in means.runs] == [1] * 4
    joined = rows.groups[0]
    np.testing.assert_allclose(means.y[joined], rows.y[[0, 1, 5]].mean())
    np.testing.assert_allclose(
        means.x["nodes"].iloc[joined], rows.x["nodes"].iloc[[0, 1, 5]].mean()
    )


def test_some_of_the_features_may_be_chosen(tmp_path):
    rows = read(written(table(proxies=True), tmp_path)).rows("gru", "test_accuracy")
    few = rows.only(["edges", "nodes"])
    assert list(few.x) == list(few.features) == ["edges", "nodes"]
    assert few.proxies == ()
    np.testing.assert_array_equal(few.groups, rows.groups)
    with pytest.raises(ValueError, match="no feature 'edgs', .* mean 'edges'"):
        rows.only(["nodes", "edgs"])
    with pytest.raises(ValueError, match="Name a feature"):
        rows.only([])


def test_cheap_scores_are_told_from_structure(tmp_path):
    rows = read(written(table(proxies=True), tmp_path)).rows("gru", "test_accuracy")
    assert rows.proxies == ("proxy_synflow",)
    assert rows.features == FEATURES


def test_the_authors_columns_become_ours(tmp_path):
    line = (
        "GRU,barabasi_albert,0,6,27,50,2,2,4,0.07122507,2.25925926,3.18518519,"
        "0.31054131,0.55726234,0.14245014,0.01420287,0.11917579,0.4520539,0.00539864,"
        "0.07347544,0.05037037,0.0104428,0.10218999,0.04518519,0.00043521,0.0208626,"
        "0.91008,10.6276,2084.5"
    )
    kinds = ("eccentricity", "degree", "closeness", "nodes_betweenness")
    spread = [
        f"{k}_{s}" for k in (*kinds, "edge_betweenness") for s in ("mean", "var", "std")
    ]
    names = ["mode", "graph", "graph_nr", *FEATURES[:8], *spread]
    names += ["test_acc", "test_loss", "time"]
    file = tmp_path / "gru.csv"
    file.write_text(",".join(names) + "\n" + line + "\n")
    found = read_csv(file)
    assert found.kind == "the authors' csv"
    assert found.cells == ("gru",)
    row = found.rows("gru", found.target)
    assert list(row.x.index) == ["barabasi_albert_0"]
    assert row.y == [0.91008]
    assert row.x["degree_centrality_mean"].item() == 0.14245014
    assert row.x["betweenness_centrality_std"].item() == 0.10218999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="diameter"), "lacks diameter"),
        (lambda f: f.drop(columns="cell"), "lacks cell"),
        (lambda f: f.drop(columns=["parameters", "test_accuracy"]), "no figure"),
        (lambda f: f.assign(cell=["gru", "", "gru", ""]), "2 rows of .* in line 3"),
        (lambda f: f.assign(seed=0, graph="g"), "twice, such as graph 'g'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(written(change(table(graphs=4)), tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(edges=[*f["edges"][:-1], np.inf]), "'edges' of graph 'g3'"),
        (lambda f: f.assign(nodes=["?", *f["nodes"][1:]]), "1 values .* 'nodes'"),
        (lambda f: f.assign(graph="g", seed=range(4)), "different features in rows of"),
    ],
)
def test_rows_that_cannot_be_used_are_named(change, message, tmp_path):
    found = read(written(change(table(graphs=4)), tmp_path))
    with pytest.raises(ValueError, match=message):
        found.rows("gru", "test_accuracy")


@pytest.mark.parametrize(
    ("figures", "target"),
    [
        (["parameters", "valid_accuracy", "macs"], "valid_accuracy"),
        (["parameters", "valid_accuracy", "test_accuracy"], "test_accuracy"),
        (["parameters"], "parameters"),
    ],
)
def test_the_number_of_weights_is_predicted_only_if_there_is_nothing_else(
    figures, target, tmp_path
):
    frame = table(graphs=5).drop(columns=["parameters", "test_accuracy"])
    frame.assign(**dict.fromkeys(figures, 1.0)).to_csv(tmp_path / "t.csv", index=False)
    assert read(tmp_path / "t.csv").target == target


def test_other_cells_targets_and_files_are_refused(tmp_path):
    found = read(written(table(graphs=4), tmp_path))
    with pytest.raises(ValueError, match="no cell 'grru', but gru. Did .*'gru'"):
        found.rows("grru", "test_accuracy")
    with pytest.raises(ValueError, match="no target 'nodes', but .* test_accuracy.$"):
        found.rows("gru", "nodes")
    with pytest.raises(ValueError, match="Did you mean 'test_accuracy'"):
        found.rows("gru", "accuracy")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="Received: a.txt"):
        read(tmp_path / "a.txt")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="is not CSV"):
        read(tmp_path / "empty.csv")


def test_cells_that_are_numbers_have_names_all_the_same(tmp_path):
    found = read(written(table(graphs=4, cells=(1, 2)), tmp_path))
    assert found.cells == ("1", "2") and len(found.rows("1", "test_accuracy").y) == 4
    with pytest.raises(ValueError, match="no cell '3', but 1, 2"):
        found.rows("3", "test_accuracy")
