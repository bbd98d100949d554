"""Tables of OpenML, through its own client and cache."""

import contextlib
import html
import os
import re
from pathlib import Path
from xml.etree import ElementTree

from keras_invprune.saving import did_you_mean, near_names
from keras_invprune_lab.data.base import Data, DataUnavailable
from keras_invprune_lab.data.kadra import TASKS, find_task
from keras_invprune_lab.data.network import unreachable
from keras_invprune_lab.data.sparse_arff import read_sparse_arff
from keras_invprune_lab.data.tabular import prepare
from keras_invprune_lab.extras import needed

DESCRIPTIONS = ("description.xml", "features.xml")
WAY_OUT = (
    "Without a network, set OPENML_CACHE_DIR to a folder that the openml client has "
    "filled on another machine."
)


def openml_table(identifier, seed=0, **choices) -> Data:
    """Return a classification table of OpenML; a fifth is the test set.

    Args:
        identifier: Data id such as "31", name such as "credit-g", or task id of one
            of the 40 tasks in `kadra.TASKS`, such as "233088".
        seed: Of the split.
        **choices: ``validation`` and ``encoding`` of `prepare`.

    Raises:
        ImportError: If the client is missing; names the extra.
        DataUnavailable: If it is not in the cache and cannot be downloaded.
        ValueError: If there is no such name, it is not a classification table, or a
            file in the cache cannot be read.
    """
    openml = _client()
    known, is_id = find_task(identifier), identifier.isascii() and identifier.isdigit()
    if known:
        number = known.data
    else:
        number = int(identifier) if is_id else _number(openml, identifier)
    dataset = _dataset(openml, number)
    frame, target = _frame(dataset), dataset.default_target_attribute
    if target not in frame:
        raise ValueError(
            f"OpenML's data set {number} must name one target. Received: {target!r}."
        )
    return prepare(frame.drop(columns=target), frame[target], seed, **choices)


def _client():
    with needed("data", by="OpenML's tables"):
        import openml
    return openml


def _dataset(openml, number):
    """Return the client's data set of that number, with its files in the cache."""
    import requests

    folder = Path(openml.config.get_cache_directory()) / "datasets" / str(number)
    what = f"OpenML's data set {number} could not be loaded"
    if _is_cached(folder):
        _check_descriptions(folder)
    elif reason := unreachable(openml.config.server):
        raise DataUnavailable(f"{what}: {reason}. {WAY_OUT}")
    try:
        with _impatient(openml, folder):
            return openml.datasets.get_dataset(
                number,
                download_data=True,
                download_qualities=False,
                download_features_meta_data=True,
            )
    except openml.exceptions.OpenMLServerException as error:
        raise ValueError(
            f"OpenML was reached, but does not have data set {number}: {error}."
        ) from error
    except (
        ConnectionError,
        requests.RequestException,
        openml.exceptions.PyOpenMLError,
    ) as error:
        raise DataUnavailable(f"{what}: {error}. {WAY_OUT}") from error


def _is_cached(folder) -> bool:
    """Return whether the client needs no network for the data set in that folder."""
    data = [folder / "dataset.arff", *folder.glob("dataset*.pq")]
    descriptions = [folder / name for name in DESCRIPTIONS]
    return all(map(Path.is_file, descriptions)) and any(map(Path.is_file, data))


def _check_descriptions(folder):
    """Raise for a faulty file; the client would delete the folder, data included."""
    for name in DESCRIPTIONS:
        try:
            ElementTree.parse(folder / name)
        except ElementTree.ParseError as error:
            raise _unreadable(folder / name, error) from error


def _frame(dataset):
    """Return the table of a data set whose files are in the cache, target included."""
    file = dataset.data_pickle_file or dataset.parquet_file or dataset.data_file
    try:
        if dataset.format.lower() == "sparse_arff" and not dataset.parquet_file:
            file = dataset.data_file
            left_out = [dataset.row_id_attribute, *(dataset.ignore_attribute or ())]
            return read_sparse_arff(file).drop(columns=left_out, errors="ignore")
        return dataset.get_data()[0]
    except (MemoryError, OSError):
        raise
    except Exception as error:  # each parser has its own
        raise _unreadable(file, error.__cause__ or error) from error


def _unreadable(file, reason) -> ValueError:
    return ValueError(
        f"{file} cannot be read: {str(reason).rstrip('.')}. Replace it by a whole one, "
        "or remove it to have it downloaded again."
    )


def cached_names(openml) -> dict[str, list[int]]:
    """Return ``{name: data ids}`` of the active data sets in the cache."""
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
    reason = unreachable(openml.config.server)
    if reason is None:
        try:
            with _impatient(openml):
                listed = openml.datasets.list_datasets(
                    data_name=name, status="active", output_format="dataframe"
                )
        except Exception as error:
            reason = str(error)
    if reason:
        near = near_names(name, known, n=3)
        tasks = [task.name for task in TASKS if task.name not in near]
        hint = did_you_mean(near_names(name, tasks, n=3))
        raise DataUnavailable(
            f"OpenML could not be asked for {name!r}: {reason}.{hint} In the cache: "
            f"{ids or near or [*known]}. {WAY_OUT}"
        )
    if len(listed) == 0:
        hint = did_you_mean(near_names(name, known, n=3))
        raise ValueError(f"OpenML has no active data set {name!r}.{hint}")
    return int(listed["did"].min())  # the first version


@contextlib.contextmanager
def _impatient(openml, folder=None):
    """Let OpenML's client give up soon: it would try for minutes.

    Args:
        openml: The client.
        folder: Of a data set in its cache. If the table is there as ARFF, the client
            does not look for it as Parquet.
    """
    config, variable = openml.config, openml.config.OPENML_SKIP_PARQUET_ENV_VAR
    before = config.retry_policy, config.connection_n_retries
    parquet = os.environ.get(variable)
    config.set_retry_policy("human", 1)
    if folder and (folder / "dataset.arff").is_file() and not any(folder.glob("*.pq")):
        os.environ[variable] = "true"
    try:
        yield
    finally:
        config.set_retry_policy(*before)
        if parquet is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = parquet
