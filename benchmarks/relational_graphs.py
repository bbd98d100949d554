"""Do the relational graphs that are best for graph2nn's authors do best here as well?

    python benchmarks/relational_graphs.py FOLDER [--graphs 24] [--seeds 2] [--jobs 2]

FOLDER holds three files of facebookresearch's graph2nn, which are not ours to copy:
``results_mlp_cifar10_epoch200.npy`` and ``names_mlp_cifar10_epoch200.npy`` from
``analysis/final_results/mlp_cifar10``, and ``graphs_n64_3942.npy`` from ``analysis``.
They have, for 3,943 graphs of 64 nodes, the accuracy of five networks on CIFAR-10.

The first graph is the complete one. Each of the others is the one furthest from all
before it, in clustering C and path length L, both scaled to [0, 1]. So more graphs do
not change the first ones. Each is drawn again edge by edge, and C and L are compared.

Networks and training are those of You et al. 2020 (2007.06559): a Dense layer of 512
units, three under the masks of the graph, and a head; batch normalization and ReLU
between them; weights of standard deviation 0.01; SGD with Nesterov's momentum 0.9, a
rate of 0.1 that falls along a cosine, after each epoch, and a decay of 0.0005; batches
of 128; images cropped and flipped. The three layers get as many units as are needed for
the multiplications of the complete graph with 512. Only the epochs are fewer: theirs
are 200.

A row of the table is one training. An interrupted run resumes after its last finished
training. The figures have the order of the graphs: Kendall's tau between our means and
theirs, with an interval of 95 % by bootstrap over graphs; how well our own seeds agree,
and theirs; how much better the graphs of their sweet spot are than the others; and the
tau of accuracies and path lengths.
Those of the authors alone are there before anything is trained.
"""

import argparse
import dataclasses
from bisect import bisect_left
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
from ledger import finished, write

from keras_invprune_lab.cli.progress import progress
from keras_invprune_lab.structure.prediction.evaluation import kendall
from keras_invprune_lab.structure.prediction.reading import read
from keras_invprune_lab.structure.relational import COMPLETE, drawn_again, far_apart
from keras_invprune_lab.structure.workers import carry_out
from keras_invprune_lab.training.files import write_csv

RESULTS, NAMES = (f"{kind}_mlp_cifar10_epoch200.npy" for kind in ("results", "names"))
ERROR = 3  # column of the results, in percent
PIXELS, FIRST, LAYERS, CLASSES = 3072, 512, 3, 10
IMAGES, EPOCHS, REPLICATES = 50_000, 4, 1000
BATCH, RATE, MOMENTUM, DECAY, STDDEV, PAD = 128, 0.1, 0.9, 5e-4, 0.01, 4
MEAN, DEVIATION = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)  # of the channels
CLUSTERING, PATH = (0.09, 0.72), (1.63, 3.04)  # their sweet spot
FIELDS = (
    "graph",
    "clustering",
    "path_length",
    "width",
    "images",
    "epochs",
    "seed",
    "test_accuracy",
    "authors_accuracy",
)


@dataclasses.dataclass(frozen=True)
class Known:
    """What the table knows of a graph.

    Attributes:
        name: Its name, see `drawn_again`.
        clustering: C.
        path: L.
        accuracies: Of its authors' networks, in percent.
    """

    name: str
    clustering: float
    path: float
    accuracies: tuple[float, ...]

    @property
    def sweet(self):
        """Whether it is in their sweet spot."""
        inside = CLUSTERING[0] <= self.clustering <= CLUSTERING[1]
        return inside and PATH[0] <= self.path <= PATH[1]


def known(folder):
    """Return the graphs of the table, the complete one first."""
    table = read(folder / RESULTS)
    rows = table.frame.groupby("graph", sort=False)
    names, results = (np.load(folder / file) for file in (NAMES, RESULTS))
    (complete,) = results[names[:, 0] == "linear"]
    others = [
        Known(
            name,
            float(each["clustering"].iloc[0]),
            float(each["average_shortest_path_length"].iloc[0]),
            tuple(100 * each["test_accuracy"]),
        )
        for name, each in rows
    ]
    return [Known(COMPLETE, 1.0, 1.0, tuple(100 - complete[:, ERROR])), *others]


def chosen(graphs, count):
    """Return so many graphs that are far apart in (C, L), the first one first."""
    points = np.array([(graph.clustering, graph.path) for graph in graphs])
    return [graphs[number] for number in far_apart(points, count, first=0)]


def check(graph):
    """Raise ValueError if the graph drawn again is not that of the table."""
    from keras_invprune.priors.features import clustering, path_length

    again = drawn_again(graph.name)
    found = clustering(again), path_length(again)
    listed = graph.clustering, graph.path
    if not np.allclose(found, listed, rtol=0, atol=1e-6):
        raise ValueError(
            f"{graph.name} should have clustering and path length {listed}, as in the "
            f"table, and was drawn again with {found}. The files may be of another "
            "version."
        )


