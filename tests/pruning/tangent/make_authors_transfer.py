"""Transfers by the authors' own code, for `test_authors.py`.

    git clone https://github.com/fmi-basel/neural-tangent-transfer
    pip install jax
    python tests/pruning/tangent/make_authors_transfer.py neural-tangent-transfer

Writes authors_transfer.npz: the teacher's weights and inputs; a student's terms; after
a transfer its weights, masks and terms, with masks layer by layer and over all layers;
first masks of logit SNIP. Made with the commit 238afd8, which is for JAX 0.1, and JAX
0.10: the modules that have moved since are given their old names.
"""

import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
import authors
from authors import CHANNELS, CLASSES, HIDDEN, NAMES, SIDE

FILE = Path(__file__).with_name("authors_transfer.npz").resolve()
ROWS = 8
DENSITY = 0.4
STEPS, EVERY, RATE = 16, 4, 0.01
KERNEL_WEIGHT, PENALTY = 1e-2, 1e-3


def drawn() -> dict[str, np.ndarray]:
    """Weights of a convolution and two Dense layers, which are laid out alike in both,
    and inputs."""
    rng = np.random.default_rng(0)
    arrays = authors.drawn(rng)
    x = rng.normal(size=(ROWS, SIDE, SIDE, 1)).astype("float32")
    return {**arrays, "x": x}


def import_authors(repository):
    """Their module of the transfer and that of its parts, under today's JAX."""
    import jax
    from jax import numpy as jnp
    from jax.example_libraries import optimizers, stax

    def total(values, *args, **kwargs):  # of a list, too, as it was
        values = jnp.stack(values) if isinstance(values, list) else values
        return jnp.sum(values, *args, **kwargs)

    data = types.ModuleType("nt_transfer.load_datasets")
    data.Dataset = None  # theirs downloads
    sys.modules |= {
        "jax.api": jax,
        "jax.experimental.stax": stax,
        "jax.experimental.optimizers": optimizers,
        data.__name__: data,
    }
    jax.experimental.stax, jax.experimental.optimizers = stax, optimizers
    sys.path.insert(0, repository)
    from nt_transfer import ntt, utils

    ntt.np = utils.np = types.SimpleNamespace(**{**vars(jnp), "sum": total})
    return ntt, utils


def network():
    """The stax network: (init, apply)."""
    from jax.example_libraries import stax

    dense = stax.Dense(HIDDEN), stax.Relu, stax.Dense(CLASSES)
    return stax.serial(stax.Conv(CHANNELS, (3, 3)), stax.Relu, stax.Flatten, *dense)


def to_stax(arrays):
    """Parameters of `network`: a tuple for each of its layers."""
    conv, hidden, out = (
        (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in NAMES
    )
    return [conv, (), (), hidden, (), out]


def named(parameters, suffix):
    """Their parameters, or masks, by name."""
    found = [layer for layer in parameters if len(layer)]
    for name, layer in zip(NAMES, found, strict=True):
        if suffix == "mask":
            yield f"{name}/{suffix}", np.asarray(layer, bool)
        else:
            yield f"{name}/kernel", np.asarray(layer[0])
            yield f"{name}/bias", np.asarray(layer[1])


def model(ntt, utils, arrays, whole):
    """Their transfer, with our network, weights and inputs."""
    made = object.__new__(ntt.nt_transfer_model)
    _, made.apply_fn = network()
    made.init_fun = lambda key, shape: (None, to_stax(arrays))
    made.emp_ntk_fn = utils.empirical_ntk_fn(made.apply_fn)
    x = arrays["x"]
    made.vali_samples = x
    made.vali_inputs_1, made.vali_inputs_2 = np.split(x, 2)
    made.DATASET = types.SimpleNamespace(
        data_stream=lambda size: iter([(x, None)] * STEPS),
        num_example={"train": ROWS},
    )
    made.batch_input_shape = [-1, *x.shape[1:]]
    made.NN_DENSITY_LEVEL_LIST, made.BATCH_SIZE = [DENSITY], ROWS
    made.NUM_RUNS, made.INIT_RUN_INDEX, made.NUM_EPOCHS = 1, 1, STEPS
    made.MASK_UPDATE_FREQ, made.SAVE_BOOL = EVERY, False
    made.LAMBDA_KER_DIST, made.LAMBDA_L2_REG = KERNEL_WEIGHT, PENALTY
    made.PRUNE_METHOD, made.GLOBAL_PRUNE_BOOL = "magnitude", whole
    made.OPTIMIZER_WITH_PARAMS = utils.optimizer_dict["adam"](step_size=RATE)
    made.model_str = "network"
    return made


def main(repository):
    """Runs both transfers."""
    ntt, utils = import_authors(str(Path(repository).resolve()))
    arrays = drawn()
    found = dict(arrays)
    for name, whole in (("layerwise", False), ("global", True)):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)  # for its log
            made = model(ntt, utils, arrays, whole)
            students, masks, losses = (part[0][0] for part in made.optimize())
            os.chdir(FILE.parent)
        for key, value in [*named(students, "weights"), *named(masks, "mask")]:
            found[f"{name}/{key}"] = value
        # Rows: before and after; columns: the loss, kernel, outputs, squares.
        found[f"{name}/terms"] = np.asarray(losses)[[0, -1]]
        masks = utils.get_logit_snip_masks(
            to_stax(arrays), DENSITY, made.apply_fn, arrays["x"],
            made.batch_input_shape, GlOBAL_PRUNE_BOOL=whole,
        )  # fmt: skip
        for key, value in named(masks, "mask"):
            found[f"logit-snip-{name}/{key}"] = value
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
