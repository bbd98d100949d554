"""Every public name with its signature, as text; `make api` writes it anew."""

import inspect
import types
from pathlib import Path

import keras_invprune

FILE = Path(__file__).with_name("public_api.txt")


def public_api() -> str:
    """One line for each public name, function, class and method."""
    return "".join(f"{line}\n" for line in _lines(keras_invprune, "keras_invprune"))


def _lines(module, path):
    for name in sorted(module.__all__):
        found, full = getattr(module, name), f"{path}.{name}"
        if isinstance(found, types.ModuleType):
            yield from _lines(found, full)
        elif isinstance(found, type):
            yield f"{full}{_bases(found)}{_signature(found)}"
            yield from _members(found, full)
        elif callable(found):
            yield f"{full}{_signature(found)}"
        else:
            yield f"{full} = {found!r}"


def _members(cls, path):
    """What the class itself, or a base of ours, defines."""
    ours = [
        base for base in cls.__mro__ if base.__module__.startswith("keras_invprune")
    ]
    members = {
        name: value for base in reversed(ours) for name, value in vars(base).items()
    }
    for name, value in sorted(members.items()):
        if name.startswith("_"):
            continue
        value = getattr(value, "__func__", value)  # of static and class methods
        if inspect.isfunction(value):
            yield f"{path}.{name}{_signature(value)}"
        elif isinstance(value, property):
            yield f"{path}.{name}"


def _bases(cls) -> str:
    """The first base that is not ours: what users' code may take it for."""
    others = (b for b in cls.__mro__ if not b.__module__.startswith("keras_invprune"))
    name = next(others).__name__
    return "" if name == "object" else f"<{name}>"


def _signature(found) -> str:
    """Names, kinds and defaults of the parameters; types may come and be refined."""
    try:
        signature = inspect.signature(found)
    except ValueError:  # that of a built-in base, such as an exception's
        return ""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return str(inspect.Signature(parameters))


if __name__ == "__main__":
    FILE.write_text(public_api())
