"""Do the tests notice when the code that makes masks is wrong? A mutation score.

    pip install cosmic-ray
    python benchmarks/mutation.py [--commit COMMIT] [--sample 12]

cosmic-ray changes one operator, number or condition of a module; the tests run until
the first one fails; a change that no test notices has survived. The changes of a module
are drawn by a hash of their operator and place, so that two commits with the same code
give the same sample, whatever their tests are. Each finished change is a line of
``docs/results/mutation.csv``; run again, the command resumes. It works on a copy in
``build/mutation``. Changes of type hints are left out (``int | None``).
"""

import argparse
import csv
import hashlib
import io
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
from collections import defaultdict
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path

from rich.progress import track

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs/results/mutation.csv"
# The tests that mirror each module; EVERYWHERE comes after them.
MODULES = {
    "masks/selection.py": "tests/masks/test_selection.py",
    "masks/compute.py": "tests/masks",
    "masks/groups.py": "tests/masks tests/patterns tests/allocation/test_budget.py",
    "allocation/class_distributed.py": "tests/allocation",
    "allocation/erk.py": "tests/allocation",
    "allocation/global_topk.py": "tests/allocation",
    "allocation/lamp.py": "tests/allocation",
    "allocation/per_layer.py": "tests/allocation",
    "allocation/shuffled.py": "tests/allocation",
    "allocation/uniform.py": "tests/allocation",
    "patterns/block.py": "tests/patterns",
    "patterns/n_by_m.py": "tests/patterns",
    "patterns/units.py": "tests/patterns",
    "patterns/unstructured.py": "tests/patterns",
    "objectives/contrastive.py": "tests/objectives/test_contrastive.py",
    "objectives/invariance.py": "tests/objectives/test_invariance.py",
    "pruning/masked.py": "tests/pruning/test_masked.py",
    "pruning/rewind.py": "tests/pruning/test_rewind.py",
}
EVERYWHERE = "tests/pruning/test_prune.py tests/scores/test_conformance.py"
TYPE_HINTS = "BitOr"  # X | None, and the union of dictionaries
# Seconds of the processor, and of the clock, after which the tests are taken to hang.
# Other work on the machine stretches only the latter.
LONGEST, PATIENCE = 900, 7200
LOADED = ["keras", "pytest", "tensorflow", "tensorflow_model_optimization"]


@dataclass(frozen=True)
class Mutant:
    """One change of one module, which is the `occurrence`-th place for `operator`."""

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def lot(self) -> bytes:
        """What the sample is drawn by."""
        text = f"{self.module} {self.operator} {self.occurrence}"
        return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant of a commit under its tests."""

    commit: str
    module: str
    operator: str
    occurrence: int
    line: int
    outcome: str
    seconds: float


@cache
def operators() -> dict:
    """``{name: operator}`` of cosmic-ray, without those that need arguments."""
    from cosmic_ray import plugins

    kinds = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    return {
        name: kind()
        for name, kind in kinds.items()
        if not kind.arguments() and TYPE_HINTS not in name
    }


def mutants(folder, module, count) -> list[Mutant]:
    """Return a sample of the changes of a module, at most one at each place."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path

    tree, places = get_ast_from_path(folder / "keras_invprune" / module), {}
    for name, operator in operators().items():
        starts = [s for n in ast_nodes(tree) for s, _ in operator.mutation_positions(n)]
        for occurrence, start in enumerate(starts):
            mutant = Mutant(module, name, occurrence, start[0])
            places.setdefault(start, []).append(mutant)
    drawn = [min(there, key=lambda mutant: mutant.lot) for there in places.values()]
    return sorted(drawn, key=lambda mutant: mutant.lot)[:count]