def multiplications(relational, width):
    """Return those of a network for one image."""
    shapes = [(FIRST, width), *[(width, width)] * (LAYERS - 1)]
    inner = sum(int(relational.mask(shape).sum()) for shape in shapes)
    return PIXELS * FIRST + inner + width * CLASSES


def width_for(graph):
    """Return the fewest units with no fewer multiplications than the complete graph's.

    The authors count in the same way. Where the units cannot be shared equally, they
    draw the nodes that have one more, and so may need a few units more or less.
    """
    from keras_invprune.allocation import Relational

    relational = Relational(drawn_again(graph.name))
    dense = PIXELS * FIRST + LAYERS * FIRST**2 + FIRST * CLASSES
    widths = range(FIRST // 2, 8 * FIRST)
    place = bisect_left(widths, dense, key=lambda w: multiplications(relational, w))
    return widths[place]


def dense(units, name, **options):
    """Return a Dense layer, initialized and decayed as the authors' are."""
    import keras

    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=STDDEV),
        kernel_regularizer=keras.regularizers.L2(DECAY / 2),
        name=name,
        **options,
    )


def network(graph, width):
    """Return a compiled network whose three layers are under the masks of a graph."""
    import keras

    import keras_invprune as kip

    inner = [f"relational_{number}" for number in range(LAYERS)]
    model = keras.Sequential([keras.Input((3, 32, 32))])
    model.add(keras.layers.Normalization(1, MEAN, np.square(DEVIATION)))
    model.add(keras.layers.Flatten())
    for name in ("first", *inner):
        model.add(dense(FIRST if name == "first" else width, name, use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5))
        model.add(keras.layers.ReLU())
    model.add(dense(CLASSES, "head"))
    relational = kip.allocation.Relational(drawn_again(graph.name))
    share = relational.sparsity(model, inner)
    model = kip.prune(
        model, share, allocation=relational, schedule="at_init", select=inner
    )
    model.compile(
        keras.optimizers.SGD(RATE, momentum=MOMENTUM, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    return model


@cache
def images():
    """Return windows of the padded training images, their classes, and the test part.

    Windows are a view [rows, places down, places right, 3, 32, 32]; pixels are bytes.
    What is around an image has the channels' mean, as in the authors' code.
    """
    from keras_invprune_lab.data import load

    data = load("tfds:cifar10")
    bytes_ = [np.rint(255 * x).astype("uint8") for x in (data.x_train, data.x_test)]
    train, test = (np.moveaxis(x, -1, 1) for x in bytes_)
    rows, channels, height, width = train.shape
    padded = np.empty((rows, channels, height + 2 * PAD, width + 2 * PAD), "uint8")
    padded[:] = np.rint(MEAN).reshape(-1, 1, 1)
    padded[:, :, PAD:-PAD, PAD:-PAD] = train
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (2, 3))
    return np.moveaxis(windows, 1, 3), data.y_train, test, data.y_test


def cropped(windows, seed, epoch):
    """Return the training images of an epoch, cropped and flipped at random.

    The last place of each axis is never drawn, as in the authors' code.
    """
    random = np.random.default_rng([seed, epoch])
    rows = np.arange(len(windows))
    down, right = random.integers(2 * PAD, size=(2, len(rows)))
    found = windows[rows, down, right]
    flipped = random.random(len(rows)) < 0.5
    found[flipped] = found[flipped, ..., ::-1]
    return found


@dataclasses.dataclass(frozen=True)
class Training:
    """A network of one graph, width and seed."""

    graph: Known
    width: int
    images: int
    epochs: int
    seed: int

    @property
    def name(self):
        """What its progress is shown under."""
        return f"{self.graph.name}, seed {self.seed}"

    @property
    def cost(self):
        """What it takes, compared with others: masked weights are computed as well."""
        inner = self.width * (FIRST + (LAYERS - 1) * self.width)
        return self.images * self.epochs * (2 * PIXELS * FIRST + 3 * inner)

    def __call__(self, show):
        """Train; return the row of the table."""
        import keras

        windows, classes, *test = images()
        keras.utils.set_random_seed(self.seed)
        model = network(self.graph, self.width)
        show(0, self.epochs)
        for epoch in range(self.epochs):
            rate = RATE * (1 + np.cos(np.pi * epoch / self.epochs)) / 2
            model.optimizer.learning_rate = rate
            x = cropped(windows[: self.images], self.seed, epoch)
            model.fit(x, classes[: self.images], BATCH, verbose=0)
            show(epoch + 1, self.epochs)
        _, share = model.evaluate(*test, 1000, verbose=0)
        keras.backend.clear_session()
        about = (self.graph.name, self.graph.clustering, self.graph.path, self.width)
        authors = round(float(np.mean(self.graph.accuracies)), 3)
        trained = self.images, self.epochs, self.seed
        values = (*about, *trained, round(100 * share, 2), authors)
        return dict(zip(FIELDS, values, strict=True))


def training_of(row):
    """Return (graph, images, epochs, seed) of a row of the table."""
    return row["graph"], int(row["images"]), int(row["epochs"]), int(row["seed"])


def with_interval(figure, graphs):
    """Return ``figure(numbers of graphs)`` of all, and its interval by bootstrap."""
    random = np.random.default_rng(0)
    drawn = [figure(random.integers(graphs, size=graphs)) for _ in range(REPLICATES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return figure(np.arange(graphs)), low, high


def agreement(pairs):
    """Return Kendall's tau of graphs, averaged over pairs of [graphs] accuracies."""
    return lambda numbers: np.mean([kendall(a[numbers], b[numbers]) for a, b in pairs])


def lead(accuracies, sweet):
    """Return by how many points some graphs are better than the others, on average."""

    def figure(numbers):
        inside = sweet[numbers]
        if inside.all() or not inside.any():
            return np.nan
        means = accuracies[numbers]
        return means[inside].mean() - means[~inside].mean()

    return figure


def authors_figures(graphs):
    """Return rows of what the authors' own networks say of the order of the graphs.

    Args:
        graphs: [graphs] of `Known`.
    """
    theirs, sweet = of_authors(graphs)
    seeds = range(theirs.shape[1])
    halves = [
        (theirs[:, two].mean(axis=1), np.delete(theirs, two, axis=1).mean(axis=1))
        for two in map(list, combinations(seeds, 2))
    ]
    wanted = {
        "tau, two of the authors' seeds and the others": agreement(halves),
        "lead of the sweet spot, the authors'": lead(theirs.mean(axis=1), sweet),
        "tau, the authors' means and path lengths": agreement(
            [(theirs.mean(axis=1), paths(graphs))]
        ),
    }
    return figure_rows(wanted, *theirs.shape)


def our_figures(graphs, accuracies):
    """Return rows of what our networks say of the order of the graphs.

    Args:
        graphs: [graphs] of `Known`.
        accuracies: Ours, [graphs, seeds], in percent.
    """
    theirs, sweet = of_authors(graphs)
    ours = accuracies.mean(axis=1)
    wanted = {
        "tau, our means and the authors'": agreement([(ours, theirs.mean(axis=1))]),
        "lead of the sweet spot, ours": lead(ours, sweet),
        "tau, our means and path lengths": agreement([(ours, paths(graphs))]),
    }
    if accuracies.shape[1] > 1:
        pairs = list(combinations(accuracies.T, 2))
        wanted["tau, two of our seeds"] = agreement(pairs)
    return figure_rows(wanted, *accuracies.shape)


def of_authors(graphs):
    """Return the authors' accuracies, [graphs, seeds], and which graphs are sweet."""
    theirs = np.array([graph.accuracies for graph in graphs])
    return theirs, np.array([graph.sweet for graph in graphs])


def paths(graphs):
    """Return the path lengths, [graphs]."""
    return np.array([graph.path for graph in graphs])


def figure_rows(wanted, graphs, seeds):
    """Return a row for each ``{name: figure}``, with its interval."""
    found = []
    for name, figure in wanted.items():
        value, low, high = with_interval(figure, graphs)
        about = {"figure": name, "graphs": graphs, "seeds": seeds}
        found.append(about | {"value": value, "low": low, "high": high})
    return found


def show_figures(order, file):
    """Write the figures to a file, and print them."""
    write_csv(file, order)
    for row in order:
        print("{figure}: {value:.3f} ({low:.3f} to {high:.3f})".format(**row))


def main():
    """Write the authors' figures, train what the table lacks, and write ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of graph2nn's three files")
    parser.add_argument("--graphs", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--images", type=int, default=IMAGES, help="to train with")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    asked = parser.parse_args()
    graphs = chosen(known(asked.folder), asked.graphs)
    for graph in graphs:
        check(graph)
    authors, order = authors_figures(graphs), asked.out / "relational_graphs_order.csv"
    show_figures(authors, order)
    file = asked.out / "relational_graphs.csv"
    found = finished(file, training_of)
    tasks = [
        Training(graph, width_for(graph), asked.images, asked.epochs, seed)
        for seed in range(asked.seeds)
        for graph in graphs
        if (graph.name, asked.images, asked.epochs, seed) not in found
    ]

    def add(task, row):
        found[training_of(row)] = [row]
        write(found, file, FIELDS)

    carry_out(tasks, asked.jobs, add, progress)
    trained = asked.images, asked.epochs
    accuracies = [
        [
            float(found[(graph.name, *trained, seed)][0]["test_accuracy"])
            for seed in range(asked.seeds)
        ]
        for graph in graphs
    ]
    show_figures([*authors, *our_figures(graphs, np.array(accuracies))], order)


if __name__ == "__main__":
    main()
