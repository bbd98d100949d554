"""The sizes of a file: its bytes, and those after compression."""

import gzip
from pathlib import Path


def contents_of(path: Path) -> list[bytes]:
    """Return the contents of a file, or of all files in a folder."""
    files = [path] if path.is_file() else filter(Path.is_file, path.rglob("*"))
    return [file.read_bytes() for file in files]


def sizes(contents: list[bytes]) -> dict[str, int]:
    """Return the bytes of contents, and those after gzip, each by itself."""
    zipped = [gzip.compress(each, compresslevel=6) for each in contents]
    return {"bytes": sum(map(len, contents)), "gzip_bytes": sum(map(len, zipped))}
