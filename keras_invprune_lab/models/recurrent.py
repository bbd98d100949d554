"""Recurrent classifiers of sequences of letters. All end in logits."""

import keras
from keras import layers, ops

from keras_invprune_lab.models.blocks import uniform

CODES = 128  # ASCII
EMBEDDED = 50  # values of a letter
CELLS = {
    "rnn-tanh": (layers.SimpleRNN, {"activation": "tanh"}),
    "rnn-relu": (layers.SimpleRNN, {"activation": "relu"}),
    "gru": (layers.GRU, {}),
    "lstm": (layers.LSTM, {"unit_forget_bias": False}),
}
RECURRENT_CELLS = (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell)


@keras.saving.register_keras_serializable("keras_invprune_lab")
class AfterTheLongest(layers.Layer):
    """Picks the step after which the longest sequence of a batch has ended.

    The batch might as well be that short. So an output depends on the others of the
    batch, as in the code of the authors of 2107.12917.
    """

    def call(self, outputs, codes):
        """Return the outputs of one step.

        Args:
            outputs: Of all steps, [batch, steps, units].
            codes: Of the letters, int [batch, steps]; zeros follow the last.

        Returns:
            [batch, units].
        """
        steps = ops.arange(1, codes.shape[1] + 1)
        end = ops.max(ops.where(codes != 0, steps, 1))
        return ops.take(outputs, end - 1, axis=1)


def recurrent(input_shape, classes, width=50, cell="gru", depth=3, by_batch=False):
    """Make a classifier of recurrent layers, whose last step makes the logits.

    Zeros at the end of a sequence are read like letters, so that the network has to
    remember what it has seen.

    Args:
        input_shape: (steps,), of ASCII codes.
        classes: Number of classes.
        width: Units of each recurrent layer.
        cell: A name in `CELLS`.
        depth: Number of recurrent layers.
        by_batch: Whether to read the zeros only to the end of the batch's longest
            sequence, as in the paper, see `AfterTheLongest`.

    Returns:
        A model with outputs of shape [batch, classes].

    Source:
        Stier et al. 2021 (2107.12917) and its authors' code: letters are normal, and
        all else is uniform in ±1/√width. Theirs has two biases, ours only in the GRU.
    """
    kind, choices = CELLS[cell]
    read = keras.Input(input_shape, dtype="int32", name="input")
    normal = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.Embedding(CODES, EMBEDDED, normal, name="letters")(read)
    for index in range(1, depth + 1):
        x = kind(
            width,
            return_sequences=index < depth or by_batch,
            kernel_initializer=uniform(width),
            recurrent_initializer=uniform(width),
            bias_initializer=uniform(width),
            name=f"hidden_{index}",
            **choices,
        )(x)
    if by_batch:
        x = AfterTheLongest(name="end")(x, read)
    head = layers.Dense(
        classes,
        kernel_initializer=uniform(width),
        bias_initializer=uniform(width),
        name="logits",
    )
    return keras.Model(read, head(x), name=cell.replace("-", "_"))


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
