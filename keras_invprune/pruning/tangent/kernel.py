"""The empirical neural tangent kernel, without the Jacobian of the network."""

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from keras import ops

from keras_invprune.contracts import Nested, Tensor
from keras_invprune.graph.weights import walk
from keras_invprune.pruning.tangent.taps import Tap, tapped


def tangent_kernel(
    model: keras.Model, x: Nested, function: Callable[[Nested], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the outputs f, and Θ(x1, x2) = J(x1) J(x2)ᵀ of the halves of a batch.

    J is the Jacobian of the outputs with respect to all trainable weights. The
    Jacobian of the whole network is never computed. Dense, Conv1D, Conv2D and
    BatchNorm layers contribute by their inputs and the derivatives with respect to
    their outputs. All other layers (embeddings, recurrent layers, convolutions in
    groups, ...) contribute by products with vectors, one for each row of the second
    half and output. They are computed at once and each takes the memory of the outputs
    of all layers: give fewer rows if memory is short.

    Args:
        model: A built Keras model with one output of shape [batch, outputs], whose rows
            do not influence each other.
        x: Inputs; the last row of an odd number is left out.
        function: ``(x) -> outputs``, which calls the model. None: the model itself in
            evaluation mode.

    Returns:
        f, [batch, C], and Θ, [batch / 2, batch / 2, C, C] with the rows of the first
        half first.

    Raises:
        ValueError: If a recurrent layer is not unrolled, the outputs are not of shape
            [batch, outputs], or a layer receives another number of rows than the batch.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> outputs, kernel = tangent_kernel(model, np.ones((4, 3), "float32"))
        >>> kernel[0, 0].numpy()  # ⟨x1, x2⟩ and 1 for the bias; 0 between outputs
        array([[4., 0.],
               [0., 4.]], dtype=float32)

    Source:
        Novak, Sohl-Dickstein and Schoenholz 2022, Fast finite width neural tangent
        kernel (2206.08720), "structured derivatives" and "NTK-vector products".
    """
    _check_loops(model)
    function = function or (lambda x: model(x, training=False))
    with tf.GradientTape(persistent=True) as tape, tapped(model, tape) as taps:
        f = ops.cast(function(x), "float32")
        if len(f.shape) != 2:
            raise ValueError(
                "The tangent kernel needs outputs of shape [batch, classes]. Received: "
                f"{f.shape}. Flatten or pool them."
            )
        _check_rows(taps, f)
        summed = ops.sum(f, axis=0)  # rows do not influence each other
    shifts = [tap.shift for tap in taps]
    g = tape.jacobian(summed, shifts, unconnected_gradients="zero") if taps else []
    kernel = 0.0
    for tap, inputs, derivatives in _by_layer(taps, g):
        halves = _halves(derivatives, 1)
        factor, addend = tap.weights
        if factor is not None and factor.trainable:
            product = _of_scales if tap.scales else _product
            kernel += product(*_halves(inputs, 0), *halves)
        if addend is not None and addend.trainable:
            summed = [ops.sum(half, axis=2) for half in halves]  # [C, B/2, out]
            kernel += ops.einsum("cbo,dao->bacd", *summed)
    rest = _untapped(model, taps)
    if rest:
        # TensorFlow vectorizes convolutions in groups incorrectly.
        each = tf.map_fn if in_groups(model) else tf.vectorized_map
        kernel += _by_vectors(function, x, rest, each)
    return f, kernel


def check_rows(model: keras.Model, x: Nested) -> None:
    """Raise ValueError if a layer receives another number of rows than the batch `x`.

    `tangent_kernel` checks this itself if the size of the batch is known.
    """
    few = keras.tree.map_structure(lambda leaf: leaf[:2], x)
    with tf.GradientTape() as tape, tapped(model, tape) as taps:
        _check_rows(taps, model(few, training=False))


def _check_rows(taps: list[Tap], f: Tensor) -> None:
    for tap in taps:
        given, rows = tap.inputs.shape[0], f.shape[0]
        if None not in (given, rows) and given != rows:
            raise ValueError(
                "The tangent kernel needs layers whose first axis is the batch. "
                f"Received: the layer {tap.layer.name!r} with {given} rows where the "
                f"batch has {rows}. Keep positions in an axis of their own, as Dense "
                "allows."
            )


def in_groups(model: keras.Model) -> bool:
    """Return whether a layer convolves in groups."""
    return any(getattr(layer, "groups", 1) > 1 for _, layer in walk(model))


def _by_layer(
    taps: list[Tap], gradients: list[Tensor]
) -> Iterator[tuple[Tap, Tensor, Tensor]]:
    """Yield (tap, A, G) of all calls of a layer: [B, P, in] and [C, B, P, out]."""
    calls = {}
    for tap, g in zip(taps, gradients, strict=True):
        classes, features = g.shape[0], g.shape[-1]
        flat = ops.reshape(g, (classes, -1, tap.inputs.shape[1], features))
        calls.setdefault(id(tap.layer), []).append((tap, ops.cast(flat, "float32")))
    for found in calls.values():
        a = [ops.cast(tap.inputs, "float32") for tap, _ in found]
        g = [g for _, g in found]
        yield found[0][0], ops.concatenate(a, 1), ops.concatenate(g, 2)


def _halves(tensor: Tensor, axis: int) -> list[Tensor]:
    size = tensor.shape[axis]
    if size is None or size % 2:
        index = [slice(None)] * axis
        tensor = tensor[(*index, slice(0, 2 * (ops.shape(tensor)[axis] // 2)))]
    return tf.split(tensor, 2, axis)  # its gradient adds no zeros, unlike a slice's


def _product(a1: Tensor, a2: Tensor, g1: Tensor, g2: Tensor) -> Tensor:
    """Return Σ over positions p, q of ⟨A1_p, A2_q⟩ ⟨G1_p, G2_q⟩, [B/2, B/2, C, C].

    This goes through inner products of positions or through the Jacobian of this one
    layer, whichever takes fewer multiplications. One of the former, in many small
    products, counts as four.
    """
    positions, inputs = a1.shape[1], a1.shape[2]
    classes, outputs = g1.shape[0], g1.shape[3]
    rows = a1.shape[0] or 32
    if positions == 1:
        like = ops.einsum("bi,ai->ba", a1[:, 0], a2[:, 0])
        g = ops.einsum("cbo,dao->bacd", g1[:, :, 0], g2[:, :, 0])
        return like[:, :, None, None] * g
    pairs = positions * (inputs + classes * outputs) + classes**2 * outputs
    pairs *= rows * positions
    whole = inputs * outputs * classes * (2 * positions + rows * classes)
    product = _through_positions if 4 * pairs < whole else _through_jacobian
    return product(a1, a2, g1, g2)


def _of_scales(a1: Tensor, a2: Tensor, g1: Tensor, g2: Tensor) -> Tensor:
    """Return the same if each feature has its own weight: J = Σ_p A_p ⊙ G_p."""
    j1, j2 = (ops.einsum("bpf,cbpf->cbf", a, g) for a, g in ((a1, g1), (a2, g2)))
    return ops.einsum("cbf,daf->bacd", j1, j2)


def _through_positions(a1: Tensor, a2: Tensor, g1: Tensor, g2: Tensor) -> Tensor:
    like = ops.einsum("bpi,aqi->bapq", a1, a2)
    return ops.einsum("bapq,cbpo,daqo->bacd", like, g1, g2)


def _through_jacobian(a1: Tensor, a2: Tensor, g1: Tensor, g2: Tensor) -> Tensor:
    j1, j2 = _jacobian(a1, g1), _jacobian(a2, g2)
    product = tf.matmul(j1, j2, transpose_b=True)  # [B/2 · C, B/2 · C]
    classes = g1.shape[0]
    product = ops.reshape(product, (-1, classes, ops.shape(a2)[0], classes))
    return ops.transpose(product, (0, 2, 1, 3))


def _jacobian(a: Tensor, g: Tensor) -> Tensor:
    """Return J of one layer, [B/2 · C, out · in]: one large product for each row."""
    positions, inputs = a.shape[1], a.shape[2]
    classes, outputs = g.shape[0], g.shape[3]
    g = ops.transpose(g, (1, 0, 3, 2))  # small next to J, which is never transposed
    g = ops.reshape(g, (-1, classes * outputs, positions))
    return ops.reshape(tf.matmul(g, a), (-1, outputs * inputs))


def _check_loops(model: keras.Model) -> None:
    for path, layer in walk(model):
        if isinstance(layer, keras.layers.RNN) and not layer.unroll:
            raise ValueError(
                "TensorFlow cannot differentiate a loop as often as the tangent kernel "
                f"needs. Received: the recurrent layer {path!r}. Make it with "
                "unroll=True."
            )


def _untapped(model: keras.Model, taps: list[Tap]) -> list:
    """Return the trainable weights that no tap accounts for."""
    seen = {id(weight) for tap in taps for weight in tap.weights}
    return [v for v in model.trainable_variables if id(v) not in seen]


def _by_vectors(
    function: Callable, x: Nested, variables: list[keras.Variable], each: Callable
) -> Tensor:
    """Return the part of Θ of `variables`: columns J(x1) (J(x2)ᵀ δ) of unit δ."""
    halves = [_halves(leaf, 0) for leaf in keras.tree.flatten(x)]
    x1, x2 = (
        keras.tree.pack_sequence_as(x, side) for side in zip(*halves, strict=True)
    )
    values = [variable.value for variable in variables]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        f2 = ops.cast(function(x2), "float32")
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            inner.watch(values)
            f1 = ops.cast(function(x1), "float32")
        u = tf.zeros_like(f1)
        outer.watch(u)
        back = inner.gradient(f1, values, u, unconnected_gradients="zero")  # J(x1)ᵀ u
        back = [*map(tf.convert_to_tensor, back)]  # embeddings have sparse ones

    def column(delta: Tensor) -> Tensor:
        v = tape.gradient(f2, values, delta, unconnected_gradients="zero")
        v = [*map(tf.convert_to_tensor, v)]
        return outer.gradient(back, u, v)  # d⟨J(x1)ᵀ u, v⟩ / du = J(x1) v

    rows, classes = ops.shape(f2)[0], f2.shape[1]
    deltas = ops.reshape(ops.eye(rows * classes), (-1, rows, classes))
    columns = each(column, deltas)  # [B/2 · C, B/2, C]
    columns = ops.reshape(columns, (rows, classes, -1, classes))
    return ops.transpose(columns, (2, 0, 3, 1))
