"""Optimizers of the experiments: the paper's kinds, with a cosine in each phase."""

import keras

IMAGE_RATE, ROW_RATE = 0.1, 2e-3


def optimizer_for(shape, steps, rate=None):
    """Return SGD for images, AdamW for rows, as in the paper.

    Why not Adam for images: it moves a weight as far under a tiny gradient as under
    a large one, so that weights on inputs which hardly vary grow like the others,
    and magnitude no longer tells them apart.

    Args:
        shape: Shape of one input.
        steps: Steps of a phase (search or fine-tuning), over which the rate falls to
            0; rewinding starts it again.
        rate: First learning rate; None for 0.1 (images) or 0.002 (rows).

    Returns:
        A Keras optimizer.

    Source:
        The authors' code of 2309.08171: Nesterov momentum 0.9, weight decay 0.01
        for rows. Rates and schedule are ours, for trainings of few epochs.
    """
    rows = len(shape) == 1
    rate = rate or (ROW_RATE if rows else IMAGE_RATE)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    if rows:
        return keras.optimizers.AdamW(schedule, weight_decay=0.01)
    return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
