"""A saved predictor: it comes back the same, or not at all."""

import hashlib
import json
import re
import zipfile

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import SVR

from keras_invprune_lab.structure.columns import FEATURES
from keras_invprune_lab.structure.prediction.predictors import PREDICTORS
from keras_invprune_lab.structure.prediction.reading import read
from keras_invprune_lab.structure.prediction.trained import (
    ABOUT,
    ESTIMATOR,
    SCHEMA,
    Trained,
)
from structures import table


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    file = tmp_path_factory.mktemp("tables") / "table.csv"
    table(graphs=40, proxies=True).to_csv(file, index=False)
    return read(file).rows("gru", "test_accuracy")


@pytest.fixture(scope="module")
def saved(rows, tmp_path_factory):
    file = tmp_path_factory.mktemp("saved") / "trees.predictor"
    Trained.fit(rows, "extra-trees", FEATURES).save(file)
    return file


def dumped(estimator):
    import skops.io  # takes seconds, also for a process that runs other files

    return skops.io.dumps(estimator)


def changed(saved, file, member, change):
    """Writes a copy of which one member is changed, with the checksum made right."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[member] = change(parts[member])
    if member == ESTIMATOR:
        about = json.loads(parts[ABOUT])
        about["sha256"] = hashlib.sha256(parts[ESTIMATOR]).hexdigest()
        parts[ABOUT] = json.dumps(about).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


@pytest.mark.parametrize("name", PREDICTORS)
def test_each_predictor_comes_back_the_same(name, rows, tmp_path):
    trained = Trained.fit(rows, name, FEATURES)
    trained.save(tmp_path / "a.predictor")
    assert [file.name for file in tmp_path.iterdir()] == ["a.predictor"]
    again = Trained.load(tmp_path / "a.predictor", FEATURES)
    graphs = rows.x.to_dict("records")
    np.testing.assert_array_equal(again.predict(graphs), trained.predict(graphs))
    assert (again.predictor, again.cell, again.graphs) == (name, "gru", 40)
    assert again.features == FEATURES


def test_names_and_not_places_decide_what_a_feature_is(saved, rows):
    trained = Trained.load(saved)
    turned = [dict(reversed(graph.items())) for graph in rows.x.to_dict("records")]
    expected = trained.predict(rows.x.to_dict("records"))
    np.testing.assert_array_equal(trained.predict(turned), expected)
    assert trained.predict([]).shape == (0,)


def test_other_features_are_refused_with_their_names(saved, rows):
    with pytest.raises(ValueError, match="1 of them are missing: diameter"):
        Trained.load(saved, [name for name in FEATURES if name != "diameter"])
    renamed = [{"Nodes" if k == "nodes" else k: 1.0 for k in FEATURES}]
    with pytest.raises(ValueError, match="missing: nodes, and 'Nodes' is the closest"):
        Trained.load(saved).predict(renamed)
    with pytest.raises(ValueError, match="nodes=nan of graph 1"):
        graphs = rows.x.head(2).to_dict("records")
        Trained.load(saved).predict([graphs[0], graphs[1] | {"nodes": np.nan}])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_torn_file_is_refused(share, saved, tmp_path):
    content = saved.read_bytes()
    file = tmp_path / "torn.predictor"
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="torn"):
        Trained.load(file)


def test_a_file_of_another_format_is_refused(saved, tmp_path):
    newer = SCHEMA.replace("/1", "/2")
    old, new = SCHEMA.encode(), newer.encode()
    file = changed(saved, tmp_path / "new", ABOUT, lambda c: c.replace(old, new))
    with pytest.raises(ValueError, match=f"of the format {re.escape(newer)}"):
        Trained.load(file)
    file = changed(saved, tmp_path / "list", ABOUT, lambda c: b"[]")
    with pytest.raises(ValueError, match="of the format None"):
        Trained.load(file)
    with pytest.raises(FileNotFoundError):
        Trained.load(tmp_path / "none")


def test_what_a_file_says_in_another_form_is_refused(saved, tmp_path):
    def other(content):
        return json.dumps(
            json.loads(content) | {"features": 5, "versions": []}
        ).encode()

    file = changed(saved, tmp_path / "a", ABOUT, other)
    with pytest.raises(ValueError, match="lacks features, versions"):
        Trained.load(file)


def test_an_exchanged_estimator_is_refused(saved, tmp_path):
    def other(content):
        return json.dumps(json.loads(content) | {"sha256": "0"}).encode()

    file = changed(saved, tmp_path / "a", ABOUT, other)
    with pytest.raises(ValueError, match="not the one that was saved"):
        Trained.load(file)


def test_types_that_could_run_code_are_refused(saved, tmp_path):
    forged = dumped(FunctionTransformer(np.testing.assert_allclose))
    file = changed(saved, tmp_path / "forged", ESTIMATOR, lambda c: forged)
    with pytest.raises(ValueError, match="could run code"):
        Trained.load(file)


def test_a_tree_that_points_outside_of_itself_is_refused(rows, tmp_path):
    trained = Trained.fit(rows, "random-forest", FEATURES)
    tree = trained.estimator[-1].estimators_[3].tree_
    state = tree.__getstate__()
    inner = int(np.flatnonzero(state["nodes"]["left_child"] != -1)[-1])
    content = []
    for value in (10**6, 0):  # far outside, and a circle
        state["nodes"]["left_child"][inner] = value
        tree.__setstate__(state)
        content.append(dumped(trained.estimator))
    good = tmp_path / "good"
    Trained.fit(rows, "random-forest", FEATURES).save(good)
    for forged in content:
        file = changed(good, tmp_path / "bad", ESTIMATOR, lambda c, f=forged: f)
        with pytest.raises(ValueError, match="point outside"):
            Trained.load(file)


def test_trees_are_found_wherever_they_are(rows, tmp_path):
    good = Trained.fit(rows, "gradient-boosting", FEATURES)
    good.save(tmp_path / "good")
    boosting = good.estimator[-1]
    tree = Trained.fit(rows, "random-forest", FEATURES).estimator[-1].estimators_[0]
    state = tree.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    tree.tree_.__setstate__(state)
    boosting.init_ = tree  # what it predicts before the first stage
    forged = dumped(good.estimator)
    file = changed(tmp_path / "good", tmp_path / "bad", ESTIMATOR, lambda c: forged)
    with pytest.raises(ValueError, match="point outside"):
        Trained.load(file)


@pytest.mark.parametrize("pipeline", [True, False])
def test_estimators_that_no_predictor_has_are_refused(pipeline, saved, tmp_path):
    other = make_pipeline(MinMaxScaler()) if pipeline else SVR()
    forged = dumped(other)
    file = changed(saved, tmp_path / "forged", ESTIMATOR, lambda c: forged)
    name = "MinMaxScaler" if pipeline else "SVR"
    with pytest.raises(ValueError, match=f"that no predictor .* has: {name}"):
        Trained.load(file)


def test_other_predictions_than_before_are_refused(saved, tmp_path):
    def moved(content):
        about = json.loads(content)
        return json.dumps(about | {"predictions": [0.0] * 5}).encode()

    with pytest.raises(
        ValueError, match="does not predict what it did when it was saved"
    ):
        Trained.load(changed(saved, tmp_path / "a", ABOUT, moved))


def test_another_version_of_scikit_learn_is_mentioned(saved, tmp_path):
    def older(content):
        about = json.loads(content)
        return json.dumps(about | {"versions": {"scikit-learn": "1.0"}}).encode()

    file = changed(saved, tmp_path / "a", ABOUT, older)
    with pytest.warns(UserWarning, match="with scikit-learn 1.0"):
        Trained.load(file)
