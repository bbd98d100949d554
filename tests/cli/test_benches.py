"""What `keras-invprune bench` prints while it works."""

import io

import pytest
from rich.console import Console

from keras_invprune.experiments.bench.jobs import expand
from keras_invprune.experiments.bench.recipe import Recipe
from keras_invprune_cli import benches

NAME = "openml:blood-transfusion-service-center"


@pytest.fixture
def jobs():
    recipe = Recipe(
        title="",
        datasets=[NAME],
        methods=["dense", "iunet"],
        model="mlp-tab",
        search_epochs=30,
        finetune_epochs=70,
    )
    return expand(recipe)


@pytest.fixture
def screen(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(benches, "console", console)
    return screen


def test_counts_and_times_stay_whole_beside_a_long_name(jobs, screen):
    with benches.bench_progress(jobs) as show:
        show(jobs[0].name, 0, 100)
        show(jobs[0].name, 5, 100)
    last = screen.getvalue().rsplit("all runs", 1)[1]
    assert "5/100 epochs" in last
    assert last.count("0:00:0") >= 2  # elapsed: of all runs and of this one
    # 100 of dense, 2 · 30 of a search with two views, 70 after it: 5 of 230
    assert "2%" in last.splitlines()[0]


def test_what_an_earlier_command_did_does_not_count(jobs, screen):
    with benches.bench_progress(jobs) as show:
        show(jobs[0].name, 70, 100)  # where it goes on
        show(jobs[0].name, 80, 100)
    last = screen.getvalue().rsplit("all runs", 1)[1]
    assert "6%" in last.splitlines()[0]  # 10 of 160


def test_a_run_that_begins_again_is_shown_again(jobs, screen):
    with benches.bench_progress(jobs) as show:
        for job in jobs:
            for done in (0, 100, 0, 100):
                show(job.name, done, 100)
    assert "100%" in screen.getvalue().rsplit("all runs", 1)[1]
