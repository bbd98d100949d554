"""One run: a data set, a network, a method, a seed; resumable; reported."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, replace

import keras

from keras_invprune.allocation import Shuffled
from keras_invprune.reporting.tensorboard import PruningBoard
from keras_invprune_lab import data as datasets
from keras_invprune_lab.runs.budget import MIN_STEPS, budget, steps_of
from keras_invprune_lab.runs.environment import environment
from keras_invprune_lab.models import get_model
from keras_invprune_lab.training.optimizers import optimizer_for
from keras_invprune_lab.training.resuming import (
    CONFIG,
    Progress,
    batches,
    check_same,
    execution,
    state_size,
    timed,
    write_history,
    write_json,
)
from keras_invprune_lab.methods.view_names import VIEWS
from keras_invprune.exporting.export import export
from keras_invprune.exporting.folders import (
    REPORT,
    check_free,
    check_room,
    claimed,
    local,
    replacing,
    write_report,
)
from keras_invprune.saving import named
from keras_invprune.objectives import Invariance
from keras_invprune.pruning.invariance import prune_for_invariance
from keras_invprune.pruning.prune import prune, strip_pruning
from keras_invprune.reporting.report import report
from keras_invprune.schedules import Gradual, OneShot, WhenConverged, check_sparsity

SCHEMA = "keras_invprune/run/1"
logger = logging.getLogger("keras_invprune")


def _dense(model, config):
    return model


def _omp(model, config):
    return prune(
        model,
        config.sparsity,
        schedule=_schedule(config),
        rewind="first_epoch",
        initial_scale=1.0 if config.kappa is None else config.kappa,
    )


def _iunet(model, config, **choices):
    views = VIEWS[config.views](config.seed) if config.views else None
    return prune_for_invariance(
        model,
        config.sparsity,
        objective=Invariance(views, weight=config.weight),
        schedule=_schedule(config),
        initial_scale=config.kappa,
        **choices,
    )


def _shuffled(model, config):
    return _iunet(model, config, allocation=Shuffled("global", seed=config.seed))


def _schedule(config):
    """Reaches the sparsity between two epochs, where the host looks in any case."""
    return SCHEDULES[config.schedule](config, (config.epochs // 2) / config.epochs)


METHODS = {"dense": _dense, "omp": _omp, "iunet": _iunet, "shuffled": _shuffled}
SCHEDULES = {
    "one_shot": lambda config, half: OneShot(config.sparsity, at=half),
    "gradual": lambda config, half: Gradual(config.sparsity, end=half),
    "when_converged": lambda config, half: WhenConverged(
        config.sparsity,
        monitor="loss" if config.method == "omp" else "invariance_loss",
        at_latest=half,
    ),
}
# What the configurations of older runs lack.
DEFAULTS = {"kappa": None, "views": None, "width": None, "schedule": "one_shot"}


@dataclass(frozen=True)
class Run:
    """What a run is made of; the same values give the same weights on one machine.

    Attributes:
        dataset: Such as "sklearn:digits", "tfds:mnist", "openml:31".
        method: "dense", "omp" (one-shot magnitude pruning, rewound), "iunet", or
            "shuffled": IUNet with its masks shuffled in each kernel, a control.
        sparsity: Share of the prunable weights to remove; 0 for "dense".
        model: Name of a network; None for one that suits the data.
        seed: Of split, weights, order and views.
        epochs: Of the whole training; pruning methods search for half of them. None
            for a number that follows from the rows, see `budget`.
        batch_size: Rows in a batch; None likewise.
        rate: First learning rate, see `optimizer_for`.
        weight: λ of the invariance objective; None for the one that suits the data.
        kappa: κ of small initialization; None for the method's own.
        views: A name in `VIEWS`; None for views that suit the data.
        width: Of the network, if it comes in several.
        schedule: "one_shot" after half of the epochs, "gradual" up to there, or
            "when_converged": once the loss of the search has stopped falling, and
            there at the latest.
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

    def __post_init__(self):
        """Checks all values.

        Raises:
            ValueError: One is out of range, or two contradict each other.
        """
        named(self.method, METHODS, "method")
        check_sparsity(self.sparsity)
        if self.method == "dense" and self.sparsity:
            raise ValueError(
                f"The method 'dense' prunes nothing. Received: sparsity={self.sparsity}"
                ". Give --sparsity 0, or --method omp or iunet."
            )
        named(self.schedule, SCHEDULES, "schedule")
        if self.views is not None:
            named(self.views, VIEWS, "views")
        self._check_use("views", self.method in ("iunet", "shuffled"))
        for name in ("kappa", "schedule"):
            self._check_use(name, self.method != "dense")
        for name in ("epochs", "batch_size", "rate", "kappa", "width"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0. Received: {value}.")
        if self.method != "dense" and self.epochs is not None and self.epochs < 2:
            raise ValueError(
                "Pruning needs an epoch to search and one to fine-tune. Received: "
                f"epochs={self.epochs}."
            )

    def _check_use(self, name, used):
        value = getattr(self, name)
        if value != DEFAULTS[name] and not used:
            raise ValueError(
                f"The method {self.method!r} does not use `{name}`. Received: "
                f"{name}={value!r}. Leave it out, or choose --method iunet."
            )


def execute(run, out, *, show=lambda *_: None) -> dict:
    """Trains, or goes on training; exports, measures and reports; not twice.

    Args:
        run: `Run`.
        out: Folder for ``report.json``, ``history.csv``, ``model/`` and
            ``tensorboard/``. It appears when all is done; until then the state is in
            ``<out>.part``.
        show: ``show(task, done, total)``, called after each epoch.

    Returns:
        The report: ``config``, ``environment``, ``seconds`` and ``report``, see
        `keras_invprune.reporting.report`.

    Raises:
        OSError: `out` holds something else, another configuration, or is a file; or
            another process makes it.
        ValueError: Unknown data set or model.
    """
    out = local(out)
    out = out if out.name else out.resolve()  # "." has no name
    part = out.with_name(f"{out.name}.part")
    check_free(out)
    data = datasets.load(run.dataset, run.seed)
    run = _with_budget(run, data)
    config = asdict(run)
    for folder in (out, part):
        check_same(config, folder, DEFAULTS)
    if (out / REPORT).exists():
        if not (out / CONFIG).exists():
            raise FileExistsError(f"{out} holds results, but not those of a run.")
        return json.loads((out / REPORT).read_text())
    keras.utils.set_random_seed(run.seed)
    model = get_model(run.model, data, run.width)
    model = METHODS[run.method](model, run)
    check_room(part, 4 * state_size(model))  # two states, three files, the logs
    with claimed(part):
        write_json(part / CONFIG, config)
        show, seconds = timed(part, show)
        progress = train(model, run, data, part, show)
        final = model if run.method == "dense" else strip_pruning(model)
        with replacing(out) as new:
            test = (data.x_test, data.y_test)
            export(final, new / "model", data=test)
            write_history(progress.history, new / "history.csv")
            write_json(new / CONFIG, config)
            shutil.copytree(part / "tensorboard", new / "tensorboard")
            measured = report(final, test, seed=run.seed)
            measured["weights"]["requested"] = run.sparsity
            found = {
                "config": config,
                "environment": environment(),
                "seconds": round(seconds(), 1),
                "report": measured,
            }
            found = write_report(new, SCHEMA, found)
        shutil.rmtree(part)
    return found


def _with_budget(run, data) -> Run:
    """The run with its epochs and batch size; says if a table is trained too little."""
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


def train(model, run, data, part, show) -> Progress:
    """Trains from the state in `part` on; the model is trained in place."""
    steps = steps_of(len(data.x_train), run.batch_size)
    phase = run.epochs if run.method == "dense" else -(-run.epochs // 2)
    model.compile(
        optimizer_for(data.x_train.shape[1:], phase * steps, run.rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=execution(steps),
    )
    progress = Progress(part)
    first = progress.restore(model)
    task = f"{run.method} on {run.dataset}"
    show(task, first, run.epochs)
    if first < run.epochs:
        rows = batches(
            data.x_train, data.y_train, run.batch_size, run.seed, first, run.epochs
        )
        shown = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: show(task, epoch + 1, run.epochs)
        )
        board = part / "tensorboard"
        boards = [keras.callbacks.TensorBoard(board, write_graph=False)]
        if run.method != "dense":
            boards.append(PruningBoard(board, (data.x_test, data.y_test)))
        model.fit(
            rows,
            steps_per_epoch=steps,
            initial_epoch=first,
            epochs=run.epochs,
            callbacks=[*boards, progress, shown],
            shuffle=False,
            verbose=0,
        )
    return progress
