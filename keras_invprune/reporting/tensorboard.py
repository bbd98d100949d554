"""Shows pruning in TensorBoard: masks as pictures, histograms, text, HParams."""

import logging
import math
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_invprune.contracts import Arrays, Nested, Score
from keras_invprune.exporting.folders import has_scheme
from keras_invprune.graph.weights import is_graph
from keras_invprune.pruning.model import PrunedModel
from keras_invprune.pruning.prune import strip_pruning
from keras_invprune.reporting.report import Report, report
from keras_invprune.saving import Missing, name_of

LARGEST, SMALLEST = 256, 128  # pixels along a picture's longer side

logger = logging.getLogger("keras_invprune")


class PruningBoard(keras.callbacks.Callback):
    """Writes details of the pruning for TensorBoard.

    Use it together with ``keras.callbacks.TensorBoard(log_dir)``, which shows
    ``sparsity`` and the losses from the logs. This callback adds:

    - the sparsity of each weight, the target, and the share of the mask that changed;
    - the masks as pictures, whenever they have changed; the mask of the first layer is
      laid out as the input image;
    - histograms of the surviving weights and of the scores;
    - the steps at which pruning and rewinding happened;
    - at the end, the report and the HParams of the run.

    Args:
        log_dir: Folder. Events are written to ``log_dir/pruning``. It may be a string
            with a scheme that TensorFlow can write to, such as ``"gs://bucket/logs"``.
        data: ``x`` or ``(x, y)`` or a data set for the final report, see `report`.
        histogram_freq: Number of epochs between two histograms; 0 for none.

    Example:
        >>> boards = [keras.callbacks.TensorBoard("logs"), PruningBoard("logs")]

    Raises:
        NotADirectoryError: If `log_dir` is a file.
        ValueError: If `histogram_freq` is negative, or if `log_dir` is a `pathlib.Path`
            with a scheme, which has lost a slash.
    """

    def __init__(
        self, log_dir: str | Path, data: Nested = None, histogram_freq: int = 1
    ):
        super().__init__()
        if has_scheme(log_dir) and not isinstance(log_dir, str):
            raise ValueError(
                "`log_dir` with a scheme must be passed as a string, since pathlib "
                f"removes one of its two slashes. Received: {log_dir!r}."
            )
        self.log_dir = os.fspath(log_dir)
        if tf.io.gfile.exists(self.log_dir) and not tf.io.gfile.isdir(self.log_dir):
            raise NotADirectoryError(
                f"`log_dir` must be a folder. Received: {log_dir}, which is a file."
            )
        if not histogram_freq >= 0:
            raise ValueError(
                f"`histogram_freq` must be >= 0. Received: {histogram_freq}."
            )
        self.data = data
        self.histogram_freq = histogram_freq

    def set_model(self, model: keras.Model) -> None:
        """Set the model.

        Raises:
            ValueError: If `model` is not a `PrunedModel`.
        """
        if not isinstance(model, PrunedModel):
            raise ValueError(
                "PruningBoard needs a model made by `prune` or `prune_for_invariance`, "
                f"whose masks it shows. Received: {type(model).__name__}. Pass it to "
                "the `fit` of such a model. For neural tangent transfer, which trains "
                "another model, use keras.callbacks.TensorBoard."
            )
        super().set_model(model)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the file and show the present masks."""
        self._writer = tf.summary.create_file_writer(
            os.path.join(self.log_dir, "pruning")
        )
        self._before = self._masks()
        self._told = 0
        self._pictures(self._before, 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the numbers and the masks that have changed."""
        masks = self._masks()
        changed = {key: int((m != self._before[key]).sum()) for key, m in masks.items()}
        size = sum(mask.size for mask in masks.values())
        with self._writer.as_default(step=epoch):
            tf.summary.scalar("sparsity", self.model.sparsity)
            tf.summary.scalar("target_sparsity", self.model.plan.sparsity)
            tf.summary.scalar("mask_change", sum(changed.values()) / size)
            for key, mask in masks.items():
                tf.summary.scalar(f"sparsity/{key}", 1 - mask.mean())
            self._events()
            if self.histogram_freq and epoch % self.histogram_freq == 0:
                self._histograms(masks)
        self._pictures({key: masks[key] for key, n in changed.items() if n}, epoch)
        self._before = masks

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the report and the HParams if pruning is finished."""
        if self.model.finished:
            with self._writer.as_default(step=self.params.get("epochs", 0)):
                self._report()
        self._writer.close()

    def _report(self) -> None:
        try:
            found = report(strip_pruning(self.model), self.data)
        except Exception as error:  # a finished training must not be lost
            logger.warning("There is no report in TensorBoard: %s", error)
            return
        text = "\n".join(f"    {line}" for line in str(found).splitlines())
        tf.summary.text("report", text)  # indented, so that Markdown does not format it
        self._hparams(found)

    def _masks(self) -> Arrays:
        return {k: mask.numpy().astype(bool) for k, mask in self.model.masks.items()}

    def _events(self) -> None:
        if len(self.model.events) > self._told:
            self._told = len(self.model.events)
            lines = [f"- step {step}: {what}" for step, what in self.model.events]
            tf.summary.text("events", "\n".join(lines))

    def _histograms(self, masks: Arrays) -> None:
        weights = {k: v.numpy() for k, v in self.model.masked.prunable.items()}
        for key, weight in weights.items():
            tf.summary.histogram(f"surviving/{key}", weight[masks[key]])
        score = self.model.plan.score
        # Nothing more is pruned, so a score that reads examples is not asked again.
        wants = Score.of(score).examples is not None
        if isinstance(score, Missing) or (wants and self.model.finished):
            return
        try:
            found = score(weights, self.model)
        except Exception as error:  # e.g. if no signal passes through the network
            logger.warning("There are no histograms of the scores: %s", error)
            return
        for key, values in found.items():
            scores = np.asarray(values)  # a custom score may return tensors
            tf.summary.histogram(f"scores/{key}", scores[masks[key]])

    def _pictures(self, masks: Arrays, step: int) -> None:
        shape = image_shape(self.model.inner)
        with self._writer.as_default(step=step):
            for key, mask in masks.items():
                first = key == next(iter(self.model.masks))
                shown = picture(mask, shape if first else None)
                tf.summary.image(f"masks/{key}", shown[None, :, :, None])

    def _hparams(self, found: Report) -> None:
        from tensorboard.plugins.hparams import api

        plan = self.model.plan
        api.hparams(
            {
                "sparsity": plan.sparsity,
                "initial_scale": plan.initial_scale,
                "rewind": str(plan.rewind),
                "score": name_of(plan.score),
                "allocation": name_of(plan.allocation),
                "pattern": name_of(plan.pattern),
                "schedule": name_of(plan.schedule),
                "objective": name_of(plan.objective),
            }
        )
        tf.summary.scalar("final/sparsity", self.model.sparsity)
        if found.accuracy is not None:
            tf.summary.scalar("final/accuracy", found.accuracy)
        for name, file in found.files.items():
            if "bytes" in file:
                tf.summary.scalar(f"final/bytes/{name}", file["bytes"])


def image_shape(model: keras.Model) -> tuple[int, int, int] | None:
    """Return (height, width, channels) of a graph model's input images, or None."""
    if not is_graph(model) or len(model.inputs) != 1:
        return None
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or None in shape:
        return None
    return shape


