"""Shows the number of active layers while a model trains."""

import keras

from keras_invprune.graph.active import negative_norms


class ActiveLayers(keras.callbacks.Callback):
    """Adds the number of active layers to the logs after each epoch.

    The progress bar, `History` and ``keras.callbacks.TensorBoard`` then show
    ``active_layers`` and, on request, each layer's norm as ``negative/NAME``.

    Args:
        norms: Whether to add ‖W₋‖ of each layer as well.

    Example:
        >>> callbacks = [ActiveLayers(), keras.callbacks.TensorBoard("logs")]
    """

    def __init__(self, norms: bool = False) -> None:
        super().__init__()
        self.norms = norms

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the figures to the logs.

        Raises:
            ValueError: If the model has no graph, or if weights are not finite.
        """
        logs = {} if logs is None else logs
        found = negative_norms(self.model)
        logs["active_layers"] = sum(norm > 0 for norm in found.values())
        if self.norms:
            logs.update({f"negative/{name}": norm for name, norm in found.items()})
