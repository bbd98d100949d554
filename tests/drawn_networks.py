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
                lambda: twice(inner(draw, width), x),
                lambda: twice(layers.Dense(width, draw(ACTIVATIONS)), x),
                lambda: layers.Reshape((-1,))(layers.Reshape((width, 1))(x)),
            ]
        )
    )()


def twice(layer, x):
    """Two calls of one layer that keeps the shape."""
    return layer(layer(x)) if x.shape[-1] % 2 else layer(x) - layer(ops.relu(x))


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
                lambda: layers.Cropping2D(((1, 0), (0, 1)))(x),
                lambda: twice(layers.Conv2D(width, 2, padding="same"), x),
                lambda: x + layers.Conv2D(width, 3, padding="same")(x),
                lambda: layers.Concatenate()([x, layers.Conv2D(draw(SIZES), 1)(x)]),
                lambda: x * excite(ops.mean(x, (1, 2), keepdims=True)),
            ]
        )
    )()


def on_volumes(draw, x):
    """One step of a network of volumes."""
    options = {"padding": draw(st.sampled_from(["valid", "same"]))}
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv3D(draw(SIZES), 2, **options)(x),
                lambda: layers.Conv3D(draw(SIZES), 1, activation="softplus")(x),
                lambda: layers.Conv3DTranspose(draw(SIZES), 2, **options)(x),
                lambda: layers.MaxPooling3D(2, 1, **options)(x),
                lambda: layers.ZeroPadding3D(1)(x),
            ]
        )
    )()


def rnn(draw):
    kind = draw(st.sampled_from([layers.LSTM, layers.GRU, layers.SimpleRNN]))
    return kind(draw(SIZES), return_sequences=True, use_bias=draw(st.booleans()))


def attention(draw):
    """Heads and dimensions are fewer than the steps of all sequences with attention.

    Keras adds a bias (3, 1) along the steps if there are three of them.
    """
    sizes = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return layers.MultiHeadAttention(*sizes, dropout=draw(st.sampled_from([0, 0.1])))


def of_any_length(draw, x):
    """One step of a network of sequences whose length may be unknown, or masked."""
    attend, size = attention(draw), draw(SIZES)
    mode = draw(st.sampled_from(["concat", "sum"]))
    if x.shape[1] in (1, 2, 3):
        return layers.Dense(size, draw(ACTIVATIONS))(rnn(draw)(x))
    inner = layers.Dense(size, draw(ACTIVATIONS))
    if draw(st.booleans()):
        hidden = layers.Dense(draw(SIZES), draw(ACTIVATIONS))
        inner = keras.Sequential([keras.Input((x.shape[-1],)), hidden, inner])
    distributed = layers.TimeDistributed(inner)
    return draw(
        st.sampled_from(
            [
                lambda: rnn(draw)(x),
                lambda: layers.Bidirectional(rnn(draw), merge_mode=mode)(x),
                lambda: attend(x, x),
                lambda: x + attend(x, x, use_causal_mask=True),
                lambda: attend(x, value=layers.Dense(size)(x), key=layers.ELU()(x)),
                lambda: distributed(x),
                lambda: layers.EinsumDense("abc,cd->abd", (x.shape[1], size))(x),
                lambda: layers.Dense(size, draw(ACTIVATIONS))(x),
            ]
        )
    )()


def on_steps(draw, x):
    """One step of a network of sequences of known length."""
    length, width = x.shape[1:]
    options = {"padding": draw(st.sampled_from(["causal", "same"]))}
    separable = layers.SeparableConv1D(draw(SIZES), 2, padding="same")
    return draw(
        st.sampled_from(
            [
                *[lambda: of_any_length(draw, x)] * 2,
                lambda: layers.Conv1D(draw(SIZES), 2, **options)(x),
                lambda: separable(x),
                lambda: twice(layers.Conv1D(width, 2, **options), x),
                lambda: layers.Cropping1D((0, length // 2))(x),
                lambda: layers.Permute((2, 1))(x),
                lambda: layers.Reshape((1, -1))(x),
                lambda: layers.Reshape((width, length))(x),
            ]
        )
    )()


SHAPES = {
    on_vectors: (5,),
    on_maps: (6, 6, 3),
    on_volumes: (4, 4, 4, 2),
    on_steps: (4, 3),
}


def pooled(draw, x):
    """Vectors of sequences whose length may be unknown, or masked."""
    kinds = layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.LSTM
    kind = draw(st.sampled_from(kinds))
    return kind(draw(SIZES))(x) if kind is layers.LSTM else kind()(x)


def encoder(draw):
    """A model from indices of any number to a vector."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(4, draw(SIZES), mask_zero=draw(st.booleans()))(inputs)
    for _ in range(draw(st.integers(0, 2))):
        x = of_any_length(draw, x)
    return keras.Model(inputs, pooled(draw, x))


def of_two_texts(draw):
    """One encoder for both texts, or one for each: (inputs, vectors)."""
    texts = [keras.Input((length,), dtype="int32") for length in (4, 5)]
    first = encoder(draw)
    second = first if draw(st.booleans()) else encoder(draw)
    return texts, [first(texts[0]), second(texts[1])]


def of_two_sequences(draw):
    """From one sequence to the other, twice, each time with a mask or without."""
    query, value = keras.Input((4, 3)), keras.Input((5, 2))
    mask, attend = keras.Input((4, 5), dtype="bool"), attention(draw)
    x, y = (of_any_length(draw, each) for each in (query, value))
    masks = [mask if draw(st.booleans()) else None for _ in range(2)]
    seen = [pooled(draw, attend(x, y, attention_mask=each)) for each in masks]
    return [query, value, mask], seen


def drawn_graph(draw):
    """A network of several inputs and outputs, with inner models, masks and sharing."""
    keras.backend.clear_session(free_memory=False)
    inputs, vectors = draw(st.sampled_from([of_two_texts, of_two_sequences]))(draw)
    both = layers.Concatenate()(vectors)
    outputs = {"both": layers.Dense(2)(both), "first": layers.Dense(3)(vectors[0])}
    return drawn_weights(draw, keras.Model(inputs, outputs))


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
    return drawn_weights(draw, keras.Model(inputs, layers.Dense(2)(x)))


def drawn_weights(draw, model):
    share, units = draw(st.sampled_from([(0.8, 0.1), (0.5, 0.4), (0.0, 0.6)]))
    return sparse(model, share, units, draw(st.integers(0, 99)))
