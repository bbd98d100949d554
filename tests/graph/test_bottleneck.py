"""Which map of a network is its bottleneck, and where the user is asked."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import zoo
from keras_invprune.objectives.embedding import PROPOSED, embedder

conv = functools.partial(layers.Conv2D, kernel_size=3, padding="same")
point = functools.partial(layers.Conv2D, kernel_size=1)
up = layers.UpSampling2D


def pooled(x):
    return layers.GlobalAveragePooling2D(keepdims=True)(x)


def excited(x):
    """Squeeze and excite: each channel times a number between 0 and 1."""
    squeezed = point(2, activation="relu")(pooled(x))
    return layers.Multiply()([x, point(x.shape[-1], activation="sigmoid")(squeezed)])


def joined(*maps):
    return layers.Concatenate()(list(maps))


# Each returns (inputs, output, the map that is the bottleneck).


def excited_u_net():
    inputs = keras.Input((16, 16, 1))
    first = excited(conv(3, strides=2)(inputs))
    bottom = excited(conv(4, strides=2)(first))
    return inputs, conv(1)(up()(joined(up()(bottom), excited(first)))), bottom


def attention_u_net():
    def gated(x, by):
        summed = layers.ReLU()(point(4, strides=2)(x) + point(4)(by))
        return layers.Multiply()([x, up()(point(1, activation="sigmoid")(summed))])

    inputs = keras.Input((16, 16, 1))
    first = conv(3, strides=2)(inputs)
    bottom = conv(4)(conv(5, strides=2)(first))
    decoded = conv(4)(joined(up()(bottom), gated(first, bottom)))
    return inputs, conv(1)(joined(up()(decoded), gated(inputs, decoded))), bottom


def u_net_behind_a_stem():
    inputs = keras.Input((16, 16, 1))
    stem = conv(3, strides=2)(inputs)
    bottom = conv(4, strides=2)(stem)
    return inputs, up()(conv(1)(joined(up()(bottom), stem))), bottom


def diffusion_u_net():
    """What says the time is added to each map, and smaller than all of them."""
    inputs, time = keras.Input((16, 16, 1)), keras.Input((1,))

    def shifted(x):
        return x + layers.Reshape((1, 1, 4))(layers.Dense(4)(time))

    first = shifted(conv(4, strides=2)(inputs))
    bottom = shifted(conv(4, strides=2)(first))
    decoded = shifted(conv(4)(joined(up()(bottom), first)))
    return [inputs, time], conv(1)(joined(up()(decoded), inputs)), bottom


def image_pooling():
    """DeepLab without a skip: all that is known of the image is in `pyramid`."""
    inputs = keras.Input((16, 16, 1))
    map_ = conv(4, strides=4)(inputs)
    scales = [conv(3, dilation_rate=2)(map_), up(4)(point(2)(pooled(map_)))]
    pyramid = joined(map_, *scales)
    return inputs, up(4)(point(1)(point(5)(pyramid))), None


def excited_super_resolution():
    inputs = keras.Input((8, 8, 1))
    first = conv(4)(inputs)
    last = conv(6)(first + excited(conv(4)(first)))
    return inputs, conv(1)(up()(last)), last


def excited_denoiser():
    """No map is smaller: what the last convolution reads."""
    inputs = keras.Input((8, 8, 1))
    first = conv(4)(inputs)
    last = first + excited(conv(4)(first))
    return inputs, conv(1)(last), last


def variational():
    inputs = keras.Input((16, 16, 1))
    flat = layers.Flatten()(conv(3, strides=4)(inputs))
    mean, deviation = layers.Dense(5)(flat), layers.Dense(5)(flat)
    code = mean + ops.exp(deviation)
    map_ = layers.Reshape((4, 4, 2))(layers.Dense(32)(code))
    return inputs, layers.Conv2DTranspose(1, 3, 4, padding="same")(map_), code


def u_net_in_rows():
    inputs = keras.Input((16, 16, 1))
    bottom = conv(4, strides=4)(inputs)
    logits = conv(2)(joined(up(4)(bottom), inputs))
    return inputs, layers.Softmax()(layers.Reshape((256, 2))(logits)), bottom


def channels_first():
    """[channels, height, width], and more channels than pixels."""
    convolve = functools.partial(conv, data_format="channels_first")
    larger = functools.partial(up, data_format="channels_first")
    inputs = keras.Input((1, 8, 8))
    bottom = convolve(32, strides=4)(inputs)
    return inputs, convolve(1)(larger(2)(convolve(2)(larger(2)(bottom)))), bottom


def backbone(size, outputs=2):
    inputs = keras.Input((size, size, 1))
    first = conv(3, strides=2)(inputs)
    second = conv(4, strides=2)(first)
    return keras.Model(inputs, [first, second][-outputs:], name="backbone")


def on_a_backbone(size=16):
    inputs = keras.Input((16, 16, 1))
    first, second = backbone(size)(inputs)
    return inputs, conv(1)(up()(joined(up()(second), first))), second


def on_a_backbone_of_one_output():
    inputs = keras.Input((16, 16, 1))
    (bottom,) = backbone(16, outputs=1)(inputs)
    return inputs, conv(1)(up(4)(bottom)), bottom


def autoencoder_of_two_models():
    inputs = keras.Input((8, 8, 1))
    encoder = keras.Sequential([keras.Input((8, 8, 1)), conv(4, strides=4)])
    decoder = keras.Sequential([keras.Input((2, 2, 4)), up(4), conv(1)])
    code = encoder(inputs)
    return inputs, decoder(code), code


def layers_of_another_model():
    """Whose own tensors are in the other graph."""
    parts = [conv(4, strides=2), conv(3), up(), conv(1)]
    keras.Sequential([keras.Input((8, 8, 1)), *parts])
    inputs = keras.Input((8, 8, 1))
    bottom = parts[1](parts[0](inputs))
    return inputs, parts[3](parts[2](bottom)), bottom


CLEAR = [
    excited_u_net,
    attention_u_net,
    u_net_behind_a_stem,
    diffusion_u_net,
    excited_super_resolution,
    excited_denoiser,
    variational,
    u_net_in_rows,
    on_a_backbone,
    functools.partial(on_a_backbone, None),
    on_a_backbone_of_one_output,
    autoencoder_of_two_models,
    layers_of_another_model,
]


def flat_inputs(inputs):
    parts = [9 * zoo.floats(*part.shape[1:]) for part in keras.tree.flatten(inputs)]
    return parts if isinstance(inputs, list) else parts[0]


def assert_embedding(model, x, wanted):
    outputs, features = embedder(model)(x)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-4, atol=1e-5)
    wanted = np.reshape(wanted, (zoo.ROWS, -1))
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-5)
    assert np.std(features) > 0


@pytest.mark.parametrize("make", CLEAR)
def test_the_bottleneck_is_the_embedding(make):
    inputs, output, bottom = make()
    x = flat_inputs(inputs)
    wanted = keras.Model(inputs, bottom)(x)
    assert_embedding(keras.Model(inputs, output), x, wanted)


def test_what_is_pooled_over_the_image_is_beside_the_way():
    inputs, output, _ = image_pooling()
    model, x = keras.Model(inputs, output), flat_inputs(inputs)
    _, features = embedder(model)(x)
    pixels = np.reshape(features, (zoo.ROWS, 4, 4, -1))
    assert pixels.std(axis=(1, 2)).min() > 0  # of the map; what is pooled is constant


def test_channels_may_come_first():
    inputs, output, bottom = channels_first()
    _, features = embedder(keras.Model(inputs, output))(np.zeros((2, 1, 8, 8)))
    assert features.shape == (2, np.prod(bottom.shape[1:]))


def test_the_bottleneck_may_be_inside_an_inner_model():
    entry = keras.Input((16, 16, 1))
    first = conv(3, strides=2)(entry)
    bottom = conv(4, strides=2)(first)
    body = keras.Model(entry, joined(up()(bottom), first), name="body")
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, conv(1)(up()(body(inputs))))
    x = zoo.floats(16, 16, 1)
    assert_embedding(model, x, keras.Model(entry, bottom)(x))


# Where the user is asked


def deep_lab():
    """With its skip, each of three maps may be meant."""
    inputs = keras.Input((32, 32, 1))
    first = conv(3, strides=2)(inputs)
    map_ = conv(4, strides=4)(first)
    pyramid = conv(3)(joined(map_, up(4)(point(2, name="pooled")(pooled(map_)))))
    return inputs, up()(conv(1)(joined(up(4)(pyramid), first)))


def pyramid_pooling():
    inputs = keras.Input((24, 24, 1))
    map_ = conv(4, strides=2)(inputs)
    scales = [up(n)(point(2)(layers.AveragePooling2D(n)(map_))) for n in (6, 4, 2)]
    return inputs, up()(point(1)(joined(map_, *scales)))


def two_u_nets():
    def u_net(x):
        return conv(1)(joined(up()(conv(4, strides=2)(x)), x))

    inputs = keras.Input((8, 8, 1))
    return inputs, u_net(u_net(inputs))


def masking():
    """A U-Net says what to keep of its input: a gate, or the whole network."""
    inputs = keras.Input((8, 8, 1))
    mask = conv(1, activation="sigmoid")(up()(conv(4, strides=2)(inputs)))
    return inputs, conv(1)(layers.Multiply()([inputs, mask]))


@pytest.mark.parametrize("make", [deep_lab, pyramid_pooling, two_u_nets, masking])
def test_it_must_be_named_where_several_may_be_meant(make):
    model = keras.Model(*make())
    with pytest.raises(
        ValueError, match=r"several maps.*Invariance\(embedding="
    ) as error:
        embedder(model)
    candidates = re.search(r"Candidates: \[(.*)\]", str(error.value))[1].split(", ")
    assert len(candidates) == PROPOSED
    for name in candidates:
        embedder(model, name.strip("'"))


def test_the_smallest_maps_are_proposed_first():
    with pytest.raises(ValueError, match=r"Candidates: \['pooled', "):
        embedder(keras.Model(*deep_lab()))


def test_a_layer_called_twice_inside_an_inner_model_must_be_named():
    twice, entry = conv(4, name="twice"), keras.Input((8, 8, 4))
    bottom = twice(twice(layers.MaxPooling2D()(entry)))
    body = keras.Model(entry, up()(bottom), name="body")
    inputs = keras.Input((8, 8, 4))
    with pytest.raises(ValueError, match=r"Invariance\(embedding="):
        embedder(keras.Model(inputs, conv(1)(body(inputs) + 1.0)))
