"""What supervised training does to images, by name."""

import tensorflow as tf

PADDING = 4


def crop_flip(images, key):
    """Pad each image with zeros, crop it to its size at random, mirror half of them.

    Args:
        images: [batch, height, width, channels].
        key: Two integers; the same ones give the same result.

    Returns:
        Images of the same shape.

    Source:
        He et al. 2016, Deep residual learning (1512.03385), section 4.2.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    keys = tf.random.split(tf.cast(key, tf.int64), 3)
    ends = 2 * PADDING + 1
    rows, columns = (
        tf.random.stateless_uniform([count, 1], one, 0, ends, tf.int32) + tf.range(size)
        for one, size in zip(tf.unstack(keys[:2]), (height, width), strict=True)
    )
    mirrored = tf.random.stateless_uniform([count, 1], keys[2]) < 0.5
    columns = tf.where(mirrored, columns[:, ::-1], columns)
    sides = [PADDING, PADDING]
    padded = tf.pad(images, [[0, 0], sides, sides, [0, 0]])
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    cropped = tf.gather(cropped, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(cropped, images.shape)


AUGMENTATIONS = {"none": None, "crop_flip": crop_flip}
