"""A folder holds the state or the results of one configuration, and no other."""

import json
from pathlib import Path

CONFIG = "config.json"
SHOWN = 5  # differences in a message


def check_same(config, folder, defaults=None, inside=None):
    """Raise unless `folder` is missing or has the state of this configuration.

    Args:
        config: ``{name: value}``.
        folder: What may hold the configuration of a run.
        defaults: Values of names that are not there because they came later.
        inside: ``{name: such values}`` of configurations inside it.

    Raises:
        FileExistsError: If it belongs to another one; says what differs. Or if its
            configuration cannot be read.
    """
    file = Path(folder) / CONFIG
    if not file.exists():
        return
    other = _filled(_read(file), defaults or {}, inside or {})
    names = [name for name in config if other.get(name) != config[name]]
    if names:
        pairs = [f"{n}: {other.get(n)!r} there, {config[n]!r} asked" for n in names]
        more = [f"and {len(pairs) - SHOWN} more"] if len(pairs) > SHOWN else []
        raise FileExistsError(
            f"{folder} has another configuration ({'; '.join(pairs[:SHOWN] + more)})."
            " Choose another --out, or remove it."
        )


def _read(file) -> dict:
    """Return what a file says of a configuration.

    Raises:
        FileExistsError: If it is none.
    """
    try:
        found = json.loads(file.read_text())
    except ValueError:  # text that is not JSON, or not text
        found = None
    if not isinstance(found, dict):
        raise FileExistsError(
            f"{file} must hold the configuration of its folder. It is damaged, or "
            "belongs to something else. Choose another --out, or remove the folder."
        )
    return found


def _filled(config, defaults, inside):
    """Return a configuration with what it lacks, also in those inside it."""
    known = {
        name: {**inside[name], **value}
        for name, value in config.items()
        if isinstance(value, dict) and name in inside
    }
    return {**defaults, **config, **known}
