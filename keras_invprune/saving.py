"""Names, objects and callables as arguments; saving them; missing ones."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras


class Configured:
    """A class that keeps the constructor's arguments under their names."""

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]):
        """Builds it again."""
        return cls(**config)


def named(name: str, known: Mapping[str, Any], kind: str):
    """Returns the object of that name.

    Args:
        name: A name in `known`.
        known: ``{name: object}``.
        kind: What it is, for the message: "model", "recipe", ...

    Raises:
        ValueError: An unknown name; near matches are named.
    """
    if name in known:
        return known[name]
    raise ValueError(f"{_unknown(name, known, kind)}.")


def near_names(name: str, known: Iterable[str], n: int = 1) -> list[str]:
    """The names in `known` that look like `name`, whatever their case and hyphens."""
    plain = {}
    for one in known:
        plain.setdefault(_plain(one), one)
    return [plain[one] for one in difflib.get_close_matches(_plain(name), plain, n=n)]


def _plain(name) -> str:
    return re.sub(r"[\s-]", "_", str(name).casefold())


def did_you_mean(names: Iterable[str]) -> str:
    """A sentence, with a space before it, that asks for one of these; "" for none."""
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""


def _unknown(name, known, kind) -> str:
    hint = did_you_mean(near_names(name, known))
    return f"Unknown {kind}: {name!r}.{hint} Known: {sorted(known)}"


def resolve(identifier: str | Callable, known: Mapping[str, Any], kind: str):
    """Returns the object that `identifier` names, or `identifier` if callable.

    Args:
        identifier: A name in `known`, or a callable.
        known: ``{name: object}``.
        kind: What it is, for the message: "score", "allocation", ...

    Raises:
        ValueError: An unknown name; near matches are named.
        TypeError: Neither a name nor a callable, or a class in place of an object.
    """
    a_kind = with_article(kind)
    if isinstance(identifier, type):
        raise TypeError(
            f"{a_kind} is an object, not a class. Received: {identifier.__name__}. "
            f"Write {identifier.__name__}(...)."
        )
    if isinstance(identifier, str):
        if identifier in known:
            return known[identifier]
        unknown = _unknown(identifier, known, kind)
        raise ValueError(f"{unknown}, or pass a callable.")
    if not callable(identifier):
        raise TypeError(
            f"{a_kind} is a name ({sorted(known)}) or a callable. Received: "
            f"{identifier!r}."
        )
    return identifier


def name_of(choice: object) -> str:
    """The name of a function, of an object that of its class."""
    return getattr(choice, "__name__", type(choice).__name__)


def with_article(kind: str) -> str:
    """As a sentence begins: "A score", "An allocation"."""
    return f"{'An' if kind[0] in 'aeiou' else 'A'} {kind}"


def check_takes(function: Callable, takes: Sequence[str], kind: str):
    """Raises TypeError unless a callable can be given these arguments.

    Args:
        function: The callable; one that does not tell what it takes passes.
        takes: Names of the arguments, in their order.
        kind: What it is, for the message: "score", "allocation", ...
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some written in C
        return
    try:
        signature.bind(*takes)
    except TypeError:
        raise TypeError(
            f"{with_article(kind)} is called with ({', '.join(takes)}). Received: one "
            f"that takes {signature}."
        ) from None


@keras.saving.register_keras_serializable(package="keras_invprune")
class Missing:
    """Stands for an object that was saved by name and is not there on loading.

    The model still predicts, strips and exports; using the object raises.
    """

    def __init__(self, name: str, role: str):
        self.name = name
        self.role = role

    def __call__(self, *args, **kwargs):
        """Raises, saying what is missing and how to bring it back."""
        raise RuntimeError(
            f"This model was saved with {self.role}={self.name}, which could not be "
            "found when it was loaded. Register it with "
            "`@keras.saving.register_keras_serializable()` before saving and loading, "
            f"or set `model.{self.role} = ...` before `fit()`."
        )

    def get_config(self):
        """Returns the name and the role."""
        return {"name": self.name, "role": self.role}


def save_object(thing: Any, role: str):
    """The config of an object for its model's config; by name if it has none."""
    try:
        return keras.saving.serialize_keras_object(thing)
    except (TypeError, ValueError):
        return keras.saving.serialize_keras_object(Missing(name_of(thing), role))


def load_object(config: dict[str, Any], role: str):
    """The object again, or a `Missing` that names it."""
    try:
        return keras.saving.deserialize_keras_object(config)
    except (TypeError, ValueError):
        if isinstance(config, list | tuple):  # a pair of views
            return [load_object(part, role) for part in config]
        kind = config.get("class_name")
        if kind == "__lambda__":
            return Missing("a lambda", role)
        name = config["config"] if kind == "function" else config["registered_name"]
        return Missing(str(name or kind), role)
