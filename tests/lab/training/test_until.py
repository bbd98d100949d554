"""A phase ends once validation no longer gains, and stays ended."""

import pytest

from keras_invprune_lab.training.until import Until, train_until
from trainings import DATA, JOB, network


def until(folder, gain, patience=1, before=None):
    return Until(folder, DATA, "accuracy", gain, patience, before)


@pytest.mark.parametrize(
    ("figures", "gain", "patience", "before", "over"),
    [
        ([0.5], 0.1, 1, None, False),  # nothing to compare with
        ([0.5], 0.1, 1, 0.45, True),
        ([0.5, 0.7], 0.1, 1, None, False),
        ([0.5, 0.55], 0.1, 1, None, True),
        ([0.5, 0.55], None, 1, None, False),
        ([0.5, 0.4, 0.45], 0.1, 2, None, True),
        ([0.5, 0.4, 0.65], 0.1, 2, None, False),
        ([0.5, 0.4], 0.1, 2, 0.5, True),
        ([], 0.1, 1, 0.5, False),
    ],
)
def test_when_a_phase_is_over(tmp_path, figures, gain, patience, before, over):
    one = until(tmp_path, gain, patience, before)
    one.history = [{"val_accuracy": figure} for figure in figures]
    assert one.over is over


def trained(folder, model, gain, epochs=4):
    one, shown = until(folder, gain), []
    train_until(
        model, JOB, DATA, epochs, 10, one, lambda done, total: shown.append(done)
    )
    return one, shown


def test_it_ends_early_is_saved_and_is_not_trained_again(tmp_path):
    model = network()
    one, shown = trained(tmp_path / "a", model, gain=1.0)
    assert len(one.history) == 2 and shown == [0, 1, 2]
    weights = model.get_weights()
    model.set_weights([0 * weight for weight in weights])
    again, shown = trained(tmp_path / "a", model, gain=1.0)
    assert shown == [] and again.history == one.history
    for first, second in ((weights, model.get_weights()), _best(one, again)):
        assert all((a == b).all() for a, b in zip(first, second, strict=True))


def _best(*found):
    return [one.best_weights for one in found]


def test_without_a_least_gain_it_takes_all_epochs(tmp_path):
    one, shown = trained(tmp_path / "a", network(), gain=None)
    assert len(one.history) == 4 and shown == [0, 1, 2, 3, 4]
