"""Ctrl-C, or a scheduler's SIGTERM, that is heard wherever it arrives."""

import contextlib
import signal
import sys
import threading
import time

import typer

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER = 1.0  # second: signals as close are one wish to end


@contextlib.contextmanager
def interruptible():
    """End the command on Ctrl-C with 130, on SIGTERM with 143; say that it resumes.

    Python drops an interrupt that comes while a library looks away: in a destructor,
    or in a callback from C. One that was dropped is raised again by `heard`.

    Yields:
        ``heard(show)``: ``show``, which raises KeyboardInterrupt after one.
    """
    asked, last = [], -TOGETHER

    def note(number, frame):
        nonlocal last
        asked.append(number)
        before, last = last, time.monotonic()
        if last - before >= TOGETHER:  # else what the first one ends would be torn
            raise KeyboardInterrupt

    def heard(show):
        def shown(*now):
            show(*now)
            if asked and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

        return shown

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield heard
    except KeyboardInterrupt:
        print("Interrupted; the same command resumes.", file=sys.stderr)
        raise typer.Exit(128 + (asked or SIGNALS)[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
