"""Builds the wheel into dist/ and tries it as a user would, outside the source tree.

The environment made for it sees the libraries installed beside the Python that runs
this script, so that nothing is downloaded, but neither the source tree nor the
editable install.
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
    """Returns what the command prints; if it fails, shows all of it and exits."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def build():
    """Builds sdist and, from it, the wheel: what the sdist lacks shows here too."""
    for old in DIST.glob("keras_invprune-*"):
        old.unlink()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST))
    return next(DIST.glob("*.whl"))


def check_contents(wheel):
    """Compares the files in the wheel with those of the packages in the tree."""
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
            f"{wheel.name} must hold the files of keras_invprune*/ and no others.\n"
            f"Not in the wheel: {sorted(source - packed)}\n"
            f"Only in the wheel: {sorted(packed - source)}"
        )


def install(wheel, folder):
    """Installs the wheel in a new environment; returns that environment's Python."""
    venv.create(folder)
    python = Path(folder) / "bin" / "python"
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-I", "-c", query).strip())
    # A folder named in a .pth is only searched: the .pth files in it, such as that
    # of the editable install, are not read.
    libraries = site_packages / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install")
    run(*pip, "--no-deps", "--no-index", "--ignore-installed", str(wheel))
    return python


def main():
    """Builds, installs and tries the wheel."""
    wheel = build()
    check_contents(wheel)
    with tempfile.TemporaryDirectory() as folder:
        python = install(wheel, folder)
        script = ROOT / ".ci" / "smoke.py"
        print(run(python, "-I", script, folder, wheel, cwd=folder), end="")


if __name__ == "__main__":
    main()
