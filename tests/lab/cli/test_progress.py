"""What the commands show while they train."""

import io

import pytest
from rich.console import Console

from keras_invprune_lab.cli import progress as display
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs.jobs import expand

NAME = "openml:blood-transfusion-service-center"


@pytest.fixture
def costs():
    recipe = Recipe(
        title="",
        datasets=[NAME],
        methods=["dense", "iunet"],
        model="mlp-tab",
        search_epochs=30,
        finetune_epochs=70,
    )
    return {job.name: job.cost for job in expand(recipe)}


@pytest.fixture
def screen(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(display, "console", console)
    return screen


def test_counts_and_times_stay_whole_beside_a_long_name(costs, screen):
    with display.progress(costs) as show:
        show(next(iter(costs)), 0, 100)
        show(next(iter(costs)), 5, 100)
    last = screen.getvalue().rsplit("all runs", 1)[1]
    assert "5/100 epochs" in last
    assert last.count("0:00:0") >= 2  # elapsed: of all runs and of this one
    # 100 of dense, 2 · 30 of a search with two views, 70 after it: 5 of 230
    assert "2%" in last.splitlines()[0]


def test_what_an_earlier_command_did_does_not_count(costs, screen):
    with display.progress(costs) as show:
        show(next(iter(costs)), 70, 100)  # where it goes on
        show(next(iter(costs)), 80, 100)
    last = screen.getvalue().rsplit("all runs", 1)[1]
    assert "6%" in last.splitlines()[0]  # 10 of 160


def test_a_run_that_begins_again_is_shown_again(costs, screen):
    with display.progress(costs) as show:
        for name in costs:
            for done in (0, 100, 0, 100):
                show(name, done, 100)
    assert "100%" in screen.getvalue().rsplit("all runs", 1)[1]


def test_nothing_is_drawn_where_nothing_is_begun(costs, screen):
    with display.progress(), display.progress(costs):
        pass
    assert screen.getvalue() == ""


def test_single_trainings_stay_when_they_are_done(screen):
    with display.progress() as show:
        show("dense", 2, 2)
        show("pruned", 1, 2)
    last = screen.getvalue().rsplit("dense", 1)[1]
    assert "2/2 epochs" in last and "1/2 epochs" in last
    assert "all runs" not in screen.getvalue()
