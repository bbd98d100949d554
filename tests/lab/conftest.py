"""What tests of benchmarks share."""

import pytest


@pytest.fixture(scope="module")
def agreement_is_not_measured():
    """Spare each run what is measured in tests/reporting, test_execute and recipes."""
    from keras_invprune_lab.training import evaluate

    def halves(model, x, kinds, **options):
        return dict.fromkeys(kinds, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "consistency", halves)
        yield
