"""The package can be imported where POSIX has no say: on Windows, on macOS."""

import subprocess
import sys

HIDDEN = ("fcntl", "resource", "pwd", "grp", "termios", "pty")
SCRIPT = f"""
import gc, sys

gc.disable()  # imports make no garbage
import tensorflow, tensorflow_model_optimization  # what they import is theirs

for name in {HIDDEN}:
    sys.modules[name] = None
for name in [name for name in sys.modules if name.startswith("keras_invprune")]:
    del sys.modules[name]
import pkgutil, importlib

import keras_invprune, keras_invprune_lab

for package in (keras_invprune, keras_invprune_lab):
    for found in pkgutil.walk_packages(package.__path__, f"{{package.__name__}}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print("imported")
"""


def test_every_module_is_imported_without_the_modules_of_posix():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=200
    )
    assert done.stdout.strip().endswith("imported"), done.stderr[-2000:]
