"""The run of the command `run`: one network trained in one `fit`, then exported."""

import logging
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial

import keras

from keras_invprune.allocation import Budget
from keras_invprune.allocation.budget import KINDS
from keras_invprune.compaction import compact
from keras_invprune.exporting.export import export
from keras_invprune.exporting.folders import check_free, check_room, local
from keras_invprune.pruning.prune import strip_pruning
from keras_invprune.reporting.report import report
from keras_invprune.reporting.tensorboard import PruningBoard
from keras_invprune.saving import named
from keras_invprune.schedules import check_sparsity
from keras_invprune_lab import data as datasets
from keras_invprune_lab.methods.base import METHODS, Method, Trained
from keras_invprune_lab.methods.one_fit import SCHEDULES
from keras_invprune_lab.methods.view_names import VIEWS
from keras_invprune_lab.models import get_model, has_letters
from keras_invprune_lab.runs.budget import MIN_STEPS, budget, steps_of
from keras_invprune_lab.runs.runner import Task, carry_out
from keras_invprune_lab.training.checkpoint import Checkpoint, state_size
from keras_invprune_lab.training.loop import execution, fit
from keras_invprune_lab.training.optimizers import optimizer_for
from keras_invprune_lab.training.order import batches

logger = logging.getLogger("keras_invprune")

# What the configurations of older runs lack.
DEFAULTS = {
    "kappa": None,
    "views": None,
    "width": None,
    "schedule": "one_shot",
    "budget": None,
}


