"""What the tests weigh: how many there are, their minutes, and the largest process.

    python benchmarks/suite.py [FOLDER] [ARGUMENTS OF PYTEST]

FOLDER is a checkout, by default this one; give a worktree of an earlier commit to
compare. The tests run as `make test` runs them, in a process for each core,
four at most. Do nothing else on the machine.
"""

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main():
    """Run the tests, and print the table."""
    folder, *arguments = sys.argv[1:] or [ROOT]
    workers = ["--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"]
    workers.append("--no-loadscope-reorder")
    command = [sys.executable, "-m", "pytest", "-q", *workers, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(folder).resolve())}
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    minutes = (time.monotonic() - began) / 60
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    *_, last = done.stdout.strip().splitlines()
    counts = dict(map(reversed, re.findall(r"(\d+) (passed|failed|skipped)", last)))
    print("| figure | |\n|---|---:|")
    for what in ("passed", "failed", "skipped"):
        print(f"| tests {what} | {int(counts.get(what, 0)):,} |")
    print(f"| minutes | {minutes:.1f} |")
    print(f"| gigabytes of the largest process | {largest:.1f} |")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
