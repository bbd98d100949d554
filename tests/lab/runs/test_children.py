"""Child processes. They need a module that imports little: scripts."""

import subprocess
import sys

HEAD = """
import multiprocessing, os, time
from concurrent.futures.process import BrokenProcessPool
from keras_invprune_lab.runs.executors.children import Pool, context, threads_of_each
"""

ENVIRONMENT = """
def of_a_child(*names):
    with Pool(1, context(), os.getpid) as pool:
        found = [pool.submit(os.getenv, name) for name in names]
        pool.begin()
        return [one.result() for one in found]

if __name__ == "__main__":
    os.environ["EARLIER"] = "there"
    os.environ.pop("TF_NUM_INTRAOP_THREADS", None)
    names = "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "EARLIER", "LATER"
    with threads_of_each(3):
        assert of_a_child(*names) == ["3", "3", "there", None]
    del os.environ["EARLIER"]
    os.environ["LATER"] = "set"
    with threads_of_each(1):
        assert of_a_child(*names) == ["1", "1", None, "set"]
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
"""

DEATH = """
if __name__ == "__main__":
    processes, started = context(), []
    start = processes.Process.start

    def slowly(process):
        if started:
            time.sleep(0.5)  # in which the first one could die
        start(process)
        started.append(process)

    processes.Process.start = slowly
    with Pool(2, processes, os.getpid) as pool:
        dying = [pool.submit(os._exit, 3) for _ in range(2)]
        assert all(process.is_alive() for process in started) and len(started) == 2
        pool.begin()
        assert {type(one.exception()) for one in dying} == {BrokenProcessPool}
    assert multiprocessing.active_children() == []
"""


def script(folder, content):
    file = folder / "script.py"
    file.write_text(HEAD + content)
    command = [sys.executable, str(file)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr


def test_each_child_has_the_environment_that_its_parent_has_now(tmp_path):
    script(tmp_path, ENVIRONMENT)


def test_no_child_dies_before_all_are_there(tmp_path):
    script(tmp_path, DEATH)
