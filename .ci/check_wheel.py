"""Builds the wheel into dist/ and tries it as a user would, outside the source tree.

The new environment sees the libraries of the Python that runs this script, so that
nothing is downloaded. It sees neither the source tree nor the editable install.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
CACHES = {"__pycache__", ".ruff_cache"}


def run(*command, cwd=ROOT):
    """Return the output of a command; if it fails, print the output and exit."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def build():
    """Build the sdist, and the wheel from it, which reveals files the sdist lacks."""
    for old in DIST.glob("keras_invprune-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST))
    return next(DIST.glob("*.whl"))


def check_contents(wheel):
    """Compare the files in the wheel with those of the packages in the tree."""
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    source = {
        file.relative_to(ROOT).as_posix()
        for package in ROOT.glob("keras_invprune*/__init__.py")
        for file in package.parent.rglob("*")
        if file.is_file() and not CACHES & set(file.parts)
    }
    if packed != source:
        sys.exit(
            f"{wheel.name} must contain the files of keras_invprune*/ and no others.\n"
            f"Not in the wheel: {sorted(source - packed)}\n"
            f"Only in the wheel: {sorted(packed - source)}"
        )


def install(wheel, folder):
    """Install the wheel in a new environment and return that environment's Python."""
    venv.create(folder)
    python = Path(folder) / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-I", "-c", query).strip())
    # A folder named in a .pth file is searched, but its own .pth files, such as that of
    # the editable install, are not read.
    libraries = site_packages / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install")
    run(*pip, "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    return python


def main():
    """Build, install and try the wheel."""
    wheel = build()
    check_contents(wheel)
    with tempfile.TemporaryDirectory() as folder:
        python = install(wheel, folder)
        script = ROOT / ".ci" / "smoke.py"
        print(run(python, "-I", script, folder, wheel, cwd=folder), end="")


if __name__ == "__main__":
    main()
