"""Methods: what a file of their folder gives, and what recipes get of it."""

from dataclasses import dataclass

import pytest

from keras_invprune.scores import SCORES
from keras_invprune_lab.bench.setup_text import setting
from keras_invprune_lab.methods.base import METHODS, Method, Trained
from keras_invprune_lab.methods.pruned import Pruned
from keras_invprune_lab.recipes.recipe import Recipe
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand


def recipe(*methods, **changes):
    return Recipe(
        title="",
        datasets=["sklearn:wine"],
        methods=methods,
        model="mlp-tab",
        search_epochs=2,
        finetune_epochs=3,
        **changes,
    )


def test_every_score_is_compared():
    scores = {one.score for one in METHODS.values() if isinstance(one, Pruned)}
    assert scores == {*SCORES}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_uses_keys_of_recipes(name):
    *_, job = expand(recipe(name))
    assert job.kind is METHODS[name]
    assert job.kind.uses(job) <= Recipe.model_fields.keys()


def test_each_key_of_a_recipe_is_in_the_configuration_of_a_run():
    varied = {"datasets", "methods", "compressions", "seeds", "kappas", "lasso"}
    varied |= {"layer_strength", "l1_strength", "unit_strength", "slope_strength"}
    shown = {"title", "extra_compressions", "reach", "published"}
    jobs = [job for name in METHODS for job in expand(recipe(name))]
    used = set().union(*(job.kind.uses(job) for job in jobs))
    assert used | varied | shown == Recipe.model_fields.keys()


def test_a_control_depends_on_what_its_densities_depend_on():
    (one,), (other,) = (
        [j.config for j in expand(recipe("random", rewind=r)) if j.method == "random"]
        for r in ("initial", "none")
    )
    assert one != other


def test_titles_are_of_one_method_each():
    titles = [method.title for method in METHODS.values()]
    assert len(titles) == len(set(titles))


def test_a_control_varies_over_the_grid_of_its_method():
    jobs = expand(recipe("random", "ntt-redrawn", kappas=[0.5, 0.25]))
    kappas = [job.kappa for job in jobs if job.method == "random"]
    needs = [job.needs.label for job in jobs if job.method == "random"]
    assert kappas == [0.5, 0.25] and needs == ["iunet-k0.5-c8", "iunet-k0.25-c8"]
    (redrawn,) = (job for job in jobs if job.method == "ntt-redrawn")
    assert redrawn.needs.label == "ntt-c8"


def test_a_page_tells_of_the_transfer_where_there_is_one():
    class Table:
        cells = {}

    texts = [
        setting(recipe(*names, transfer_epochs=7), Table, [])
        for names in (["dense"], ["ntt", "ntt-redrawn"])
    ]
    assert [text.count("7 epochs without labels") for text in texts] == [0, 1]


@pytest.mark.parametrize(
    ("momentum", "said"), [(0.9, ""), (0.0, ", momentum 0"), (0.5, ", momentum 0.5")]
)
def test_a_page_tells_of_a_momentum_that_is_not_the_usual_one(momentum, said):
    class Table:
        cells = {}

    text = setting(recipe("dense", optimizer={"momentum": momentum}), Table, [])
    assert f"sgd at 0.001 (constant{said})" in text


@dataclass(frozen=True)
class Guess(Method):
    """A method of a test, which a file could hold."""

    pruned = False

    def train(self, work):
        classes = len(set(work.data.y_valid))
        share = {"accuracy": 1 / classes}
        return Trained({"validation": share, "test": share}, [{"loss": 1.0}])


def test_a_method_is_one_object(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "guess", Guess("a guess"))
    wanted = recipe("dense").model_copy(update={"methods": ["guess"]})
    (job,) = expand(wanted)
    report = execute(job, tmp_path)
    assert report["test"] == {"accuracy": pytest.approx(1 / 3)}
    assert report["config"].keys() >= {"dataset", "seed", "encoding"}
    assert "model" not in report["config"]
