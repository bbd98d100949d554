"""A parent whose child of a benchmark says that it is there, and works on for long."""

import time

from keras_invprune_lab.runs.executors.children import Children


def work(_):
    print("at work", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    jobs = iter([1])
    with Children(work, 1) as children:
        list(children.results(lambda _: next(jobs, None)))
