"""Which configurations are the same."""

import json

import pytest

from keras_invprune.saving import UNFINISHED
from keras_invprune_lab.recipes.recipe import Optimizer
from keras_invprune_lab.runs.configuration import (
    CONFIG,
    check_folder,
    check_same,
    held,
)
from keras_invprune_lab.runs.execute import JobTask

ASKED = {"rate": 0.1, "optimizer": {"name": "sgd", "momentum": 0.9}}


def written(config, folder):
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    check_same(ASKED, tmp_path)  # nothing is there yet
    written(ASKED, tmp_path)
    check_same(ASKED, tmp_path)
    with pytest.raises(FileExistsError, match="rate: 0.1 there, 0.2 asked"):
        check_same(ASKED | {"rate": 0.2}, tmp_path)


def test_of_many_differences_some_are_named(tmp_path):
    written({}, tmp_path)
    many = {f"key{number}": number for number in range(20)}
    with pytest.raises(FileExistsError, match=r"key4: .*asked; and 15 more\). Choose"):
        check_same(many, tmp_path)


@pytest.mark.parametrize("content", [b"", b"{torn", b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_configuration_is_named(content, tmp_path):
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(FileExistsError, match=r"config.json .* damaged, or .*--out"):
        check_same(ASKED, tmp_path)
    assert (tmp_path / CONFIG).read_bytes() == content


def test_what_only_the_older_one_names_does_not_matter(tmp_path):
    written(ASKED | {"transfer_epochs": 20}, tmp_path)
    check_same(ASKED, tmp_path)


def test_what_older_configurations_lack_is_filled_at_both_levels(tmp_path):
    written({"optimizer": {"name": "sgd"}}, tmp_path)
    inside = {"optimizer": {"name": "adamw", "momentum": 0.9}}
    check_same(ASKED, tmp_path, {"rate": 0.1}, inside)
    with pytest.raises(FileExistsError, match="rate: 0.2 there, 0.1 asked"):
        check_same(ASKED, tmp_path, {"rate": 0.2}, inside)
    with pytest.raises(FileExistsError, match="'momentum': 0.5, 'name': 'sgd'} there"):
        check_same(ASKED, tmp_path, {"rate": 0.1}, {"optimizer": {"momentum": 0.5}})


def test_a_part_of_a_recipe_that_is_off_by_default_is_filled_where_it_is_on():
    assert JobTask.defaults["finetune_optimizer"] is None
    assert JobTask.inside["finetune_optimizer"] == Optimizer().model_dump()


def test_a_folder_of_others_is_refused_until_it_has_our_configuration(tmp_path):
    out = tmp_path / "out"
    check_folder(ASKED, out)
    out.mkdir()
    for name in (".lock", "rows", f"{UNFINISHED}{CONFIG}"):  # of a command cut short
        (out / name).touch()
    check_folder(ASKED, out, ("rows",))
    with pytest.raises(FileExistsError, match="such as rows. Choose another --out"):
        check_folder(ASKED, out)
    written(ASKED, out)
    check_folder(ASKED, out)
    with pytest.raises(FileExistsError, match="rate: 0.1 there"):
        check_folder(ASKED | {"rate": 0.2}, out)
    with pytest.raises(NotADirectoryError, match=f"{CONFIG} is a file. Choose another"):
        check_folder(ASKED, out / CONFIG)


def test_a_folder_is_held_with_what_others_added_in_the_meantime(tmp_path):
    found = iter(["before", "added"])
    with held({"a": 1}, tmp_path / "out", (), lambda: next(found)) as results:
        assert results == "added"
        assert json.loads((tmp_path / "out" / CONFIG).read_text()) == {"a": 1}
        with (
            pytest.raises(BlockingIOError, match="another process"),
            held({"a": 1}, tmp_path / "out", (), dict),
        ):
            pass


def test_nothing_is_written_where_the_results_are_those_of_others(tmp_path):
    def read():
        raise ValueError("not ours")

    with pytest.raises(ValueError, match="not ours"), held({}, tmp_path, (), read):
        pass
    assert not list(tmp_path.iterdir())
