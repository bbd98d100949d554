"""The network whose scores and transfers the authors' own code has given."""

import numpy as np

SIDE, CHANNELS, HIDDEN, CLASSES = 6, 3, 8, 3
NAMES = ("conv", "hidden", "out")


def drawn(rng) -> dict[str, np.ndarray]:
    """Weights of a convolution and two Dense layers, in Keras's layout."""
    flat = (SIDE - 2) ** 2 * CHANNELS
    shapes = {
        "conv/kernel": (3, 3, 1, CHANNELS),
        "conv/bias": (CHANNELS,),
        "hidden/kernel": (flat, HIDDEN),
        "hidden/bias": (HIDDEN,),
        "out/kernel": (HIDDEN, CLASSES),
        "out/bias": (CLASSES,),
    }
    return {
        name: rng.normal(0, 0.3, shape).astype("float32")
        for name, shape in shapes.items()
    }


def network(arrays):
    """The Keras model with these weights."""
    import keras  # which the scripts that run the authors' code do without

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(arrays["x"].shape[1:]),
            layers.Conv2D(CHANNELS, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(HIDDEN, "relu", name="hidden"),
            layers.Dense(CLASSES, name="out"),
        ]
    )
    for name in NAMES:
        values = [arrays[f"{name}/kernel"], arrays[f"{name}/bias"]]
        model.get_layer(name).set_weights(values)
    return model
