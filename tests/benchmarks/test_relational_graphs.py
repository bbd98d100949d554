"""The order of relational graphs: what is trained, what is kept, what is said of it."""

import csv
import sys

import numpy as np
import pytest

from keras_invprune_lab.structure.relational import drawn_again

NAMES = ["ws-flex-64-0.125000-0.001353-24", "ws-flex-64-0.365501-0.098836-6"]
PLACES = [(0.6428571428571433, 4.444444444444445), (0.57425391, 1.64087302)]


@pytest.fixture
def benchmark(benchmark, monkeypatch):
    """The benchmark, with fewer replicates."""
    monkeypatch.setattr(benchmark, "REPLICATES", 40)
    return benchmark


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


def test_the_complete_graph_comes_first_and_each_is_that_of_the_table(
    benchmark, folder
):
    graphs = benchmark.known(folder)
    found = [graph.name for graph in benchmark.chosen(graphs, 3)]
    assert found == ["complete-64", *NAMES]
    for graph in graphs:
        benchmark.check(graph)
    assert [graph.accuracies for graph in graphs] == [(66,) * 5, (67,) * 5, (68,) * 5]
    assert [graph.sweet for graph in graphs] == [False, False, True]
    wrong = benchmark.Known(NAMES[0], *PLACES[1], ())
    with pytest.raises(ValueError, match="should have clustering and path length"):
        benchmark.check(wrong)


def test_widths_are_those_of_the_authors(benchmark, folder):
    complete, sparse, _ = benchmark.known(folder)
    assert benchmark.width_for(complete) == 512
    assert benchmark.width_for(sparse) == 1539  # as in their results


def test_a_network_has_the_masks_of_its_graph(benchmark, folder, monkeypatch):
    monkeypatch.setattr(benchmark, "FIRST", 64)
    graph = benchmark.known(folder)[1]
    width = benchmark.width_for(graph)
    dense = 3072 * 64 + 3 * 64**2 + 64 * 10
    model = benchmark.network(graph, width)
    model.fit(np.zeros((4, 3, 32, 32), "uint8"), np.arange(4), verbose=0)
    masks = {key: mask.numpy() for key, mask in model.masks.items()}
    assert list(masks) == [f"relational_{number}/kernel" for number in range(3)]
    kept = 3072 * 64 + sum(int(mask.sum()) for mask in masks.values()) + width * 10
    assert dense <= kept < dense + 100
    # The first of these layers reads one unit of each node. The nodes of the others
    # have two or three, so that unit 1 of the first node belongs to node 0 as well.
    neighbors = {0, *drawn_again(graph.name)[0]}
    assert set(np.flatnonzero(masks["relational_0/kernel"][:, 1])) == neighbors


def test_images_are_cropped_from_around_and_flipped(benchmark):
    padded = np.arange(2 * 3 * 40 * 40).reshape(2, 3, 40, 40)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), (2, 3))
    windows = np.moveaxis(windows, 1, 3)
    seen = set()
    for epoch in range(40):
        for row, image in enumerate(benchmark.cropped(windows, 0, epoch)):
            flipped = image[0, 0, 0] > image[0, 0, 1]
            upright = image[..., ::-1] if flipped else image
            down, right = divmod(upright[0, 0, 0] - padded[row, 0, 0, 0], 40)
            whole = padded[row, :, down : down + 32, right : right + 32]
            np.testing.assert_array_equal(upright, whole)
            seen.add((down < 8, right < 8, bool(flipped)))
    assert seen == {(True, True, False), (True, True, True)}
    again = benchmark.cropped(windows, 0, 39)
    np.testing.assert_array_equal(again[-1], image)


def test_figures_of_an_order_that_is_known(benchmark, folder):
    graphs = benchmark.known(folder)
    ours = np.array([[50.0, 51.0], [52.0, 50.0], [54.0, 56.0]])
    rows = benchmark.authors_figures(graphs) + benchmark.our_figures(graphs, ours)
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


def test_nothing_is_trained_twice(benchmark, folder, monkeypatch, capsys):
    trained = []

    def train(self, show):
        trained.append((self.graph.name, self.seed))
        if len(trained) == 4:
            raise KeyboardInterrupt
        size = self.images, self.epochs
        values = (self.graph.name, 1, 1, self.width, *size, self.seed)
        accuracy = {"test_accuracy": 50 + len(trained), "authors_accuracy": 60}
        return dict(zip(benchmark.FIELDS, values, strict=False)) | accuracy

    monkeypatch.setattr(benchmark.Training, "__call__", train)
    command = ["relational_graphs.py", str(folder), "--graphs", "3", "--out"]
    monkeypatch.setattr(sys, "argv", [*command, str(folder)])
    with pytest.raises(KeyboardInterrupt):
        benchmark.main()
    order = folder / "relational_graphs_order.csv"
    before = order.read_text().splitlines()  # what is known without any training
    assert len(before) == 4 and all("authors'" in line for line in before[1:])
    benchmark.main()
    assert order.read_text().splitlines()[:4] == before
    names = ["complete-64", *NAMES]
    wanted = [(name, seed) for seed in (0, 1) for name in names]
    assert trained == [*wanted[:4], *wanted[3:]]
    with open(folder / "relational_graphs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["graph"], int(row["seed"])) for row in rows] == wanted
    assert "tau, two of our seeds: 1.000" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command, str(folder), "--epochs", "9"])
    benchmark.main()  # other epochs are other trainings
    assert len(trained) == 13
    monkeypatch.setattr(sys, "argv", [*command, str(folder), "--images", "90"])
    benchmark.main()  # so are other numbers of images
    assert len(trained) == 19
