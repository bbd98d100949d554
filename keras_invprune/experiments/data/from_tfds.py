"""Image sets of TensorFlow Datasets."""

import difflib

import numpy as np

from keras_invprune.experiments.data.base import Data


def tfds_images(name="mnist", data_dir=None) -> Data:
    """An image set of TensorFlow Datasets, with its own train and test split.

    Args:
        name: Name of the data set.
        data_dir: Where it is prepared; None for $TFDS_DATA_DIR or the default.

    Raises:
        ImportError: tensorflow-datasets is missing; names the extra.
        RuntimeError: It is not prepared and cannot be downloaded.
        ValueError: There is no such set, or it is not one of labelled images.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"{name} comes through tensorflow-datasets: pip install '.[data]'."
        ) from error
    known = tfds.list_builders()
    if name.split("/")[0].split(":")[0] not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise ValueError(
            f"TensorFlow Datasets has no {name!r}."
            + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
        )
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
    if getattr(x_train, "ndim", 0) != 4 or x_train.dtype != np.uint8:
        raise ValueError(f"{name} is no set of images of one size with labels.")
    scale = np.float32(255.0)
    return Data(x_train / scale, y_train, x_test / scale, y_test)
