"""When `keras-invprune run` prunes: search, pruning and fine-tuning in one `fit`."""

from keras_invprune.schedules import Gradual, OneShot, WhenConverged

SCHEDULES = {
    "one_shot": lambda sparsity, monitor, half: OneShot(sparsity, at=half),
    "gradual": lambda sparsity, monitor, half: Gradual(sparsity, end=half),
    "when_converged": lambda sparsity, monitor, half: WhenConverged(
        sparsity, monitor=monitor, at_latest=half
    ),
}


def schedule_of(run, monitor):
    """Return a schedule that ends between two epochs, where the host looks anyway.

    Args:
        run: `Run`.
        monitor: Name of the loss of the search.
    """
    half = (run.epochs // 2) / run.epochs
    return SCHEDULES[run.schedule](run.sparsity, monitor, half)
