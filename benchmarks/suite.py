"""What the tests weigh: how many there are, their minutes, and the largest process.

    python benchmarks/suite.py [--folder CHECKOUT] [-m MARKERS] [ARGUMENTS OF PYTEST]

The checkout is this one by default; give a worktree of an earlier commit to compare.
The tests are those of `make test`, and run as there; those of `make test-slow` are
`-m "slow and not heavy"`. Do nothing else on the machine.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def workers() -> list[str]:
    """Return the options that the Makefile gives to pytest."""
    text = (ROOT / "Makefile").read_text()
    return re.search(r"^WORKERS \?= (.*)$", text, re.M)[1].split()


def main():
    """Run the tests, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT)
    parser.add_argument("-m", default="not slow and not heavy", help="markers")
    given, arguments = parser.parse_known_args()
    folder = given.folder.resolve()
    command = [sys.executable, "-m", "pytest", "-q", *workers(), "-m", given.m]
    command += arguments
    environment = {**os.environ, "PYTHONPATH": str(folder)}
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
