"""The house in figures: entries, rooms, lines, types, handshakes, walks of one call.

    python benchmarks/house.py [FOLDER]

FOLDER is a checkout, by default this one; give a worktree of an earlier commit to
compare. Arrows are imports from one entry of the package's root to another. All is
read from the source, but for the walks, which are counted in one call of `prune`.
"""

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WALKS = """
import sys
import keras, keras_invprune
layers = [keras.layers.Dense(8, name="body"), keras.layers.Dense(2, name="head")]
model, names = keras.Sequential([keras.Input((4,)), *layers]), []
sys.setprofile(lambda frame, event, _: names.append((event, frame.f_code.co_name)))
keras_invprune.prune(model, 0.5)
sys.setprofile(None)
print(names.count(("call", "weights_by_key")))
"""


def trees(folder):
    """``{file: syntax tree}`` of all Python files under a folder."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    return {file: ast.parse(file.read_text()) for file in files}


def lines(folder) -> int:
    """Lines of all Python files under a folder."""
    return sum(len(file.read_text().splitlines()) for file in folder.rglob("*.py"))


def arrows(package) -> set[tuple[str, str]]:
    """Pairs of entries of the root, of which the first imports the second."""
    found = set()
    for file, tree in trees(package).items():
        room = file.relative_to(package).with_suffix("").parts[0]
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                first, *rest = name.split(".")
                known = rest and (package / rest[0]).with_suffix("").exists()
                known = known or (rest and (package / f"{rest[0]}.py").exists())
                if first == package.name and known and rest[0] != room:
                    found.add((room, rest[0]))
    return found


def public_functions(package):
    """Functions and methods whose names, and those around them, are public."""

    def inside(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from inside(child)
            elif isinstance(child, ast.FunctionDef) and (
                not child.name.startswith("_") or child.name == "__init__"
            ):
                yield child

    for tree in trees(package).values():
        yield from inside(tree)


def parameters(function) -> list[ast.arg]:
    """A function's parameters, but for `self` and `cls`."""
    taken = function.args
    found = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return [one for one in found if one.arg not in ("self", "cls")]


def handshakes(package) -> int:
    """Calls of `getattr` and `hasattr` with a name that is written down."""
    return sum(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("getattr", "hasattr")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        for tree in trees(package).values()
        for node in ast.walk(tree)
    )


def walks(root) -> int:
    """How often one call of `prune` looks for the weights of the whole model."""
    return int(
        subprocess.run(
            [sys.executable, "-c", WALKS],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    )


def figures(root) -> dict:
    """All figures of a checkout."""
    package = root / "keras_invprune"
    entries = [
        path
        for path in package.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    ]
    functions = list(public_functions(package))
    taken = [one for function in functions for one in parameters(function)]
    typed = sum(one.annotation is not None for one in taken)
    others = sorted(root.glob("keras_invprune_*"))
    return {
        "entries of the root": len(entries),
        "rooms": sum(path.is_dir() for path in entries),
        "arrows between entries": len(arrows(package)),
        "lines of the package": lines(package),
        "lines beside it (experiments, commands)": sum(map(lines, others)),
        "lines of tests": lines(root / "tests"),
        "public parameters typed, %": round(100 * typed / max(1, len(taken)), 1),
        "most parameters of a public function": max(
            len(parameters(function)) for function in functions
        ),
        "getattr and hasattr by a written name": handshakes(package),
        "walks through the model in one `prune`": walks(root),
    }


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT)
    print("| figure | |\n|---|---:|")
    for name, value in figures(parser.parse_args().folder.resolve()).items():
        print(f"| {name} | {value:,} |")


if __name__ == "__main__":
    main()
