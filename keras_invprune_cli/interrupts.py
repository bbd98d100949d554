"""Ctrl-C that is heard, whatever it strikes."""

import contextlib
import signal
import sys
import threading

import typer


@contextlib.contextmanager
def interruptible():
    """Ends the command with 130 on Ctrl-C, and says that it goes on.

    Python drops an interrupt that comes while a library looks away: in a destructor,
    or in a callback from C. One that was dropped is raised again by `heard`.

    Yields:
        ``heard(show)``: ``show``, which raises KeyboardInterrupt after one.
    """
    asked = []

    def note(number, frame):
        asked.append(number)
        signal.default_int_handler(number, frame)

    def heard(show):
        def shown(*now):
            show(*now)
            if asked and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

        return shown

    before = signal.signal(signal.SIGINT, note)
    try:
        yield heard
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on.", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, before)
