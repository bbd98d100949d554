"""How much smaller and faster are networks of keras.applications after compaction?

    python benchmarks/compaction.py [--only MobileNetV2 ResNet50] [--seeds 0 1 2]
    python benchmarks/compaction.py --again --zeros units --images large

Five networks take images of 224 pixels; then the smallest network of each family takes
the smallest images that it can. All have random weights and five classes. Half of the
units of each kernel, or 90 % of the connections, are set to zero, except those of the
head. Batch normalization gets random statistics and shifts, so that dead units are
constants that are not zero; with "units, no shift", dead units are zero, and only the
plan is made.

The network is compacted, which compares the outputs, and exported for LiteRT with all
weights, which compares the file. The difference is the greatest between both models'
logits on the same images, as a share of their spread. Of the five networks, the files
before and after run in turn, in rounds of single images on one thread; milliseconds are
the median of the rounds' medians, and the speedup is the median of the rounds' ratios,
with quartiles.

The seed draws weights, statistics, and what is zero. Files are made and timed for the
first seed, 0. Others show how much depends on what is drawn: weights, multiplications
and the difference.

Seconds are wall time and, less affected by other programs, processor time (`cpu`).
Memory is the resident size of the process, read every 5 ms: the peak during `compact`
less the size before it. `mb_built` is what the model takes, measured likewise while
Keras builds it. `mb_model` and `mb_pass` are counted: its weights, and what Keras would
hold if it ran four images at once. A small network is compacted first, so that code
that is loaded then does not count. Each row is measured in a separate process; finished
rows are lines of compaction.csv and are not run again. With --again, the last seven
columns of finished rows are, which say what `compact` takes; the others stay.
"""

import argparse
import json
import math
import os
import platform
import tempfile
import threading
import time
from pathlib import Path

from applications import EXPORTED, attempt, build, relative
from ledger import finished, write

FIELDS = (
    *("network", "zeros", "images", "seed", "size", "parameters", "parameters_after"),
    *("macs", "macs_after", "ms", "ms_after"),
    *("speedup", "speedup_low", "speedup_high"),
    *("difference", "seconds", "cpu_seconds", "mb", "mb_built", "mb_model", "mb_pass"),
)
KEYS, TAKEN = FIELDS[:4], FIELDS[-7:]
# What the page of results shows; the others are the sanity suite.
SHOWN = ("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "MobileNetV2", "ResNet50")
PIXELS, ROWS = 224, 4
LARGE, SMALLEST = "large", "smallest"
UNITS, UNSHIFTED, CONNECTIONS = "units", "units, no shift", "connections"
ROUNDS, CALLS = 15, 3  # each file is timed in each round


def make_sparse(model, zeros, seed):
    """Set units or connections to zero, and draw what batch normalization has seen."""
    import keras
    import numpy as np

    from keras_invprune.graph.prunable import head_layers
    from keras_invprune.graph.weights import kernels, weights_by_key

    rng = np.random.default_rng(seed)
    weights = weights_by_key(model)
    found, heads = kernels(weights), {id(x) for x in head_layers(model, weights)}
    shift = 0.0 if zeros == UNSHIFTED else 0.1
    for key, (layer, variable) in weights.items():
        if key.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif key.endswith(("beta", "moving_mean")):
            variable.assign(rng.normal(0, shift, variable.shape))
        elif key in found and id(layer) not in heads:
            of_channels = isinstance(layer, keras.layers.DepthwiseConv2D)
            of_channels |= key.endswith("depthwise_kernel")
            axes = 2 if of_channels else 1  # those that hold output channels
            shape = variable.shape if zeros == CONNECTIONS else variable.shape[-axes:]
            share = 0.9 if zeros == CONNECTIONS else 0.5
            variable.assign(variable.numpy() * (rng.random(shape) >= share))


def timed(forms, x, rounds=ROUNDS, calls=CALLS) -> dict:
    """Export models for LiteRT, and time the files in turn.

    Other programs slow all files of a round, hence ratios are best taken by round.

    Args:
        forms: ``{name: (model, options of the file)}``.
        x: Images.
        rounds: How often all files are timed.
        calls: Runs of a file in each round.

    Returns:
        ``{name: (bytes, the median milliseconds of one image by round)}``.
    """
    import numpy as np

    runs = {name: _runner(*form, x) for name, form in forms.items()}
    times = {name: [] for name in forms}
    for _ in range(rounds):
        for name, (_, run) in runs.items():
            run()  # the files before have filled the caches
            times[name].append(np.median([_milliseconds(run) for _ in range(calls)]))
    return {name: (size, np.array(times[name])) for name, (size, _) in runs.items()}


def _runner(model, options, x):
    """Return the size of a model's file, and a function that runs it on one image."""
    import keras_invprune as kip
    from keras_invprune.exporting import converter, litert

    with tempfile.TemporaryDirectory() as folder:
        out, more = Path(folder) / "files", {"formats": ("tflite",), "batch_size": 1}
        kip.export(model, out, data=x[:1], tflite_options=options, **more)
        content = (out / "model.tflite").read_bytes()
    run = litert.runtime(content, delegate=True)
    (name,) = converter.inputs(converter.signature(model), x)
    image = {name: x[:1]}
    return len(content), lambda: run(image)


def _milliseconds(run) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


class Peak:
    """Reads the resident memory of the process until the block ends.

    Attributes:
        megabytes: The peak, less what the process held before.
    """

    def __enter__(self):
        """Start to read."""
        self._before = self._most = _resident()
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self):
        while not self._ended.wait(0.005):
            self._most = max(self._most, _resident())

    def __exit__(self, *raised):
        """Stop."""
        self._ended.set()
        self._reader.join()
        self.megabytes = max(self._most, _resident()) - self._before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def network(name, images):
    """Return a network and the pixels of its images."""
    import keras

    if images == SMALLEST:
        return build(name)
    make, options = getattr(keras.applications, name), {"weights": None, "classes": 5}
    shape = (PIXELS, PIXELS, 3)
    return make(input_shape=shape, classifier_activation=None, **options), PIXELS


