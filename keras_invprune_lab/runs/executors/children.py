"""Child processes: their threads, what they tell of their progress, and their end."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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
    the first time. Later children get them from their `Pool`.
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


class Pool(ProcessPoolExecutor):
    """Child processes that end with their parent, or when it wants them to.

    A pool starts its processes one by one, with the first tasks. If one of them dies
    while the next one starts, `ProcessPoolExecutor` may wait for the latter forever.
    Processes that import nothing can die so soon. Hence they do nothing before `begin`.

    What is copied has the environment of the process that it is a copy of. So each
    child is told that of this process, when the pool was made.

    Used as a context, an error within it ends the processes and what they do.

    Args:
        workers: Number of processes.
        context: Of `multiprocessing`, but not "fork", which copies all open files.
        start: Called in each process before its first task.
        arguments: What it is called with.
    """

    def __init__(
        self,
        workers: int,
        context: multiprocessing.context.BaseContext,
        start: Callable,
        *arguments: object,
    ):
        begun, self._begin = context.Pipe(duplex=False)
        ended, self._end = context.Pipe(duplex=False)
        own = begun, ended, dict(os.environ), start, arguments
        super().__init__(workers, context, _start, own)

    def begin(self):
        """Let the processes begin, once the first tasks are submitted."""
        self._begin.close()

    def end(self):
        """End the processes, and what they do."""
        self._end.close()

    def __exit__(self, *error):
        """Wait for the processes; end them if there was an error."""
        if error[0] is not None:
            self.end()
        self.begin()
        return super().__exit__(*error)


def _start(begun, ended, environment, start, arguments):
    """Obey the parent, in a child process."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # of models traced in turn
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    connection.wait([begun])  # until its other end is closed
    start(*arguments)


def _end_with_parent(ended):
    # Else it would train on, unlocked, next to whoever starts the same again.
    connection.wait([multiprocessing.parent_process().sentinel, ended])
    os._exit(1)


_news = None  # of a child process: where its progress goes


def listen(news):
    """Let this child process `tell` of its progress.

    Args:
        news: The queue of `passed_on`.
    """
    global _news
    _news = news


def tell(*now):
    """Tell the parent, in a child process that can `listen`."""
    _news.put(now)