def picture(mask: np.ndarray, image: tuple[int, int, int] | None = None) -> np.ndarray:
    """Return a mask as a picture: white where all is kept, black where all is pruned.

    Args:
        mask: Boolean array of the kernel's shape.
        image: (height, width, channels) of the input, for the first layer. Its inputs
            are laid out as this image. The brightness of each is proportional to the
            share of its connections that are kept; the most used input is white.

    Returns:
        float32 in [0, 1], [height, width].
    """
    shares = mask.astype("float32")
    if image is not None and shares.shape[0] == math.prod(image):
        shares = shares.reshape(*image, -1).mean(axis=(2, 3))
        shares = shares / max(shares.max(), 1e-9)  # or it is black at high sparsity
    elif shares.ndim == 4:
        shares = _grid(shares)
    else:
        shares = shares.reshape(-1, shares.shape[-1])
    return _scaled(shares)


def _grid(kernel: np.ndarray) -> np.ndarray:
    """Return the filters of a kernel [h, w, in, out] in a grid with dark lines."""
    filters = np.pad(kernel.mean(axis=2), ((0, 1), (0, 1), (0, 0)))
    count = filters.shape[2]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    filters = np.pad(filters, ((0, 0), (0, 0), (0, rows * columns - count)))
    height, width = filters.shape[:2]
    filters = filters.transpose(2, 0, 1).reshape(rows, columns, height, width)
    return filters.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _scaled(shares: np.ndarray) -> np.ndarray:
    """Return a picture averaged to at most 256 pixels, or repeated to at least 128."""
    for axis in (0, 1):
        step = math.ceil(shares.shape[axis] / LARGEST)
        starts = np.arange(0, shares.shape[axis], step)
        sizes = np.diff(np.append(starts, shares.shape[axis]))
        sums = np.add.reduceat(shares, starts, axis=axis)
        shares = sums / (sizes[:, None] if axis == 0 else sizes)
    factor = math.ceil(SMALLEST / max(shares.shape))
    return np.repeat(np.repeat(shares, factor, 0), factor, 1).astype("float32")
