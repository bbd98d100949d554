"""What the commands print."""

import json
import zipfile

from rich.console import Console
from rich.table import Table

console = Console()


def print_demo(report, out):
    """Print the dense network next to the pruned one, and what to do next."""
    dense, pruned = report["dense"], report["pruned"]
    table = Table(title="Handwritten digits (scikit-learn), LiteRT on one thread")
    table.add_column("")
    table.add_column("dense", justify="right")
    table.add_column("pruned", justify="right")
    rows = [
        ("test accuracy", "test_accuracy", "{:.2%}"),
        ("zero weights (of the prunable)", "sparsity", "{:.1%}"),
        (".tflite, bytes", "tflite_bytes", "{:,}"),
        (".tflite gzipped, bytes", "tflite_gzip_bytes", "{:,}"),
        ("one image, ms (median)", "tflite_ms", "{:.4f}"),
    ]
    for label, key, pattern in rows:
        table.add_row(label, pattern.format(dense[key]), pattern.format(pruned[key]))
    for view in dense["consistency"]:
        values = (f"{model['consistency'][view]:.2%}" for model in (dense, pruned))
        table.add_row(f"same answer after {view}", *values)
    console.print(table)
    console.print(_ignored(pruned["inputs_used"]))
    console.print(f"Files, each run and compared with Keras, and report.json: {out}/")
    console.print(f"Masks, histograms, losses: tensorboard --logdir {out}/tensorboard")
    console.print(
        "Next: examples/quickstart.py has the five lines for your own model; "
        "README.md continues from there.",
    )


def print_run(found, out):
    """Print the report of a run that has just ended."""
    from keras_invprune.reporting.report import Report

    print_reports({str(out): Report.from_json(found["report"])})
    config = found["config"]
    if "budget" in found:
        budget = found["budget"]
        form = ".4g" if budget["unit"] == "milliseconds" else ",.0f"
        left = f"{budget['left']:{form}} {budget['unit']}"
        console.print(f"Budget {budget['asked']}: the files take {left}.")
    console.print(
        f"Trained for {config['epochs']} epochs in batches of {config['batch_size']}."
    )
    console.print(f"Files, each run and compared with Keras, and report.json: {out}/")
    console.print(f"Masks, histograms, losses: tensorboard --logdir {out}/tensorboard")


def print_reports(reports):
    """Print reports, `{heading: report}`, side by side."""
    from keras_invprune.reporting.report import compare

    print(compare(reports, width=console.width), end="")


def print_files(found, out):
    """Print what an export wrote."""
    table = Table("file", "bytes", "gzip", "greatest difference from Keras")
    for name, file in found.files.items():
        sizes = f"{file['bytes']:,}", f"{file['gzip_bytes']:,}"
        table.add_row(name, *sizes, f"{file['max_abs_error']:.1e}")
    console.print(table)
    console.print(f"In {out}/, with report.json.")


def print_environment():
    """Print what an issue should say of the machine, as plain text to be copied."""
    import platform

    from keras_invprune_lab.runs.environment import devices, environment, installed

    machine = environment()
    print(f"python {machine['python']} on {platform.platform()}")
    print(f"processor {machine['processor'] or machine['machine']}")
    print(f"cores {machine['cores']}, TensorFlow sees {', '.join(devices())}")
    for part, libraries in installed().items():
        print(f"\n{part}")
        for name, version in libraries.items():
            print(f"  {name} {version}")


def reports_of(paths) -> dict:
    """Return ``{heading: report}``: read from folders of runs, made of .keras files.

    Raises:
        ValueError: If it is neither.
    """
    from keras_invprune.reporting.report import Report, report

    found = {}
    for path in paths:
        if path.suffix == ".keras":
            found[str(path)] = report(load_model(path))
            continue
        file = path / "report.json"
        if not file.is_file():
            raise ValueError(
                f"{path} is neither a .keras file nor the folder of a run that has "
                "ended (there is no report.json in it)."
            )
        try:
            content = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(f"{file} is not JSON: {error}.") from error
        content = content if isinstance(content, dict) else {}
        if "report" not in content:
            kind = content.get("schema", "nothing of ours")
            raise ValueError(
                f"{file} is not the report of `keras-invprune run`, but {kind}. What a "
                "benchmark has measured is in its table.md and runs.csv."
            )
        found[str(path)] = Report.from_json(content["report"])
    return found


def load_model(file):
    """Return the Keras model in a file, without its masks if it is a pruned one.

    Raises:
        ValueError: If it is not a model of Keras 3.
    """
    import keras

    import keras_invprune as kip

    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    if file.suffix == ".keras" and not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is not a .keras file: it is not a zip archive.")
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:
        raise ValueError(f"Keras cannot load {file}: {error}") from error
    return kip.strip_pruning(model) if isinstance(model, kip.PrunedModel) else model


def _ignored(used) -> str:
    """Draw the share of connections left to each pixel with characters."""
    highest = max(max(row) for row in used) or 1.0
    shades = " ░▒▓█"
    lines = ["Which pixels the pruned network still looks at (blank: ignored):"]
    for row in used:
        marks = (shades[0 if v == 0 else min(4, 1 + int(4 * v / highest))] for v in row)
        lines.append("  " + "".join(mark * 2 for mark in marks))
    return "\n".join(lines)