@dataclass(frozen=True)
class Run:
    """What a run is made of; the same values give the same weights on one machine.

    A budget of milliseconds is an exception, because they are measured.

    Attributes:
        dataset: Such as "sklearn:digits", "tfds:mnist", "openml:31".
        method: "dense", "omp" (one-shot magnitude pruning, rewound), "iunet", or
            "shuffled": IUNet with its masks shuffled in each kernel, a control.
        sparsity: Share of the prunable weights to remove; 0 for "dense", and with a
            budget.
        model: Name of a network; None for one that suits the data.
        seed: Of split, weights, order and views.
        epochs: Of the whole training; pruning methods search for half of them. None
            for a number that follows from the rows, see `runs.budget`.
        batch_size: Rows in a batch; None for one that follows from the rows as well.
        rate: First learning rate, see `optimizer_for`.
        weight: λ of the invariance objective; None for the one that suits the data.
        kappa: κ of small initialization; None for the method's own.
        views: A name in `VIEWS`; None for views that suit the data.
        width: Of the network, if it comes in several.
        schedule: "one_shot" after half of the epochs, "gradual" up to there, or
            "when_converged": once the loss of the search has stopped falling, and
            there at the latest. With a budget, not the last.
        budget: Such as "macs=0.5", "bytes=50000", "milliseconds=0.2": what may remain.
            Whole units are removed, and the exported model is compact. See
            `keras_invprune.allocation.Budget`.
    """

    dataset: str
    method: str = "iunet"
    sparsity: float = 0.9
    model: str | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    rate: float | None = None
    weight: float | None = None
    kappa: float | None = None
    views: str | None = None
    width: int | None = None
    schedule: str = "one_shot"
    budget: str | None = None

    def __post_init__(self):
        """Check all values.

        Raises:
            ValueError: If one is out of range, or two contradict each other.
        """
        known = {name: one for name, one in METHODS.items() if one.in_one_fit}
        named(self.method, known, "method")
        check_sparsity(self.sparsity)
        if self.sparsity and not self.kind.pruned:
            raise ValueError(
                f"The method {self.method!r} prunes nothing. Received: sparsity="
                f"{self.sparsity}. Pass --sparsity 0, or --method omp or iunet."
            )
        named(self.schedule, SCHEDULES, "schedule")
        if self.views is not None:
            named(self.views, VIEWS, "views")
        self._check_use("views", self.kind.search == "invariance")
        for name in ("kappa", "schedule", "budget"):
            self._check_use(name, self.kind.pruned)
        if self.left is not None:
            self._check_budget()
        for name in ("epochs", "batch_size", "rate", "kappa", "width"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0. Received: {value}.")
        if self.kind.pruned and self.epochs is not None and self.epochs < 2:
            raise ValueError(
                "Pruning needs an epoch to search and one to fine-tune. Received: "
                f"epochs={self.epochs}."
            )

    @property
    def kind(self) -> Method:
        """The method itself."""
        return METHODS[self.method]

    @property
    def left(self) -> Budget | None:
        """The budget, or None."""
        return None if self.budget is None else _parsed(self.budget)

    def _check_budget(self):
        if self.sparsity:
            raise ValueError(
                "A budget decides how much is removed, and so does a sparsity. "
                f"Received: budget={self.budget}, sparsity={self.sparsity}. Leave out "
                "--sparsity."
            )
        if self.schedule == "when_converged":
            raise ValueError(
                "With a budget, pruning ends after half of the training. Received: "
                "schedule=when_converged. Pass --schedule one_shot or gradual."
            )

    def _check_use(self, name, used):
        value = getattr(self, name)
        if value != DEFAULTS[name] and not used:
            raise ValueError(
                f"The method {self.method!r} does not use `{name}`. Received: "
                f"{name}={value!r}. Leave it out, or choose --method iunet."
            )


def execute(run, out, *, show=lambda *_: None) -> dict:
    """Train, or resume; export, measure and report; if that is done, return the report.

    Args:
        run: `Run`.
        out: Folder for ``report.json``, ``history.csv``, ``model/`` and
            ``tensorboard/``. It appears when all is done; until then the state is in
            ``<out>.part``.
        show: ``show(task, done, total)``, called after each epoch.

    Returns:
        The report: ``config``, ``environment``, ``seconds`` and ``report``, see
        `keras_invprune.reporting.report`. With a budget, also ``budget``: what was
        ``asked``, and what is ``left``, in its ``unit``.

    Raises:
        OSError: If `out` holds something else, another configuration, or is a file; or
            if another process makes it.
        ValueError: If the data set or model is unknown.
    """
    out = local(out)
    out = out if out.name else out.resolve()  # "." has no name
    check_free(out)  # before data are fetched
    data = datasets.load(run.dataset, run.seed)
    return carry_out(RunTask(_with_epochs(run, data), data), out, show)


class RunTask(Task):
    """Trains one network in one `fit`, as users of the package do; exports it.

    Args:
        run: `Run`, with its epochs and batch size.
        data: `Data`.
    """

    schema = "keras_invprune/run/1"
    defaults = DEFAULTS

    def __init__(self, run, data):
        self.run, self.data, self.config = run, data, asdict(run)

    def prepare(self, part):
        """Make the network."""
        run = self.run
        keras.utils.set_random_seed(run.seed)
        plain = get_model(run.model, self.data, run.width)
        self.model = run.kind.in_one_fit(plain, run)
        check_room(part, 4 * state_size(self.model))  # two states, three files, logs

    def train(self, part, show) -> Trained:
        """Train for all epochs; the last one counts."""
        return Trained({}, train(self.model, self.run, self.data, part, show).history)

    def write(self, trained, part, new) -> dict:
        """Export the plain network; measure it."""
        run, test = self.run, (self.data.x_test, self.data.y_test)
        final = strip_pruning(self.model) if run.kind.pruned else self.model
        if run.left is not None:
            final = compact(final, data=test[0])
        # LiteRT's converter takes loops over steps only if the batch is fixed.
        batch_size = 1 if has_letters(self.data) else None
        export(final, new / "model", data=test, batch_size=batch_size)
        shutil.copytree(part / "tensorboard", new / "tensorboard")
        measured = report(final, test, seed=run.seed)
        if run.left is not None:
            return {"report": measured.to_json(), "budget": self._checked(final)}
        weights = measured.weights | {"requested": run.sparsity}
        return {"report": replace(measured, weights=weights).to_json()}

    def _checked(self, final) -> dict:
        """Return what the budget has left; milliseconds are measured on a file."""
        run, dense = self.run, get_model(self.run.model, self.data, self.run.width)
        left = run.left.check(final, dense=dense)
        return {"asked": run.budget, "left": left, "unit": run.left.unit}


def _parsed(text) -> Budget:
    """Return the budget that a text such as "macs=0.5" asks for.

    Raises:
        ValueError: If it asks for none.
    """
    kind, _, value = text.partition("=")
    named(kind, dict.fromkeys(KINDS), "budget")
    try:
        number = int(value) if value.isdecimal() else float(value)
    except ValueError:
        raise ValueError(
            f"A budget is {'=NUMBER, '.join(KINDS)}=NUMBER. Received: {text}."
        ) from None
    return Budget(**{kind: number})


def _with_epochs(run, data) -> Run:
    """Return the run with its epochs; warn if a table is trained too little."""
    rows, table = len(data.x_train), data.x_train.ndim == 2
    epochs, batch_size = budget(rows, table, run.epochs, run.batch_size)
    steps = epochs // 2 * steps_of(rows, batch_size)
    if table and steps < MIN_STEPS:
        logger.warning(
            "%d epochs of %d rows in batches of %d are %d steps a phase, and a table "
            "needs about %d. Leave --epochs out, or raise it.",
            epochs,
            rows,
            batch_size,
            steps,
            MIN_STEPS,
        )
    return replace(run, epochs=epochs, batch_size=batch_size)


def train(model, run, data, part, show) -> Checkpoint:
    """Train from the state in `part` on; the model is trained in place."""
    steps = steps_of(len(data.x_train), run.batch_size)
    phase = -(-run.epochs // 2) if run.kind.pruned else run.epochs
    model.compile(
        optimizer_for(data.x_train.shape[1:], phase * steps, run.rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=execution(steps),
    )
    state = Checkpoint(part)
    first = state.restore(model)
    rows = batches(
        data.x_train, data.y_train, run.batch_size, run.seed, first, run.epochs
    )
    shown = partial(show, f"{run.method} on {run.dataset}")
    callbacks = [*_boards(run, data, part), state]
    fit(model, rows, steps, first, run.epochs, callbacks, shown)
    return state


def _boards(run, data, part) -> list:
    """Return what writes to TensorBoard."""
    board = part / "tensorboard"
    boards = [keras.callbacks.TensorBoard(board, write_graph=False)]
    if run.kind.pruned:
        boards.append(PruningBoard(board, (data.x_test, data.y_test)))
    return boards
