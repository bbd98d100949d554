"""What `keras-invprune structure predict` prints."""

from rich.table import Table

from keras_invprune_lab.cli.tables import console
from keras_invprune_lab.structure.prediction.predict import importance_figures
from keras_invprune_lab.structure.prediction.protocol import SPLIT

SHOWN = 5
"""How many features are printed."""


def print_prediction(prediction):
    """Print what was found for one kind of cell.

    Args:
        prediction: `Prediction`.
    """
    settings = prediction.settings
    console.print(_entries(prediction))
    console.print(
        f"{settings.repeats} × {settings.folds} folds. Intervals of 95 % by bootstrap "
        "over graphs and repeats. Regret: best of all minus best of the ten predicted "
        f"to be best, in units of {prediction.rows.target}."
    )
    console.print(_ceiling(prediction.ceiling))
    console.print(f"R² falls most without: {_features(prediction)}.")
    if prediction.protocol:
        console.print(_protocol(prediction.protocol))


def _entries(prediction) -> Table:
    """Return a line for each predictor, the best first."""
    rows, ceiling = prediction.rows, prediction.ceiling
    of = f"{rows.cell}: " if rows.cell else ""
    table = Table(title=f"{of}{rows.target} of {len(rows.runs)} graphs from structure")
    table.add_column("predictor", overflow="fold")
    names = ["R²", "95 %", "tau", "95 %", "regret"]
    known = ceiling is not None and ceiling.r2 > 0
    for name in [*names, "of ceiling"] if known else names:
        table.add_column(name, justify="right", no_wrap=True)
    for entry in sorted(prediction.entries, key=lambda entry: -entry.scores.r2):
        s = entry.scores
        shown = [f"{s.r2:.2f}", _interval(s.r2_low, s.r2_high)]
        shown += [f"{s.tau:.2f}", _interval(s.tau_low, s.tau_high), f"{s.regret:.4f}"]
        shown += [f"{s.r2 / ceiling.r2:.0%}"] if known else []
        inputs = "" if entry.inputs == "structure" else f"{entry.inputs}: "
        table.add_row(inputs + entry.predictor, *shown)
    return table


def _interval(low, high) -> str:
    return f"{low:.2f}..{high:.2f}"


def _ceiling(ceiling) -> str:
    if ceiling is None:
        return (
            "Noise ceiling: unknown, since no graphs were trained from several seeds."
        )
    return (
        f"Noise ceiling of R²: {ceiling.r2:.3f} ({ceiling.low:.3f} to "
        f"{ceiling.high:.3f}), from {ceiling.repeated} graphs with several trainings, "
        f"whose standard deviation is {ceiling.noise:.4f}; {ceiling.single:.3f} for "
        "single trainings."
    )


def _features(prediction) -> str:
    found = importance_figures(prediction)[:SHOWN]
    return ", ".join(f"{one['feature']} ({one['fall']:.2f})" for one in found)


def _protocol(found) -> Table:
    tests, splits = found[0].tests, len(found[0].r2)
    title = f"R² by the paper's protocol: {tests} test networks, {splits} splits"
    table = Table("predictor", title=title)
    drawn = splits > SPLIT
    names = ["the authors' split"] if drawn else []
    for name in (*names, "10 %", "median", "90 %"):
        table.add_column(name, justify="right")
    for one in found:
        values = (one.authors, *one.quantiles) if drawn else one.quantiles
        table.add_row(one.predictor, *(f"{value:.2f}" for value in values))
    return table
