"""From recipes to runs."""

import json

import pytest

from keras_invprune_lab.methods.base import METHODS
from keras_invprune_lab.recipes.recipe import Recipe, load, names
from keras_invprune_lab.runs.jobs import expand


def recipe(**changes):
    settings = {
        "title": "",
        "datasets": ["sklearn:digits"],
        "methods": list(METHODS),
        "model": "mlp",
        "search_epochs": 3,
        "finetune_epochs": 4,
        "kappas": [0.5],
    }
    return Recipe(**{**settings, **changes})


@pytest.mark.parametrize("name", names())
def test_each_run_comes_after_what_it_needs_and_once(name):
    seen = set()
    for job in expand(load(name)):
        assert job.name not in seen
        assert job.needs is None or job.needs.name in seen
        seen.add(job.name)


def test_every_method_gets_the_same_number_of_epochs():
    for job in expand(recipe()):
        if job.method in ("search", "unpruned"):  # what others start from
            continue
        if not METHODS[job.method].ends_early:
            searched = job.needs.epochs if METHODS[job.method].search else 0
            assert job.epochs + searched == 7


def test_one_search_serves_all_compressions():
    few = expand(recipe(compressions=[8]))
    many = expand(recipe(compressions=[2, 4, 8, 16]))
    searches = [[j.name for j in jobs if j.method == "search"] for jobs in (few, many)]
    assert sorted(searches[0]) == sorted(searches[1]) and len(searches[0]) == 4


def test_only_small_initialisation_has_a_grid_of_kappas():
    jobs = expand(recipe(kappas=[0.5, 0.25], methods=["omp", "iunet", "no-pi"]))
    kappas = {m: {j.kappa for j in jobs if j.method == m} for m in METHODS}
    assert kappas["iunet"] == {0.5, 0.25}
    assert kappas["omp"] == kappas["no-pi"] == {1.0}


def test_extra_compressions_are_for_the_first_seed_and_come_last():
    jobs = expand(recipe(methods=["omp"], seeds=[5, 6], extra_compressions=[2]))
    pruned = [(j.compression, j.seed) for j in jobs if j.compression]
    assert pruned == [(8, 5), (8, 6), (2, 5)]


def test_a_configuration_is_json_and_tells_what_a_run_depends_on():
    one, other = (
        expand(recipe(methods=["omp"], title=title, seeds=seeds))[0].config
        for title, seeds in (("a", [0]), ("b", [0, 1]))
    )
    assert one == other == json.loads(json.dumps(one))
    changed = expand(recipe(methods=["omp"], batch_size=64))[0].config
    assert {k for k in one if one[k] != changed[k]} == {"batch_size"}


def test_settings_of_one_method_are_in_its_configuration_alone():
    def configs(**changes):
        return {job.name: job.config for job in expand(recipe(lasso=[1e-4], **changes))}

    before, after = configs(), configs(transfer_epochs=3, kernel_rows=4)
    changed = {name for name in before if before[name] != after[name]}
    assert {name.split("/")[1] for name in changed} == {"ntt-c8", "ntt-redrawn-c8"}
    dense = before["sklearn-digits/dense/seed0"]
    assert not dense.keys() & {"transfer_epochs", "lasso", "search", "prune_head"}


def test_a_search_does_not_depend_on_what_comes_after_it():
    searches = [
        [j.config for j in expand(recipe(finetune_epochs=n)) if j.method == "search"]
        for n in (4, 5)
    ]
    assert searches[0] == searches[1]
