"""Bilinear resampling of images in operations that XLA compiles.

A coordinate counts pixels from the center of the first pixel, so that the center of
pixel j has coordinate j.

There are two methods, and each is used where it is faster. If rows and columns move
independently (crop, shift, scale), two small matrix products are used. XLA keeps their
results, so that the costs of several in a row add up. If rows and columns mix
(rotation), the four neighbors are gathered: three shears by matrix products would cost
an order of magnitude more and blur the image three times.
"""

from collections.abc import Iterator

from keras import ops

from keras_invprune.contracts import Tensor

FILL_MODES = ("nearest", "constant")


def interpolation_matrix(
    coordinates: Tensor, size: int, fill_mode: str = "nearest"
) -> Tensor:
    """Return the bilinear weights of `size` source pixels for each coordinate.

    `W[..., i, j] = max(0, 1 - |coordinates[..., i] - j|)`

    Args:
        coordinates: Source coordinates in pixels, shape [..., n].
        size: Number of source pixels along the axis.
        fill_mode: "nearest" moves coordinates outside the image to the border;
            "constant" reads zeros there.

    Returns:
        Weights of shape [..., n, size].
    """
    pixels = ops.arange(size, dtype=coordinates.dtype)
    if fill_mode == "nearest":
        coordinates = ops.clip(coordinates, pixels[0], pixels[-1])
    return ops.maximum(1 - ops.abs(coordinates[..., None] - pixels), 0)


def resample_axes(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str = "nearest"
) -> Tensor:
    """Read each image at the grid spanned by its `rows` and its `columns`.

    `y = W_rows x W_columns^T` in every channel.

    Args:
        images: Shape [batch, height, width, channels].
        rows: Source coordinates of the output's rows, shape [batch, height'].
        columns: Source coordinates of its columns, shape [batch, width'].
        fill_mode: "nearest" or "constant", see `interpolation_matrix`.

    Returns:
        Images of shape [batch, height', width', channels].
    """
    _, height, width, _ = ops.shape(images)
    # Compute the weights in the precision of the coordinates: 16 bits are too few for a
    # coordinate, but enough for a weight.
    down = ops.cast(interpolation_matrix(rows, height, fill_mode), images.dtype)
    across = ops.cast(interpolation_matrix(columns, width, fill_mode), images.dtype)
    images = ops.einsum("bhi,biwc->bhwc", down, images)
    return ops.einsum("bwj,bhjc->bhwc", across, images)


def resample_points(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str = "nearest"
) -> Tensor:
    """Read each image at one source point per output pixel.

    Args:
        images: Shape [batch, height, width, channels].
        rows: Row coordinates, shape [batch, height', width'].
        columns: Column coordinates, of the same shape.
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


def _neighbors(
    coordinates: Tensor, size: int, fill_mode: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the two pixels next to each coordinate, each with its weight."""
    last = ops.cast(size, coordinates.dtype) - 1
    if fill_mode == "nearest":
        coordinates = ops.clip(coordinates, 0, last)
    below = ops.floor(coordinates)
    for pixel in (below, below + 1):
        inside = (pixel >= 0) & (pixel <= last)
        weight = ops.where(inside, 1 - ops.abs(coordinates - pixel), 0)
        yield ops.cast(ops.clip(pixel, 0, last), "int32"), weight
