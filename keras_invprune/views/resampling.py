"""Bilinear resampling of images in operations that XLA compiles.

A coordinate counts pixels from the center of the first one, so that the center
of pixel j has coordinate j.

Two ways, because each is the faster one where it is used. Where rows and columns
move apart from one another (crop, shift, scale), two small matrix products: XLA
keeps their result, so that several in a row cost their sum. Where they mix
(rotation), four gathered neighbors: three shears by matrix products would cost
an order of magnitude more and blur three times.
"""

from keras import ops

from keras_invprune.contracts import Tensor

FILL_MODES = ("nearest", "constant")


def interpolation_matrix(coordinates: Tensor, size: int, fill_mode: str = "nearest"):
    """Bilinear weights of the `size` source pixels for each wanted coordinate.

    `W[..., i, j] = max(0, 1 - |coordinates[..., i] - j|)`

    Args:
        coordinates: source coordinates, in pixels, shape [..., n].
        size: number of source pixels along the axis.
        fill_mode: "nearest" moves outside coordinates to the border; "constant"
            lets them see zeros.

    Returns:
        Weights of shape [..., n, size].
    """
    pixels = ops.arange(size, dtype=coordinates.dtype)
    if fill_mode == "nearest":
        coordinates = ops.clip(coordinates, pixels[0], pixels[-1])
    return ops.maximum(1 - ops.abs(coordinates[..., None] - pixels), 0)


def resample_axes(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str = "nearest"
):
    """Reads each image at the grid spanned by its `rows` and its `columns`.

    `y = W_rows x W_columns^T` in every channel.

    Args:
        images: shape [batch, height, width, channels].
        rows: source coordinates of the output's rows, shape [batch, height'].
        columns: the same for its columns, shape [batch, width'].
        fill_mode: "nearest" or "constant", see `interpolation_matrix`.

    Returns:
        Images of shape [batch, height', width', channels].
    """
    _, height, width, _ = ops.shape(images)
    # Weights are formed in the coordinates' precision: half a float has too few
    # digits for a coordinate, and enough for a weight.
    down = ops.cast(interpolation_matrix(rows, height, fill_mode), images.dtype)
    across = ops.cast(interpolation_matrix(columns, width, fill_mode), images.dtype)
    images = ops.einsum("bhi,biwc->bhwc", down, images)
    return ops.einsum("bwj,bhjc->bhwc", across, images)


def resample_points(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str = "nearest"
):
    """Reads each image at one source point per output pixel.

    Args:
        images: shape [batch, height, width, channels].
        rows: row coordinates, shape [batch, height', width'].
        columns: column coordinates, of the same shape.
        fill_mode: "nearest" or "constant", see `interpolation_matrix`.

    Returns:
        Images of shape [batch, height', width', channels].
    """
    batch, height, width, channels = ops.shape(images)
    pixels = ops.reshape(images, (batch, height * width, channels))
    shape = (*ops.shape(rows), channels)
    total = 0
    for row, row_weight in _neighbors(rows, height, fill_mode):
        for column, column_weight in _neighbors(columns, width, fill_mode):
            places = ops.reshape(row * width + column, (batch, -1, 1))
            values = ops.take_along_axis(pixels, places, axis=1)
            weight = ops.cast(row_weight * column_weight, images.dtype)[..., None]
            total = total + weight * ops.reshape(values, shape)
    return total


def _neighbors(coordinates, size, fill_mode):
    """Yields the two pixels around each coordinate, each with its weight."""
    last = ops.cast(size, coordinates.dtype) - 1
    if fill_mode == "nearest":
        coordinates = ops.clip(coordinates, 0, last)
    below = ops.floor(coordinates)
    for pixel in (below, below + 1):
        inside = (pixel >= 0) & (pixel <= last)
        weight = ops.where(inside, 1 - ops.abs(coordinates - pixel), 0)
        yield ops.cast(ops.clip(pixel, 0, last), "int32"), weight
