"""What all choices of a method refuse as a number, in words."""

import importlib
import inspect
import pkgutil

import pytest

import keras_invprune

ROOMS = ("allocation", "objectives", "schedules", "scores")


def classes():
    """The public classes of the rooms of choices."""
    found = {}
    for room in ROOMS:
        package = importlib.import_module(f"keras_invprune.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            members = vars(importlib.import_module(module.name)).items()
            found |= {
                name: kind
                for name, kind in members
                if inspect.isclass(kind)
                and kind.__module__ == module.name
                and not inspect.isabstract(kind)
                and name in keras_invprune.__dict__[room].__dict__
            }
    return found


def arguments():
    """The arguments of public classes that are numbers, or numbers by key."""
    for name, kind in classes().items():
        for each in inspect.signature(kind).parameters.values():
            text = str(each.annotation)
            if "float" in text and "Callable" not in text:
                yield pytest.param(kind, each, id=f"{name}-{each.name}")


ARGUMENTS = list(arguments())


def test_there_are_many_such_arguments():
    assert {p.id for p in ARGUMENTS} > {
        *("PerLayer-sparsities", "RigL-fraction", "Invariance-weight"),
        *("WhenConverged-min_delta", "Grasp-temperature"),
    }


@pytest.mark.parametrize(("kind", "argument"), ARGUMENTS)
@pytest.mark.parametrize("wrong", ["0.5x", [], {"a": "0.5x"}, object()])
def test_what_is_not_a_number_is_refused_by_name(kind, argument, wrong):
    if argument.name == "sparsities" and wrong == []:
        wrong = [1]
    needed = inspect.signature(kind).parameters.values()
    others = {
        each.name: 0.5 if "float" in str(each.annotation) else lambda rows: rows
        for each in needed
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    with pytest.raises((ValueError, TypeError)) as caught:
        kind(**others | {argument.name: wrong})
    said = str(caught.value)
    assert f"`{argument.name}`" in said and "Received" in said
