"""What the documentation names is there."""

import ast
import doctest
import gc
import importlib
import inspect
import operator
import pkgutil
import re
import runpy
import sys
import types
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_invprune
from keras_invprune.tfmot import sparsity
from keras_invprune_lab.cli.structure import structure
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


@every_page
def test_the_names_in_calls_can_be_copied(page):
    """Each public name in inline code is there, and none lacks its `kip.`."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    wrong = []
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        code = " ".join(span.split())
        try:
            found = list(ast.walk(ast.parse(code, mode="eval")))
        except SyntaxError:
            continue
        for node in found:
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if name.startswith("kip.") and not resolves(name.removeprefix("kip.")):
                wrong.append(name)
            if isinstance(node, ast.Name) and "kip." in code and node.id[0].isupper():
                wrong.append(code)
    assert not wrong


def resolves(name):
    try:
        operator.attrgetter(name)(keras_invprune)
    except AttributeError:
        return False
    return True


QUESTIONS = sorted(ROOT.glob("docs/questions/*.md"))
FIRST_PAGE = ROOT / "docs" / "results.md"
# Not those in names, such as LeNet-5, CIFAR-10 or p2.
NUMBER = re.compile(r"(?<![\w.-])[-+]?\d[\d.,]*(?:e-?\d+)?(?!\w)")

every_question = pytest.mark.parametrize("page", QUESTIONS, ids=lambda page: page.stem)


def rows_of_tables(text):
    """The cells of each row; a link counts by what it shows."""
    shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    for row in re.findall(r"^\|(.*)\|$", shown, re.M):
        yield [cell.strip() for cell in row.split("|")]


@pytest.mark.parametrize("page", [*QUESTIONS, FIRST_PAGE], ids=lambda page: page.stem)
def test_a_cell_holds_one_number(page):
    rows = list(rows_of_tables(page.read_text()))
    assert [cell for row in rows for cell in row if len(cell) > 80] == []
    cells = [cell for _, *others in rows for cell in others]  # the first is a name
    assert [cell for cell in cells if len(NUMBER.findall(cell)) > 1] == []


@every_page
def test_a_spread_has_a_cell_of_its_own(page):
    cells = [cell for row in rows_of_tables(page.read_text()) for cell in row]
    assert [cell for cell in cells if re.search(r"±|\d to \d", cell)] == []


def test_what_counts_as_a_number():
    (row,) = rows_of_tables("| [a 3](b.md) | LeNet-300-100, 95 % | 98.54 ± 0.13 |")
    assert [len(NUMBER.findall(cell)) for cell in row] == [1, 1, 2]


@every_question
def test_a_question_has_a_command(page):
    text = page.read_text()
    assert re.match(r"# .+\?\n", text)
    scripts = re.findall(r"^python (benchmarks/\w+\.py)", text, re.M)
    recipes = re.findall(r"^keras-invprune bench(?: ([\w-]+))?", text, re.M)
    searches = re.findall(r"^keras-invprune structure search ([\w-]+)", text, re.M)
    others = re.findall(r"^keras-invprune structure (\w+)", text, re.M)
    lab = "keras_invprune_lab"
    needed = [
        *scripts,
        *(f"{lab}/recipes/{name}.yaml" for name in recipes if name),
        *(f"{lab}/structure/search/recipes/{name}.yaml" for name in searches),
    ]
    assert scripts or recipes or others
    assert {*others} <= {
        each.callback.__name__ for each in structure.registered_commands
    }
    assert [file for file in needed if not (ROOT / file).exists()] == []


def test_the_first_page_of_results_has_every_question():
    asked = {page.stem: page.read_text().splitlines()[0][2:] for page in QUESTIONS}
    links = re.findall(r"\[(.+?)\]\(questions/(\w+)\.md\)", FIRST_PAGE.read_text())
    assert {stem: title for title, stem in links} == asked
    assert len(links) == len(asked) > 20


def sources(folder):
    """Return the hash that each plot keeps of its values."""
    images, found = pytest.importorskip("PIL.Image"), {}
    for file in folder.glob("*.png"):
        with images.open(file) as image:
            found[file.stem] = image.info["Source"]
    return found


@pytest.mark.slow
def test_the_plots_are_those_that_pages_show(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "argv", ["plots.py", "--out", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "plots.py"), run_name="__main__")
    drawn = {file.stem for file in tmp_path.glob("*.png")}
    kept = {file.stem for file in ROOT.glob("docs/questions/*.png")}
    shown = {
        page.stem for page in QUESTIONS if f"]({page.stem}.png)" in page.read_text()
    }
    assert drawn == kept == shown
    new, old = sources(tmp_path), sources(ROOT / "docs/questions")
    assert [stem for stem in drawn if new[stem] != old[stem]] == [], "run `make docs`"


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
    keras.backend.clear_session(free_memory=False)
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


def raised(docstring):
    """The entries under `Raises:`, each with its first line."""
    section = re.search(r"^Raises:\n((?: .*\n?|\n)+)", docstring or "", re.M)
    return re.findall(r"^    (\S.*)", section[1], re.M) if section else []


def test_every_error_is_documented_by_its_condition():
    entries = [
        (file.relative_to(ROOT).as_posix(), entry)
        for package in ("keras_invprune", "keras_invprune_lab")
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for entry in raised(ast.get_docstring(node))
    ]
    assert len(entries) > 50
    assert [e for e in entries if not re.match(r"[\w.]+: (On use: if|If) ", e[1])] == []


def texts(tree):
    """Each text in a module, with its line; what is inserted counts as "{}"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", None) for part in node.values)
            yield node.lineno, "".join(p if isinstance(p, str) else "{}" for p in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


# "There is no file" and "is no longer" are English, "is no recipe" is not.
CALQUE = re.compile(
    r"(?<!here )\b(?:is|be|are) no (?!longer|faster|slower|smaller|larger|better|more)"
    r"|\bin the place of\b|\bbrings? nothing\b|\bis there already\b",
    re.I,
)


def test_messages_and_docstrings_are_not_translated_word_by_word():
    found = [
        (file.relative_to(ROOT).as_posix(), line, match[0])
        for package in ("keras_invprune", "keras_invprune_lab")
        for file in (ROOT / package).rglob("*.py")
        for line, text in texts(ast.parse(file.read_text()))
        if (match := CALQUE.search(" ".join(text.split())))
    ]
    assert found == [], "docs/style.md has the better words"


def test_what_counts_as_translated_word_by_word():
    wrong = "{} is no recipe", "must be no bool", "a list in the place of a tuple"
    right = "There is no file", "there are no rows", "it is no longer there"
    assert all(CALQUE.search(text) for text in wrong)
    assert not any(CALQUE.search(text) for text in right)


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


def lines_of_code(page):
    """The lines of a page's first Python block."""
    text = (ROOT / page).read_text()
    return re.search(r"```python\n(.*?)```", text, re.S)[1].splitlines()


def test_the_docs_begin_with_the_readme_s_lines():
    known = lines_of_code("README.md")
    found = [line for line in lines_of_code("docs/index.md") if line not in known]
    assert found == []


@pytest.mark.slow
def test_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.random.rand(128, 6, 6, 1).astype("float32"), np.arange(128) % 3
    space = {
        "model": mlp((6, 6, 1), 3, (16, 8)),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "tfmot": types.SimpleNamespace(sparsity=types.SimpleNamespace(keras=sparsity)),
        **{"x": x, "y": y, "x_test": x, "y_test": y},
    }
    execute(ROOT / "README.md", space)
    assert (tmp_path / "saved_models" / "mine" / "model.tflite").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Python; -W is for those of Sphinx
def test_the_pages_are_built_without_a_warning(tmp_path):
    build = pytest.importorskip("sphinx.cmd.build")
    options = ["-W", "--keep-going", "-q", "-b", "html"]
    gc.disable()  # its trees stay until the end; to look for garbage takes as long
    try:
        assert build.main([*options, str(ROOT / "docs"), str(tmp_path / "html")]) == 0
    finally:
        gc.enable()
    inventory = zlib.decompress(
        (tmp_path / "html" / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]
    ).decode()
    written = {line.split()[0].split(".")[-1] for line in inventory.splitlines()}
    assert {name.split(".")[-1] for name, _ in public_names()} <= written
