"""keras-invprune: the commands."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Prune Keras models for the invariances in their data.",
)


@app.callback()
def options():
    """Prune Keras models for the invariances in their data."""


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the exported files and report.json.")
    ] = Path("keras-invprune-demo"),
    sparsity: Annotated[float, typer.Option(help="Share of weights to remove.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of data split, weights, views.")] = 0,
):
    """A dense network and its pruned twin on handwritten digits, side by side."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_invprune.experiments.demo import run_demo
    from keras_invprune_cli.tables import print_demo, progress

    with progress() as show:
        report = run_demo(out, sparsity=sparsity, seed=seed, show=show)
    print_demo(report, out)


def main():
    """Runs the command; errors are one line and exit code 2."""
    try:
        app()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"keras-invprune: {error}", file=sys.stderr)
        sys.exit(2)
