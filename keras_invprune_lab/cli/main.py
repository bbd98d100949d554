"""keras-invprune: the commands."""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_invprune_lab.cli.structure import structure
from keras_invprune_lab.cli.wording import in_options
from keras_invprune_lab.extras import needed

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

app.add_typer(structure, name="structure")

_settings = {"debug": False}


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks of errors.")] = False,
):
    """Prune Keras models for the invariances in their data."""
    _settings["debug"] = debug
    # TensorFlow's start-up notes would drown the commands' own output, and so would
    # its advice on tracing: several models in one process are traced one by one.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the exported files and report.json.")
    ] = Path("keras-invprune-demo"),
    sparsity: Annotated[float, typer.Option(help="Share of weights to remove.")] = 0.9,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of data split, weights, views.")
    ] = 0,
):
    """Compare a dense network with its pruned twin on handwritten digits."""
    from keras_invprune_lab.cli.progress import progress
    from keras_invprune_lab.cli.tables import print_demo
    from keras_invprune_lab.demo import run_demo

    with progress() as show:
        report = run_demo(out, sparsity=sparsity, seed=seed, show=show)
    print_demo(report, out)


# The options of `run` that are left to it.
Sparsity = Annotated[
    float | None, typer.Option(help="Share of weights to remove.", show_default="0.9")
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Half for the search, half for fine-tuning.",
        show_default="30, more if rows are few",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Rows in a batch.", show_default="128, 32 if rows are few"),
]
Rate = Annotated[
    float | None,
    typer.Option(help="First learning rate.", show_default="0.1 images, 0.002 rows"),
]
Kappa = Annotated[
    float | None,
    typer.Option(
        help="κ of small initialization.",
        show_default="iunet: 0.5 images; rows 0.25 or 1",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        help="What may remain, instead of a sparsity: macs=0.5, bytes=50000 or "
        "milliseconds=0.2. Whole units go."
    ),
]
Views = Annotated[
    str | None,
    typer.Option(
        help="images, natural_images, original+images, original+natural_images, scarf.",
        show_default="what suits the data",
    ),
]


