"""What all functions refuse that make files of a model."""

from keras_invprune.arguments import is_positive_integer
from keras_invprune.contracts import PruningWrapper


def check_plain(model: object, call: str) -> None:
    """Raise ValueError if a model has pruning masks.

    Args:
        model: A model.
        call: The call that takes it, such as "kip.export({}, folder)".
    """
    if isinstance(model, PruningWrapper):
        raise ValueError(
            "`model` must be a plain model. Received: a model with pruning masks. "
            f"Strip them first: `{call.format('kip.strip_pruning(model)')}`."
        )


def check_batch_size(batch_size: object) -> None:
    """Raise ValueError unless `batch_size` is a number of rows, or None for any."""
    if batch_size is not None and not is_positive_integer(batch_size):
        raise ValueError(
            "`batch_size` must be an integer of at least 1 row, or None for any. "
            f"Received: batch_size={batch_size!r}."
        )
