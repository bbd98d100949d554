"""How long does a fine-tuning step take after compaction, next to a masked one?

    python benchmarks/compact_steps.py [--seeds 0 1 2] [--only lenet residual]

A step takes as long whatever the weights are, so none are trained. LeNet-300-100 has
5 % of its connections, and as many living inputs and units as IUNet has left in
compact_lenet.csv of the same seed; which ones is drawn. The residual network is that of
benchmarks/structured.py for CIFAR-10, pruned to `Budget(macs=0.4)` in multiples of 16.
Each is measured under its masks, stripped, and compacted; LeNet also with those inputs
only that are alive.

The step is the compiled train function alone, with XLA and Adam, on one batch in
memory. Each step is timed next to a masked one, which comes first and second in turn,
so that the ratio is valid while other programs run. The ratio of a second masked model
shows what error remains. Processor time is less affected by other programs than wall
time. A finished seed is in compact_steps.csv and is not run again.
"""

import argparse
import os
import platform
from pathlib import Path

import keras
import numpy as np
from ledger import finished, mean_and_spread, rows, with_spreads, write
from step_cost import compiled, paired, step_of
from structured import MACS, MULTIPLE, network

import keras_invprune as kip
from keras_invprune_lab.models import mlp

SPARSITY, WIDTH = 0.95, 32
SETTINGS = {  # rows in a batch, pairs of measurements, steps in each half of a pair
    "lenet": (128, 15, 10),
    "residual": (16, 5, 1),
}
AGAIN, GATHERED = "masked again", "compact, inputs picked"
SHAPES = {"lenet": (28, 28, 1), "residual": (32, 32, 3)}
SHOWN = ("parameters", "ms", "ratio", "cpu_ratio")
FIELDS = (
    *("network", "seed", "model", "batch", "parameters", "ms"),
    *("ratio", "ratio_low", "ratio_high"),
    *("cpu_ratio", "cpu_ratio_low", "cpu_ratio_high"),
)


def connections(sources, targets, shape, generator) -> np.ndarray:
    """Return a mask in which these sources and targets are alive, and no others.

    Args:
        sources: Numbers of the inputs that have a connection.
        targets: Numbers of the units that have one.
        shape: That of the kernel.
        generator: Draws which connections there are, 5 % of all.
    """
    mask, longest = np.zeros(shape, bool), max(len(sources), len(targets))
    mask[np.resize(sources, longest), np.resize(targets, longest)] = True
    block = mask[np.ix_(sources, targets)]
    count = round((1 - SPARSITY) * mask.size) - longest
    block.flat[generator.choice(np.flatnonzero(~block), count, replace=False)] = True
    mask[np.ix_(sources, targets)] = block
    return mask


def lenet(seed, alive):
    """Return functions that make a sparse LeNet under masks, and the stripped one.

    Args:
        seed: Seeds weights and connections.
        alive: The numbers of living inputs, first and second units.
    """
    keras.utils.set_random_seed(seed)
    stripped, generator = mlp(SHAPES["lenet"], 10), np.random.default_rng(seed)
    kernels = [layer.kernel for layer in stripped.layers if layer.weights][:2]
    lengths = kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)
    units = [
        np.sort(generator.choice(length, count, replace=False))
        for length, count in zip(lengths, alive, strict=True)
    ]
    for kernel, *ends in zip(kernels, units, units[1:], strict=False):
        kernel.assign(kernel * connections(*ends, tuple(kernel.shape), generator))

    def masked():  # the smallest weights are the zeros, so the masks are the same
        model = compiled(kip.prune(stripped, SPARSITY), 1)
        model.prune_to(SPARSITY)
        return model

    return masked, stripped


def residual(seed):
    """Return the same of a residual network within a budget of MACs."""
    plain = network(WIDTH, seed)

    def masked():
        pattern = kip.patterns.Units(round_to=MULTIPLE)
        budget = kip.allocation.Budget(macs=MACS)
        model = kip.prune(plain, budget, pattern=pattern, schedule="manual")
        compiled(model, 1).prune_to(model.plan.sparsity)
        return model

    return masked, kip.strip_pruning(masked())


