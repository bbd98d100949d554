"""keras-invprune structure: what the structure of a network tells of its accuracy."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from keras_invprune_lab.extras import needed

structure = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

# Options that commands share.
Jobs = Annotated[
    int, typer.Option(min=1, help="Processes at once, each of one thread.")
]
Strings = Annotated[str, typer.Option(help="Reber strings.")]
Trainings = Annotated[int, typer.Option(help="Trainings of each graph.")]


@structure.callback()
def group():
    """Networks from graphs: train, predict accuracy, search; prune recurrent ones."""


@structure.command()
def predict(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV of trained graphs; or a public table: the authors' csv, "
            "graph2nn's results_*.npy, data30.pkl or data60.pkl of "
            "random-graph-nn-paper."
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(help="Figure to predict.", show_default="test_accuracy"),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="Kind of cell.", show_default="each separately"),
    ] = None,
    predictors: Annotated[
        str | None,
        typer.Option(
            help="bayesian-ridge,support-vectors,random-forest,extra-trees,adaboost,"
            "gradient-boosting,vote, or some of them.",
            show_default="all",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(help="Features to read, such as nodes,edges.", show_default="all"),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 10,
    repeats: Annotated[
        int, typer.Option(min=1, help="Number of times the folds are drawn.")
    ] = 10,
    splits: Annotated[
        int, typer.Option(min=0, help="Splits of the paper's protocol; 0 to skip it.")
    ] = 100,
    average: Annotated[
        bool,
        typer.Option(
            "--average", help="One row for each group of graphs: their means."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of folds, predictors, bootstrap.")
    ] = 0,
    save: Annotated[
        Path | None,
        typer.Option(help="Train the best predictor on all rows; write it here."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for figures, CSV files and plots.")
    ] = None,
):
    """Predict accuracy from structure, with no training: R², tau, regret, ceiling."""
    with needed("structure", by="predictions from structure"):
        from keras_invprune_lab.structure.prediction.predict import Settings
        from keras_invprune_lab.structure.prediction.predict import predict as compare
        from keras_invprune_lab.structure.prediction.reading import read
        from keras_invprune_lab.structure.prediction.results import check_folder, write
        from keras_invprune_lab.structure.prediction.trained import (
            Trained,
            check_target,
        )
    from keras_invprune_lab.cli.predictions import print_prediction
    from keras_invprune_lab.cli.progress import progress

    names = {"predictors": tuple(predictors.split(","))} if predictors else {}
    settings = Settings(**names, folds=folds, repeats=repeats, splits=splits, seed=seed)
    found = read(table)
    cells = found.cells if cell is None else (cell,)
    if save is not None and len(cells) > 1:
        raise ValueError(
            "A predictor is for one kind of cell. Received: --save, and a table of "
            f"{', '.join(cells)}. Choose one by --cell."
        )
    if save is not None:
        check_target(save)
    if out is not None:
        check_folder(out)
    parts = [found.rows(one, target or found.target) for one in cells]
    if features is not None:
        parts = [part.only(features.split(",")) for part in parts]
    parts = [part.averaged() for part in parts] if average else parts
    with progress(unit="fits") as show:
        results = [compare(part, settings, show) for part in parts]
    for result in results:
        print_prediction(result)
    if out is not None:
        write(results, f"{found.kind}: {table.name}", out)
        print(f"Figures, CSV files and plots: {out}/")
    if save is not None:
        best = results[0].best
        Trained.fit(parts[0], best.predictor, best.features, seed).save(save)
        print(f"{best.predictor}, trained on all {len(parts[0].runs)} graphs: {save}")


@structure.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the table trained.csv.")],
    cell: Annotated[str, typer.Option(help="tanh, relu, gru or lstm.")] = "gru",
    graphs: Annotated[
        int, typer.Option(help="Random graphs, half from each prior.")
    ] = 100,
    seeds: Trainings = 2,
    dataset: Strings = "reber:25000",
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 15,
    jobs: Jobs = 1,
):
    """Train many recurrent networks of random structure. Run again, it resumes."""
    with needed("structure", by="networks from graphs"):
        from keras_invprune_lab.structure.recurrent.campaign import Campaign
        from keras_invprune_lab.structure.recurrent.campaign import train as train_all
    campaign = Campaign(cell, graphs, seeds, dataset, epochs)
    with _shown() as shown:
        table = train_all(campaign, out, jobs, shown)
    print(f"A row for each training: {table}")


@structure.command()
def prune(
    out: Annotated[Path, typer.Option(help="Folder of the table and its plot.")],
    cells: Annotated[
        str | None,
        typer.Option(
            help="rnn-tanh,rnn-relu,gru,lstm, or some of them.", show_default="all"
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="With commas; each kind of cell is trained from each.")
    ] = "0,1,2",
    safe: Annotated[
        bool,
        typer.Option(
            "--safe",
            help="Only what the paper calls safe, and hidden to hidden at 100 %; one "
            "epoch of recovery. Otherwise: three parts, ten levels, ten epochs.",
        ),
    ] = False,
    dataset: Strings = "reber:25000",
    epochs: Annotated[int, typer.Option(help="Of the training before pruning.")] = 50,
    jobs: Jobs = 1,
):
    """Prune recurrent networks in one shot, and see how fast they recover.

    Run again, it resumes.
    """
    with needed("structure", by="plots of networks"):
        from keras_invprune_lab.structure.pruning.campaign import PLOT, Campaign
        from keras_invprune_lab.structure.pruning.campaign import prune as prune_all

    names = {"cells": tuple(cells.split(","))} if cells else {}
    campaign = Campaign(
        **names, seeds=_integers(seeds), safe=safe, dataset=dataset, epochs=epochs
    )
    with _shown() as shown:
        table = prune_all(campaign, out, jobs, shown)
    print(f"A row for each test: {table}")
    print(f"A plot of them: {table.with_name(PLOT)}")


@structure.command()
def relational(
    tables: Annotated[
        Path,
        typer.Argument(
            help="Folder of graph2nn's results_mlp_cifar10_epoch200.npy, "
            "names_mlp_cifar10_epoch200.npy and graphs_n64_3942.npy."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the tables and the plot.")],
    graphs: Annotated[
        int, typer.Option(help="Graphs of the table, far apart from each other.")
    ] = 24,
    seeds: Trainings = 2,
    images: Annotated[int, typer.Option(help="To train with, of CIFAR-10.")] = 50_000,
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 4,
    jobs: Jobs = 1,
):
    """Train graphs of graph2nn's table again, and compare their order with theirs.

    Run again, it resumes.
    """
    with needed("structure", by="networks from graphs"):
        from keras_invprune_lab.structure.relational.campaign import Campaign
        from keras_invprune_lab.structure.relational.campaign import train as train_all

    campaign = Campaign(graphs, seeds, images, epochs)
    with _shown() as shown:
        order = train_all(campaign, tables, out, jobs, shown)
    for row in order:
        print("{figure}: {value:.3f} ({low:.3f} to {high:.3f})".format(**row))
    print(f"A row for each training, the figures and a plot of them: {out}/")


def _integers(seeds: str) -> tuple[int, ...]:
    """Return the seeds that a text such as "0,1,2" lists.

    Raises:
        ValueError: If it does not list integers.
    """
    try:
        return tuple(int(seed) for seed in seeds.split(","))
    except ValueError:
        raise ValueError(
            "Seeds are integers with commas between them, such as 0,1,2. Received: "
            f"{seeds!r}."
        ) from None


@contextlib.contextmanager
def _shown():
    """Yield the progress of tasks at work, which an interrupt ends."""
    from keras_invprune_lab.cli.interrupts import interruptible
    from keras_invprune_lab.cli.progress import progress

    with interruptible() as heard:

        @contextlib.contextmanager
        def shown(costs):
            with progress(costs) as show:
                yield heard(show)

        yield shown


@structure.command()
def search(
    name: Annotated[
        str | None, typer.Argument(help="Name of a recipe, or a .yaml file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results.", show_default="results/NAME"),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trainings at once, of one thread each.")
    ] = 1,
):
    """Search for the graph of a small convolutional network. Run again, it resumes.

    Without a name it lists the recipes. One of your own is a .yaml file:
    docs/guides/structure_search.md.
    """
    with needed("bench,structure", by="searches"):
        from keras_invprune_lab.structure.search import results
        from keras_invprune_lab.structure.search.campaign import Campaign
        from keras_invprune_lab.structure.search.recipe import load
    from keras_invprune_lab.cli.interrupts import interruptible
    from keras_invprune_lab.cli.progress import progress
    from keras_invprune_lab.cli.searches import print_found, print_searches

    if name is None:
        print_searches()
        return
    recipe = load(name)
    campaign = Campaign(recipe, out or Path("results") / Path(name).stem)
    folder = campaign.out
    with interruptible() as heard, progress(campaign.costs, unit="%") as show:
        found = campaign.run(jobs, heard(show), partial(results.write, out=folder))
        fronts = results.finish(found, folder)
    print_found(results.page(found), fronts, folder)
