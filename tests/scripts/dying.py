"""A job of a benchmark whose process dies, always, next to another one."""

import os
import time
from pathlib import Path

from keras_invprune_lab.runs.executors import local

_in_process = local._in_process


def in_process(root, job):
    """Stand in for the function of the same name in `local`, in a child process."""
    if job.method != "dense":
        return _in_process(root, job)
    while not [*Path(root).rglob("search-*")]:
        time.sleep(0.1)
    os._exit(3)
