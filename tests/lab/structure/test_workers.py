"""Tasks in this process and in others. The others need a module: a script."""

import subprocess
import sys

import pytest

from keras_invprune_lab.structure.workers import carry_out

SCRIPT = """
import dataclasses, os
from keras_invprune_lab.structure.workers import carry_out

@dataclasses.dataclass
class Task:
    name: str
    cost: float = 1.0

    def __call__(self, show):
        show(1, 2)
        if self.name == "bad":
            raise ValueError("no such graph")
        if self.name == "dying":
            os._exit(3)
        return os.getpid(), os.environ["TF_NUM_INTRAOP_THREADS"]

if __name__ == "__main__":
    import contextlib, sys, time
    shown, found = [], {}

    @contextlib.contextmanager
    def progress(costs):
        assert costs == dict.fromkeys(names, 1.0)
        yield lambda *now: shown.append(now)

    names = sys.argv[1:]
    carry_out(
        [Task(name) for name in names],
        2,
        lambda task, result: found.update({task.name: result}),
        progress,
    )
    assert sorted(shown) == [(name, 1, 2) for name in sorted(names)]
    assert found.keys() == set(names)
    assert all(pid != os.getpid() for pid, _ in found.values())
    assert {threads for _, threads in found.values()} == {"1"}
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
"""


class Task:
    cost = 2.0

    def __init__(self, name):
        self.name = name

    def __call__(self, show):
        show(1, 1)
        return self.name.upper()


def test_in_this_process_results_come_in_order():
    found = []
    carry_out([Task("a"), Task("b")], 1, lambda task, result: found.append(result))
    assert found == ["A", "B"]


def in_processes(tmp_path, monkeypatch, *names):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_in_processes_of_one_thread_each(tmp_path, monkeypatch):
    found = in_processes(tmp_path, monkeypatch, "a", "b", "c")
    assert found.returncode == 0, found.stderr


def test_an_error_in_a_process_reaches_the_caller(tmp_path, monkeypatch):
    found = in_processes(tmp_path, monkeypatch, "a", "bad")
    assert found.returncode == 1 and "ValueError: no such graph" in found.stderr


def test_a_death_says_of_which_task(tmp_path, monkeypatch):
    found = in_processes(tmp_path, monkeypatch, "a", "dying")
    assert found.returncode == 1
    assert "ChildDied: dying failed. Its process died twice" in found.stderr


def test_a_number_of_processes_that_cannot_be():
    with pytest.raises(ValueError, match="`jobs` must be at least 1. Received: 0."):
        carry_out([], 0, print)
