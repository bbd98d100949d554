"""Ctrl-C and SIGTERM: heard at once, or, if swallowed, at the next epoch."""

import signal
import time

import pytest
import typer

from keras_invprune_lab.cli.interrupts import TOGETHER, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_once(number, capsys):
    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) as ended, interruptible():
        signal.raise_signal(number)
        pytest.fail("went on")
    assert ended.value.exit_code == 128 + number
    assert "the same command resumes" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_swallowed_it_is_raised_by_the_next_epoch():
    seen = []
    with pytest.raises(typer.Exit) as ended, interruptible() as heard:
        show = heard(lambda *now: seen.append(now))
        show("task", 1, 3)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass  # as Python does in a destructor
        show("task", 2, 3)
        pytest.fail("went on")
    assert ended.value.exit_code == 130
    assert seen == [("task", 1, 3), ("task", 2, 3)]


def test_a_second_signal_at_once_does_not_strike_what_the_first_one_ends(monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ended = []
    with pytest.raises(typer.Exit) as code, interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            ended.append("whole")
            now += TOGETHER
            with pytest.raises(KeyboardInterrupt):  # whoever waits may insist
                signal.raise_signal(signal.SIGINT)
    assert ended == ["whole"] and code.value.exit_code == 130
