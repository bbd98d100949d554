"""The 40 tables by their names and numbers."""

import numpy as np
import pytest

from keras_invprune_lab.data import load
from keras_invprune_lab.data.from_openml import cached_names
from keras_invprune_lab.data.kadra import TASKS, find_task


def test_forty_tasks_whose_numbers_and_names_mean_one_each():
    assert len(TASKS) == 40
    # Task ids and data ids share one namespace, since both may be asked for.
    assert len({number for task in TASKS for number in task[:2]}) == 80
    assert len({task.name.casefold() for task in TASKS}) == 40


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_is_found_by_name_task_and_data_id(task):
    asked = (task.name, task.name.upper(), task.name.lower(), str(task.task), task.data)
    assert [find_task(identifier) for identifier in asked] == [task] * 5


def test_what_is_none_of_them():
    assert find_task("iris") is find_task("61") is find_task("") is None


def test_the_names_are_those_that_openml_gives_the_data(openml):
    import openml as client

    known = {
        number: name for name, ids in cached_names(client).items() for number in ids
    }
    found = {task.data: task.name for task in TASKS if task.data in known}
    assert found and found == {number: known[number] for number in found}


@pytest.mark.parametrize("name", ["233088", "Credit-G"])
def test_a_task_is_its_data_set(openml, name):
    found, expected = load(f"openml:{name}"), load("openml:31")
    assert found.names == expected.names
    np.testing.assert_array_equal(found.x_train, expected.x_train)
    np.testing.assert_array_equal(found.y_test, expected.y_test)


def test_a_name_that_is_nearly_one_is_told_without_a_network(tmp_path, monkeypatch):
    client = pytest.importorskip("openml")
    monkeypatch.setattr(
        client.config, "get_cache_directory", lambda: tmp_path / "org/openml/www"
    )
    # Nothing listens on port 9.
    monkeypatch.setattr(client.config, "server", "http://127.0.0.1:9/api/v1/xml")
    message = r"Did you mean 'credit-g'\? In the cache: \[\]"
    with pytest.raises(RuntimeError, match=message):
        load("openml:credit_g")
