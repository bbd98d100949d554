"""The shape of the package, read from its source: who imports whom.

Everything is found by walking the files, so that a new one is held to it unasked.
"""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

# Low to high: a room, a file or folder of keras_invprune, may import from the rooms of
# the lines above its own; the files of one folder may import each other. `__init__`
# stands for the public names. Another package is one room.
ROOMS = [
    {"arguments"},
    {"saving"},
    {"contracts", "runtimes"},
    {"tfmot"},
    {"graph"},
    {"compaction", "masks", "proximal"},
    {"views", "allocation", "patterns", "schedules", "scores"},
    {"callbacks", "priors"},
    {"objectives"},
    {"pruning"},
    {"exporting"},
    {"packing", "reporting"},
    {"__init__"},
    {"keras_invprune_lab"},
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# The same inside of `pruning`, where each file is a room.
PRUNING = [
    {"examples", "recomputed", "timed", "tracing"},
    {"rewind", "initializers", "masked", "loss", "priced"},
    {"plan"},
    {"checks", "fitting"},
    {"fit_checks", "state"},
    {"checkpoint", "legacy"},
    {"model"},
    {"prune"},
    {"invariance", "tangent", "layer_path"},
]
PRUNING_LEVEL = {room: level for level, rooms in enumerate(PRUNING) for room in rooms}
# And inside of the experiments.
LAB = [
    {"extras"},
    {"data", "models"},
    {"training"},
    {"methods"},
    {"recipes"},
    {"runs"},
    {"bench", "structure"},
    {"demo"},
    {"cli"},
]
LAB_LEVEL = {room: level for level, rooms in enumerate(LAB) for room in rooms}

# Names behind a wall, and the one file that is the door to each.
DOORS = {
    "tensorflow_model_optimization": "keras_invprune/tfmot.py",
    "tf_keras": "keras_invprune/tfmot.py",
    # Importing TF-MOT decides what these two mean, so the same file deals with them.
    "tf.keras": "keras_invprune/tfmot.py",
    "tensorflow.keras": "keras_invprune/tfmot.py",
    "ai_edge_litert": "keras_invprune/exporting/litert.py",
    "litert_quantizer": "keras_invprune/exporting/planner/candidates/quantized.py",
    "onnx": "keras_invprune/exporting/planner/candidates/onnx.py",
    "tf2onnx": "keras_invprune/exporting/planner/candidates/onnx.py",
    "onnxruntime": "keras_invprune/exporting/planner/candidates/onnx.py",
    "openvino": "keras_invprune/exporting/planner/candidates/openvino.py",
    "constriction": "keras_invprune/packing/coder.py",
    "keras.src": None,  # Keras's private part: no file
}
# What can be imported without waiting for TensorFlow.
QUICK = ["keras_invprune_lab.cli.main"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {init.parent.name for init in ROOT.glob("keras_invprune*/__init__.py")}
FILES = sorted(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))


def name_of(file):
    return file.relative_to(ROOT).as_posix()


def room_of(file):
    package, inside, *_ = file.relative_to(ROOT).with_suffix("").parts
    return inside if package == "keras_invprune" else package


def imports_of(source, package="keras_invprune"):
    """Yields the full dotted name of all that `source`, a file of `package`, imports.

    At any depth: an import inside a function is an import. `from a import b` yields
    "a.b", since b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # No dot: absolute. One dot: the package itself; each further, a parent.
            origin = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(filter(None, [origin, node.module]))
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            target = getattr(node.args[0], "value", None)
            if called in ("import_module", "__import__") and isinstance(target, str):
                yield target


def imports_of_file(file):
    package = ".".join(file.relative_to(ROOT).parent.parts)
    return list(imports_of(file.read_text(), package))


def attributes_of(file):
    """Each chain of attributes in the file as written, such as "tf.keras.layers"."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}


def room_behind(name):
    """The room that an imported name of ours belongs to."""
    package, inside, *_ = [*name.split("."), ""]
    if package != "keras_invprune":
        return package
    return inside if inside in LEVEL else "__init__"


@functools.cache
def declared_modules():
    """The modules of the libraries that pyproject.toml names for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"]
    for extra in project["optional-dependencies"].keys() - {"dev"}:
        requirements = requirements + project["optional-dependencies"][extra]
    # A requirement starts with the name; names compare with "-" and "_" as one.
    names = {re.match(r"[\w.-]+", r)[0].replace("_", "-") for r in requirements}
    # What is not installed has a module of its own name, as far as anyone can tell.
    return {name.replace("-", "_") for name in names} | {
        module
        for module, distributions in metadata.packages_distributions().items()
        if names & {name.replace("_", "-") for name in distributions}
    }


def lower_bounds():
    """{library: lower bound} of all that users may install, except on macOS."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [r for name, part in extras.items() if name != "dev" for r in part]
    found = {}
    for requirement in [*project["dependencies"], *requirements]:
        if "== 'Darwin'" not in requirement and "[" not in requirement:
            name, bound = re.match(r"([\w.-]+)>=([\d.]+)", requirement).groups()
            found[name] = bound
    return found


def test_each_lower_bound_is_a_version_that_tests_run_with():
    oldest = (ROOT / ".ci" / "oldest.txt").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==([\d.]+)", oldest, re.M))
    bounds = lower_bounds()
    assert len(bounds) > 20
    untested = {
        name: bound
        for name, bound in bounds.items()
        if not f"{pins.get(name)}.".startswith(f"{bound}.")
    }
    assert untested == {}


def test_the_package_is_found():
    assert "keras_invprune" in PACKAGES


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import keras_invprune.cli as c", {"keras_invprune.cli"}),
        ("from keras_invprune import cli", {"keras_invprune.cli"}),
        ("from . import snip", {"keras_invprune.scores.snip"}),
        ("from .. import cli", {"keras_invprune.cli"}),
        ("from ..cli import main", {"keras_invprune.cli.main"}),
        ("def f():\n    import keras.src", {"keras.src"}),
        ("importlib.import_module('tf_keras')", {"tf_keras"}),
    ],
)
def test_each_way_to_import_is_seen(statement, expected):
    assert set(imports_of(statement, "keras_invprune.scores")) == expected


