"""A folder holds one configuration."""

import json

import pytest

from keras_invprune_lab.runs.configuration import CONFIG, check_same


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    config = {"seed": 0, "method": "omp"}
    check_same(config, tmp_path)  # nothing is there yet
    (tmp_path / CONFIG).write_text(json.dumps(config))
    check_same(config, tmp_path)
    with pytest.raises(FileExistsError, match="seed: 0 there, 1 asked"):
        check_same({**config, "seed": 1}, tmp_path)


def test_what_only_the_older_one_names_does_not_matter(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps({"seed": 0, "transfer_epochs": 20}))
    check_same({"seed": 0}, tmp_path)


def test_what_came_in_later_is_filled_in(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps({"search": {"weight": 1.0}}))
    later = {"width": None, "search": {"weight": 1.0, "labels": True}}
    check_same({**later}, tmp_path, later)
    with pytest.raises(FileExistsError, match="width: None there, 3 asked"):
        check_same({**later, "width": 3}, tmp_path, later)
