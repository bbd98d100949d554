"""keras-invprune structure: what the structure of a network tells of its accuracy."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

structure = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Networks made from graphs: predict their accuracy from the structure.",
)


@structure.callback()
def group():
    """Networks made from graphs: predict their accuracy from the structure."""


@structure.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the table trained.csv.")],
    cell: Annotated[str, typer.Option(help="tanh, relu, gru or lstm.")] = "gru",
    graphs: Annotated[
        int, typer.Option(help="Random graphs, half from each prior.")
    ] = 100,
    seeds: Annotated[int, typer.Option(help="Trainings of each graph.")] = 2,
    dataset: Annotated[str, typer.Option(help="Reber strings.")] = "reber:25000",
    epochs: Annotated[int, typer.Option(help="Of each training.")] = 15,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes of one thread; the number of cores.")
    ] = 1,
):
    """Train many recurrent networks of random structure. Run again, it resumes."""
    try:
        from keras_invprune_lab.structure.campaign import Campaign
        from keras_invprune_lab.structure.campaign import train as train_all
    except ImportError as error:
        raise ImportError(
            f"{error.name} is missing: pip install '.[structure]' brings what "
            "networks from graphs need."
        ) from error
    from keras_invprune_lab.cli.interrupts import interruptible
    from keras_invprune_lab.cli.progress import progress

    campaign = Campaign(cell, graphs, seeds, dataset, epochs)
    with interruptible() as heard:

        @contextlib.contextmanager
        def shown(costs):
            with progress(costs) as show:
                yield heard(show)

        table = train_all(campaign, out, jobs, shown)
    print(f"A row for each training: {table}")