def test_every_room_has_a_level():
    new = {room_of(file) for file in FILES} - LEVEL.keys()
    assert not new, "Add them to ROOMS, above all that they import."


def test_imports_go_down():
    upward = [
        (name_of(file), name)
        for file in FILES
        for name in imports_of_file(file)
        if name.split(".")[0] in PACKAGES
        and room_behind(name) != room_of(file)
        and LEVEL[room_behind(name)] >= LEVEL[room_of(file)]
    ]
    assert not upward


@pytest.mark.parametrize(
    "inside, levels",
    [("keras_invprune.pruning", PRUNING_LEVEL), ("keras_invprune_lab", LAB_LEVEL)],
)
def test_imports_inside_of_a_package_go_down(inside, levels):
    folder, upward = ROOT / inside.replace(".", "/"), []
    for file in (file for file in FILES if folder in file.parents):
        room = file.relative_to(folder).with_suffix("").parts[0]
        if room == "__init__":
            continue
        upward += [
            (name_of(file), name)
            for name in imports_of_file(file)
            if name.startswith(f"{inside}.")
            and (other := name.removeprefix(f"{inside}.").split(".")[0]) != room
            and levels[other] >= levels[room]
        ]
    assert not upward


def test_names_behind_a_wall_come_through_their_door():
    trespasses = [
        (name_of(file), name)
        for file in FILES
        for name in {*imports_of_file(file), *attributes_of(file)}
        for wall, door in DOORS.items()
        if f"{name}.".startswith(f"{wall}.") and name_of(file) != door
    ]
    assert not trespasses


def test_each_library_is_declared():
    # TF-MOT brings tf_keras, in the version that its tensorflow asks for.
    given = sys.stdlib_module_names | PACKAGES | {"tf_keras"} | declared_modules()
    missing = [
        (name_of(file), name)
        for file in FILES
        for name in imports_of_file(file)
        if name.split(".")[0] not in given
    ]
    assert not missing


@pytest.mark.parametrize("module", QUICK)
def test_importing_it_does_not_import_tensorflow(module):
    heavy = {"tensorflow", "keras", "tf_keras"}
    script = f"import sys, {module}; print(*{heavy} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
