"""Files of a training: JSON that is complete whenever it is there, logs as CSV."""

import csv
import json

from keras_invprune.saving import replaced


def write_json(file, content):
    """Write a file of JSON that is complete whenever it is there."""
    with replaced(file) as new:
        new.write_text(json.dumps(content, indent=2) + "\n")


def write_history(history, file):
    """Write the logs of all epochs as CSV; empty where an epoch lacks one."""
    names = dict.fromkeys(name for logs in history for name in logs)
    with open(file, "w", newline="") as stream:
        table = csv.DictWriter(stream, ["epoch", *names])
        table.writeheader()
        for epoch, logs in enumerate(history, start=1):
            table.writerow({"epoch": epoch, **logs})
