"""Counts entries, rooms, lines, types and lookups by name, and walks of one call.

    python benchmarks/house.py [FOLDER]

FOLDER is a checkout, by default this one. Pass a worktree of an earlier commit for
comparison. Arrows are imports from one entry of the package's root to another. All
figures are read from the source, except the walks, which are counted in a call of
`prune`.
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
    """Return ``{file: syntax tree}`` of all Python files in a folder."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    return {file: ast.parse(file.read_text()) for file in files}


def lines(folder) -> int:
    """Count the lines of all Python files in a folder."""
    return sum(len(file.read_text().splitlines()) for file in folder.rglob("*.py"))


def arrows(package) -> set[tuple[str, str]]:
    """Return pairs of entries of the root, where the first imports the second."""
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
    """Yield functions and methods whose own and enclosing names are public."""

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
    """Return a function's parameters except `self` and `cls`."""
    taken = function.args
    found = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return [one for one in found if one.arg not in ("self", "cls")]


def handshakes(package) -> int:
    """Count the calls of `getattr` and `hasattr` with a literal name."""
    return sum(
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("getattr", "hasattr")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
        for tree in trees(package).values()
        for node in ast.walk(tree)
    )


def walks(root) -> int:
    """Return how often one call of `prune` walks through the whole model."""
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
    """Return all figures of a checkout."""
    package = root / "keras_invprune"
    entries = [
        path
        for path in package.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    ]
    functions = list(public_functions(package))
    taken = [one for function in functions for one in parameters(function)]
    typed = sum(one.annotation is not None for one in taken)
    results = [one for one in functions if one.name != "__init__"]
    told = sum(one.returns is not None for one in results)
    others = sorted(root.glob("keras_invprune_*"))
    return {
        "entries of the root": len(entries),
        "rooms": sum(path.is_dir() for path in entries),
        "arrows between entries": len(arrows(package)),
        "lines of the package": lines(package),
        "lines next to it (experiments, commands)": sum(map(lines, others)),
        "lines of tests": lines(root / "tests"),
        "public parameters typed, %": round(100 * typed / max(1, len(taken)), 1),
        "public results typed, %": round(100 * told / max(1, len(results)), 1),
        "most parameters of a public function": max(
            len(parameters(function)) for function in functions
        ),
        "getattr and hasattr by a written name": handshakes(package),
        "walks through the model in one `prune`": walks(root),
    }


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT)
    print("| figure | |\n|---|---:|")
    for name, value in figures(parser.parse_args().folder.resolve()).items():
        print(f"| {name} | {value:,} |")


if __name__ == "__main__":
    main()
