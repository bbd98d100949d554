"""Draws a path of layer sparsity: depth against accuracy."""

from keras_invprune.pruning.layer_path import LayerPath
from keras_invprune_lab.extras import needed


def plot_path(path: LayerPath, file, metric="accuracy"):
    """Draw the depth and a metric of each point, joined in the order of the path.

    Args:
        path: From `layer_path`.
        file: Where the picture is written; its ending decides the format.
        metric: Name of the metric on validation data.

    Raises:
        ImportError: If matplotlib is missing; names the extra.
        ValueError: If the path has no such metric.
    """
    known = path.points[0].metrics
    if metric not in known:
        raise ValueError(
            f"The path has no metric {metric!r}. Known: {sorted(known)}. Compile the "
            "model with metrics=[...]."
        )
    with needed("bench", by="plots"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    depths = [point.depth for point in path.points]
    values = [point.metrics[metric] for point in path.points]
    axes.plot(depths, values, "o-")
    for point, value in zip(path.points, values, strict=True):
        place = point.depth, value
        axes.annotate(
            f"r = {point.strength:g}", place, (4, 4), textcoords="offset points"
        )
    axes.set(xlabel="Dense and convolutional layers", ylabel=metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(file)
