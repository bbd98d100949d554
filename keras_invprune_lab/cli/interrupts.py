"""Ctrl-C, or a scheduler's SIGTERM, that is heard whatever it strikes."""

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
    """Ends the command on Ctrl-C with 130, on SIGTERM with 143; says that it goes on.

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
        print("Interrupted; the same command goes on.", file=sys.stderr)
        raise typer.Exit(128 + (asked or SIGNALS)[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