@app.command()
def run(
    dataset: Annotated[
        str,
        typer.Option(
            help="sklearn:digits, tfds:mnist, openml:31, openml:credit-g, reber:25000"
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; created at the end.")
    ],
    method: Annotated[
        str, typer.Option(help="dense, omp, iunet, or its control, shuffled.")
    ] = "iunet",
    sparsity: Sparsity = None,
    model: Annotated[
        str | None, typer.Option(help="Network; by default, one that suits the data.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of split, weights, views.")
    ] = 0,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    rate: Rate = None,
    weight: Annotated[
        float | None, typer.Option(help="λ of the invariance loss; chosen by default.")
    ] = None,
    kappa: Kappa = None,
    views: Views = None,
    width: Annotated[int | None, typer.Option(help="Width of the network.")] = None,
    schedule: Annotated[
        str, typer.Option(help="one_shot, gradual or when_converged.")
    ] = "one_shot",
    budget: Budget = None,
):
    """Train, prune, export and report. After Ctrl-C, the same command resumes."""
    from keras_invprune_lab.cli.interrupts import interruptible
    from keras_invprune_lab.cli.progress import progress
    from keras_invprune_lab.cli.tables import print_run
    from keras_invprune_lab.runs.run import Run, execute

    if sparsity is None:
        sparsity = 0.0 if method == "dense" or budget is not None else 0.9
    choices = {"rate": rate, "weight": weight, "kappa": kappa, "views": views}
    choices |= {"width": width, "schedule": schedule, "budget": budget}
    wanted = Run(dataset, method, sparsity, model, seed, epochs, batch_size, **choices)
    with interruptible() as heard, progress() as show:
        found = execute(wanted, out, show=heard(show))
    print_run(found, out)


@app.command()
def bench(
    name: Annotated[
        str | None, typer.Argument(help="Name of a recipe, or a .yaml file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results.", show_default="results/NAME"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 1,
    tables: Annotated[
        bool, typer.Option("--tables", help="Only write tables of finished runs.")
    ] = False,
):
    """Carry out a recipe: many runs, one table. The same command resumes.

    Without a name, it lists the recipes; start with "digits". Your own recipe is a
    .yaml file: docs/guides/compare.md.
    """
    with needed("bench", by="benchmarks"):
        from keras_invprune_lab.bench.benchmark import Benchmark
    from keras_invprune_lab.cli.benches import print_bench, print_recipes
    from keras_invprune_lab.cli.interrupts import interruptible
    from keras_invprune_lab.cli.progress import progress

    if name is None:
        print_recipes()
        return
    benchmark = Benchmark(name, out or Path("results") / Path(name).stem)
    failures = {}
    if tables:
        if not benchmark.write():
            raise ValueError(f"No run of {name} is finished in {benchmark.out}.")
    else:
        costs = {job.name: job.cost for job in benchmark.missing()}
        with interruptible() as heard, progress(costs) as show:
            failures = benchmark.run(jobs, heard(show))
    print_bench(benchmark)
    if failures:
        raise typer.Exit(1)


@app.command()
def report(
    path: Annotated[Path, typer.Argument(help="Folder of a run, or a .keras file.")],
):
    """Print the report of a run, or make one of a saved model."""
    from keras_invprune_lab.cli.tables import print_reports, reports_of

    print_reports(reports_of([path]))


@app.command()
def compare(
    paths: Annotated[list[Path], typer.Argument(help="Folders of runs, .keras files.")],
):
    """Print reports side by side."""
    from keras_invprune_lab.cli.tables import print_reports, reports_of

    print_reports(reports_of(paths))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A .keras file.")],
    out: Annotated[Path, typer.Option(help="Folder for the files and report.json.")],
    tflite: Annotated[
        list[str] | None,
        typer.Option(help="sparsity, float16 or int8; may be repeated."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Rows in a batch; 1 for phones.", show_default="any"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Find the best file for a target, such as litert-cpu; an unknown one "
            "lists them all."
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Accuracy that may be lost.", show_default="0.003"),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(help="bytes=100000 or milliseconds=0.2; may be repeated."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="sklearn:digits, tfds:mnist, ...: rows to compare and calibrate with.",
            show_default="random rows",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the split of the data.")
    ] = 0,
):
    """Write a model as .keras, SavedModel and .tflite, or its best file for a target.

    Each file is run and compared with Keras.
    """
    from keras_invprune.exporting.export import export as export_model
    from keras_invprune.exporting.planner import TARGETS
    from keras_invprune_lab.cli.exports import plan, rows_of
    from keras_invprune_lab.cli.tables import load_model, print_files

    data = rows_of(dataset, seed)
    if target is not None:
        plan(load_model(file), out, data, target, max_loss, budget, tflite, batch_size)
        return
    if max_loss is not None or budget:
        raise ValueError(
            f"--max-loss and --budget limit the files of a target. Add --target, one "
            f"of {TARGETS}."
        )
    options = ("sparsity",) if tflite is None else tuple(tflite)
    found = export_model(
        load_model(file), out, data=data, tflite_options=options, batch_size=batch_size
    )
    print_files(found, out)


@app.command()
def savings(
    file: Annotated[Path, typer.Argument(help="A .keras file, trained or not.")],
    share: Annotated[
        list[float] | None,
        typer.Option(
            help="Share to remove; may be repeated.", show_default="0.5 0.8 0.9 0.95"
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(help="Files for this target, as for export."),
    ] = "litert-cpu",
):
    """Print what patterns, shares and number formats would save on a model."""
    from keras_invprune.reporting.savings import SHARES, estimate_savings
    from keras_invprune_lab.cli.progress import progress
    from keras_invprune_lab.cli.tables import load_model

    model = load_model(file)
    with progress(unit="files") as show:
        found = estimate_savings(
            model,
            shares=share or SHARES,
            target=target,
            show=lambda _, done, total: show("networks", done, total),
        )
    print(found, end="")


@app.command()
def compact(
    file: Annotated[Path, typer.Argument(help="A .keras file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="New .keras file; without it, the plan is only printed."),
    ] = None,
    gather: Annotated[
        bool, typer.Option("--gather", help="Pick the inputs that matter first.")
    ] = False,
    round_to: Annotated[
        int, typer.Option(min=1, help="Keep multiples of this many units.")
    ] = 1,
):
    """Remove dead units and filters; the outputs stay the same and are compared."""
    from keras_invprune.compaction import compact as make_smaller
    from keras_invprune.compaction import plan
    from keras_invprune_lab.cli.files import check_new, save_smaller
    from keras_invprune_lab.cli.tables import load_model

    choices = {"inputs": "gather" if gather else "keep", "round_to": round_to}
    if out is not None:
        check_new(out)
    model = load_model(file)
    print(plan(model, **choices), end="")
    if out is not None:
        compared = save_smaller(make_smaller(model, **choices), out, model)
        found = "has the same outputs" if compared else "was written, not compared"
        print(f"{out} {found}.")


@app.command()
def pack(
    file: Annotated[Path, typer.Argument(help="A .keras or .tflite file.")],
    out: Annotated[Path, typer.Option(help="New .kip file.")],
    bits: Annotated[
        int | None,
        typer.Option(
            help="Round kernels to this many bits.", show_default="no rounding"
        ),
    ] = None,
):
    """Write the smallest file of a model, for downloads."""
    from keras_invprune_lab.cli.packing import pack_file

    pack_file(file, out, bits)


@app.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="A .kip file.")],
    out: Annotated[Path, typer.Option(help="New .keras or .tflite file.")],
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse more bytes than this.", show_default="1 GiB"),
    ] = None,
):
    """Restore the packed .keras or .tflite file."""
    from keras_invprune_lab.cli.packing import unpack_file

    unpack_file(file, out, limit)


@app.command()
def env():
    """Print versions, devices and extras: what an issue should say."""
    from keras_invprune_lab.cli.tables import print_environment

    print_environment()


def command():
    """Return the command with all those below it."""
    return typer.main.get_command(app)


def main():
    """Run the command; errors are one line and exit code 2.

    SIGTERM ends it as Ctrl-C does, so that nothing is left half written.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        if _settings["debug"]:
            raise
        text = in_options(str(error), command(), sys.argv[1:])
        print(f"keras-invprune: {text}", file=sys.stderr)
        sys.exit(2)
