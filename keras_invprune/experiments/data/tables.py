"""From a table with holes, strings and constants to standardised rows.

All that is learned from data (medians, means, categories, which columns are constant)
is learned from the training part.
"""

import numpy as np

from keras_invprune.experiments.data.base import Data

TEST_SHARE = 0.2
MAX_CATEGORIES = 64


def prepare(frame, labels, seed=0) -> Data:
    """Splits a table (stratified, 20 % test) and makes numbers of it.

    Numbers: median for what is missing, then mean 0 and variance 1. Categories
    (strings, booleans, pandas categories): one column each, a missing value is one
    of its own; all but the 63 most frequent of a column share one, and so do those
    never seen in training. Columns that are constant in training are dropped.

    Args:
        frame: pandas.DataFrame of the features, [n, columns].
        labels: pandas.Series of the classes, of any type, [n].
        seed: Of the split.

    Returns:
        `Data`, float32; classes are numbered in the order of their sorted names.

    Raises:
        ValueError: Too few rows or members of a class to split, a target that is no
            class or is missing, no column that varies.
    """
    from sklearn.model_selection import train_test_split

    names, y = _classes(labels)
    tests = int(np.ceil(len(y) * TEST_SHARE))
    if min(tests, len(y) - tests) < len(names):
        raise ValueError(
            f"{len(y)} rows are too few: with a fifth for testing, each part must "
            f"hold all {len(names)} classes."
        )
    train, test = train_test_split(
        np.arange(len(y)), test_size=TEST_SHARE, random_state=seed, stratify=y
    )
    transformer = _transformer(frame.iloc[train])
    x_train = transformer.fit_transform(frame.iloc[train]).astype("float32")
    x_test = transformer.transform(frame.iloc[test]).astype("float32")
    return Data(x_train, y[train], x_test, y[test], names)


def _classes(labels):
    missing = int(labels.isna().sum())
    if missing:
        raise ValueError(f"The target is missing in {missing} of {len(labels)} rows.")
    values = np.asarray(labels.astype(object))
    names, y, counts = np.unique(
        values.astype(str), return_inverse=True, return_counts=True
    )
    fractions = labels.dtype.kind == "f" and np.any(labels % 1)
    if fractions or (labels.dtype.kind in "if" and len(names) > len(y) / 2 > 2):
        raise ValueError(
            f"The target {labels.name!r} is no class: {len(names)} different numbers "
            f"in {len(y)} rows. This is for classification."
        )
    if len(names) < 2:
        raise ValueError(f"The target has {len(names)} class; two are needed.")
    single = names[counts < 2]
    if len(single):
        raise ValueError(
            f"Classes with one member cannot be in both parts: {list(single[:9])}. "
            "Drop them or join them with others."
        )
    return tuple(map(str, names)), y.astype("int64")


def _transformer(train):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        OneHotEncoder,
        StandardScaler,
    )

    varying = [c for c in train.columns if train[c].nunique(dropna=False) > 1]
    # A column that is a number or missing tells nothing once it is filled.
    numbers = [c for c in varying if _is_number(train[c]) and train[c].nunique() > 1]
    categories = [c for c in varying if not _is_number(train[c])]
    if not numbers and not categories:
        raise ValueError("No column of the table varies in the training part.")
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    )
    return ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                numbers,
            ),
            (
                "categories",
                make_pipeline(FunctionTransformer(_as_text), encoder),
                categories,
            ),
        ]
    )


def _is_number(column) -> bool:
    return column.dtype.kind in "iuf"


def _as_text(frame):
    """Strings for all values, so that types do not mix; one for the missing."""
    return frame.astype(object).where(frame.notna(), "(missing)").astype(str)
