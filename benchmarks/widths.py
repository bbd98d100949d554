"""How long does LiteRT take for dense networks of slightly different widths?

    python benchmarks/widths.py

Each network has 784 inputs, two hidden layers of equal width, and ten outputs. Its
files are the converter's float file and those of litert-quantizer with weights of 8 and
4 bits. All of them take turns; `ms` is the median for one row on one thread, with
quartiles. Weights are random, since only time counts.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from ledger import write
from smallest_fastest import File

from keras_invprune.exporting.planner.candidates.quantized import RECIPES, quantized
from keras_invprune.exporting.planner.planning import Sources
from keras_invprune.exporting.timing import times
from keras_invprune_lab.models import mlp

INPUTS, OUTPUTS, ROUNDS = 784, 10, 40
WIDTHS = (101, 104, 112, 128, 185, 186, 192, 200, 224, 253, 254, 256, 261, 264, 288)
WIDTHS += (515, 516, 528, 544)
FLOAT, QUANTIZED = "float32", ("int8 dynamic", "int4 dynamic")
FIELDS = ("width", "file", "bytes", "ms", "ms_low", "ms_high")


def files_of(width):
    """Yield (name, content) of the files of a network."""
    keras.utils.set_random_seed(width)
    model = mlp((INPUTS,), OUTPUTS, (width, width))
    with tempfile.TemporaryDirectory() as work:
        source = Sources(model, None, None, None, Path(work), calibrates=False).given
        yield FLOAT, source.dense
        for name in QUANTIZED:
            yield name, quantized(source, RECIPES[name][0])


def measure() -> list[dict]:
    """Return the rows of all files."""
    rows, files = [], []
    image = np.random.default_rng(0).random((1, INPUTS), "float32")
    for width in WIDTHS:
        for name, content in files_of(width):
            rows.append({"width": width, "file": name, "bytes": len(content)})
            files.append(File(content, image))
    for row, found in zip(rows, times(files, ROUNDS), strict=True):
        row |= dict(zip(("ms", "ms_low", "ms_high"), np.round(found, 6), strict=True))
        print(row, flush=True)
    return rows


def main():
    """Measure all widths, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    write({"all": measure()}, arguments.out / "widths.csv", FIELDS)


if __name__ == "__main__":
    main()
