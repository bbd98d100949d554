"""A predictor that was trained on a table, in one file without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree

from keras_invprune.saving import near_names, replaced
from keras_invprune_lab.structure.prediction.predictors import pipeline
from keras_invprune_lab.structure.prediction.table import Rows

SCHEMA = "keras-invprune/structure-predictor/1"
ABOUT, ESTIMATOR = "predictor.json", "estimator.skops"  # members of the zip archive
ALLOWED = {
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
}
"""Parts of scikit-learn that skops asks about and that our predictors have. They run no
code; a forged tree could read foreign memory, so that trees are checked."""
PARTS = {
    "AdaBoostRegressor",
    "BayesianRidge",
    "DecisionTreeRegressor",
    "DummyRegressor",
    "ExtraTreeRegressor",
    "ExtraTreesRegressor",
    "GradientBoostingRegressor",
    "Pipeline",
    "RandomForestRegressor",
    "SVR",
    "StandardScaler",
    "TransformedTargetRegressor",
    "VotingRegressor",
}
"""The estimators of our predictors. All read as many features as the pipeline does, so
that the features of each tree are known."""
FIELDS = {
    "features": list,
    "predictor": str,
    "target": str,
    "cell": str,
    "graphs": int,
    "versions": dict,
    "probes": list,
    "predictions": list,
    "sha256": str,
}
"""What ``predictor.json`` says besides its format."""
PROBES = 5
"""Number of rows whose predictions are saved, and made again after loading."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained predictor of a figure from the structure of a graph.

    Attributes:
        estimator: The fitted pipeline of scikit-learn.
        features: Names of the features, in the order of the pipeline's columns.
        predictor: Name of the predictor.
        target: Name of the figure.
        cell: The kind of cell of the networks.
        graphs: Number of graphs it was trained on.
        probes: Some of their features, [probes, features].

    Example:
        >>> trained = Trained.load("gru.predictor")  # doctest: +SKIP
        >>> trained.predict([kip.priors.features(graph)])  # doctest: +SKIP
    """

    estimator: Pipeline
    features: tuple[str, ...]
    predictor: str
    target: str
    cell: str
    graphs: int
    probes: np.ndarray

    @classmethod
    def fit(
        cls, rows: Rows, predictor: str, features: Sequence[str], seed: int = 0
    ) -> Trained:
        """Train a predictor on all graphs.

        Args:
            rows: The graphs.
            predictor: A name in `predictors.PREDICTORS`.
            features: Columns of `rows.x`.
            seed: Of what the predictor draws.
        """
        x = rows.x[list(features)].to_numpy(float)
        estimator = pipeline(predictor, seed).fit(x, rows.y)
        about = (tuple(features), predictor, rows.target, rows.cell, len(x))
        return cls(estimator, *about, x[:PROBES])

    def predict(self, graphs: Iterable[Mapping[str, float]]) -> np.ndarray:
        """Return the predicted figure of each graph, [graphs].

        Args:
            graphs: For each graph ``{name: value}``, with the predictor's features;
                more are ignored. The rows of a frame are ``frame.to_dict("records")``.

        Raises:
            ValueError: If a feature is missing, or is not a finite number.
        """
        listed = list(graphs)
        for graph in listed:
            self._check_names(graph)
        x = np.array(
            [[graph[name] for name in self.features] for graph in listed], float
        )
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(
                "A predictor needs finite features. Received: "
                f"{self.features[column]}={x[row, column]} of graph {row}."
            )
        return self.estimator.predict(x) if len(x) else np.empty(0)

    def save(self, file: Path) -> None:
        """Write the predictor as a zip archive that is complete whenever it is there.

        It holds ``predictor.json`` (schema, names of the features, versions,
        predictions of the probes, checksum) and ``estimator.skops``.
        """
        content = _io().dumps(self.estimator)
        about = {
            "schema": SCHEMA,
            "features": list(self.features),
            "predictor": self.predictor,
            "target": self.target,
            "cell": self.cell,
            "graphs": self.graphs,
            "versions": _versions(),
            "probes": self.probes.tolist(),
            "predictions": self.estimator.predict(self.probes).tolist(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        with replaced(Path(file)) as new, zipfile.ZipFile(new, "w") as archive:
            archive.writestr(ABOUT, json.dumps(about, indent=2))
            archive.writestr(ESTIMATOR, content)

    @classmethod
    def load(cls, file: Path, features: Iterable[str] | None = None) -> Trained:
        """Read a predictor; nothing in the file is run.

        Args:
            file: Written by `save`.
            features: Names of the features that graphs will have; None: not compared.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is torn, is not a predictor or is one of another
                format, needs other features, holds types that are not trusted, or
                predicts something else than when it was saved.

        Warns:
            UserWarning: If it was saved with another version of scikit-learn.
        """
        about, content = _members(Path(file))
        _check_format(about, file)
        found = cls(
            estimator=_estimator(content, about, file),
            features=tuple(about["features"]),
            probes=np.array(about["probes"], float),
            **{name: about[name] for name in ("predictor", "target", "cell", "graphs")},
        )
        if features is not None:
            found._check_names(features)
        again = found.estimator.predict(found.probes)
        if not np.allclose(again, about["predictions"], rtol=1e-6, atol=1e-9):
            raise ValueError(
                f"{file} does not predict what it did when it was saved, with "
                f"scikit-learn {about['versions']['scikit-learn']}; this is "
                f"{sklearn.__version__}. Train the predictor again from its table."
            )
        return found

    def _check_names(self, names):
        known = set(names)
        absent = [name for name in self.features if name not in known]
        if absent:
            near = near_names(absent[0], known)
            closest = f", and {near[0]!r} is the closest name" if near else ""
            raise ValueError(
                f"The predictor reads {len(self.features)} features, and "
                f"{len(absent)} of them are missing: {', '.join(absent[:5])}{closest}. "
                "Train a predictor on a table that has the same features."
            )


def check_target(file: Path) -> None:
    """Raise unless a predictor can be saved to a file, before it is trained.

    Raises:
        FileExistsError: If it is there and is something else than a predictor.
        FileNotFoundError: If its folder is not there.
    """
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"A predictor is saved to a file in an existing folder. Received: {file}, "
            f"and there is no folder {file.parent}. Make it first."
        )
    if file.exists() and not _is_predictor(file):
        raise FileExistsError(
            f"A predictor may only replace an earlier one. Received: {file}, "
            "which is something else. Choose another name, or remove it."
        )


def _is_predictor(file) -> bool:
    try:
        about, _ = _members(file)
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("schema") == SCHEMA


def _io():
    """Import `skops.io`, which searches all modules for types, when it is needed."""
    import skops.io

    return skops.io


def _versions() -> dict[str, str]:
    return {"scikit-learn": sklearn.__version__, "skops": skops.__version__}


def _members(file) -> tuple[Any, bytes]:
    """Return what a file says of itself, and the bytes of its estimator."""
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file {file}. A predictor is a file that `keras-invprune "
            "structure predict TABLE --save FILE` has written."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            about = json.loads(archive.read(ABOUT))
            return about, archive.read(ESTIMATOR)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{file} is damaged, or is not a predictor of `structure predict --save`: "
            f"{error}. Train it again from its table."
        ) from error


def _check_format(about, file):
    schema = about.get("schema") if isinstance(about, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"This version reads predictors of the format {SCHEMA}. Received: {file} "
            f"of the format {schema}. Train it again from its table."
        )
    absent = [n for n, kind in FIELDS.items() if not isinstance(about.get(n), kind)]
    if absent:
        raise ValueError(f"{file} is not complete: it lacks {', '.join(absent)}.")


def _estimator(content, about, file) -> Pipeline:
    """Return the estimator after all checks that need not build it."""
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(
            f"{file} is damaged: its estimator is not the one that was saved. Train "
            "the predictor again from its table."
        )
    unknown = sorted({*_io().get_untrusted_types(data=content)} - ALLOWED)
    if unknown:
        raise ValueError(
            f"{file} holds types that no predictor of this package has: "
            f"{', '.join(unknown)}. They could run code. Do not use this file."
        )
    before = about["versions"].get("scikit-learn")
    if before != sklearn.__version__:
        warnings.warn(
            f"{file} was saved with scikit-learn {before}, and this is "
            f"{sklearn.__version__}. Predictions will only be compared for "
            f"{len(about['probes'])} graphs of its table. Train it again to be sure.",
            stacklevel=3,
        )
    with warnings.catch_warnings():
        # scikit-learn says the same for each part of the pipeline.
        category = sklearn.exceptions.InconsistentVersionWarning
        warnings.simplefilter("ignore", category)
        estimator = _io().loads(content, trusted=[*ALLOWED])
    _check_parts(estimator, len(about["features"]), file)
    return estimator


def _check_parts(estimator, features, file):
    """Raise ValueError if some part is not one that our predictors are made of."""
    parts = list(_parts(estimator, {}))
    foreign = sorted({type(part).__name__ for part in parts} - PARTS)
    if foreign or not isinstance(estimator, Pipeline):
        raise ValueError(
            f"{file} holds estimators that no predictor of this package has: "
            f"{', '.join(foreign) or type(estimator).__name__}. Do not use it."
        )
    for part in parts:
        if isinstance(part, BaseDecisionTree) and "tree_" in vars(part):  # is fitted
            _check_tree(part.tree_, features, file)


def _parts(thing, seen):
    """Yield all estimators in an object, wherever they are, each once."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, BaseEstimator):
        yield thing
    if isinstance(thing, BaseEstimator | dict):
        inner = (thing if isinstance(thing, dict) else vars(thing)).values()
    elif isinstance(thing, np.ndarray) and thing.dtype == object:
        inner = thing.flat
    else:
        inner = thing if isinstance(thing, list | tuple) else ()
    for each in inner:
        yield from _parts(each, seen)


def _check_tree(tree, features, file):
    """Raise ValueError if a tree would read memory that is not its own.

    Children have higher numbers than their parent, so that no path is a circle.
    """
    places = np.arange(tree.node_count)
    inner = tree.children_left != -1
    children = np.stack([tree.children_left, tree.children_right])[:, inner]
    ordered = (children > places[inner]) & (children < tree.node_count)
    known = (tree.feature[inner] >= 0) & (tree.feature[inner] < features)
    if not (tree.n_features == features and ordered.all() and known.all()):
        raise ValueError(
            f"{file} holds a tree whose nodes point outside of it. Do not use it."
        )
