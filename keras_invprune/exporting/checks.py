"""What all functions refuse that make files of a model."""

from keras_invprune.arguments import is_positive_integer


def check_batch_size(batch_size: object) -> None:
    """Raise ValueError unless `batch_size` is a number of rows, or None for any."""
    if batch_size is not None and not is_positive_integer(batch_size):
        raise ValueError(
            "`batch_size` must be an integer of at least 1 row, or None for any. "
            f"Received: batch_size={batch_size!r}."
        )
