"""Recurrent classifiers of sequences of letters. All end in logits."""

import keras
from keras import layers

CODES = 128  # ASCII
EMBEDDED = 50  # values of a letter
CELLS = {
    "rnn-tanh": (layers.SimpleRNN, {"activation": "tanh"}),
    "rnn-relu": (layers.SimpleRNN, {"activation": "relu"}),
    "gru": (layers.GRU, {}),
    "lstm": (layers.LSTM, {}),
}
RECURRENT_CELLS = (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell)


def recurrent(input_shape, classes, width=50, cell="gru", depth=3):
    """Make a classifier of recurrent layers, whose last step makes the logits.

    Zeros at the end of a sequence are read like letters, as in the paper, so that the
    network has to remember what it has seen.

    Args:
        input_shape: (steps,), of ASCII codes.
        classes: Number of classes.
        width: Units of each recurrent layer.
        cell: A name in `CELLS`.
        depth: Number of recurrent layers.

    Returns:
        A Sequential model with outputs of shape [batch, classes].

    Source:
        Stier et al. 2021 (2107.12917) and its authors' code, which draws all weights
        uniformly; here, they are drawn as Keras does.
    """
    kind, choices = CELLS[cell]
    hidden = [
        kind(width, return_sequences=index < depth, name=f"hidden_{index}", **choices)
        for index in range(1, depth + 1)
    ]
    return keras.Sequential(
        [
            keras.Input(input_shape, dtype="int32", name="input"),
            layers.Embedding(CODES, EMBEDDED, name="letters"),
            *hidden,
            layers.Dense(classes, name="logits"),
        ],
        name=cell.replace("-", "_"),
    )


def input_to_hidden(key: str, layer: keras.layers.Layer) -> bool:
    """Select the kernels of recurrent cells that read the layer below.

    A ``select`` of `keras_invprune.prune`, as the next two.
    """
    return isinstance(layer, RECURRENT_CELLS) and key.endswith("/kernel")


def hidden_to_hidden(key: str, layer: keras.layers.Layer) -> bool:
    """Select the kernels of recurrent cells that read the previous step."""
    return isinstance(layer, RECURRENT_CELLS) and key.endswith("/recurrent_kernel")


def both(key: str, layer: keras.layers.Layer) -> bool:
    """Select all kernels of recurrent cells."""
    return input_to_hidden(key, layer) or hidden_to_hidden(key, layer)


PARTS = {
    "input_to_hidden": input_to_hidden,
    "hidden_to_hidden": hidden_to_hidden,
    "both": both,
}
