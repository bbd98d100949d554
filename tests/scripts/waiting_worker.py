"""A parent whose child of a benchmark says that it is there, and works on for long."""

import time
from concurrent.futures import ProcessPoolExecutor

from keras_invprune_lab.runs.executors.children import context, listen


def work():
    print("at work", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    processes = context()
    ended, end = processes.Pipe(duplex=False)
    started = listen, (processes.Queue(), ended, 1)
    with ProcessPoolExecutor(1, processes, *started) as pool:
        pool.submit(work).result()
