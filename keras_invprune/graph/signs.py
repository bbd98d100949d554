"""Which tensors of a graph model are never negative, by what its layers are.

A tensor that is not listed may be negative, as far as is known.
"""

from collections.abc import Collection, Iterable, Sequence

import keras
import numpy as np

from keras_invprune.contracts import Tensor
from keras_invprune.graph.attributes import is_of
from keras_invprune.graph.trace import Step, Trace

_A = keras.activations
# f(t) >= 0 for all t.
NONNEGATIVE = (
    _A.relu,
    _A.relu6,
    _A.sigmoid,
    _A.hard_sigmoid,
    _A.softmax,
    _A.softplus,
    _A.exponential,
)
# f(t) = t for t >= 0.
RECTIFIERS = (_A.relu, _A.leaky_relu, _A.elu)
# f(t) >= 0 for t >= 0.
KEEPING = (
    *NONNEGATIVE,
    *RECTIFIERS,
    _A.linear,
    _A.selu,
    _A.gelu,
    _A.silu,
    _A.tanh,
    _A.softsign,
    _A.hard_tanh,
    _A.mish,
)
# Their outputs are not negative if their inputs are not.
KEEPERS = (
    "ActivityRegularization Add AlphaDropout Average Concatenate Dropout ELU Flatten "
    "GaussianDropout GaussianNoise Identity LeakyReLU Maximum Minimum Multiply PReLU "
    "Permute RepeatVector Reshape"
).split() + [
    f"{kind}{rank}D"
    for rank in (1, 2, 3)
    for kind in (
        "AveragePooling Cropping GlobalAveragePooling GlobalMaxPooling MaxPooling "
        "SpatialDropout ZeroPadding"
    ).split()
]
WEIGHTED = (
    "Dense EinsumDense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose "
    "Conv3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D"
).split()


def nonnegative_tensors(
    trace: Trace, inputs: bool | Sequence[str] = False, assumed: Collection[int] = ()
) -> set[int]:
    """Return the ids of the symbolic tensors that are never negative.

    Args:
        trace: The calls of a graph model.
        inputs: Whether the model's inputs are never negative, or the names of the
            inputs that never are.
        assumed: Ids of layers whose weights are taken for nonnegative.
    """
    found = {id(x) for x in keras.tree.flatten(trace.inputs) if _declared(x, inputs)}
    for step in trace.steps:
        if _is_nonnegative(step, found, assumed):
            found |= {id(tensor) for tensor in step.made}
    return found


def check_inputs(trace: Trace, inputs: bool | Sequence[str]) -> None:
    """Raise ValueError if an input that is declared nonnegative does not exist."""
    if isinstance(inputs, bool):
        return
    names = [x.name for x in keras.tree.flatten(trace.inputs)]
    listed = isinstance(inputs, Collection) and not isinstance(inputs, str)
    if not listed or any(name not in names for name in inputs):
        raise ValueError(
            "`nonnegative_inputs` must be True, False or a list of names of inputs. "
            f"Received: nonnegative_inputs={inputs!r}. Known: {names}"
        )


def _declared(tensor: keras.KerasTensor, inputs: bool | Collection[str]) -> bool:
    return inputs if isinstance(inputs, bool) else tensor.name in inputs


def _is_nonnegative(step: Step, found: set[int], assumed: Collection[int]) -> bool:
    layer, kind = step.operation, type(step.operation).__name__
    if not (isinstance(layer, keras.Layer) and is_of(layer, "keras")):
        return False
    if step.arguments[1].get("training"):  # noise, or statistics of the batch
        return False
    if kind == "Softmax" or (kind == "ReLU" and not layer.negative_slope):
        return True
    activation = getattr(layer, "activation", None)
    if activation in NONNEGATIVE and kind in (*WEIGHTED, "Activation"):
        return True
    if not all(id(tensor) in found for tensor in step.reads):
        return False
    if kind in WEIGHTED and not getattr(layer, "quantization_mode", None):
        positive = id(layer) in assumed or _has_none_below(layer.weights)
        return activation in KEEPING and positive
    if kind == "BatchNormalization":
        return _has_none_below(batch_normalization(layer))
    if kind == "Activation":
        return activation in KEEPING
    if kind == "Rescaling":
        return _has_none_below([layer.scale, layer.offset])
    if kind.startswith("UpSampling"):  # cubic ones overshoot
        return getattr(layer, "interpolation", "nearest") in ("nearest", "bilinear")
    return kind in KEEPERS or (kind == "ReLU" and not layer.threshold)


def _has_none_below(weights: Iterable[Tensor]) -> bool:
    return all(bool(np.all(np.asarray(weight) >= 0)) for weight in weights)


def batch_normalization(
    layer: keras.layers.BatchNormalization,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (scale, shift) of each channel in evaluation, in float64."""
    mean, variance = (
        np.asarray(v, "float64") for v in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, "float64")
    shift = -mean * scale
    if layer.center:
        shift = shift + np.asarray(layer.beta, "float64")
    return scale, shift


def is_rectifier(layer: keras.Operation) -> bool:
    """Return whether a layer without a kernel is an f with f(t) = t for t >= 0."""
    if not (isinstance(layer, keras.Layer) and is_of(layer, "keras")):
        return False
    kind = type(layer).__name__
    if kind == "ReLU":
        return layer.max_value is None and not layer.threshold
    if kind == "Activation":
        return layer.activation in RECTIFIERS
    return kind in ("LeakyReLU", "PReLU") or (kind == "ELU" and layer.alpha >= 0)
