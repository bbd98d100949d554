"""The error of packed files."""


class PackError(RuntimeError):
    """A model cannot be packed, or a packed file cannot be read."""
