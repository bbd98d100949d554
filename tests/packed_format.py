"""The decoder of docs/packed_format.md, as a reader of that page runs it."""

import functools
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "packed_format.md"


@functools.cache
def decoder() -> dict:
    """Return the names that the page's Python block defines."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    space = {"__name__": "packed_format"}
    exec(compile(block, PAGE.name, "exec"), space)
    return space
