"""Child processes. They need a module that imports little: one script, with cases."""

import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from keras_invprune_lab.runs.executors.children import Children, ChildDied, tell

MARK = Path(__file__).with_name("died")

def do(job):
    kind, value = job
    if kind == "die":
        os._exit(value)
    if kind == "die once" and not MARK.exists():
        MARK.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "wait for a death":
        while not MARK.exists():
            time.sleep(0.01)
    if kind == "raise":
        raise KeyError(value)
    if kind == "raise what cannot be sent":
        raise Unsendable(value, value)
    if kind == "return what cannot be sent":
        return threading.Lock()
    if kind == "return what cannot be read":
        return Unreadable()
    if kind == "tell":
        for number in range(value):
            tell(kind, number)
    if kind == "environment":
        return os.environ.get(value)
    if kind == "stay":
        time.sleep(600)
    return os.getpid() if kind == "pid" else value

class Unsendable(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} {other}")

class Unreadable:
    def __reduce__(self):
        return read, (os.getpid(),)

def read(writer):
    if os.getpid() != writer:
        raise EOFError("no such class")

def die():
    os._exit(4)

def fail():
    raise OSError("no rows")

def done(jobs, workers=2, **options):
    left = iter(jobs)
    with Children(do, workers, **options) as children:
        return {e.job: e for e in children.results(lambda _: next(left, None))}

def results():
    jobs = [("echo", number) for number in range(9)]
    assert all(job == ("echo", e.result) for job, e in done(jobs).items())
    assert multiprocessing.active_children() == []

def environments():
    os.environ["EARLIER"] = "there"
    os.environ.pop("TF_NUM_INTRAOP_THREADS", None)
    names = "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "EARLIER", "LATER"
    def seen(threads):
        jobs = [("environment", name) for name in names]
        return [e.result for e in done(jobs, 1, threads=threads).values()]
    assert seen(3) == ["3", "3", "there", None]
    del os.environ["EARLIER"]
    os.environ["LATER"] = "set"
    assert seen(1) == ["1", "1", None, "set"]
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ

def deaths():
    # At once, several times, next to others and after them: nothing hangs.
    jobs = [("die", 3), ("echo", 1), ("die", 5), *(("echo", n) for n in range(2, 8))]
    found = done(jobs, 3)
    assert found.keys() == set(jobs)
    for (kind, value), ended in found.items():
        if kind == "die":
            assert type(ended.error) is ChildDied
            assert f"(exit code {value})" in str(ended.error)
        else:
            assert (ended.result, ended.error) == (value, None)
    (ended,) = done([("echo", 1)], start=die).values()
    assert "(exit code 4)" in str(ended.error)

def a_death_that_does_not_come_again():
    jobs = [("die once", 1), ("wait for a death", 2), ("echo", 3)]
    found = done(jobs)
    assert [found[job].result for job in jobs] == [1, 2, 3]
    assert [*found][-1] == jobs[0]  # the others lose nothing, and do not wait for it

def a_death_without_a_job():
    with Children(do, 1) as children:
        def pid():
            left = iter([("pid", 0)])
            return next(children.results(lambda _: next(left, None))).result
        first = pid()
        assert pid() == first
        (child,) = children._children
        child.process.kill()
        child.process.join()
        assert pid() != first

def errors():
    bad = [("raise", "x"), ("raise what cannot be sent", 7)]
    bad.append(("return what cannot be sent", 8))
    bad.append(("return what cannot be read", 9))
    found = done([*bad, ("echo", 1)])
    key, other, lock, unread = (found[job].error for job in bad)
    assert type(key) is KeyError and "in do" in key.__notes__[0]
    assert str(other) == "Unsendable: 7 7"
    assert isinstance(lock, TypeError) and "pickle" in str(lock)
    assert type(unread) is EOFError and "cannot be read" in unread.__notes__[0]
    assert found["echo", 1].result == 1
    (ended,) = done([("echo", 1)], start=fail).values()
    assert type(ended.error) is OSError

def progress():
    shown = []
    done([("tell", 40), ("tell", 60)], show=lambda *now: shown.append(now))
    assert sorted(number for _, number in shown) == sorted([*range(40), *range(60)])

def jobs_that_wait_for_others():
    waiting, seen = [("echo", 1), ("echo", 2)], []
    def take(unfinished):
        seen.append([*unfinished])
        if waiting == [("echo", 2)] and ("echo", 1) in unfinished:
            return None
        return waiting.pop(0) if waiting else None
    with Children(do, 2) as children:
        assert [e.result for e in children.results(take)] == [1, 2]
    assert [("echo", 1)] in seen and [("echo", 2)] in seen

def lives():
    jobs = [("pid", number) for number in range(6)]
    with Children(do, 1, life=2) as children:
        left = iter(jobs)
        pids = [e.result for e in children.results(lambda _: next(left, None))]
    assert len(set(pids)) == 3 and pids[0] == pids[1] != pids[2]

def ends():
    # Whatever ends the caller's loop ends what is under way.
    left = iter([("stay", 1), ("echo", 2), ("stay", 3)])
    with Children(do, 2) as children:
        results = children.results(lambda _: next(left, None))
        assert next(results).result == 2
        results.close()
        left = iter([("echo", 4)])
        assert next(children.results(lambda _: next(left, None))).result == 4
    for error in (KeyboardInterrupt, ValueError):
        jobs = iter([("stay", 1), ("echo", 2)])
        try:
            with Children(do, 2) as children:
                for one in children.results(lambda _: next(jobs, None)):
                    raise error
        except error:
            pass
    assert multiprocessing.active_children() == []

if __name__ == "__main__":
    globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize(
    "case",
    [
        "results",
        "environments",
        "deaths",
        "a_death_that_does_not_come_again",
        "a_death_without_a_job",
        "errors",
        "progress",
        "jobs_that_wait_for_others",
        "lives",
        "ends",
    ],
)
def test_children(case, tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    command = [sys.executable, str(file), case]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
