"""RigL's moves against those of the authors' own code: see `make_authors_moves.py`."""

from pathlib import Path

import keras
import numpy as np

import keras_invprune as kip
from keras_invprune.schedules import Rewire
from keras_invprune.scores import RigL

FILE = Path(__file__).with_name("authors_moves.npz")
KEY = "only/kernel"
EVERY, END, FRACTION = 10, 40, 0.4


class FromTheirs(RigL):
    """Begins with a given mask in place of a random one."""

    def __init__(self, mask, **options):
        super().__init__(FRACTION, **options)
        self.mask = mask.astype("float32")

    def __call__(self, weights, model):
        return super().__call__(weights, model) if model.finished else {KEY: self.mask}


class Renewals(keras.callbacks.Callback):
    """Remembers masks and weights after each renewal, then trains as they did."""

    def __init__(self, training):
        super().__init__()
        self.training, self.seen = training, []

    def on_train_batch_end(self, batch, logs=None):
        model, steps = self.model, int(self.model.step)
        kernel, mask = model.masked.prunable[KEY], model.masks[KEY].numpy()
        if steps > 1 and (steps - 1) % EVERY == 0 and len(self.seen) < 3:
            self.seen.append((mask.astype(bool), kernel.numpy()))
            kernel.assign_add(self.training[len(self.seen) - 1] * mask)


def test_masks_and_weights_after_each_renewal_are_the_authors():
    with np.load(FILE) as arrays:
        authors = dict(arrays)
    x, y, first = authors["x"], authors["y"], authors["mask"]
    only = keras.layers.Dense(y.shape[1], use_bias=False, name="only")
    model = keras.Sequential([keras.Input(x.shape[1:]), only])
    only.kernel.assign(authors["kernel"])
    sparsity = 1 - first.mean()
    pruned = kip.prune(
        model,
        sparsity,
        score=FromTheirs(first, examples=(x, y)),
        schedule=Rewire(sparsity, every=EVERY, until=END),
        select=["only"],
    )
    pruned.compile(keras.optimizers.SGD(0.0), "mse")
    renewals = Renewals(authors["training"])
    pruned.fit(x, y, batch_size=len(x), epochs=END + 1, verbose=0, callbacks=[renewals])
    assert len(renewals.seen) == 3
    for count, (mask, kernel) in enumerate(renewals.seen):
        np.testing.assert_array_equal(mask, authors[f"{count}/mask"])
        np.testing.assert_allclose(kernel, authors[f"{count}/kernel"], rtol=1e-6)
        assert np.any(mask != (authors[f"{count - 1}/mask"] if count else first))


def test_the_share_moved_is_the_authors():
    schedule = Rewire(0.7, every=EVERY, until=END)
    schedule.start(step=0, steps=END + 1)
    with np.load(FILE) as authors:
        for count in range(3):
            share = FRACTION * schedule.decay(EVERY * (count + 1))
            np.testing.assert_allclose(share, authors[f"{count}/share"], rtol=1e-6)
