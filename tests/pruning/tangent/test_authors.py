"""Transfers against the authors' own code: see `make_authors_transfer.py`."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from authors import NAMES, network
from keras_invprune.pruning.prune import prune
from keras_invprune.pruning.tangent.student import Student
from keras_invprune.pruning.tangent.transfer import MaskRenewal

FILE = Path(__file__).with_name("authors_transfer.npz")
DENSITY, STEPS, EVERY = 0.4, 16, 4
KERNEL_WEIGHT, PENALTY = 1e-2, 1e-3


@pytest.fixture(scope="module")
def authors():
    with np.load(FILE) as arrays:
        return dict(arrays)


def same_numbers(authors, case) -> dict:
    """Options of `prune` that leave as many weights as the authors' code leaves."""
    masks = {f"{name}/kernel": authors[f"{case}/{name}/mask"] for name in NAMES}
    shares = {key: 1 - mask.mean() for key, mask in masks.items()}
    whole = np.concatenate([mask.ravel() for mask in masks.values()])
    layerwise = case.endswith("layerwise")
    return {
        "sparsity": 1 - whole.mean(),
        "allocation": shares if layerwise else "global",
        "select": list(NAMES),
    }


def equal_masks(model, authors, case):
    for name in NAMES:
        ours = model.masks[f"{name}/kernel"].numpy().astype(bool)
        np.testing.assert_array_equal(ours, authors[f"{case}/{name}/mask"])


@pytest.mark.parametrize("case", ["layerwise", "global"])
def test_the_terms_are_the_authors(authors, case):
    # They divide the penalty by the density asked for, a weight or two more.
    pruned = prune(network(authors), schedule="manual", **same_numbers(authors, case))
    MaskRenewal(pruned, EVERY).renew()
    target, kernel, squares = Student(pruned, KERNEL_WEIGHT, PENALTY).terms(
        authors["x"]
    )
    squares = squares * (1 - pruned.plan.sparsity)
    _, *theirs = authors[f"{case}/terms"][0]
    np.testing.assert_allclose([kernel, target, squares], theirs, rtol=1e-4)


@pytest.mark.parametrize("case", ["layerwise", "global"])
def test_a_transfer_ends_where_the_authors_ends(authors, case):
    options = same_numbers(authors, case)
    batches = tf.data.Dataset.from_tensors((authors["x"],))
    model = kip.neural_tangent_transfer(
        network(authors),
        batches,
        settings=kip.TransferSettings(
            kernel_weight=KERNEL_WEIGHT,
            penalty=PENALTY * (1 - options["sparsity"]) / DENSITY,
            mask_every=EVERY,
            optimizer=keras.optimizers.Adam(0.01, epsilon=1e-8),
        ),
        epochs=STEPS,
        verbose=0,
        **options,
    )
    equal_masks(model, authors, case)
    for name in NAMES:
        kernel, bias = model.inner.get_layer(name).get_weights()
        ours, theirs = kernel, authors[f"{case}/{name}/kernel"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            bias, authors[f"{case}/{name}/bias"], rtol=1e-3, atol=1e-4
        )


def test_the_authors_transfer_moves_masks(authors):
    first = prune(
        network(authors), schedule="manual", **same_numbers(authors, "global")
    )
    MaskRenewal(first, EVERY).renew()
    with pytest.raises(AssertionError):
        equal_masks(first, authors, "global")


@pytest.mark.parametrize("case", ["logit-snip-layerwise", "logit-snip-global"])
def test_first_masks_of_logit_snip_are_the_authors(authors, case):
    pruned = prune(network(authors), schedule="manual", **same_numbers(authors, case))
    MaskRenewal(pruned, EVERY).begin(kip.scores.get("logit_snip"), authors["x"])
    equal_masks(pruned, authors, case)
