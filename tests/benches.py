"""Recipes of small benchmarks."""

import yaml

QUICK = {
    "title": "Quick",
    "datasets": ["sklearn:digits", "sklearn:wine"],
    "methods": ["dense", "omp", "iunet", "unpruned"],
    "model": "mlp",
    "compressions": [4],
    "seeds": [0, 1],
    "search_epochs": 1,
    "finetune_epochs": 1,
    "search": {"views": "scarf"},
    "kappas": [0.5],
}


def recipe(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "quick.yaml"
    file.write_text(yaml.safe_dump({**QUICK, **changes}))
    return file


def images(folder, **changes):
    """Digits only, whose views and pictures are those of images."""
    settings = {
        "datasets": ["sklearn:digits"],
        "seeds": [0],
        "kappas": [0.5, 0.25],
        "compressions": [2, 4],
        "search": {"views": "images"},
    }
    return recipe(folder, **{**settings, **changes})
