"""How long a run trains: for small tables the steps decide, not the epochs."""

EPOCHS, BATCH = 30, 128
SMALL_TABLE, SMALL_BATCH = 2000, 32
MIN_STEPS = 1500  # of a phase, for a table


def budget(rows, table, epochs=None, batch_size=None) -> tuple[int, int]:
    """Return epochs and batch size of a run, as far as they are not given.

    Args:
        rows: Number of rows or images to train on.
        table: Whether they are rows of a table.
        epochs: Of both phases together; None for 30, and for a table at least as many
            as give each phase `MIN_STEPS` steps.
        batch_size: None for 128, and for a table of less than `SMALL_TABLE` rows 32.

    Returns:
        ``(epochs, batch_size)``.
    """
    if batch_size is None:
        batch_size = SMALL_BATCH if table and rows < SMALL_TABLE else BATCH
    if epochs is None:
        enough = 2 * -(-MIN_STEPS // steps_of(rows, batch_size))
        epochs = max(EPOCHS, enough) if table else EPOCHS
    return epochs, batch_size


def steps_of(rows, batch_size) -> int:
    """Return the steps of an epoch; the last batch may be smaller."""
    return -(-rows // batch_size)
