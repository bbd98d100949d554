"""Files of results: CSV that is complete whenever it is there; logs."""

import csv

from keras_invprune.saving import replaced


def write_csv(file, rows, fields=None):
    """Write a table as CSV that is complete whenever it is there.

    Args:
        file: Where.
        rows: ``{column: value}`` for each row; what it lacks is empty.
        fields: The columns; None for all that rows have, in the order in which they
            first appear.
    """
    fields = fields or dict.fromkeys(name for row in rows for name in row)
    with replaced(file) as new, open(new, "w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, fields, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read_csv(file, columns, what) -> list[dict]:
    """Return the rows of a table that `write_csv` wrote; none if there is no file.

    Args:
        file: Where.
        columns: A list of tuples of names. The table must have one of these.
        what: What the message calls its rows, such as "trained graphs".

    Returns:
        ``{column: text}`` for each row.

    Raises:
        ValueError: If it has other columns.
    """
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8") as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) not in columns:
            raise ValueError(
                f"{file} is not a table of {what}: its columns are "
                f"{table.fieldnames}. Choose another --out, or remove it."
            )
        return list(table)


def write_history(history, file):
    """Write the logs of all epochs as CSV; empty where an epoch lacks one."""
    names = dict.fromkeys(name for logs in history for name in logs)
    rows = [{"epoch": epoch, **logs} for epoch, logs in enumerate(history, start=1)]
    write_csv(file, rows, ["epoch", *names])
