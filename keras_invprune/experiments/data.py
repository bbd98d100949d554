"""Data sets of the experiments, each through its own loader."""

from typing import NamedTuple

import numpy as np


class Data(NamedTuple):
    """Arrays of a classification task; images in [0, 1], shape [n, h, w, c]."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y_train.max()) + 1


def digits(seed=0) -> Data:
    """The 1,797 8x8 digits inside scikit-learn; a quarter is the test set.

    Raises:
        ImportError: scikit-learn is missing; names the extra.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn: pip install '.[data]'."
        ) from error
    bunch = load_digits()
    x = (bunch.images[..., None] / 16.0).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(
        x, bunch.target, test_size=0.25, random_state=seed, stratify=bunch.target
    )
    return Data(x_train, y_train, x_test, y_test)


def tfds_images(name="mnist", data_dir=None) -> Data:
    """An image set of TensorFlow Datasets, with its own train and test split.

    Args:
        name: Name of the data set.
        data_dir: Where it is prepared; None for $TFDS_DATA_DIR or the default.

    Raises:
        ImportError: tensorflow-datasets is missing; names the extra.
        RuntimeError: It is not prepared and cannot be downloaded.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"{name} comes through tensorflow-datasets: pip install '.[data]'."
        ) from error
    try:
        parts = tfds.load(
            name,
            split=["train", "test"],
            batch_size=-1,
            as_supervised=True,
            data_dir=data_dir,
        )
    except Exception as error:
        raise RuntimeError(
            f"{name} could not be loaded: {error} Without a network, set "
            "TFDS_DATA_DIR to a folder where it is prepared."
        ) from error
    (x_train, y_train), (x_test, y_test) = tfds.as_numpy(parts)
    scale = np.float32(255.0)
    return Data(x_train / scale, y_train, x_test / scale, y_test)
