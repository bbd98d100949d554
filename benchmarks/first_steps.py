"""Measures how long a new user waits for the clone, the demo and other commands.

    python benchmarks/first_steps.py [--out docs/results]

This clones the repository into a temporary folder and runs the commands of the README
there, in an environment that `make` installs. Most of that time is the download of
TensorFlow. MNIST is read from TFDS_DATA_DIR if it is set, and downloaded otherwise.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ledger import median_and_range

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ".venv/bin/keras-invprune"
RUN = f"{COMMAND} run --dataset tfds:mnist --method iunet --sparsity 0.95 --out mnist"
STEPS = {
    "git clone": ["git", "clone", "--quiet", str(ROOT), "."],
    "make demo, first time (installs)": ["make", "demo"],
    "make demo, again": ["make", "demo"],
    "a model of one's own (examples/quickstart.py)": [
        ".venv/bin/python",
        "examples/quickstart.py",
    ],
    "make .venv/dev (the data loaders)": ["make", ".venv/dev"],
    RUN.replace(COMMAND, "keras-invprune"): RUN.split(),
}
HELP_RUNS = 7


def seconds(command, folder):
    """Return the wall time of a command; exit with its output if it fails."""
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - begin


def main():
    """Time each step once and `--help` several times; write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    lines = [
        "# First steps",
        "",
        "`python benchmarks/first_steps.py`: each command once, in a fresh clone, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores "
        f"({platform.machine()}), load at the start {os.getloadavg()[0]:.1f}.",
        "",
        "| command | seconds | least | most |",
        "|---|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, command in STEPS.items():
            lines.append(f"| {name} | {seconds(command, folder):.1f} | | |")
            print(lines[-1], flush=True)
        times = [seconds([COMMAND, "--help"], folder) for _ in range(HELP_RUNS)]
    cells = " | ".join(median_and_range(times, (0, 100)))
    lines.append(f"| keras-invprune --help, median of {HELP_RUNS} | {cells} |")
    page = "\n".join(lines) + "\n"
    print(page)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "first_steps.md").write_text(page)


if __name__ == "__main__":
    main()