def git(*command) -> bytes:
    """Return what a command of git prints."""
    return subprocess.run(
        ["git", *command], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout


def checkout(commit, folder):
    """Copy the files of a commit into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit))) as files:
        files.extractall(folder, filter="data")


def run_tests(folder, tests, log):
    """Run tests, and end this process with pytest's exit code."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with open(log, "w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
    os._exit(int(code))  # threads of TensorFlow may outlive the tests


def outcome(context, folder, modules) -> str:
    """Return what the tests of modules say: "survived", "killed" or "timeout"."""
    names = " ".join(MODULES[module] for module in modules).split()
    tests = list(dict.fromkeys([*names, *EVERYWHERE.split()]))
    log = folder / "pytest.log"
    process = context.Process(target=run_tests, args=(folder, tests, log))
    process.start()
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
    if process.exitcode < 0:  # by a signal
        return "timeout"
    return "killed" if process.exitcode else "survived"


def judge(context, folder, mutant) -> str:
    """Change the module, run its tests, and put it back."""
    from cosmic_ray.mutating import mutate_code

    file = folder / "keras_invprune" / mutant.module
    code = file.read_text()
    changed = mutate_code(code, operators()[mutant.operator], mutant.occurrence)
    try:
        file.write_text(changed)
        return outcome(context, folder, [mutant.module])
    finally:
        file.write_text(code)


def verdicts() -> list[Verdict]:
    """Return what has been found so far."""
    if not TABLE.exists():
        return []
    with open(TABLE, newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    kinds = [field.type for field in fields(Verdict)]
    return [Verdict(*(k(v) for k, v in zip(kinds, r, strict=True))) for r in rows]


def note(verdict):
    """Add a line to the table."""
    new = not TABLE.exists()
    with open(TABLE, "a", newline="") as stream:
        table = csv.writer(stream)
        if new:
            table.writerow([field.name for field in fields(Verdict)])
        table.writerow(astuple(verdict))


def show(found):
    """Print the share of noticed changes by room and commit."""
    counts = defaultdict(lambda: [0, 0])
    for verdict in found:
        for room in (verdict.module.split("/")[0], "all"):
            counts[verdict.commit, room][0] += verdict.outcome != "survived"
            counts[verdict.commit, room][1] += 1
    print("| commit | room | changes | noticed |\n|---|---|---:|---:|")
    for (commit, room), (killed, total) in sorted(counts.items()):
        print(f"| {commit} | {room} | {total} | {100 * killed / total:.0f} % |")
    print("\nSurvivors:")
    for verdict in found:
        if verdict.outcome == "survived":
            change = verdict.operator.removeprefix("core/")
            print(f"  {verdict.commit}  {verdict.module}:{verdict.line}  {change}")


def main():
    """Judge what has not been judged yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default="HEAD", help="whose code and tests it is")
    parser.add_argument("--sample", type=int, default=12, help="changes of a module")
    parser.add_argument("--modules", nargs="*", choices=MODULES, default=[*MODULES])
    parser.add_argument("--tables", action="store_true", help="only print the table")
    given = parser.parse_args()
    if not given.tables:
        campaign(given)
    show(verdicts())


def campaign(given):
    """Judge the sample of each module of a commit."""
    commit = git("rev-parse", "--short", given.commit).decode().strip()
    folder = ROOT / "build/mutation" / commit
    checkout(commit, folder)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    os.environ["PYTHONPATH"] = str(folder)
    if (found := outcome(context, folder, given.modules)) != "survived":
        sys.exit(f"Before any change: {found}. See {folder}/pytest.log.")
    known = {(v.commit, v.module, v.operator, v.occurrence) for v in verdicts()}
    drawn = [m for name in given.modules for m in mutants(folder, name, given.sample)]
    for mutant in track(drawn, commit):
        if (commit, mutant.module, mutant.operator, mutant.occurrence) in known:
            continue
        began = time.monotonic()
        found = judge(context, folder, mutant)
        seconds = round(time.monotonic() - began, 1)
        note(Verdict(commit, *astuple(mutant), found, seconds))


if __name__ == "__main__":
    main()
