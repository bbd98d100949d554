"""What `keras-invprune run` prunes, and when: search and fine-tuning in one `fit`."""

from keras_invprune.schedules import Gradual, OneShot, WhenConverged

SCHEDULES = {
    "one_shot": lambda sparsity, monitor, half: OneShot(sparsity, at=half),
    "gradual": lambda sparsity, monitor, half: Gradual(sparsity, end=half),
    "when_converged": lambda sparsity, monitor, half: WhenConverged(
        sparsity, monitor=monitor, at_latest=half
    ),
}


def removal(run, monitor) -> dict:
    """Return what tells `prune` how much to remove, of what, and when.

    A schedule ends between two epochs, where the host looks anyway. With a budget, it
    ends in the middle: its sparsity is known only when the network has been measured.

    Args:
        run: `Run`.
        monitor: Name of the loss of the search.
    """
    if run.left is not None:
        return {"sparsity": run.left, "schedule": run.schedule, "pattern": "units"}
    half = (run.epochs // 2) / run.epochs
    schedule = SCHEDULES[run.schedule](run.sparsity, monitor, half)
    return {"sparsity": run.sparsity, "schedule": schedule}
