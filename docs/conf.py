"""Configures Sphinx, which builds these pages: `make docs`."""

import keras_invprune

project = "keras_invprune"
author = "The keras_invprune authors"
version = release = keras_invprune.__version__
html_title = f"keras_invprune {release}"

extensions = [
    "myst_parser",  # pages are Markdown
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google style
    "sphinx.ext.viewcode",
]
html_theme = "furo"
exclude_patterns = ["results/*/plots.md"]  # drawn by `bench`, not kept

default_role = "code"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings state the types
napoleon_custom_sections = [("Source", "notes_style")]