def living(seed, out) -> tuple[int, int, int]:
    """Return how many inputs and units of LeNet are alive at this seed.

    Raises:
        SystemExit: If compact_lenet.csv does not say.
    """
    for row in rows(out / "compact_lenet.csv"):
        about = int(row["seed"]), float(row["sparsity"]), row["form"]
        if about == (seed, SPARSITY, f"{GATHERED}, dense"):
            return int(row["inputs"]), int(row["units_1"]), int(row["units_2"])
    raise SystemExit(f"compact_lenet.csv has no seed {seed}. Run compact_lenet.py.")


def measure(name, seed, out) -> list[dict]:
    """Return a row for each kind of model of one network."""
    made = lenet(seed, living(seed, out)) if name == "lenet" else residual(seed)
    masked, stripped = made
    models = {AGAIN: masked(), "stripped": stripped, "compact": kip.compact(stripped)}
    if name == "lenet":
        models[GATHERED] = kip.compact(stripped, inputs="gather")
    for model in list(models.values())[1:]:
        compiled(model, 1)
    size, pairs, calls = SETTINGS[name]
    generator = np.random.default_rng(seed)
    images = generator.random((size, *SHAPES[name]), dtype="float32")
    batch = images, generator.integers(0, 10, size)
    steps = {kind: step_of(model, batch) for kind, model in models.items()}
    times = paired(step_of(masked(), batch), steps, pairs, calls)
    about = {"network": name, "seed": seed, "batch": size}
    return [
        about | row_of(kind, model, times[kind] / calls)
        for kind, model in models.items()
    ]


def row_of(kind, model, times) -> dict:
    """Return one row from seconds [pairs, 2 (masked, other), 2 (wall, processor)]."""
    shares = np.percentile(times[:, 1] / times[:, 0], (50, 25, 75), 0).T.round(3)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return {
        **{"model": kind, "parameters": weights},
        "ms": round(1e3 * float(np.median(times[:, 1, 0])), 3),
        **dict(zip(FIELDS[6:], shares.ravel().tolist(), strict=True)),
    }


def summary(table) -> list[list[str]]:
    """Return a row of cells for each model of each network: means over the seeds.

    It has the network, the model, the number of seeds, and for each of `SHOWN` the mean
    and the standard deviation (ddof = 1).
    """
    found = []
    for name, kind in dict.fromkeys((row["network"], row["model"]) for row in table):
        group = [r for r in table if (r["network"], r["model"]) == (name, kind)]
        cells = [name, kind, str(len(group))]
        for field in SHOWN:
            form = ",.0f" if field == "parameters" else ".2f"
            cells += mean_and_spread([float(row[field]) for row in group], form)
        found.append(cells)
    return found


def write_page(table, out):
    """Write means over the seeds as Markdown."""
    lines = [
        "# A step of fine-tuning after compaction",
        "",
        f"`python benchmarks/compact_steps.py`: Adam, XLA, Keras {keras.__version__}, "
        f"{os.cpu_count()} cores ({platform.machine()}). Ratios to the masked step "
        "next to it, of wall time and of processor time (cpu): medians of a seed's "
        "pairs, then means over the seeds; spread: standard deviation (ddof = 1). "
        "Parameters are the trainable ones.",
        "",
        "| network | model | seeds "
        f"| {' | '.join(with_spreads(SHOWN)).replace('_', ' ')} |",
        "|---|---|---:|" + "---:|" * 2 * len(SHOWN),
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in summary(table)]
    (out / "compact_steps.md").write_text("\n".join(lines) + "\n")


def main():
    """Measure what is missing; write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=[*SETTINGS])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    file = arguments.out / "compact_steps.csv"
    found = finished(file, key=lambda row: (row["network"], int(row["seed"])))
    for name in arguments.only:
        for seed in arguments.seeds:
            if (name, seed) not in found:
                found[name, seed] = measure(name, seed, arguments.out)
                write(found, file, FIELDS)
                print(*found[name, seed], sep="\n", flush=True)
                keras.backend.clear_session()
    write_page([row for each in found.values() for row in each], arguments.out)


if __name__ == "__main__":
    main()
