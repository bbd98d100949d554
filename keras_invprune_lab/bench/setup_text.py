"""What a benchmark was made with, in words."""

from keras_invprune_lab.methods.base import METHODS

USUAL = 0.9  # momentum, which is not mentioned


def setting(recipe, table, reports) -> str:
    """Return one paragraph: network, epochs, optimizers, selection, hours, machine.

    Args:
        recipe: `Recipe`.
        table: `Table`.
        reports: All reports.
    """
    hours = sum(report["seconds"] for report in reports) / 3600
    machines = {_machine(report["environment"]) for report in reports}
    width = "" if recipe.width is None else f" (width {recipe.width})"
    width += f", {recipe.initializer}" if recipe.initializer else ""
    chosen = sorted({cell.kappa for cell in table.cells.values()} - {1.0})
    kappa = ", ".join(f"{k:g}" for k in chosen)
    small = f"κ = {kappa} on {recipe.kappa_scope}; " if kappa else ""
    return (
        f"{recipe.model}{width}; {_epochs(recipe)}"
        f"batches of {recipe.batch_size}, {_optimizer(recipe.optimizer, recipe)}"
        f"{_second(recipe)}; {small}{_search(recipe)}augmentation: {recipe.augment}"
        f"{_limits(recipe)}{_apart(recipe)}. "
        "The best epoch (and κ, and λ of β-LASSO, where there are "
        f"several) by {recipe.select.replace('_', ' ')} on {recipe.validation:.0%} "
        f"of the training part held out; {_tested(reports)}. "
        f"{len(reports)} runs took {hours:.1f} hours on {'; '.join(sorted(machines))}."
    )


def _tested(reports) -> str:
    """Say how the test part is used."""
    if any(report.get("rounds") for report in reports):
        return "nothing is chosen on the test part, which is read in each round"
    return "the test part is used once per run"


def _epochs(recipe) -> str:
    """Say how many epochs there are, unless methods tell by themselves."""
    if all(METHODS[method].ends_early for method in recipe.methods):
        return ""
    return (
        f"{recipe.search_epochs} epochs before pruning and {recipe.finetune_epochs} "
        "after (the sum for methods without a search), "
    )


def _second(recipe) -> str:
    other = recipe.finetune_optimizer
    if other is None:
        return ""
    return f", after pruning and without a search {_optimizer(other, recipe)}"


def _optimizer(own, recipe) -> str:
    decay = f", weight decay {own.weight_decay:g}" if own.weight_decay else ""
    decay += " of kernels" if decay and recipe.decayed == "kernels" else ""
    usual = own.name != "sgd" or own.momentum == USUAL
    momentum = "" if usual else f", momentum {own.momentum:g}"
    return f"{own.name} at {own.rate:g} ({own.schedule}{momentum}{decay})"


def _search(recipe) -> str:
    """Say what only recipes with a search have."""
    kinds = {METHODS[method].search for method in recipe.methods}
    search, text = recipe.search, ""
    if "invariance" in kinds:
        labels = "with" if search.labels else "no"
        text = f"λ = {search.weight:g}, τ = {search.temperature:g}, {labels} labels; "
    if kinds - {None}:
        rewound = f"rewound to `{recipe.rewind}`"
        text += f"{'not rewound' if recipe.rewind == 'none' else rewound}; "
    return text


def _limits(recipe) -> str:
    steps = recipe.epoch_steps
    return f"; at most {steps} batches an epoch" if steps else ""


def _apart(recipe) -> str:
    """Say how compressions count, and what single methods add to the setup."""
    own = dict.fromkeys(METHODS[method].about(recipe) for method in recipe.methods)
    counted = recipe.counted == "kernels"
    text = "; compression counts the kernels alone" if counted else ""
    return text + "".join(f"; {clause}" for clause in own if clause)


def _machine(environment) -> str:
    processor = environment.get("processor") or environment["machine"]
    return (
        f"{environment['cores']} cores ({processor}), TensorFlow "
        f"{environment['tensorflow']}, Keras {environment['keras']}"
    )
