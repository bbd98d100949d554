"""Every recipe of the package runs, on data of the shapes of the real sets."""

import numpy as np
import pytest

from keras_invprune.graph.weights import weights_by_key
from keras_invprune_lab.data import Data
from keras_invprune_lab.data import load as load_data
from keras_invprune_lab.data.kadra import TASKS
from keras_invprune_lab.methods import xgboost as boosting
from keras_invprune_lab.methods.build import make_network, pruned_keys
from keras_invprune_lab.recipes.recipe import load, names
from keras_invprune_lab.runs import execute as runs
from keras_invprune_lab.runs.execute import execute
from keras_invprune_lab.runs.jobs import expand
from keras_invprune_lab.training import evaluate

pytestmark = pytest.mark.timeout(1800)  # of 92 million weights, too


def fake(name, *settings):
    """Images of the shapes and classes of the real sets, few rows; a small table."""
    if name.startswith("openml"):
        return load_data("sklearn:breast_cancer", *settings)
    generator = np.random.default_rng(0)
    shapes = {"tfds": (32, 32, 3), "sklearn": (8, 8, 1), "made": (10,)}
    shape = shapes[name.split(":")[0]]
    x = generator.random((600, *shape), dtype=np.float32)
    y = np.arange(600) % (100 if name == "tfds:cifar100" else 10)
    return Data(x[:300], y[:300], x[300:400], y[300:400], (), x[400:], y[400:])


NARROW = {"mlp-vis": 1, "cnn": 2, "resnet-18": 8, "resnet-18-small": 4, "vgg-16": 4}
# Networks, methods and data of the same shapes as the recipe next to each has.
TWINS = (
    "at-init-fashion-mnist",  # at-init
    "at-init-long",  # at-init-snip
    "at-init-svhn",  # at-init-conv-4
    "cifar10-kappa",  # cifar10-movements
    "cifar10-movements",  # cifar10-small, and its views are those of test_execute.py
    "cifar10-tuned",  # cifar10-small; its second optimizer is in test_execute.py
    "cifar100",  # cifar10-small
    "digits",  # test_execute.py trains its methods, cifar10-small has its views
    "layer-digits",  # layer-teacher, and test_layer_sparse.py trains its methods
    "layer-mnist",  # layer-teacher
    "layer-resnet18-cifar10",  # test_layer_folding.py trains it
    "layer-vgg16-cifar10",  # so it does this one
    "ntt-lenet-300-100",  # at-init
    "ntt-lenet-5",  # at-init-lenet-5
    "svhn",  # cifar10-small
    "tabular-small",  # tabular
    "variants-mnist-early",  # variants-mnist
    "variants-mnist-iterative",  # variants-mnist, and test_retrain.py has rounds
)
# What takes seconds to trace, and is made with another network as well.
QUICKER = {
    "at-init-conv-4": ("grasp",),  # the transfer of a convolution: at-init-lenet-5
    "vision-resnet": ("dense",),  # its views and augmentation: cifar10-small
}
OTHERS = [name for name in names() if name != "cifar10"]  # that one is below


@pytest.mark.slow
@pytest.mark.usefixtures("graphs_are_collected")
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.heavy] * (n in TWINS)) for n in OTHERS],
)
def test_each_recipe_of_the_package_makes_two_steps(
    tmp_path, monkeypatch, request, name
):
    monkeypatch.setattr(runs.datasets, "load", fake)
    monkeypatch.setattr(boosting, "GRID", boosting.GRID[:1])
    monkeypatch.setattr(boosting, "ROUNDS", 10)
    if name in ("cifar10-small", "digits"):  # colors and grays
        request.getfixturevalue("views_are_compiled")
    else:
        monkeypatch.setattr(evaluate, "consistency", lambda *_, **__: {})
    given = load(name)
    small = {"search_epochs": 1, "finetune_epochs": 1, "epoch_steps": 2}
    small |= {"width": NARROW.get(given.model, given.width), "transfer_epochs": 1}
    recipe = given.model_copy(update=small)
    order = ("iunet", "ntt", "snip", "layers", "folding", "class-blinded")
    order += ("dense",)
    order = QUICKER.get(name, order)
    wanted = next(method for method in order if method in recipe.methods)
    job = next(j for j in expand(recipe) if j.method == wanted)
    for needed in filter(None, (job.needs, job)):
        report = execute(needed, tmp_path)
    assert report["best_epoch"] in (1, 2)
    for job in [job for job in expand(recipe) if job.method == "xgboost"][:1]:
        assert execute(job, tmp_path)["chosen"]["rounds"] > 0


def test_published_figures_of_the_tables_are_those_of_their_columns():
    published = load("tabular").published
    names = {f"openml:{task.name}" for task in TASKS}
    assert published.keys() == names
    columns = {"XGBoost", "TabNet", "MLP+C"}
    assert all(figures.keys() == columns for figures in published.values())
    values = np.array([[row[c] for c in sorted(columns)] for row in published.values()])
    assert values.min() > 18 and values.max() < 100  # percent
    # Kadra et al. 2021: the cocktail is the best of the three on most tables.
    wins = np.bincount(values.argmax(axis=1), minlength=3)
    assert wins[0] > 20 > wins[2] > wins[1]
    assert load("tabular-small").published.items() <= published.items()


PRUNING = [
    name
    for name in OTHERS
    if load(name).model != "mlp-tab" and any(j.compression for j in expand(load(name)))
]


@pytest.mark.parametrize("name", PRUNING)
def test_all_compressions_of_a_recipe_are_possible(name):
    recipe = load(name)
    width = recipe.width or NARROW.get(recipe.model)  # 92 million weights take seconds
    recipe = recipe.model_copy(update={"width": width})
    data = fake(recipe.datasets[0])
    if recipe.model.startswith("lenet"):
        data = data._replace(x_train=np.zeros((300, 28, 28, 1), "float32"))
    jobs = {job.compression: job for job in expand(recipe) if job.compression}
    model = make_network(next(iter(jobs.values())), data)
    for job in jobs.values():
        _, sparsity = pruned_keys(job, model)
        assert 0 < sparsity < 1


@pytest.mark.slow
def test_the_paper_s_full_width_has_its_size_and_its_share():
    recipe = load("cifar10")
    job = next(job for job in expand(recipe) if job.compression == 8)
    model = make_network(job, fake("tfds:cifar10"))
    keys, sparsity = pruned_keys(job, model)
    total = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert total == pytest.approx(92.1e6, rel=0.01)
    weights = weights_by_key(model)
    pruned = sum(int(np.prod(weights[key].variable.shape)) for key in keys)
    assert total - sparsity * pruned == pytest.approx(total / 8, rel=0.001)


@pytest.mark.heavy  # eight gigabytes
def test_the_paper_s_full_width_makes_two_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.datasets, "load", fake)
    small = {"search_epochs": 1, "finetune_epochs": 1, "epoch_steps": 2}
    recipe = load("cifar10").model_copy(update=small | {"methods": ["iunet"]})
    search, job, *_ = expand(recipe)
    execute(search, tmp_path)
    weights = execute(job, tmp_path)["weights"]
    assert weights["total"] == pytest.approx(92.1e6, rel=0.01)
    assert weights["nonzero"] == pytest.approx(weights["total"] / 8, rel=0.001)
