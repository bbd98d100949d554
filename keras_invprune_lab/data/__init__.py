"""Data sets of the experiments, each through its own loader."""

from keras_invprune.saving import did_you_mean, named, near_names
from keras_invprune_lab.data.base import (
    Data,
    DataUnavailable,
    with_validation,
)
from keras_invprune_lab.data.from_openml import openml_table
from keras_invprune_lab.data.from_sklearn import TABLES, digits, sklearn_table
from keras_invprune_lab.data.from_tfds import tfds_images
from keras_invprune_lab.data.kadra import find_task
from keras_invprune_lab.data.reber import parse_name, reber
from keras_invprune_lab.data.tabular import prepare
from keras_invprune_lab.data.teacher import teacher

MADE = {"teacher": teacher}
SOURCES = ("sklearn", "tfds", "openml", "made", "reber")


def load(name, seed=0, validation=0.0, encoding="one_hot") -> Data:
    """Load the data set of that name, split.

    Args:
        name: ``"sklearn:digits"`` (or iris, wine, breast_cancer), ``"tfds:mnist"``
            or another image set of TensorFlow Datasets, ``"openml:31"``,
            ``"openml:credit-g"``, a task id of `kadra.TASKS`, ``"made:teacher"``, or
            ``"reber:25000"``, that many strings, see `reber.parse_name`.
        seed: Of the split, where the data set has none of its own.
        validation: Share of the training part to hold out, in [0, 1).
        encoding: Of tables, see `prepare`.

    Raises:
        ImportError: If the loader's library is missing; names the extra.
        DataUnavailable: If it is not there and there is no network; names the
            variable to set. A RuntimeError.
        ValueError: If the name is unknown; near matches are named.
    """
    source, _, rest = check_name(name).partition(":")
    tables = {"validation": validation, "encoding": encoding}
    if source == "tfds":
        return with_validation(tfds_images(rest, seed=seed), validation, seed)
    if source == "openml":
        return openml_table(rest, seed, **tables)
    if source == "made":
        return with_validation(MADE[rest](seed), validation, seed)
    if source == "reber":
        return with_validation(reber(**parse_name(rest), seed=seed), validation, seed)
    if rest == "digits":
        return with_validation(digits(seed), validation, seed)
    return sklearn_table(rest, seed, **tables)


def check_name(name) -> str:
    """Return the name of a data set, if a loader may know it.

    Raises:
        ValueError: If it names no loader; near matches are named.
    """
    source, _, rest = name.partition(":")
    if source in SOURCES and rest:
        if source == "sklearn":
            named(rest, dict.fromkeys(("digits", *TABLES)), "data set of scikit-learn")
        if source == "made":
            named(rest, MADE, "made data set")
        if source == "reber":
            parse_name(rest)
        return name
    near = near_names(source, SOURCES) if rest else []
    hint = did_you_mean([f"{loader}:{rest}" for loader in near])
    raise ValueError(
        "A data set is named 'sklearn:NAME', 'tfds:NAME', 'openml:ID', "
        f"'openml:NAME', 'made:teacher', or 'reber:25000'. Received: {name!r}.{hint}"
    )


def own_name(name) -> str:
    """Return one name for all that name the same data set, as far as we know."""
    source, _, rest = name.partition(":")
    task = find_task(rest) if source == "openml" else None
    return f"openml:{task.data}" if task else name


__all__ = [
    "Data",
    "DataUnavailable",
    "check_name",
    "digits",
    "load",
    "openml_table",
    "own_name",
    "prepare",
    "tfds_images",
]
