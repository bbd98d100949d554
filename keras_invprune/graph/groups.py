"""Channels that live and die together: which indices of which weights they hold.

A convolution makes the channels that the next one reads. Layers between them, and both
sides of a residual addition, share them. To remove a channel from a network is to
remove its index from all of these weights: a *dependency group*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_invprune.contracts import Arrays

STAYS = -1  # an index that is in no group


@dataclass(frozen=True)
class Dependencies:
    """The dependency groups of a model, in families of the same structure.

    All groups of a family hold the same number of weights of the same layers, so that
    their scores are comparable. Groups are numbered through all families.

    Attributes:
        families: ``{name: number of groups}``. The name is the key of the first
            weight that makes these channels; further families of it have a number.
        axes: ``{key: for each axis of the weight, the group of each index}``. It is
            `STAYS` for indices that are in no group, and None for an axis of such.
        makers: ``{key: axes}`` of the weights to score, and their axes of outputs.
        readers: Keys of the weights that are masked only because they read removed
            channels.
        reasons: ``{key: reason}`` of selected weights whose channels all stay.

    Source:
        Fang et al. 2023, DepGraph: towards any structural pruning (2301.12900).
    """

    families: Mapping[str, int]
    axes: Mapping[str, tuple[np.ndarray | None, ...]]
    makers: Mapping[str, tuple[int, ...]]
    readers: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    def gather(self, arrays: Arrays, left: Arrays | None = None) -> Arrays:
        """Return what belongs to each group, [values, groups], by family.

        Args:
            arrays: ``{key: array}`` of the weights' shapes.
            left: ``{key: bool array}``, True for weights that earlier masks kept. Rows
                that they removed from all groups are left out.
        """
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.families}
        for name, key, axis, order in self._parts():
            rows = _rows(arrays[key], axis, order)
            if left is not None:
                some = _rows(left[key], axis, order).any(1)
                rows = rows[some] if some.any() else rows
            found[name].append(rows)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def spread(self, values: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return for each weight the value of the group that it makes; 1 without one.

        Args:
            values: ``{family: one value for each group}``.
            shapes: ``{key: shape}`` of the weights.
        """
        return self._along(values, shapes, self.makers)

    def masks(self, kept: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """Return for each weight which of its indices are in groups that are kept.

        Args:
            kept: ``{family: whether each group is kept}``.
            shapes: ``{key: shape}`` of the weights.
        """
        every = {
            key: [axis for axis, groups in enumerate(axes) if groups is not None]
            for key, axes in self.axes.items()
        }
        return self._along(kept, shapes, every)

    def shapes(
        self, kept: Arrays, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight without the groups that go.

        Of each family one group stays, since Keras has no layers without units.

        Args:
            kept: ``{family: whether each group is kept}``.
            shapes: ``{key: shape}`` of the weights.
        """
        some = {
            name: each if each.any() else _first(each) for name, each in kept.items()
        }
        each, found = self._each(some), {}
        for key, shape in shapes.items():
            axes = self.axes.get(key, (None,) * len(shape))
            found[key] = tuple(
                length if groups is None else int(np.count_nonzero(each[groups]))
                for groups, length in zip(axes, shape, strict=True)
            )
        return found

    def _along(self, values, shapes, sides) -> Arrays:
        """Return for each weight the product of its groups' values along some axes."""
        each, found = self._each(values), {}
        for key, shape in shapes.items():
            found[key] = np.ones(shape, each.dtype)
            for axis in sides.get(key, ()):
                others = [other for other in range(len(shape)) if other != axis]
                found[key] *= np.expand_dims(each[self.axes[key][axis]], others)
        return found

    def _each(self, values) -> np.ndarray:
        """Return the values of all groups, and a 1 in place of `STAYS`."""
        parts = [values[name] for name in self.families]
        return np.concatenate([*parts, np.ones(1, bool)])

    def _parts(self) -> Iterator[tuple[str, str, int, np.ndarray]]:
        """Yield (family, key, axis, indices of the axis, one row for each group)."""
        names, counts = list(self.families), list(self.families.values())
        families = np.append(np.repeat(np.arange(len(counts)), counts), STAYS)
        for key, axes in self.makers.items():
            for axis in axes:
                groups = np.asarray(self.axes[key][axis])
                found = families[groups]  # by index of the axis
                for number in np.unique(found[found != STAYS]).tolist():
                    indices = np.flatnonzero(found == number)
                    by_group = np.argsort(groups[indices], kind="stable")
                    order = indices[by_group].reshape(counts[number], -1)
                    yield names[number], key, axis, order


def _first(each) -> np.ndarray:
    return np.arange(len(each)) == 0


def _rows(array, axis, order) -> np.ndarray:
    """Return the values at some indices of an axis, [values, groups]."""
    taken = np.moveaxis(np.take(array, order.ravel(), axis), axis, 0)
    return taken.reshape(len(order), -1).T
