"""A parent whose child of a benchmark says that it is there, and works on for long."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from keras_invprune_lab.runs.executors.children import listen


def work():
    print("at work", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ended, end = context.Pipe(duplex=False)
    with ProcessPoolExecutor(1, context, listen, (context.Queue(), ended)) as pool:
        pool.submit(work).result()
