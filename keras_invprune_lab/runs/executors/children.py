"""Child processes: their threads, what they tell of their progress, and their end."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing import connection

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


def context(*imported: str) -> multiprocessing.context.BaseContext:
    """Return the context in which child processes start.

    On Linux they are copies of a process that has imported some modules and has done
    nothing else, so that they need not import them. The first child starts it.
    Elsewhere libraries do not stand to be copied, and each child imports them.

    Args:
        imported: Names of the modules. They may start no threads and use no device.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(imported))
    return found


@contextmanager
def threads_of_each(count):
    """Give each child process that starts this number of threads.

    Libraries read the variables when they are imported, TensorFlow when it is used.
    What is imported before the children start is imported within this context, too,
    the first time. Later children are told by `obey`.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    # Else the first process takes all of a GPU's memory.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def passed_on(context, show):
    """Yield a queue; what child processes `tell` there is passed on to ``show(*now)``.

    Args:
        context: Of `multiprocessing`.
        show: Called in a thread of this process.
    """
    news = context.Queue()
    reader = threading.Thread(target=_pass_on, args=(news, show), daemon=True)
    reader.start()
    try:
        yield news
    finally:
        news.put(None)
        news.cancel_join_thread()  # a process that died while it told may
        reader.join(timeout=10)  # have left the queue locked


def _pass_on(news, show):
    while (now := news.get()) is not None:
        show(*now)


def obey(ended, threads):
    """Let this child process end when its parent ends, or wants it to.

    Args:
        ended: End of a pipe, whose other end the parent closes.
        threads: Number of threads of this process.
    """
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of models traced in turn
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()


def _end_with_parent(ended):
    # Else it would train on, unlocked, next to whoever starts the same again.
    connection.wait([multiprocessing.parent_process().sentinel, ended])
    os._exit(1)


_news = None  # of a child process: where its progress goes


def listen(news, ended, threads):
    """Let this child process `tell` of its progress, and `obey`.

    Args:
        news: The queue of `passed_on`.
        ended: See `obey`.
        threads: See `obey`.
    """
    global _news
    _news = news
    obey(ended, threads)


def tell(*now):
    """Tell the parent, in a child process that can `listen`."""
    _news.put(now)
