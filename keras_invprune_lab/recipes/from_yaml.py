"""From YAML to a checked object, by name or file; all faults at once, with their lines.

ruamel.yaml has line numbers too, but raises at the first key that is given twice.
"""

import re
from importlib import resources
from pathlib import Path
from typing import Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from keras_invprune.saving import did_you_mean, named, near_names

# In YAML's words, what pydantic says in Python's.
WORDS = {
    "list_type": "Must be a list, as [one, another]",
    "dict_type": "Must be `name: value` pairs, as {one: 1}",
    "model_type": "Must be `name: value` pairs, as {one: 1}",
}

Kind = TypeVar("Kind", bound=BaseModel)


class Recipes(Generic[Kind]):
    """Recipes of one kind: those of a folder of the package, and those of users.

    Args:
        model: The class of a recipe.
        package: The package whose .yaml files are recipes, such as ``__package__``.
        kind: What messages call a recipe.
        folder: Name of the folder inside of the package; "" for the package itself.
    """

    def __init__(self, model: type[Kind], package: str, kind: str, folder: str = ""):
        self.model, self.kind = model, kind
        self.folder = resources.files(package) / folder

    def names(self) -> list[str]:
        """Return the names of the recipes that come with the package."""
        files = [Path(file.name) for file in self.folder.iterdir()]
        return sorted(file.stem for file in files if file.suffix == ".yaml")

    def load(self, name: str | Path) -> Kind:
        """Return the recipe of that name, or in that file.

        Args:
            name: One of `names`, or a path that ends in .yaml.

        Raises:
            ValueError: If there is no such recipe (near matches are named), or if the
                file is not one; says in which lines.
            FileNotFoundError: If there is no such file; near matches are named.
        """
        if str(name).endswith((".yaml", ".yml")):
            return self.parse(self._read(Path(name)), str(name))
        named(str(name), dict.fromkeys(self.names()), "recipe")
        text = (self.folder / f"{name}.yaml").read_text(encoding="utf-8")
        return self.parse(text, f"{name}.yaml")

    def parse(self, text: str, file: str = "recipe") -> Kind:
        """Return a recipe from YAML.

        Args:
            text: YAML.
            file: Name of the file, for messages.

        Raises:
            ValueError: If the text is not a recipe; says in which lines and why.
        """
        return parse_as(self.model, text, file, self.kind)

    def _read(self, file) -> str:
        try:
            return file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            there = {one.stem: str(one) for one in file.parent.glob("*.y*ml")}
            near = [there[one] for one in near_names(file.stem, there)]
            near = near or near_names(file.stem, self.names())
            raise FileNotFoundError(
                f"There is no recipe {str(file)!r}.{did_you_mean(near)}"
            ) from error


def parse_as(model, text, file, kind):
    """Return an object of a class from YAML.

    Args:
        model: Subclass of `pydantic.BaseModel`.
        text: YAML.
        file: Name of the file, for messages.
        kind: What the text should be, for messages.

    Raises:
        ValueError: If the text is not of that kind; says in which lines and why.
    """
    try:
        root, content = yaml.compose(text), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{file} is not valid YAML: {where}{what}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold `name: value` lines.")
    if wrong := _wrong_keys(root):
        raise ValueError(f"{file} is not a valid {kind}:\n" + "\n".join(wrong))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [
            f"  line {_line(root, fault['loc'])}: {_what(model, fault)}"
            for fault in error.errors()
        ]
        raise ValueError(
            f"{file} is not a valid {kind}:\n" + "\n".join(faults)
        ) from error


def _wrong_keys(node) -> list[str]:
    """Return faults: keys that YAML does not read as text, or duplicates."""
    found = []
    if isinstance(node, yaml.MappingNode):
        first = {}
        for key, value in node.value:
            line, known = key.start_mark.line + 1, first.get(key.value)
            if known:
                found.append(
                    f"  line {line}: `{key.value}` is on line {known} already."
                )
            first.setdefault(key.value, line)
            if key.tag.split(":")[-1] not in ("str", "merge"):
                what = f"YAML does not read `{key.value}` as text. Put it in quotes."
                found.append(f"  line {line}: {what}")
            found += _wrong_keys(value)
    return found


def _line(node, path) -> int:
    """Return the line of the value, or of the key, that `path` leads to."""
    line = node.start_mark.line
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if step not in pairs:
                break
            key, node = pairs[step]
            line = key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1


def _what(model, fault) -> str:
    """Return the fault in words: where, what, and a near name if one is misspelled."""
    where = ".".join(map(str, fault["loc"]))
    kind, given = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        try:
            named(str(fault["loc"][-1]), _keys_of(model, fault["loc"]), "key")
        except ValueError as error:
            return str(error)
    message = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    message = WORDS.get(kind, message)
    message += "" if message.endswith("?") else "."
    if kind not in ("missing", "value_error"):
        message += f" Received: {given!r}."
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        message += did_you_mean(near_names(given, choices))
    return f"`{where}`: {message}" if where else message


def _keys_of(model, path):
    """Return the keys that may stand where the last one of `path` does."""
    for step in path[:-1]:
        annotation = model.model_fields[step].annotation
        kinds = [annotation, *get_args(annotation)]  # X, or X | None
        model = next(kind for kind in kinds if hasattr(kind, "model_fields"))
    return model.model_fields
