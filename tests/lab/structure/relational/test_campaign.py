"""The order of relational graphs: what is trained, what is kept, what is said of it."""

import numpy as np
import pytest

from keras_invprune_lab.structure.relational import campaign as module
from keras_invprune_lab.structure.relational import networks, order
from keras_invprune_lab.structure.relational.campaign import Campaign, Task, train
from keras_invprune_lab.structure.relational.graphs import drawn_again
from keras_invprune_lab.structure.relational.images import cropped
from keras_invprune_lab.structure.relational.known import Known, check, chosen, known
from keras_invprune_lab.structure.relational.order import authors_figures, our_figures
from keras_invprune_lab.training.files import read_csv, write_csv

NAMES = ["ws-flex-64-0.125000-0.001353-24", "ws-flex-64-0.365501-0.098836-6"]
PLACES = [(0.6428571428571433, 4.444444444444445), (0.57425391, 1.64087302)]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer replicates."""
    monkeypatch.setattr(order, "REPLICATES", 40)


@pytest.fixture
def folder(tmp_path):
    """The three files, of two graphs and the complete one."""
    numbers = [name.split("-")[2:] for name in NAMES]
    described = [
        [*map(float, (nodes, *rest)), *place]
        for (nodes, *rest), place in zip(numbers, PLACES, strict=True)
    ]
    names = [["linear", "dense", "64.0", "ws", "1.0", "0.0", "sum", "1.0"]]
    for _, share, probability, seed in numbers:
        name = [str(float(share)), str(float(probability)), "sum", str(float(seed))]
        names.append(["talklinear", "dense", "64.0", "ws", *name])
    errors = np.zeros((3, 5, 8))
    errors[:, :, 3] = [[34] * 5, [33] * 5, [32] * 5]
    np.save(tmp_path / "graphs_n64_3942.npy", described)
    np.save(tmp_path / "names_mlp_cifar10_epoch200.npy", names)
    np.save(tmp_path / "results_mlp_cifar10_epoch200.npy", errors)
    return tmp_path


def test_the_complete_graph_comes_first_and_each_is_that_of_the_table(folder):
    graphs = known(folder)
    found = [graph.name for graph in chosen(graphs, 3)]
    assert found == ["complete-64", *NAMES]
    for graph in graphs:
        check(graph)
    assert [graph.accuracies for graph in graphs] == [(66,) * 5, (67,) * 5, (68,) * 5]
    assert [graph.sweet for graph in graphs] == [False, False, True]
    wrong = Known(NAMES[0], *PLACES[1], ())
    with pytest.raises(ValueError, match="should have clustering and path length"):
        check(wrong)


def test_widths_are_those_of_the_authors(folder):
    complete, sparse, _ = known(folder)
    assert networks.width_for(complete.name) == 512
    assert networks.width_for(sparse.name) == 1539  # as in their results


def test_a_network_has_the_masks_of_its_graph(folder, monkeypatch):
    monkeypatch.setattr(networks, "FIRST", 64)
    graph = known(folder)[1]
    width = networks.width_for(graph.name)
    dense = 3072 * 64 + 3 * 64**2 + 64 * 10
    model = networks.network(graph.name, width)
    model.fit(np.zeros((4, 3, 32, 32), "uint8"), np.arange(4), verbose=0)
    masks = {key: mask.numpy() for key, mask in model.masks.items()}
    assert list(masks) == [f"relational_{number}/kernel" for number in range(3)]
    kept = 3072 * 64 + sum(int(mask.sum()) for mask in masks.values()) + width * 10
    assert dense <= kept < dense + 100
    # The first of these layers reads one unit of each node. The nodes of the others
    # have two or three, so that unit 1 of the first node belongs to node 0 as well.
    neighbors = {0, *drawn_again(graph.name)[0]}
    assert set(np.flatnonzero(masks["relational_0/kernel"][:, 1])) == neighbors


def test_images_are_cropped_from_around_and_flipped():
    padded = np.arange(2 * 3 * 40 * 40).reshape(2, 3, 40, 40)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), (2, 3))
    windows = np.moveaxis(windows, 1, 3)
    seen = set()
    for epoch in range(40):
        for row, image in enumerate(cropped(windows, 0, epoch)):
            flipped = image[0, 0, 0] > image[0, 0, 1]
            upright = image[..., ::-1] if flipped else image
            down, right = divmod(upright[0, 0, 0] - padded[row, 0, 0, 0], 40)
            whole = padded[row, :, down : down + 32, right : right + 32]
            np.testing.assert_array_equal(upright, whole)
            seen.add((down < 8, right < 8, bool(flipped)))
    assert seen == {(True, True, False), (True, True, True)}
    again = cropped(windows, 0, 39)
    np.testing.assert_array_equal(again[-1], image)


def test_figures_of_an_order_that_is_known(folder):
    graphs = known(folder)
    ours = np.array([[50.0, 51.0], [52.0, 50.0], [54.0, 56.0]])
    rows = authors_figures(graphs) + our_figures(graphs, ours)
    found = {row["figure"]: row for row in rows}
    assert {row["graphs"] for row in found.values()} == {3}
    values = {name: row["value"] for name, row in found.items()}
    assert values["tau, our means and the authors'"] == 1
    for whose in ("our", "the authors'"):  # paths of 1, 4.4 and 1.6
        name = f"tau, {whose} means and path lengths"
        assert values[name] == pytest.approx(1 / 3)
    assert values["tau, two of our seeds"] == pytest.approx(1 / 3)
    assert values["tau, two of the authors' seeds and the others"] == 1
    assert values["lead of the sweet spot, ours"] == pytest.approx(55 - 50.75)
    assert values["lead of the sweet spot, the authors'"] == pytest.approx(1.5)
    assert all(row["low"] <= row["value"] <= row["high"] for row in found.values())


@pytest.fixture
def trained(monkeypatch):
    """What would have been trained; the fourth training is interrupted."""
    found = []

    def call(self, show):
        found.append((self.graph.name, self.seed))
        if len(found) == 4:
            raise KeyboardInterrupt
        size = self.campaign.images, self.campaign.epochs
        values = (self.graph.name, 1, 1, self.width, *size, self.seed)
        accuracy = {"test_accuracy": 50 + len(found), "authors_accuracy": 60}
        return dict(zip(module.FIELDS, values, strict=False)) | accuracy

    monkeypatch.setattr(Task, "__call__", call)
    return found


def test_nothing_is_trained_twice(folder, trained, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(Campaign(graphs=3), folder, out)
    file = out / "order.csv"
    before = file.read_text().splitlines()  # what is known without any training
    assert len(before) == 4 and all("authors'" in line for line in before[1:])
    found = train(Campaign(graphs=3), folder, out)
    assert file.read_text().splitlines()[:4] == before
    wanted = [(name, seed) for seed in (0, 1) for name in ("complete-64", *NAMES)]
    assert trained == [*wanted[:4], *wanted[3:]]
    rows = read_csv(out / "relational.csv", [module.FIELDS], "relational graphs")
    assert [(row["graph"], int(row["seed"])) for row in rows] == wanted
    assert {row["figure"]: row["value"] for row in found}["tau, two of our seeds"] == 1
    assert len(file.read_text().splitlines()) == 1 + len(found) == 8
    assert (out / "order.png").exists()
    train(Campaign(graphs=3, epochs=9), folder, out)  # others are other trainings
    assert len(trained) == 13
    train(Campaign(graphs=3, images=90), folder, out)  # so are numbers of images
    assert len(trained) == 19


def test_a_table_that_is_kept_is_read_and_others_are_refused(folder, trained, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    values = ("complete-64", 1, 1, 512, 50_000, 4, 0, 51.98, 66)
    write_csv(out / "relational.csv", [dict(zip(module.FIELDS, values, strict=True))])
    found = train(Campaign(graphs=2, seeds=1), folder, out)
    assert trained == [(NAMES[0], 0)]
    # Neither graph is in the sweet spot, so it has no lead.
    assert [row["figure"].partition(",")[0] for row in found] == ["tau"] * 4
    (out / "relational.csv").write_text("graph,clustering\ncomplete-64,1.0\n")
    with pytest.raises(ValueError, match="is not a table of relational graphs"):
        train(Campaign(graphs=2, seeds=1), folder, out)
    (out / "config.json").write_text('{"dataset": "tfds:mnist"}')
    with pytest.raises(FileExistsError, match="dataset: 'tfds:mnist' there"):
        train(Campaign(graphs=2, seeds=1), folder, out)
    with pytest.raises(FileExistsError, match="did not write, such as graphs_n64"):
        train(Campaign(graphs=2, seeds=1), folder, folder)
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"graphs": 1}, "`graphs` must be at least 2"),
        ({"graphs": 4}, "There are 3 points to choose from"),
        ({"seeds": 0}, "`seeds` must be at least 1"),
        ({"images": 50_001}, "There are 50,000 images"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
    ],
)
def test_bad_input_leaves_nothing_behind(changed, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(Campaign(**{"graphs": 3} | changed), folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
