"""Image sets of TensorFlow Datasets."""

import json
import re
from pathlib import Path

import numpy as np

from keras_invprune.saving import did_you_mean, near_names
from keras_invprune_lab.data.base import Data, DataUnavailable, hold_out
from keras_invprune_lab.data.network import unreachable
from keras_invprune_lab.extras import needed

WAY_OUT = (
    "Without a network, set TFDS_DATA_DIR to a folder where TensorFlow Datasets has "
    "prepared it."
)
OUR_TROUBLE = (MemoryError, OSError, ImportError)  # says nothing about the data set
TESTED = 0.2  # of the rows of a set that comes without a test part


def tfds_images(name="mnist", data_dir=None, seed=0) -> Data:
    """Return an image set of TensorFlow Datasets, with its own test part if it has one.

    Args:
        name: Name of the data set.
        data_dir: Where it is prepared; None for $TFDS_DATA_DIR or the default.
        seed: Of the split, where it has no part "test": a fifth of the rows, by class.

    Raises:
        ImportError: If tensorflow-datasets is missing; names the extra.
        DataUnavailable: If it is not prepared and cannot be downloaded.
        ValueError: If there is no such set, it is not one of labeled images, or its
            files cannot be read.
    """
    with needed("data", by="these images"):
        import tensorflow_datasets as tfds
    builder = _builder(tfds, name, data_dir)
    names = _class_names(builder.info)
    if not builder.info.splits:  # known from the files of what is prepared
        _download(builder)
    x, y = _part(tfds, builder, "train")
    if "test" in builder.info.splits:
        return Data(x, y, *_part(tfds, builder, "test"), names)
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
    except OUR_TROUBLE:
        raise
    except Exception as error:  # of the parser of its description
        folder = data_dir or tfds.core.constants.DATA_DIR
        raise _unreadable(name, folder, error) from error


def _download(builder):
    """Download and prepare a data set.

    Raises:
        DataUnavailable: If it is unavailable; says why.
    """
    import requests

    what = f"{builder.name} is not prepared in {builder.data_dir_root}"
    wanted = _not_downloaded(builder)
    reason = unreachable(wanted[0]) if wanted else None
    if reason:
        raise DataUnavailable(f"{what}, and {reason}. {WAY_OUT}")
    try:
        builder.download_and_prepare()
    except (ConnectionError, TimeoutError, requests.RequestException) as error:
        raise DataUnavailable(f"{what}: {error}. {WAY_OUT}") from error
    except OUR_TROUBLE:
        raise
    except Exception as error:  # such as a checksum, or a file to fetch by hand
        raise DataUnavailable(f"{what}, and cannot be: {error}") from error


def _not_downloaded(builder) -> list[str]:
    """Return addresses of its files that are not among the notes of downloads."""
    notes = (Path(builder.data_dir_root) / "downloads").rglob("*.INFO")
    there = "".join(note.read_text(encoding="utf-8") for note in notes)
    urls = [url for url in builder.url_infos or () if url.startswith("http")]
    return [url for url in urls if json.dumps(url) not in there]


def _part(tfds, builder, split):
    """Return images in [0, 1] and classes: all rows of a part."""
    import tensorflow as tf

    try:
        rows = builder.as_dataset(split=split, batch_size=-1, as_supervised=True)
        x, y = tfds.as_numpy(rows)
    except (*OUR_TROUBLE, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # of TensorFlow's readers and decoders
        raise _unreadable(builder.name, builder.data_dir, error) from error
    return x / np.float32(255.0), y


def _unreadable(name, folder, error) -> ValueError:
    reason = re.sub(r"\{\{.*?\}\} ?|\[Op:.*", "", str(error)).strip().rstrip(".")
    return ValueError(
        f"The files of {name} in {folder} cannot be read: {reason}. Replace them by "
        "whole ones, or remove them to have them made again."
    )


def _class_names(info) -> tuple[str, ...]:
    """Return the names of the classes; asked before a download, which may be long."""
    keys = info.supervised_keys or ()
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (info.features[key] for key in keys)
        fits = len(image.shape) == 3 and None not in image.shape
        if fits and image.np_dtype == np.uint8 and hasattr(label, "names"):
            # Before the first download the parts are not known.
            if not info.splits or "train" in info.splits:
                return tuple(label.names)
    raise ValueError(
        f"{info.name} is not a data set of 8-bit images of one size, with a class each "
        "and a split 'train', such as mnist or cifar10."
    )
