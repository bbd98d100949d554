"""What `keras-invprune bench` prints."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.markdown import Markdown

from keras_invprune_lab.cli.benches import narrowed


def test_a_wide_table_is_printed_row_by_row():
    methods = ["dense", "OMP", "IUNet without small initialization", "β-LASSO"] * 2
    heading = ["", *methods]
    rows = [[f"openml:a-long-name-{i}", *["**98.76**"] * 7, ""] for i in (1, 2)]
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
    assert printed.count("98.76") == 14


@pytest.mark.parametrize("name", ["cifar10-small", "tabular-small", "at-init"])
def test_the_pages_of_our_results_are_readable_at_80_columns(name):
    page = Path(__file__).parents[3] / "docs" / "results" / name / "table.md"
    text = page.read_text().split("\n## Plots")[0]
    console = Console(file=io.StringIO(), width=80)
    console.print(Markdown(narrowed(text, 80)))
    printed = console.file.getvalue()
    figures = re.findall(r"(?<= )\d+\.\d+(?= \|)", text)
    assert len(figures) > 10 and all(figure in printed for figure in figures)
