"""Writes a model's files, and lets none leave that has not been run.

Each file is loaded again, run on the same rows as the Keras model, and compared.
All files appear together at the end, or none does.
"""

import contextlib
import errno
import gzip
import hashlib
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_invprune import litert
from keras_invprune.consistency import accuracy

SCHEMA = "keras_invprune/export/1"
FORMATS = ("keras", "saved_model", "tflite")
COMPARED_ROWS = 256
BATCH = 32

WAYS_OUT = {
    "model.keras": "Register custom classes and functions with "
    '`keras.saving.register_keras_serializable`, or leave this file out: `formats=("saved_model", "tflite")`.',
    "saved_model": 'Leave this file out: `formats=("keras",)`.',
    "model.tflite": "Leave options out of `tflite_options` (sparse weights do not go with every number format), build recurrent layers with `unroll=True` and the model with dtype float32, or leave this file out: `formats=("
    '"keras", "saved_model")`.',
}


class ExportError(RuntimeError):
    """A file cannot be made, or does not compute what the Keras model computes."""


def export(
    model,
    folder,
    *,
    data=None,
    formats=FORMATS,
    tflite_options=("sparsity",),
    tolerance=1e-4,
) -> dict:
    """doc."""
    _check(model, formats, tflite_options, tolerance)
    folder = Path(folder).resolve()
    rows = Rows.of(model, data)
    with _replacing(folder) as new, tf.device("/CPU:0"):
        entries = {}
        if "keras" in formats:
            ...
