"""Random networks of all kinds of layers, drawn by hypothesis."""

import keras
from hypothesis import strategies as st
from keras import layers, ops

from compactions import sparse

ACTIVATIONS = st.sampled_from(["relu", "sigmoid", "softplus", "tanh", "gelu", None])
SIZES = st.integers(2, 7)


def on_vectors(draw, x):
    """One step of a network of vectors."""
    width = x.shape[-1]
    return draw(
        st.sampled_from(
            [
                lambda: layers.Dense(draw(SIZES), draw(ACTIVATIONS))(x),
                lambda: layers.BatchNormalization()(x),
                lambda: layers.Dropout(0.5)(x),
                lambda: layers.PReLU()(x),
                lambda: x + layers.Dense(width, draw(ACTIVATIONS))(x),
                lambda: layers.Multiply()([x, layers.Dense(width, "sigmoid")(x)]),
                lambda: layers.Maximum()([x, layers.Dense(width)(x)]),
                lambda: layers.Concatenate()([x, layers.Dense(draw(SIZES))(x)]),
                lambda: ops.square(x) - x,
                lambda: layers.LayerNormalization()(x),
                lambda: inner(draw, width)(x),
            ]
        )
    )()


def inner(draw, width):
    return keras.Sequential(
        [
            keras.Input((width,)),
            layers.Dense(draw(SIZES), draw(ACTIVATIONS)),
            layers.Dense(width),
        ]
    )


def on_maps(draw, x):
    """One step of a network of maps."""
    width, padding = x.shape[-1], draw(st.sampled_from(["valid", "same"]))
    options = {"padding": padding, "activation": draw(ACTIVATIONS)}
    excite = layers.Conv2D(width, 1, activation="sigmoid")
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv2D(draw(SIZES), 2, **options)(x),
                lambda: layers.Conv2D(2 * width, 1, groups=width, **options)(x),
                lambda: layers.SeparableConv2D(draw(SIZES), 2, **options)(x),
                lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, **options)(x),
                lambda: layers.Conv2DTranspose(draw(SIZES), 2, **options)(x),
                lambda: layers.BatchNormalization()(x),
                lambda: layers.AveragePooling2D(2, 1, padding=padding)(x),
                lambda: layers.ZeroPadding2D(1)(x),
                lambda: layers.UpSampling2D(2)(x),
                lambda: x + layers.Conv2D(width, 3, padding="same")(x),
                lambda: layers.Concatenate()([x, layers.Conv2D(draw(SIZES), 1)(x)]),
                lambda: x * excite(ops.mean(x, (1, 2), keepdims=True)),
            ]
        )
    )()


def on_steps(draw, x):
    """One step of a network of sequences."""
    kind = draw(st.sampled_from([layers.LSTM, layers.GRU, layers.SimpleRNN]))
    mode = draw(st.sampled_from(["concat", "sum"]))
    rnn = kind(draw(SIZES), return_sequences=True, use_bias=draw(st.booleans()))
    heads, size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    attention = layers.MultiHeadAttention(heads, size, draw(st.integers(1, 4)))
    return draw(
        st.sampled_from(
            [
                lambda: rnn(x),
                lambda: layers.Bidirectional(rnn, merge_mode=mode)(x),
                lambda: attention(x, x),
                lambda: x + attention(x, x),
                lambda: layers.Conv1D(draw(SIZES), 2, padding="causal")(x),
                lambda: layers.TimeDistributed(layers.Dense(draw(SIZES), "relu"))(x),
                lambda: layers.EinsumDense("abc,cd->abd", (x.shape[1], draw(SIZES)))(x),
            ]
        )
    )()


SHAPES = {on_vectors: (5,), on_maps: (6, 6, 3), on_steps: (4, 3)}


def drawn_network(draw, step):
    """A network with random sparse weights."""
    keras.backend.clear_session(free_memory=False)
    x = inputs = keras.Input(SHAPES[step])
    for _ in range(draw(st.integers(1, 4))):
        x = step(draw, x)
    if step is not on_vectors:
        x = draw(
            st.sampled_from(
                [
                    lambda: layers.Flatten()(x),
                    lambda: ops.max(x, axis=tuple(range(1, len(x.shape) - 1))),
                ]
            )
        )()
    model = keras.Model(inputs, layers.Dense(2)(x))
    share, units = draw(st.sampled_from([(0.8, 0.1), (0.5, 0.4), (0.0, 0.6)]))
    return sparse(model, share, units, draw(st.integers(0, 99)))
