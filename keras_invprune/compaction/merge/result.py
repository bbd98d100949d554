"""What came of merging: the model, and what was merged into what, and why not."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import keras


@dataclass(frozen=True)
class Merge:
    """One layer that was merged into the next one.

    Attributes:
        layer: Name of the layer that is gone.
        into: Name of the layer that took over its weights.
        certificate: Why the activation was the identity; "linear" if there was none.
        gone: Names of all layers that went with it, such as its activation.
        parameters: Number of parameters of both layers, before and after.
        macs: Multiply-accumulate operations of both for one input, before and after.
            Axes of unknown length count as 1.
        milliseconds: Of the whole model's file, before and after; None without a
            runtime.
    """

    layer: str
    into: str
    certificate: str
    gone: tuple[str, ...]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    milliseconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Kept:
    """A layer that was not merged.

    Attributes:
        layer: Its name.
        reason: Why not.
    """

    layer: str
    reason: str


@dataclass(frozen=True)
class Merged:
    """A model with fewer layers.

    Attributes:
        model: The new model, not compiled.
        merges: What was merged, in this order.
        kept: What was not merged, and why.
        depth: Number of Dense and convolutional layers, before and after.
        parameters: Number of parameters, before and after.
        nonzero: Number of parameters that are not zero, before and after. Products of
            sparse kernels are less sparse.
        exact: Whether outputs are the same on every input, up to rounding. With
            `NeverNegative`, they are on the given rows only.
        error: Largest difference of an output that was measured, as a share of the
            largest output of its row.
    """

    model: keras.Model
    merges: tuple[Merge, ...]
    kept: tuple[Kept, ...]
    depth: tuple[int, int]
    parameters: tuple[int, int]
    nonzero: tuple[int, int]
    exact: bool
    error: float

    def to_json(self) -> dict[str, Any]:
        """Return all fields except the model as what `json.dumps` takes."""
        names = [field.name for field in fields(self) if field.name != "model"]
        found = {name: getattr(self, name) for name in names}
        for name in ("merges", "kept"):
            found[name] = [asdict(one) for one in found[name]]
        return found

    def __str__(self) -> str:
        """Return a table of what was merged and what was not."""
        lines = [_line(merge) for merge in self.merges]
        lines += [f"{kept.layer} stays: {kept.reason}" for kept in self.kept]
        lines.append(
            f"{self.depth[0]} -> {self.depth[1]} layers, {self.parameters[0]:,} -> "
            f"{self.parameters[1]:,} parameters, largest difference {self.error:.1g}"
        )
        return "\n".join(lines)


def _line(merge: Merge) -> str:
    (before, after), times = merge.parameters, merge.milliseconds
    measured = "" if times is None else f", {times[0]:.4g} -> {times[1]:.4g} ms"
    return (
        f"{merge.layer} -> {merge.into} ({merge.certificate}): {before:,} -> {after:,} "
        f"parameters{measured}"
    )
