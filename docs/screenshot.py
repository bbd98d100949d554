"""Takes the picture of TensorBoard in the README: `make screenshot`.

    python docs/screenshot.py LOGDIR PICTURE.png

Needs chromium (Debian: `apt install chromium`).
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60  # seconds


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(url):
    """Wait until TensorBoard has read the logs."""
    for _ in range(PATIENCE):
        try:
            with urllib.request.urlopen(url) as answer:
                if len(answer.read()) > len("{}"):
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(1)
    sys.exit(f"TensorBoard did not answer within {PATIENCE} seconds: {url}")


def main():
    """Start TensorBoard and take a screenshot of its pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logdir", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"None of {BROWSERS} was found. Debian: apt install chromium.")
    if not arguments.logdir.is_dir():
        sys.exit(f"{arguments.logdir} is not a folder. `make demo` fills one.")
    port = free_port()
    module = [sys.executable, "-m", "tensorboard.main", "--load_fast=false"]
    server = subprocess.Popen(
        [*module, f"--logdir={arguments.logdir}", f"--port={port}"],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://localhost:{port}/data/plugin/images/tags")
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars"]
        options += ["--window-size=1240,860", "--virtual-time-budget=20000"]
        target = f"--screenshot={arguments.picture.resolve()}"
        page = f"http://localhost:{port}/?darkMode=false#images"
        subprocess.run(
            [browser, *options, target, page],
            check=True,
            timeout=120,
            stderr=subprocess.DEVNULL,
        )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
