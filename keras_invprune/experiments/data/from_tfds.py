"""Image sets of TensorFlow Datasets."""

import numpy as np

from keras_invprune.experiments.data.base import Data, DataUnavailable, hold_out
from keras_invprune.identifiers import did_you_mean, near_names

TESTED = 0.2  # of the rows of a set that comes without a test part


def tfds_images(name="mnist", data_dir=None, seed=0) -> Data:
    """An image set of TensorFlow Datasets, with its own test part if it has one.

    Args:
        name: Name of the data set.
        data_dir: Where it is prepared; None for $TFDS_DATA_DIR or the default.
        seed: Of the split, where it has no part "test": a fifth of the rows, by class.

    Raises:
        ImportError: tensorflow-datasets is missing; names the extra.
        DataUnavailable: It is not prepared and cannot be downloaded.
        ValueError: There is no such set, or it is not one of labelled images.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"{name} comes through tensorflow-datasets: pip install '.[data]'."
        ) from error
    names = _class_names(_builder(tfds, name, data_dir).info)

    def part(split):
        whole = {"batch_size": -1, "as_supervised": True, "data_dir": data_dir}
        x, y = tfds.as_numpy(tfds.load(name, split=split, **whole))
        return x / np.float32(255.0), y

    try:
        x, y = part("train")
        if "test" in _builder(tfds, name, data_dir).info.splits:
            return Data(x, y, *part("test"), names)
    except Exception as error:
        raise DataUnavailable(
            f"{name} could not be loaded: {error} Without a network, set "
            "TFDS_DATA_DIR to a folder where it is prepared."
        ) from error
    train, test = hold_out(y, TESTED, seed)
    return Data(x[train], y[train], x[test], y[test], names)


def _builder(tfds, name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        # Community data sets are listed in a bucket, which takes minutes to fail.
        known = tfds.list_builders(with_community_datasets=False)
        hint = did_you_mean(near_names(name, known, n=3))
        raise ValueError(f"TensorFlow Datasets has no {name!r}.{hint}") from error
    except (ValueError, AssertionError) as error:  # a configuration or version
        raise ValueError(f"TensorFlow Datasets has no {name!r}: {error}") from error


def _class_names(info) -> tuple[str, ...]:
    """The names of the classes; asked before a download, which may be a long one."""
    keys = info.supervised_keys or ()
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (info.features[key] for key in keys)
        fits = len(image.shape) == 3 and None not in image.shape
        if fits and image.np_dtype == np.uint8 and hasattr(label, "names"):
            # Before the first download the parts are not known.
            if not info.splits or "train" in info.splits:
                return tuple(label.names)
    raise ValueError(
        f"{info.name} is no set of 8-bit images of one size with a class each and a "
        "part 'train', such as mnist or cifar10."
    )
