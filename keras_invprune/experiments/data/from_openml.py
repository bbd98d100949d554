"""Tables of OpenML, through its own client and cache."""

import difflib
import re
from pathlib import Path

from keras_invprune.experiments.data.base import Data
from keras_invprune.experiments.data.tables import prepare

WAY_OUT = (
    "Without a network, set OPENML_CACHE_DIR to a folder that the openml client has "
    "filled on another machine."
)


def openml_table(identifier, seed=0) -> Data:
    """A classification table of OpenML; a fifth is the test set.

    Args:
        identifier: Data id such as "31", or name such as "credit-g".
        seed: Of the split.

    Raises:
        ImportError: The client is missing; names the extra.
        RuntimeError: It is not in the cache and cannot be downloaded.
        ValueError: No such name, or no classification table.
    """
    try:
        import openml
    except ImportError as error:
        raise ImportError(
            "OpenML's tables come through its client: pip install '.[data]'."
        ) from error
    number = int(identifier) if identifier.isdigit() else _number(openml, identifier)
    with _few_retries(openml):
        try:
            dataset = openml.datasets.get_dataset(
                number,
                download_data=True,
                download_qualities=False,
                download_features_meta_data=True,
            )
            frame, labels, _, _ = dataset.get_data(
                target=dataset.default_target_attribute
            )
        except Exception as error:
            raise RuntimeError(
                f"OpenML's data set {number} could not be loaded: {error}. {WAY_OUT}"
            ) from error
    if labels is None:
        raise ValueError(f"OpenML's data set {number} names no target.")
    return prepare(frame, labels, seed)


def cached_names(openml) -> dict[str, int]:
    """``{name: data id}`` of what is in the cache."""
    folder = Path(openml.config.get_cache_directory()) / "datasets"
    found = {}
    for file in folder.glob("*/description.xml"):
        name = re.search(r"<oml:name>([^<]*)</oml:name>", file.read_text())
        if name and file.parent.name.isdigit():
            found[name[1]] = int(file.parent.name)
    return found


def _number(openml, name) -> int:
    known = cached_names(openml)
    if name in known:
        return known[name]
    with _few_retries(openml):
        try:
            listed = openml.datasets.list_datasets(
                data_name=name, status="active", output_format="dataframe"
            )
        except Exception as error:
            near = difflib.get_close_matches(name, known, n=3)
            raise RuntimeError(
                f"OpenML could not be asked for {name!r}: {error}. In the cache: "
                f"{near or sorted(known)}. {WAY_OUT}"
            ) from error
    if len(listed) == 0:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"OpenML has no active data set {name!r}.{hint}")
    return int(listed["did"].min())  # the first version


class _few_retries:
    """OpenML's client tries for minutes; whoever waits wants to know sooner."""

    def __init__(self, openml):
        self.config = openml.config

    def __enter__(self):
        self.before = self.config.retry_policy, self.config.connection_n_retries
        self.config.set_retry_policy("human", 1)

    def __exit__(self, *_):
        self.config.set_retry_policy(*self.before)
