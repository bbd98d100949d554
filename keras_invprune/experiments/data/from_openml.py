"""Tables of OpenML, through its own client and cache."""

import html
import re
from pathlib import Path

from keras_invprune.experiments.data.base import Data, DataUnavailable
from keras_invprune.experiments.data.kadra import TASKS, find_task
from keras_invprune.experiments.data.tables import prepare
from keras_invprune.identifiers import did_you_mean, near_names

WAY_OUT = (
    "Without a network, set OPENML_CACHE_DIR to a folder that the openml client has "
    "filled on another machine."
)


def openml_table(identifier, seed=0, **choices) -> Data:
    """A classification table of OpenML; a fifth is the test set.

    Args:
        identifier: Data id such as "31", name such as "credit-g", or task id of one
            of the 40 tasks in `kadra.TASKS`, such as "233088".
        seed: Of the split.
        **choices: ``validation`` and ``encoding`` of `prepare`.

    Raises:
        ImportError: The client is missing; names the extra.
        DataUnavailable: It is not in the cache and cannot be downloaded.
        ValueError: No such name, or no classification table.
    """
    try:
        import openml
    except ImportError as error:
        raise ImportError(
            "OpenML's tables come through its client: pip install '.[data]'."
        ) from error
    known, is_id = find_task(identifier), identifier.isascii() and identifier.isdigit()
    if known:
        number = known.data
    else:
        number = int(identifier) if is_id else _number(openml, identifier)
    with _few_retries(openml):
        try:
            dataset = openml.datasets.get_dataset(
                number,
                download_data=True,
                download_qualities=False,
                download_features_meta_data=True,
            )
            target = dataset.default_target_attribute
            frame, labels, _, _ = dataset.get_data(target=target)
        except openml.exceptions.OpenMLServerException as error:
            raise ValueError(
                f"OpenML was reached, but gives no data set {number}: {error}."
            ) from error
        except Exception as error:
            raise DataUnavailable(
                f"OpenML's data set {number} could not be loaded: {error}. {WAY_OUT}"
            ) from error
    if getattr(labels, "ndim", 0) != 1:
        raise ValueError(
            f"OpenML's data set {number} must name one target. Received: {target!r}."
        )
    return prepare(frame, labels, seed, **choices)


def cached_names(openml) -> dict[str, list[int]]:
    """``{name: data ids}`` of the active data sets in the cache."""
    folder = Path(openml.config.get_cache_directory()) / "datasets"
    found = {}
    for file in folder.glob("*/description.xml"):
        text = file.read_text(encoding="utf-8")
        name = re.search(r"<oml:name>([^<]*)</oml:name>", text)
        status = re.search(r"<oml:status>([^<]*)</oml:status>", text)
        active = status is None or status[1] == "active"
        if name and active and file.parent.name.isdigit():
            found.setdefault(html.unescape(name[1]), []).append(int(file.parent.name))
    return {name: sorted(ids) for name, ids in sorted(found.items())}


def _number(openml, name) -> int:
    known = cached_names(openml)
    ids = known.get(name, [])
    if len(ids) == 1:
        return ids[0]
    with _few_retries(openml):
        try:
            listed = openml.datasets.list_datasets(
                data_name=name, status="active", output_format="dataframe"
            )
        except Exception as error:
            near = near_names(name, known, n=3)
            tasks = [task.name for task in TASKS if task.name not in near]
            hint = did_you_mean(near_names(name, tasks, n=3))
            raise DataUnavailable(
                f"OpenML could not be asked for {name!r}: {error}.{hint} In the "
                f"cache: {ids or near or [*known]}. {WAY_OUT}"
            ) from error
    if len(listed) == 0:
        hint = did_you_mean(near_names(name, known, n=3))
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
