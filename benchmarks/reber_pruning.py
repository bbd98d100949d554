"""How much of a recurrent network can be removed, and how fast does it recover?

    python benchmarks/reber_pruning.py [--cells gru lstm] [--seeds 0] [--jobs 2]

Networks of three recurrent layers of 50 units are trained on 25,000 Reber strings: each
kind of cell once for each seed, for 50 epochs. Then copies of each are pruned in one
shot. Of the kernels that read the layer below (input to hidden), of those that read the
previous step (hidden to hidden), or of both, the smallest weights of all layers
together are removed. Each copy is tested, trained for up to 10 more epochs under the
same masks, and tested after each of them. The optimizer is a new Adam of rate 0.001
with gradients of a norm of at most 5, the batch 32, as in the paper (2107.12917).
Accuracy is in percent.

Without options, all are run: four kinds, three parts, ten levels. `--safe` runs only
what the paper calls safe, and hidden to hidden at 100 %, with one epoch of recovery. A
row of the table is one test. An interrupted run resumes after its last finished copy,
or, before the first, after the last epoch of the training.
"""

import argparse
import dataclasses
import shutil
from functools import partial
from pathlib import Path

from ledger import finished, write

from keras_invprune.saving import replaced
from keras_invprune_lab.cli.progress import progress
from keras_invprune_lab.structure.recurrent.workers import carry_out

CELLS = ("rnn-tanh", "rnn-relu", "gru", "lstm")
PARTS = ("input_to_hidden", "hidden_to_hidden", "both")
LEVELS = tuple(range(10, 101, 10))
SAFE = {"rnn-tanh": 80, "rnn-relu": 70, "gru": 80, "lstm": 60}  # of both, in percent
DATASET, DATA_SEED = "reber:25000", 1
EPOCHS, RETRAIN, BATCH, RATE, CLIP = 50, 10, 32, 1e-3, 5.0
FIELDS = ("cell", "seed", "part", "percent", "epoch", "test_accuracy")
UNPRUNED = "none"


def points(cell, safe):
    """Return (part, percent, epochs of recovery) of the copies of a network."""
    if safe:
        return [("both", SAFE[cell], 1), ("hidden_to_hidden", 100, 1)]
    return [(part, percent, RETRAIN) for part in PARTS for percent in LEVELS]


def compiled(model):
    """Compile a network, or a pruned one, for a phase."""
    import keras

    model.compile(
        keras.optimizers.Adam(RATE, global_clipnorm=CLIP),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,  # steps take half as long
    )
    return model


def tested(model, data):
    """Return the accuracy on test rows, in percent."""
    _, share = model.evaluate(data.x_test, data.y_test, 625, verbose=0)
    return round(100 * share, 3)


def trained(cell, seed, file, data, epochs, show):
    """Return the network of a kind and a seed, from its file if it is there."""
    import keras

    from keras_invprune_lab.models import get_model
    from keras_invprune_lab.training.checkpoint import Checkpoint

    keras.utils.set_random_seed(seed)
    model = get_model(cell, data)
    if file.exists():
        model.load_weights(file)  # before it is compiled: those of Adam are not needed
        return compiled(model)
    compiled(model)
    state = Checkpoint(file.with_suffix(""))
    state.folder.mkdir(exist_ok=True)
    shown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: show(epoch + 1)
    )
    model.fit(
        data.x_train,
        data.y_train,
        BATCH,
        epochs,
        initial_epoch=state.restore(model),
        verbose=0,
        callbacks=[state, shown],
    )
    with replaced(file) as new:
        model.save_weights(new)
    shutil.rmtree(state.folder)
    return model


def pruned(model, part, percent):
    """Return a copy of a network under masks, compiled."""
    import keras_invprune as kip
    from keras_invprune_lab.models.recurrent import PARTS as SELECTS

    share = percent / 100
    found = kip.prune(model, min(share, 0.99), select=SELECTS[part], schedule="manual")
    compiled(found)
    found.prune_to(min(share, 0.99))
    if share == 1:  # which `prune` does not do: nothing would be left to train
        for mask in found.masks.values():
            mask.assign(0 * mask)
        found.masked.apply_masks()
    return found


def row(*values):
    """Return a row of the table."""
    return dict(zip(FIELDS, values, strict=True))


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of one kind and seed, and its pruned copies.

    Attributes:
        cell: Its kind.
        seed: Of its training, and of the order of rows in the recovery.
        safe: Whether only the levels of `SAFE` are run.
        epochs: Of the training before pruning.
        folder: Where its weights and its own table are kept.
    """

    cell: str
    seed: int
    safe: bool
    epochs: int
    folder: Path

    @property
    def name(self):
        """What its progress is shown under."""
        return f"{self.cell}, seed {self.seed}"

    @property
    def todo(self):
        """(Part, percent, epochs of recovery) of the network and its copies."""
        return [(UNPRUNED, 0, 0), *points(self.cell, self.safe)]

    @property
    def cost(self):
        """All epochs."""
        return self.epochs + sum(recovery for *_, recovery in self.todo)

    def __call__(self, show):
        """Train, prune, retrain; return all rows, of an earlier run as well."""
        import keras

        from keras_invprune_lab.data import load

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{self.cell}-{self.seed}.csv"
        found, data = finished(file, copy_of), load(DATASET, DATA_SEED)
        weights = file.with_suffix(".weights.h5")
        shown = partial(show, total=self.cost)
        shown(0)
        model = trained(self.cell, self.seed, weights, data, self.epochs, shown)
        done = self.epochs
        for part, percent, recovery in self.todo:
            if len(found.get((part, percent), ())) <= recovery:
                keras.utils.set_random_seed(self.seed)
                tests = self._recovery(model, part, percent, recovery, data)
                found[part, percent] = list(tests)
                write(found, file, FIELDS)
            done += recovery
            shown(done)
        return [test for tests in found.values() for test in tests]

    def _recovery(self, model, part, percent, recovery, data):
        """Yield the tests of a copy: at once, and after each epoch of recovery."""
        copy = model if part == UNPRUNED else pruned(model, part, percent)
        for epoch in range(recovery + 1):
            if epoch:
                copy.fit(data.x_train, data.y_train, BATCH, verbose=0)
            found = tested(copy, data)
            yield row(self.cell, self.seed, part, percent, epoch, found)


def copy_of(test):
    """Return (part, percent) of a row of the table."""
    return test["part"], int(test["percent"])


def network_of(test):
    """Return (cell, seed) of a row of the table."""
    return test["cell"], int(test["seed"])


def main():
    """Run all networks; write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", choices=CELLS, nargs="+", default=CELLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--safe", action="store_true")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--state", type=Path, default=Path("build/reber_pruning"))
    asked = parser.parse_args()
    state = asked.state / f"{asked.epochs}-epochs"
    tasks = [
        Network(cell, seed, asked.safe, asked.epochs, state)
        for seed in asked.seeds
        for cell in asked.cells
    ]
    file = asked.out / "reber_pruning.csv"
    found = finished(file, network_of)

    def add(task, rows):
        found[task.cell, task.seed] = rows
        write(dict(sorted(found.items())), file, FIELDS)

    carry_out(tasks, asked.jobs, add, progress)
    print(f"A row for each test: {file}")


if __name__ == "__main__":
    main()
