"""How long a run takes, with the time before an interruption."""

import json
import time

from keras_invprune.saving import write_json

ELAPSED = "elapsed.json"


def timed(folder, show) -> tuple:
    """Count the seconds of a run, those before an interruption too.

    Args:
        folder: Of the unfinished run; `ELAPSED` is written there.
        show: Called after each epoch, with any arguments.

    Returns:
        ``(show, seconds)``: one to be called in its place, and the seconds so far.
    """
    file = folder / ELAPSED
    before = json.loads(file.read_text()) if file.exists() else 0.0
    begin = time.monotonic() - before

    def seconds():
        return time.monotonic() - begin

    def shown(*now):
        write_json(file, seconds())
        show(*now)

    return shown, seconds
