"""What the documentation names is there."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_invprune
from keras_invprune.tfmot import sparsity
from keras_invprune_lab.models import mlp

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
    names = [name for name in dir(sparsity) if not name.startswith("_")]
    assert len(names) > 9
    assert [name for name in names if f"`{name}" not in text] == []


MODULES = [keras_invprune] + [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(keras_invprune.__path__, "keras_invprune.")
]
EXAMPLES = [
    example
    for module in MODULES
    for example in doctest.DocTestFinder(exclude_empty=True).find(
        module, extraglobs={"np": np, "keras": keras}
    )
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_examples_in_docstrings(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert found.failed == 0


def public_names():
    """(name, object) of all that the package offers."""
    for name in keras_invprune.__all__:
        found = getattr(keras_invprune, name)
        if not inspect.ismodule(found):
            yield name, found
            continue
        for inner in found.__all__:
            yield f"{name}.{inner}", getattr(found, inner)


def test_every_public_name_is_documented():
    # Not `inspect.getdoc`, which takes the docstring of a base class.
    undocumented = [name for name, found in public_names() if not found.__doc__]
    assert undocumented == []


def test_the_main_names_have_an_example():
    shown = {example.name for example in EXAMPLES}
    for name in ("prune", "prune_for_invariance", "strip_pruning"):
        assert any(one.endswith(f".{name}") for one in shown)
    assert len(shown) > 25


def execute(page, space):
    """Runs the Python blocks of a page one after the other, in one namespace."""
    text = page.read_text()
    for match in re.finditer(r"```python\n(.*?)```", text, re.S):
        line = text[: match.start()].count("\n") + 1  # so that errors name the page's
        exec(compile("\n" * line + match[1], page.name, "exec"), space)


@pytest.mark.slow
def test_the_guides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, space = ROOT / "docs" / "guides" / "first_model.md", {"__name__": "guide"}
    execute(first, space)
    others = [page for page in sorted(first.parent.glob("*.md")) if page != first]
    assert len(others) > 4
    for page in others:  # each goes on from the first, and from it alone
        execute(page, dict(space))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_pages(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.random.rand(128, 6, 6, 1).astype("float32"), np.arange(128) % 3
    space = {
        "model": mlp((6, 6, 1), 3, (16, 8)),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "tfmot": types.SimpleNamespace(sparsity=types.SimpleNamespace(keras=sparsity)),
        **{"x": x, "y": y, "x_test": x, "y_test": y},
    }
    execute(ROOT / page, space)
    assert (tmp_path / "saved_models" / "mine" / "model.tflite").exists()


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    made = subprocess.run(
        [*command, ROOT / "docs", tmp_path / "html"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    inventory = zlib.decompress(
        (tmp_path / "html" / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]
    ).decode()
    written = {line.split()[0].split(".")[-1] for line in inventory.splitlines()}
    assert {name.split(".")[-1] for name, _ in public_names()} <= written
