"""What the documentation names is there."""

import ast
import re
from pathlib import Path

import pytest

from keras_invprune import tfmot

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_the_tests_named_are_there(page):
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text()):
        tree = ast.parse((ROOT / file).read_text())
        assert name in {getattr(node, "name", None) for node in tree.body}, name


@every_page
def test_the_files_named_are_there(page):
    text = page.read_text()
    named = re.findall(r"`((?:tests|examples|benchmarks|docs)/[\w/]+\.\w+)", text)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_migration_page_has_every_name_of_tf_mots():
    text = (ROOT / "docs" / "migration.md").read_text()
    names = [name for name in dir(tfmot.sparsity) if not name.startswith("_")]
    assert len(names) > 9
    assert [name for name in names if f"`{name}" not in text] == []
