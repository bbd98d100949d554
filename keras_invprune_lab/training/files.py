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


def write_history(history, file):
    """Write the logs of all epochs as CSV; empty where an epoch lacks one."""
    names = dict.fromkeys(name for logs in history for name in logs)
    with open(file, "w", newline="") as stream:
        table = csv.DictWriter(stream, ["epoch", *names])
        table.writeheader()
        for epoch, logs in enumerate(history, start=1):
            table.writerow({"epoch": epoch, **logs})
