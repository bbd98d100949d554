"""What `keras-invprune bench` prints while it works."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.markdown import Markdown

from keras_invprune_lab.cli import benches
from keras_invprune_lab.cli.benches import narrowed
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs.jobs import expand

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


def test_a_wide_table_is_printed_row_by_row():
    methods = ["dense", "OMP", "IUNet without small initialization", "β-LASSO"] * 2
    heading = ["", *methods]
    rows = [
        [f"openml:a-long-name-{i}", *["**98.76** ± 0.54 (3)"] * 7, ""] for i in (1, 2)
    ]
    lines = [heading, ["---", *["---:"] * 8], *rows]
    wide = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    small = "| a | b |\n|---|---|\n| 1 | 2 |"
    text = narrowed(f"# Title\n\n{wide}\n\nA sentence.\n\n{small}", 80)
    assert small in text and "A sentence." in text
    console = Console(file=io.StringIO(), width=80)
    console.print(Markdown(text))
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    for word in (*methods, "openml:a-long-name-1", "openml:a-long-name-2"):
        assert word in printed
    assert printed.count("98.76 ± 0.54 (3)") == 14


@pytest.mark.parametrize("name", ["cifar10-small", "tabular-small", "at-init"])
def test_the_pages_of_our_results_are_readable_at_80_columns(name):
    page = Path(__file__).parents[3] / "docs" / "results" / name / "table.md"
    text = page.read_text().split("\n## Plots")[0]
    console = Console(file=io.StringIO(), width=80)
    console.print(Markdown(narrowed(text, 80)))
    printed = console.file.getvalue()
    figures = re.findall(r"\d+\.\d+ ± \d+\.\d+", text)
    assert len(figures) > 10 and all(figure in printed for figure in figures)
