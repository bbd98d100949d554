"""From a table with holes, strings and constants to standardised rows.

All that is learned from data (medians, means, categories, which columns are constant)
is learned from the training part.
"""

import numpy as np

from keras_invprune.experiments.data.base import Data

TEST_SHARE = 0.2
MIN_ROWS = 6
MAX_CATEGORIES = 64


def prepare(frame, labels, seed=0) -> Data:
    """Splits a table (stratified, 20 % test) and makes numbers of it.

    Numbers: median for what is missing, then mean 0 and variance 1. Categories (all
    other columns): one column each, a missing value is one of its own; all but the
    63 most frequent of a column share one, and so do those never seen in training.
    Columns that are constant in training are dropped.

    Args:
        frame: pandas.DataFrame of the features, [n, columns].
        labels: pandas.Series of the classes, of any type, [n].
        seed: Of the split.

    Returns:
        `Data`, float32; classes are numbered in their sorted order, numbers by
        value.

    Raises:
        ValueError: Too few rows or members of a class to split, a target that is no
            class or is missing, an infinite number, no column that varies.
    """
    from sklearn.model_selection import train_test_split

    if len(frame) != len(labels):
        raise ValueError(f"{len(frame)} rows have {len(labels)} labels; one each.")
    if len(labels) < MIN_ROWS:
        raise ValueError(
            f"{len(labels)} rows are too few: with a fifth for testing, two classes "
            f"need at least {MIN_ROWS}."
        )
    names, y = _classes(labels)
    frame = _plain(frame)
    train, test = train_test_split(
        np.arange(len(y)), test_size=TEST_SHARE, random_state=seed, stratify=y
    )
    transformer = _transformer(frame.iloc[train])
    x_train = transformer.fit_transform(frame.iloc[train]).astype("float32")
    x_test = transformer.transform(frame.iloc[test]).astype("float32")
    return Data(x_train, y[train], x_test, y[test], names)


def _classes(labels):
    """Names and numbers of the classes; raises for what cannot be split by class."""
    missing = int(labels.isna().sum())
    if missing:
        raise ValueError(
            f"The target is missing in {missing} of {len(labels)} rows. Drop them."
        )
    if labels.dtype == "category":
        labels = labels.astype(labels.cat.categories.dtype)
    kind = labels.dtype.kind
    whole = kind in "iu" or (kind == "f" and bool((labels % 1 == 0).all()))
    values = labels.astype("int64") if whole else labels.astype(object).astype(str)
    names, y, counts = np.unique(
        np.asarray(values), return_inverse=True, return_counts=True
    )
    names = [str(name) for name in names]
    if kind in "fcmM" and not whole or whole and len(names) > len(y) / 2:
        raise ValueError(
            f"The target {labels.name!r} is no class: {len(names)} different "
            f"{'dates' if kind in 'mM' else 'numbers'} in {len(y)} rows. This is for "
            "classification."
        )
    _check_split(names, counts, number=whole)
    return tuple(names), y.astype("int64")


def _check_split(names, counts, number):
    rows, single = (
        counts.sum(),
        [n for n, c in zip(names, counts, strict=True) if c < 2],
    )
    hint = " If it is a quantity: this is for classification." if number else ""
    if len(names) < 2:
        raise ValueError(
            f"The target has 1 class; two are needed. Received: {names[0]!r} only."
        )
    if single:
        raise ValueError(
            f"Classes with one member cannot be in both parts: {single[:9]}. "
            f"Drop them or join them with others.{hint}"
        )
    tests = int(np.ceil(rows * TEST_SHARE))
    if min(tests, rows - tests) < len(names):
        raise ValueError(
            f"{rows} rows are too few: with a fifth for testing, each part must "
            f"hold all {len(names)} classes. Join classes or add rows.{hint}"
        )


def _plain(frame):
    """Numbers the columns, whose names may be of any type or the same; no sparse ones.

    Raises:
        ValueError: A number is infinite.
    """
    import pandas as pd

    columns, frame = frame.columns, frame.set_axis(range(frame.shape[1]), axis=1)
    sparse = {
        column: dtype.subtype
        for column, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.SparseDtype)
    }
    frame = frame.astype(sparse)
    for column in frame:
        if _is_number(frame[column]):
            values = frame[column].to_numpy(dtype="float64", na_value=np.nan)
            if np.isinf(values).any():
                raise ValueError(
                    f"The column {columns[column]!r} has infinite values. Replace "
                    "them, for instance by missing ones."
                )
    return frame


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
