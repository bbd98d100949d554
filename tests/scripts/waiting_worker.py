"""A parent whose child of a benchmark says that it is there, and works on for long."""

import time

from keras_invprune_lab.runs.executors.children import Pool, context, listen


def work():
    print("at work", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    processes = context()
    with Pool(1, processes, listen, processes.Queue()) as pool:
        task = pool.submit(work)
        pool.begin()
        task.result()
