"""Recipes: what comes with the package, and what is refused, with the line."""

import pytest

from keras_invprune_lab.recipes import recipe as recipes
from keras_invprune_lab.recipes.recipe import load, names, parse
from keras_invprune_lab.runs.jobs import expand

GOOD = """title: A table
datasets: [sklearn:digits]
methods:
  - dense
  - iunet
model: mlp
search_epochs: 2
finetune_epochs: 1
kappas: [0.5]
optimizer:
  name: sgd
  rate: 0.1
"""


def test_a_recipe_is_read():
    recipe = parse(GOOD)
    assert recipe.methods == ["dense", "iunet"]
    assert (recipe.optimizer.rate, recipe.optimizer.schedule) == (0.1, "constant")


@pytest.mark.parametrize("name", names())
def test_each_recipe_of_the_package_can_be_expanded(name):
    recipe = load(name)
    assert recipe.title and len(expand(recipe)) >= len(recipe.datasets)
    unknown = recipe.published.keys() - set(recipe.datasets)
    assert not unknown


@pytest.mark.parametrize(
    ("line", "changed", "messages"),
    [
        (8, "kapas: [0.5]", ["line 9: Unknown key: 'kapas'. Did you mean 'kappas'"]),
        (11, "  rat: 0.1", ["line 12: Unknown key: 'rat'. Did you mean 'rate'"]),
        (4, "  - iunett", ["line 5: `methods.1`", "Did you mean 'iunet'"]),
        (4, "  - dense", ["line 3: `methods`: Must not name anything twice"]),
        (8, "compressions: []", ["line 9: `compressions`", "at least 1"]),
        (8, "1: 2", ["line 9: YAML does not read `1` as text"]),
        (8, "on: 2", ["line 9: YAML does not read `on` as text. Put it in quotes."]),
        (8, "published: {sklearn:digit: {}}", ["line 9", "mean 'sklearn:digits'"]),
        (8, "validation: 0", ["line 9: `validation`: Input should be greater than 0"]),
        (8, "methods: [omp]", ["line 9: `methods` is on line 3 already"]),
        (
            8,
            "search: {weight: 1, weight: 2}",
            ["line 9: `weight` is on line 9 already"],
        ),
        (11, "  name: adamw", ["line 12: `name` is on line 11 already"]),
        (1, "datasets: [tdfs:mnist]", ["line 2: `datasets.0`", "mean 'tfds:mnist'"]),
        (1, "datasets: [sklearn:wime]", ["line 2: `datasets.0`", "mean 'wine'"]),
        (
            1,
            "datasets: [openml:31, openml:Credit-g]",
            ["line 2: `datasets`: 'openml:31' and 'openml:Credit-g' are the same"],
        ),
        (5, "model: mpl", ["line 6: `model`", "Did you mean 'mlp'"]),
        (6, "search_epochs: none", ["line 7: `search_epochs`", "Received: 'none'"]),
        (6, "", ["line 1: `search_epochs`: Field required"]),
        (8, "kappas: [2]", ["line 9: `kappas.0`", "Received: 2"]),
        (11, "  rate: -1", ["line 12: `optimizer.rate`", "greater than 0"]),
        (5, "model: [", ["is not valid YAML"]),
        (8, "? [a, b]", ["is not valid YAML: line 9: found unhashable key."]),
        (8, "width: 3", ["line 9: `width`: 'mlp' has one size."]),
        (8, "seeds: [4294967296]", ["line 9: `seeds.0`: Input should be less than"]),
        (8, "seeds: [0, yes]", ["line 9: `seeds`: Must not be a bool"]),
        (6, "search_epochs: yes", ["line 7", "not be a bool", "Received: True."]),
        (8, "compressions: [.inf]", ["`compressions.0`: Input should be a finite"]),
        (8, "kappas: [0.1234567]", ["line 9: `kappas.0`: Must", "Write 0.123457"]),
        (8, "compressions: [8, 8.0000001]", ["line 9: `compressions.1`", "Write 8"]),
        (11, "  rate: .inf", ["line 12: `optimizer.rate`: Input should be a finite"]),
        (10, "  name: SGD", ["line 11: `optimizer.name`", "mean 'sgd'?"]),
        (8, "search: {views: imagess}", ["line 9", "Received: 'imagess'. Did you"]),
        (8, "seeds: 3", ["line 9: `seeds`: Must be a list", "Received: 3."]),
        (8, "search: images", ["line 9: `search`: Must be `name: value` pairs"]),
        (1, "datasets: [sklern:digits]", ["mean 'sklearn:digits'?"]),
    ],
)
def test_a_fault_is_named_with_its_line(line, changed, messages):
    lines = GOOD.splitlines()
    lines[line] = changed
    with pytest.raises(ValueError) as caught:
        parse("\n".join(lines), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml is not ")
    for message in messages:
        assert message in str(caught.value)


def test_all_faults_are_named_at_once():
    text = GOOD.replace("model: mlp", "model: mpl").replace("kappas", "kapas")
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert len(str(caught.value).splitlines()) == 3
    assert "callable" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "word"])
def test_what_is_no_mapping_is_refused(text):
    with pytest.raises(ValueError, match="`name: value` lines"):
        parse(text)


def test_unknown_recipes_and_files(tmp_path):
    with pytest.raises(ValueError, match="Unknown recipe: 'cifar1'. Did you mean"):
        load("cifar1")
    with pytest.raises(FileNotFoundError, match="no recipe '.*none.yaml'.$"):
        load(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match="Did you mean 'cifar10-small'"):
        load(tmp_path / "cifar10-smal.yaml")
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    with pytest.raises(FileNotFoundError, match="Did you mean '.*/mine.yaml'"):
        load(tmp_path / "mime.yaml")
    with pytest.raises(FileNotFoundError, match="no recipe '.*/q.yaml'.$"):
        load(tmp_path / "q.yaml")
    assert load(file) == recipes.parse(GOOD)
