"""A folder holds the state or the results of one configuration, and no other."""

import json
from pathlib import Path

CONFIG = "config.json"


def check_same(config, folder, defaults=None, inside=None):
    """Raise unless `folder` is missing or has the state of this configuration.

    Args:
        config: ``{name: value}``.
        folder: What may hold the configuration of a run.
        defaults: Values of names that are not there because they came later.
        inside: ``{name: such values}`` of configurations inside it.

    Raises:
        FileExistsError: If it belongs to another one; says what differs.
    """
    file = Path(folder) / CONFIG
    if not file.exists():
        return
    other = _filled(json.loads(file.read_text()), defaults or {}, inside or {})
    names = [name for name in config if other.get(name) != config[name]]
    if names:
        pairs = [f"{n}: {other.get(n)!r} there, {config[n]!r} asked" for n in names]
        raise FileExistsError(
            f"{folder} is of another configuration ({'; '.join(pairs)}). Choose "
            "another --out, or remove it."
        )


def _filled(config, defaults, inside):
    """Return a configuration with what it lacks, also in those inside it."""
    known = {
        name: {**inside[name], **value}
        for name, value in config.items()
        if isinstance(value, dict) and name in inside
    }
    return {**defaults, **config, **known}
