"""The data sets inside scikit-learn."""

from keras_invprune_lab.data.base import Data
from keras_invprune_lab.data.tabular import prepare
from keras_invprune_lab.extras import needed

TABLES = ("breast_cancer", "iris", "wine")


def digits(seed=0) -> Data:
    """Return the 1,797 8x8 digits of scikit-learn; a quarter is the test set.

    Raises:
        ImportError: If scikit-learn is missing; names the extra.
    """
    with needed("demo", by="these digits"):
        from sklearn import datasets, model_selection
    bunch = datasets.load_digits()
    x = (bunch.images[..., None] / 16.0).astype("float32")
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        x, bunch.target, test_size=0.25, random_state=seed, stratify=bunch.target
    )
    return Data(x_train, y_train, x_test, y_test)


def sklearn_table(name, seed=0, **choices) -> Data:
    """Return one of the tables of scikit-learn; a fifth is the test set.

    Args:
        name: One of `TABLES`.
        seed: Of the split.
        **choices: ``validation`` and ``encoding`` of `prepare`.

    Raises:
        ImportError: If scikit-learn is missing; names the extra.
    """
    with needed("data", by="these tables"):
        from sklearn import datasets
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    labels = bunch.target.map(dict(enumerate(bunch.target_names)))
    return prepare(bunch.data, labels, seed, **choices)
