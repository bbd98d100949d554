"""The choices that make a pruning method, in one object."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_invprune import allocation as allocations
from keras_invprune import objectives, patterns, schedules, scores
from keras_invprune.allocation.shuffled import unshuffled
from keras_invprune.graph.layouts import layouts
from keras_invprune.pruning.rewind import check_rewind
from keras_invprune.saving import Missing, load_object, save_object

PARTS = ("objective", "score", "allocation", "pattern")

logger = logging.getLogger("keras_invprune")


@dataclass
class Plan:
    """What to prune by, how much, and when. See `prune` for each field.

    Attributes:
        sparsity: Target share of zero weights, in [0, 1).
        objective: Loss of the search, or None for the compiled loss alone.
        score: ``(weights, model) -> {key: array}``.
        allocation: ``(scores, sparsity) -> masks``.
        pattern: ``(scores, sparsity, allocation) -> masks``.
        schedule: ``(step) -> (should_prune, sparsity)``.
        rewind: None, or the point that survivors return to.
        initial_scale: κ by which `scaled` weights have been multiplied.
        scaled: Keys of those weights.
        left_out: Why selected weights are not pruned: the pattern does not fit.
    """

    sparsity: float
    objective: Any = None
    score: Any = "magnitude"
    allocation: Any = "global"
    pattern: Any = None
    schedule: Any = "one_shot"
    rewind: str | None = None
    initial_scale: float = 1.0
    scaled: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        """Resolves names; raises where choices are unknown or disagree."""
        self.sparsity = schedules.check_sparsity(self.sparsity)
        self.objective = objectives.get(self.objective)
        self.score = scores.get(self.score)
        self.allocation = allocations.get(self.allocation)
        self.pattern = patterns.get(self.pattern)
        self.schedule = schedules.get(self.schedule, self.sparsity)
        self.rewind = check_rewind(self.rewind)
        fixed = getattr(self.pattern, "target_sparsity", None)
        if fixed is not None and abs(fixed - self.sparsity) > 1e-6:
            raise ValueError(
                f"{self.pattern!r} removes a share of {fixed:.4g} and no other. "
                f"Received: sparsity={self.sparsity}. Give sparsity={fixed:.8g}."
            )

    @property
    def effective(self):
        """What is read in training in the place of w * mask, None for just that."""
        return getattr(self.score, "effective", None)

    @property
    def rewires(self) -> bool:
        """Whether masks are renewed at the target sparsity, too."""
        return bool(getattr(self.schedule, "rewires", False))

    def masks(self, weights, model, sparsity, left=None):
        """The masks for the stored weights given.

        Args:
            weights: ``{key: array}``.
            model: Passed to the score.
            sparsity: Share to remove now, on the way to the target.
            left: ``{key: bool array}``, what earlier masks have left: all other
                weights are ranked last, whatever the score says. None: no masks yet.

        Returns:
            ``{key: bool array}``, True where a weight is kept.

        Raises:
            ValueError: The score returns other keys or shapes, or NaN.
            TypeError: Score, allocation or pattern return no dictionary.
        """
        rounds = getattr(self.score, "rounds", 1)
        for number in range(1, rounds):
            # ρ^(-k/n): the density by the same factor each round
            share = 1 - (1 - sparsity) ** (number / rounds)
            # What a sanity check shuffles is the end of it all.
            inside = unshuffled(self.allocation)
            masks = self._masks(weights, model, share, inside, left)
            weights = {key: weight * masks[key] for key, weight in weights.items()}
        return self._masks(weights, model, sparsity, self.allocation, left)

    def _masks(self, weights, model, sparsity, allocation, left):
        found = _arrays(self.score(weights, model), weights, "A score")
        _check_rankable(found)
        found = found if left is None else _removed_last(found, left)

        def allocate(scores, sparsity):
            return _mapping(allocation(scores, sparsity), "An allocation")

        masks = self.pattern_masks(found, model, sparsity, allocate)
        masks = _arrays(masks, weights, "An allocation, or a pattern,")
        for key, mask in masks.items():
            if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
                raise ValueError(
                    "An allocation, or a pattern, must return masks of 0 and 1. "
                    f"Received for {key!r}: values like {mask.flat[0]!r}."
                )
        return masks

    def pattern_masks(self, found, model, sparsity, allocation):
        """The masks by scores, which the pattern sees in the axes that it asks for."""
        inner = getattr(model, "inner", model)
        matrices = getattr(self.pattern, "on_matrices", False)
        if not (matrices and isinstance(inner, keras.Model)):
            return self.pattern(found, sparsity, allocation)
        views = layouts(inner, found)
        arranged = found | {k: view.arrange(found[k]) for k, view in views.items()}
        masks = self.pattern(arranged, sparsity, allocation)
        restored = {k: v.restore(masks[k], found[k].shape) for k, v in views.items()}
        return masks | restored

    def groups(self, values, model) -> dict:
        """What the pattern shows an allocation for these arrays; {} if it asks none."""
        seen = {}

        def look(groups, sparsity):
            del sparsity
            seen.update(groups)
            return {key: np.ones(group.shape, bool) for key, group in groups.items()}

        self.pattern_masks(values, model, 0.0, look)
        return seen

    def check_allocation(self, shapes, model):
        """Lets an allocation that knows what it is for look at what is ranked.

        Args:
            shapes: ``{key: shape}`` of the weights to prune.
            model: The model that holds them.

        Raises:
            ValueError: It does not suit them, or the pattern would ignore it.
        """
        inside = unshuffled(self.allocation)
        check = getattr(inside, "check", None)
        if check is None and inside is self.allocation:
            return
        zero = np.float32(0)
        nothing = {k: np.broadcast_to(zero, tuple(s)) for k, s in shapes.items()}
        groups = self.groups(nothing, model) or nothing
        if groups is nothing:
            numbers = getattr(inside, "sparsities", {}).values()
            same = all(abs(own - self.sparsity) < 1e-6 for own in numbers)
            if inside is not self.allocation or not same:
                raise ValueError(
                    f"{self.pattern!r} keeps the same share everywhere: there is "
                    "nothing to allocate or to shuffle. Received: "
                    f"allocation={self.allocation!r}. Leave it out."
                )
        if check is not None:
            check({key: group.size for key, group in groups.items()}, self.sparsity)

    def save(self) -> dict:
        """The config; objects that cannot be saved leave their name."""
        return {
            "sparsity": self.sparsity,
            "rewind": self.rewind,
            "initial_scale": self.initial_scale,
            "scaled": list(self.scaled),
            "left_out": self.left_out,
            "schedule": schedules.save_schedule(self.schedule),
            "effective": save_object(self.effective, "plan.score"),
            **{
                name: save_object(getattr(self, name), f"plan.{name}") for name in PARTS
            },
        }

    @classmethod
    def load(cls, config):
        """The plan again; what is gone is a `Missing` that says so when used."""
        loaded = {name: load_object(config[name], f"plan.{name}") for name in PARTS}
        schedule = schedules.load_schedule(config["schedule"])
        config = dict(config)
        effective = config.pop("effective", None)
        if effective and isinstance(loaded["score"], Missing):
            # Its weights are in the file, which must be read all the same.
            loaded["score"].effective = load_object(effective, "plan.score")
        return cls(**{**config, **loaded, "schedule": schedule})


def _check_rankable(found):
    """Raises ValueError at NaN; logs where nothing but zeros would be ranked."""
    broken = [
        k for k, scores in found.items() if scores.size and np.isnan(scores.min())
    ]
    if broken:
        raise ValueError(
            f"The scores of {broken} hold NaN, so that nothing can be pruned by them. "
            "Most often the training has diverged: lower the learning rate, or prune "
            "earlier."
        )
    some = [scores for scores in found.values() if scores.size]
    if some and not any(scores.any() for scores in some):
        logger.warning(
            "All scores are zero: which weights are pruned is arbitrary. Look for an "
            "output that does not depend on the weights, or gradients too small for "
            "the dtype."
        )


def _removed_last(found, left):
    """The scores, those of weights that are not left below all others.

    Zero where the others are above it, as a magnitude would be.
    """
    kept = [scores[left[key]] for key, scores in found.items() if left[key].any()]
    if not kept or all(mask.all() for mask in left.values()):
        return found
    lowest, highest = min(s.min() for s in kept), max(s.max() for s in kept)
    last = 0.0 if lowest > 0 else lowest - 1e-3 * max(highest - lowest, 1e-6)
    return {k: np.where(left[k], scores, last) for k, scores in found.items()}


def _mapping(found, maker):
    """`found`; raises TypeError unless it maps keys."""
    if not isinstance(found, Mapping):
        raise TypeError(
            f"{maker} must return {{key: array}}. Received: {type(found).__name__}."
        )
    return found


def _arrays(found, weights, maker) -> dict[str, np.ndarray]:
    """`found` as NumPy arrays; raises unless there is one like each weight."""
    found = {k: np.asarray(v) for k, v in _mapping(found, maker).items()}
    shapes = {key: values.shape for key, values in found.items()}
    wrong = shapes.items() ^ {(key, weight.shape) for key, weight in weights.items()}
    if wrong:
        raise ValueError(
            f"{maker} must return one array of the weight's shape for each weight. "
            f"Wrong or missing: {sorted({key for key, _ in wrong})}."
        )
    return found
