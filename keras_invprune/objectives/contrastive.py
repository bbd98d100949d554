"""The contrastive loss, supervised (SupCon) and label-free (NT-Xent)."""

from keras import ops

from keras_invprune.contracts import Nested, Tensor

EPSILON = 1e-12
FAR = 1e9  # subtracted from a logit, makes its exponential 0


def contrastive_loss(
    embeddings: Tensor,
    labels: Tensor | None = None,
    temperature: float = 1.0,
    sample_weight: Nested = None,
) -> Tensor:
    """Compute L_NCE over two views of a batch.

    That is::

        L_NCE = mean_i w_i · -1/|P(i)| Σ_{p∈P(i)} [ z_i·z_p/τ - log Z_i ]
        Z_i = Σ_{a≠i} exp(z_i·z_a/τ)

    with weights w and embeddings z on the unit sphere. P(i) holds the other embeddings
    with the label of i (SupCon, "L_out"). Without labels, it holds only the other view
    of i, and the formula is NT-Xent.

    Args:
        embeddings: Floats, shape [2·batch, features]: all first views, then all
            second views, in the same order.
        labels: None, or shape [batch] or [batch, ...]. Equal rows are one class
            (class numbers, one-hot rows, 0/1 labels).
        temperature: The temperature τ > 0.
        sample_weight: None, or the weights w, shape [batch].

    Returns:
        A scalar in float32.

    Example:
        >>> z = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]  # two rows, twice
        >>> float(contrastive_loss(z, temperature=0.1)) < 1e-3  # each pair agrees
        True

    Source:
        Khosla et al. 2020 (2004.11362), eq. 2; Chen et al. 2020 (2002.05709),
        eq. 1; used as L_NCE in Xu et al. (2309.08171).
    """
    z = ops.cast(embeddings, "float32")
    count = ops.shape(z)[0] // 2
    labels = ops.arange(count) if labels is None else labels
    # z_i = enc(x_i) / ||enc(x_i)||
    squared = ops.sum(ops.square(z), axis=-1, keepdims=True)
    z = z * ops.rsqrt(ops.maximum(squared, EPSILON))
    itself = ops.eye(2 * count, dtype="float32")
    # P(i) = {p ≠ i : y_p = y_i}
    positives = ops.tile(same_label(labels), (2, 2)) * (1.0 - itself)
    logits = ops.matmul(z, ops.transpose(z)) / temperature
    # log Σ_{a≠i} exp(z_i·z_a/τ)
    log_sum = ops.logsumexp(logits - FAR * itself, axis=-1, keepdims=True)
    per_anchor = -ops.sum(positives * (logits - log_sum), axis=-1)
    per_anchor = per_anchor / (ops.sum(positives, axis=-1) + EPSILON)
    if sample_weight is not None:
        weights = ops.cast(ops.reshape(sample_weight, (count,)), "float32")
        per_anchor = per_anchor * ops.tile(weights, (2,))
    # A replica may get no rows of the last batch.
    return ops.sum(per_anchor) / ops.cast(ops.maximum(2 * count, 1), "float32")


def same_label(labels: Tensor | None) -> Tensor:
    """Return 1.0 where two rows of `labels` are equal, else 0.0: [batch, batch]."""
    rows = ops.reshape(labels, (ops.shape(labels)[0], -1))
    equal = ops.equal(rows[:, None, :], rows[None, :, :])
    return ops.cast(ops.all(equal, axis=-1), "float32")