def held(model) -> float:
    """Return the megabytes of the outputs of all layers, for all rows."""
    made = {id(x): x for layer in model.operations for x in _outputs(layer)}
    values = sum(math.prod(x.shape[1:]) for x in made.values())
    return ROWS * values * 4 / 2**20


def _outputs(layer):
    return layer.output if isinstance(layer.output, list) else [layer.output]


def warm_up():
    """Compact a small network, after which code and caches are there."""
    import keras

    import keras_invprune as kip

    layers = keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()
    pooled = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5)
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers, *pooled])
    make_sparse(model, UNITS, 0)
    kip.compact(model)


def measure(name, zeros, images, seed, timed=True) -> dict:
    """Return one row of the table, measured in this process."""
    import keras

    import keras_invprune as kip

    keras.utils.set_random_seed(seed)
    warm_up()
    with Peak() as built:
        model, size = network(name, images)
    make_sparse(model, zeros, seed)
    # Before the plan, which makes a pass whose memory the process may keep.
    timed = timed and not seed
    figures = {"mb_built": round(built.megabytes, 1)}
    if zeros != UNSHIFTED:
        figures |= compacted(model, size, images, timed)
    planned = kip.compaction.plan(model)
    return {
        **dict(zip(KEYS, (name, zeros, images, seed), strict=True)),
        "size": size,
        "parameters": planned.parameters[0],
        "parameters_after": planned.parameters[1],
        "macs": planned.macs[0],
        "macs_after": planned.macs[1],
        **figures,
    }


def compacted(model, size, images, timed) -> dict:
    """Return what compaction takes and gains; if `timed`, also in time."""
    import numpy as np

    import keras_invprune as kip

    x = np.random.default_rng(0).uniform(0, 255, (ROWS, size, size, 3))
    x = x.astype("float32")
    wall, processor = time.monotonic(), time.process_time()
    with Peak() as memory:
        small = kip.compact(model, data=x)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    expected, found = (np.asarray(each(x, training=False)) for each in (model, small))
    times = speeds({"ms": model, "ms_after": small}, x, images) if timed else {}
    return {
        **times,
        "difference": relative(np.abs(found - expected).max(), expected),
        "seconds": round(wall, 1),
        "cpu_seconds": round(processor, 1),
        "mb": round(memory.megabytes, 1),
        "mb_model": round(4 * model.count_params() / 2**20, 1),
        "mb_pass": round(held(model), 1),
    }


