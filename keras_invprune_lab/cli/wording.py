"""Says an error of the library in the words of the command line."""

import re
from typing import Any

# What an option is called in the library, where it has another name.
OPTIONS = {"data": "dataset", "tflite_options": "tflite"}


def in_options(text: str, command: Any, arguments: list[str]) -> str:
    """Return a message in which arguments of functions are options of a command.

    Args:
        text: The message, such as "`batch_size` must be ...".
        command: Typer's command, or group of commands.
        arguments: Those of the command line, after the program's name.

    Example:
        >>> from keras_invprune_lab.cli.main import command
        >>> in_options("Pass `batch_size=1` or `data=x`.", command(), ["export"])
        'Pass `--batch-size 1` or `--dataset`.'
    """
    for argument in arguments:
        command = getattr(command, "commands", {}).get(argument, command)
    found = {
        each.name: max(each.opts, key=len)
        for each in command.params
        if each.opts[0].startswith("-")
    }

    def option(match: re.Match) -> str:
        name, value = match[1], match[2]
        known = OPTIONS.get(name, name)
        if known not in found:
            return match[0]
        # A data set has a name here, not an array.
        shown = f" {value}" if value and known == name else ""
        return f"`{found[known]}{shown}`"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", option, text)
