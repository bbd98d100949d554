"""Many runs: in order of need, several at once, whatever becomes of single ones."""

import multiprocessing
import os
import threading
import traceback
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import keras

from keras_invprune.experiments.bench.execute import execute, is_done, write_failure
from keras_invprune.folders import REPORT

THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def run_all(jobs, root, workers=1, show=lambda *_: None) -> dict[str, str]:
    """Executes the jobs that are not finished; a failure stops no other run.

    Args:
        jobs: `Job`s, each after what it needs.
        root: Folder of all runs.
        workers: Processes at once; they share the machine's cores.
        show: ``show(name, done, total)`` after each epoch of the run of that name.

    Returns:
        ``{name: message}`` of the runs that failed, or whose needs did.
    """
    wanted = unfinished(jobs, root)
    if workers == 1:
        return _one_by_one(wanted, root, show)
    return _side_by_side(wanted, root, workers, show)


def unfinished(jobs, root) -> list:
    """What has to be executed: what is not done, and what that needs.

    A search is not repeated when all that goes on from it is done.
    """
    found = {}
    for job in reversed(jobs):
        if not is_done(job, root) and (not _is_spent(job, root) or job.name in found):
            found[job.name] = job
            if job.needs and not is_done(job.needs, root):
                found[job.needs.name] = job.needs
    return [job for job in jobs if job.name in found]


def _is_spent(job, root) -> bool:
    """Whether a search is reported, and only its state is missing."""
    return (Path(root) / job.name / REPORT).exists()


def _one_by_one(jobs, root, show):
    failures = {}
    for job in jobs:
        if job.needs and job.needs.name in failures:
            failures[job.name] = f"needs {job.needs.name}"
            continue
        failure = _attempt(job, root, lambda *now, job=job: show(job.name, *now))
        if failure:
            failures[job.name] = failure
        keras.backend.clear_session()
    return failures


def _attempt(job, root, show) -> str | None:
    """Executes; returns what went wrong, if something did."""
    try:
        execute(job, root, show)
    except Exception as error:  # whatever it is, the other runs go on
        write_failure(job, root, traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    return None


def _side_by_side(jobs, root, workers, show):
    failures, waiting, running = {}, list(jobs), {}
    context = multiprocessing.get_context("spawn")
    with _threads_for(workers), context.Manager() as manager:
        news = manager.Queue()
        reader = threading.Thread(target=_pass_on, args=(news, show), daemon=True)
        reader.start()
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            while waiting or running:
                unready = {j.name for j in waiting} | {j.name for j in running.values()}
                for job in [*waiting]:
                    if job.needs and job.needs.name in failures:
                        failures[job.name] = f"needs {job.needs.name}"
                        waiting.remove(job)
                    elif not (job.needs and job.needs.name in unready):
                        if len(running) < workers:
                            waiting.remove(job)
                            running[pool.submit(_in_process, job, root, news)] = job
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    failure = future.result()
                    if failure:
                        failures[job.name] = failure
        news.put(None)
        reader.join()
    return failures


def _in_process(job, root, news) -> str | None:
    failure = _attempt(job, root, lambda *now: news.put((job.name, *now)))
    keras.backend.clear_session()
    return failure


def _pass_on(news, show):
    while (now := news.get()) is not None:
        show(*now)


@contextmanager
def _threads_for(workers):
    """Child processes share the cores, as TensorFlow reads when it starts."""
    before = {name: os.environ.get(name) for name in THREADS}
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    os.environ.update(dict.fromkeys(THREADS, threads))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