def speeds(models, x, images) -> dict:
    """Return milliseconds and speedups; of the smallest images only the last ones."""
    import numpy as np

    chosen = models if images == LARGE else dict([*models.items()][-1:])
    times = timed({name: (model, ()) for name, model in chosen.items()}, x)
    found = {n: round(float(np.median(each)), 3) for n, (_, each) in times.items()}
    if images == LARGE:
        (_, before), (_, after) = times.values()
        shares = np.percentile(before / after, (50, 25, 75)).round(3).tolist()
        names = ("speedup", "speedup_low", "speedup_high")
        found.update(zip(names, shares, strict=True))
    return found


def write_page(rows, out):
    """Write the table as Markdown."""
    import keras
    import tensorflow as tf

    lines = [
        "# keras.applications, compacted",
        "",
        f"`python benchmarks/compaction.py`: Keras {keras.__version__}, TensorFlow "
        f"{tf.__version__}, {os.cpu_count()} cores ({platform.machine()}). Zeros: half "
        "of the units, or 90 % of the connections. Difference: the greatest between "
        "logits before and after, as a share of their spread. Milliseconds: LiteRT, "
        f"one thread, files in turn, medians of {ROUNDS} rounds of {CALLS} runs; "
        "speedup: median of the rounds' ratios, with quartiles. Seconds and MB: of "
        "`compact`, in addition to the model's.",
        "",
        f"| {' | '.join(field.replace('_', ' ') for field in FIELDS)} |",
        f"|---|---|---|{'---:|' * (len(FIELDS) - 3)}",
    ]
    for row in rows:
        cells = [str(row.get(field, "")) for field in FIELDS]
        lines.append(f"| {' | '.join(cells)} |")
    (out / "compaction.md").write_text("\n".join(lines) + "\n")


def wanted(seeds) -> list[dict]:
    """Return what tells the rows apart, in their order, as text."""
    rows = [(n, z, LARGE) for z in (UNITS, UNSHIFTED) for n in SHOWN]
    rows += [(n, z, SMALLEST) for z in (UNITS, CONNECTIONS) for n in sorted(EXPORTED)]
    rows += [(n, CONNECTIONS, LARGE) for n in SHOWN]
    keys = [(*row, str(seed)) for seed in seeds for row in rows]
    return [dict(zip(KEYS, key, strict=True)) for key in keys]


def kind(row) -> tuple:
    """Return what tells a row apart."""
    return tuple(row[key] for key in KEYS)


def main():
    """Run the missing rows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of networks")
    parser.add_argument("--zeros", nargs="+", help="what is set to zero")
    parser.add_argument("--images", nargs="+", choices=(LARGE, SMALLEST))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for each at most")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--again", action="store_true", help="what `compact` takes")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        *about, seed = given.measure[:4]
        print(json.dumps(measure(*about, int(seed), timed=len(given.measure) == 4)))
        return
    file = given.out / "compaction.csv"
    found = finished(file, key=kind)
    chosen = {"network": given.only, "zeros": given.zeros, "images": given.images}
    for row in wanted(given.seeds):
        asked = all(row[key] in names for key, names in chosen.items() if names)
        if not asked or given.again != (kind(row) in found):
            continue
        if given.again:
            new = attempt(__file__, {**row, "timed": ""}, given.minutes)
            new = {key: new[key] for key in TAKEN}  # fails if the row failed
            found[kind(row)] = [{**each, **new} for each in found[kind(row)]]
        else:
            found[kind(row)] = [attempt(__file__, row, given.minutes)]
        print(*found[kind(row)], flush=True)
        write(found, file, FIELDS)
    write_page([row for each in found.values() for row in each], given.out)


if __name__ == "__main__":
    main()
