"""Merges layers whose activation is the identity into the layers that follow."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_invprune.compaction.checks import check_model
from keras_invprune.compaction.distance import fitting
from keras_invprune.compaction.merge.certificates import (
    KNOWN,
    Certificate,
    Facts,
    NeverNegative,
)
from keras_invprune.compaction.merge.compose import NotExactError, Product, product
from keras_invprune.compaction.merge.links import AFFINE, Activation, Link, Wall, links
from keras_invprune.compaction.merge.result import Kept, Merge, Merged
from keras_invprune.compaction.merge.surgery import with_one_less
from keras_invprune.compaction.merge.verify import MergeError, on_drawn, on_rows
from keras_invprune.contracts import Nested
from keras_invprune.graph.copying import copy_model
from keras_invprune.graph.frugal import frugal
from keras_invprune.graph.given_rows import rows_of
from keras_invprune.graph.signs import check_inputs, nonnegative_tensors
from keras_invprune.graph.trace import Step, traced
from keras_invprune.graph.weights import walk
from keras_invprune.runtimes import RUNTIMES
from keras_invprune.saving import named

EXACT = ("nonnegative", "slope")
NOISE = 0.05  # by which the times of one file may differ, as a share


class _Candidate(NamedTuple):
    """A merge that can be done."""

    link: Link
    product: Product
    certificates: list[Certificate]
    parameters: tuple[int, int]
    macs: tuple[int, int]

    @property
    def saved(self) -> tuple[int, int]:
        return self.macs[0] - self.macs[1], self.parameters[0] - self.parameters[1]


@dataclass(frozen=True)
class _Choices:
    certificates: tuple[Certificate, ...]
    inputs: bool | Sequence[str]
    runtime: str | None


def merge_layers(
    model: keras.Model,
    certificates: Iterable[str | Certificate] = EXACT,
    *,
    nonnegative_inputs: bool | Sequence[str] = False,
    data: Nested = None,
    runtime: str | None = None,
) -> Merged:
    """Merge layers whose activation is the identity into the layers that follow.

    Dense goes into Dense, and convolutions into convolutions where borders allow it.
    BatchNormalization in between is folded in first. A merge that would make the model
    larger, in parameters or in multiply-accumulate operations, is not done. With a
    runtime, neither is one that makes it slower, by more than the 5 % that may be
    noise. Layers that stay keep their names. Outputs are compared before the model is
    returned.

    Dropout between two merged layers is removed, too: it has no effect in evaluation.
    Layers inside inner models and layers that are called several times stay; `kept`
    says so.

    Args:
        model: A built, plain Sequential or Functional model. It is not changed.
        certificates: "nonnegative", "slope", or `Certificate` objects such as
            `kip.compaction.NeverNegative(rows)`. The default ones are exact.
        nonnegative_inputs: Whether the model's inputs are never negative, or the names
            of the inputs that never are. By default, the first layer stays.
        data: ``x`` or ``(x, y)``, as for `export`: rows on which outputs are compared
            as well.
        runtime: What measures each merge, a name in `keras_invprune.runtimes.RUNTIMES`
            such as "litert-cpu": the models before and after it are exported, and their
            files take turns. That takes seconds. None measures nothing.

    Returns:
        `Merged`: the new model, and what was merged and why.

    Raises:
        TypeError: If `model` is not a Keras 3 model, or a certificate is not one.
        ValueError: If it carries masks, is subclassed or not built, has weights that
            are not finite, or not zero where a graph has no connection, or if a
            certificate, an input or the runtime does not exist; if `data` cannot be
            read, or has no arrays or rows; with a runtime, if an axis of the inputs has
            an unknown length.
        ExportError: If a model cannot be exported for the runtime.
        MergeError: If outputs would differ, or could not be compared. No model is
            returned.

    Example:
        >>> layers = [keras.layers.Dense(3, "relu", name=name) for name in "abc"]
        >>> model = keras.Sequential([keras.Input((2,)), *layers])
        >>> model.get_layer("b").set_weights([np.eye(3), np.ones(3)])
        >>> merged = merge_layers(model)
        >>> [layer.name for layer in merged.model.layers]
        ['a', 'c']
    """
    check_model(model)
    if runtime is not None:
        named(runtime, RUNTIMES, "runtime")
    choices = _Choices(_resolved(certificates), nonnegative_inputs, runtime)
    rows = [c.data for c in choices.certificates if isinstance(c, NeverNegative)]
    x, _ = rows_of(data)
    rows += [] if x is None else [x]
    rows = [fitting(model, each) for each in rows]
    check_inputs(traced(model), nonnegative_inputs)
    merged, done, kept = _merged(copy_model(model, otherwise=""), choices)
    made = copy_model(merged, otherwise="")
    exact = all(certificate.exact for _, each in done for certificate in each)
    error = _error(model, made, choices, rows, exact)
    return Merged(
        model=made,
        merges=tuple(merge for merge, _ in done),
        kept=tuple(kept),
        depth=(_depth(model), _depth(made)),
        parameters=(model.count_params(), made.count_params()),
        nonzero=(_nonzero(model), _nonzero(made)),
        exact=exact,
        error=error,
    )


def _merged(
    model: keras.Model, choices: _Choices
) -> tuple[keras.Model, list[tuple[Merge, list[Certificate]]], list[Kept]]:
    """Merge until nothing changes; return the model, what was merged, and the rest."""
    done: list[tuple[Merge, list[Certificate]]] = []
    slower: dict[Merge, str] = {}
    while True:
        candidates, kept = _candidates(model, choices, slower)
        if not candidates:
            return model, done, kept
        best = max(candidates, key=lambda one: one.saved)
        merge, made = _described(best), with_one_less(model, best.link, best.product)
        if choices.runtime is not None:
            before, after = RUNTIMES[choices.runtime].milliseconds([model, made])
            if after > before * (1 + NOISE):
                slower[merge] = _slower(merge, before, after, choices.runtime)
                continue
            merge = replace(merge, milliseconds=(before, after))
        done.append((merge, best.certificates))
        model = made


def _candidates(
    model: keras.Model, choices: _Choices, slower: dict[Merge, str]
) -> tuple[list[_Candidate], list[Kept]]:
    """Return the merges that can be done, and what stays.

    Args:
        model: The model, as merged so far.
        choices: What the user has chosen.
        slower: Why merges that were measured are not done.
    """
    trace = traced(model)
    facts = Facts(trace, nonnegative_tensors(trace, choices.inputs))
    found, kept = [], []
    for link in links(trace):
        candidate = link if isinstance(link, Wall) else _judged(link, facts, choices)
        if isinstance(candidate, Wall):
            kept.append(Kept(candidate.layer.name, candidate.reason))
        elif (merge := _described(candidate)) in slower:
            kept.append(Kept(merge.layer, slower[merge]))
        else:
            found.append(candidate)
    return found, kept


def _judged(link: Link, facts: Facts, choices: _Choices) -> _Candidate | Wall:
    """Return the merge of a link, or why it cannot be done."""
    layer, used = link.first.operation, []
    for activation in link.activations:
        given, doubts = _certified(activation, link, facts, choices.certificates)
        if given is None:
            return Wall(layer, "; ".join(doubts))
        used.append(given)
    try:
        made = product(link)
    except NotExactError as error:
        return Wall(layer, str(error))
    candidate = _Candidate(link, made, used, _parameters(link, made), _macs(link, made))
    if min(candidate.saved) < 0:
        return Wall(layer, _larger(candidate))
    return candidate


def _certified(
    activation: Activation,
    link: Link,
    facts: Facts,
    certificates: Iterable[Certificate],
) -> tuple[Certificate | None, list[str]]:
    doubts = []
    for certificate in certificates:
        doubt = certificate.doubt(activation, link, facts)
        if doubt is None:
            return certificate, []
        doubts.append(f"{certificate.name}: {doubt}")
    return None, doubts


def _larger(candidate: _Candidate) -> str:
    (before, after), (macs, more) = candidate.parameters, candidate.macs
    return (
        f"merged into {candidate.link.second.operation.name!r}, it would be larger: "
        f"{before:,} -> {after:,} parameters, {macs:,} -> {more:,} MACs"
    )


def _slower(merge: Merge, before: float, after: float, runtime: str) -> str:
    return (
        f"merged into {merge.into!r}, it would be slower: {before:.4g} -> {after:.4g} "
        f"ms in {runtime}"
    )


def _parameters(link: Link, made: Product) -> tuple[int, int]:
    gone = [w for layer in link.gone for w in layer.weights]
    weights = [*gone, *link.second.operation.weights]
    before = sum(math.prod(weight.shape) for weight in weights)
    return before, made.kernel.size + (0 if made.bias is None else made.bias.size)


def _macs(link: Link, made: Product) -> tuple[int, int]:
    first, second = (
        math.prod(step.operation.kernel.shape) * _positions(step)
        for step in (link.first, link.second)
    )
    return first + second, made.kernel.size * _positions(link.second)


def _positions(step: Step) -> int:
    """Return the number of positions of an output; axes of unknown length count 1."""
    shape = step.made[0].shape
    first = getattr(step.operation, "data_format", None) == "channels_first"
    return math.prod(size or 1 for size in (shape[2:] if first else shape[1:-1]))


def _described(candidate: _Candidate) -> Merge:
    link = candidate.link
    names = dict.fromkeys(certificate.name for certificate in candidate.certificates)
    return Merge(
        layer=link.first.operation.name,
        into=link.second.operation.name,
        certificate=", ".join(names) or "linear",
        gone=tuple(layer.name for layer in link.gone),
        parameters=candidate.parameters,
        macs=candidate.macs,
    )


def _error(
    model: keras.Model,
    made: keras.Model,
    choices: _Choices,
    rows: Iterable[Nested],
    exact: bool,
) -> float:
    """Return the largest difference that was measured.

    Raises:
        MergeError: If exact merges differ by more than rounding, or if nothing could be
            compared.
    """
    with frugal(model, made):
        found = [one for each in rows for one in on_rows(model, made, each)]
        if exact:
            found += on_drawn(model, made, choices.inputs)
    if not found:
        raise MergeError(
            f"Model {model.name!r} rejects all drawn inputs, so the outputs of the "
            "merged model could not be compared. Pass rows of your own as `data`."
        )
    wrong = [one for one in found if exact and not one.error <= one.allowed]
    if wrong:
        raise MergeError(
            f"Outputs of the merged model differ by {wrong[0].error:.2g} of their "
            f"size; rounding explains {wrong[0].allowed:.0e}. No model is returned, "
            "and yours is unchanged. Please report this with the model's config."
        )
    return max(one.largest for one in found)


def _resolved(
    certificates: str | Certificate | Iterable[str | Certificate],
) -> tuple[Certificate, ...]:
    if isinstance(certificates, str | Certificate):
        certificates = [certificates]
    return tuple(_resolved_one(one) for one in certificates)


def _resolved_one(one: Any) -> Certificate:
    if isinstance(one, str):
        return named(one, KNOWN, "certificate")
    if not isinstance(one, Certificate):
        raise TypeError(
            f"A certificate must be a name ({sorted(KNOWN)}) or a Certificate. "
            f"Received: {one!r}."
        )
    return one


def _depth(model: keras.Model) -> int:
    """Return the number of Dense and convolutional layers."""
    return sum(type(layer) in AFFINE for _, layer in walk(model))


def _nonzero(model: keras.Model) -> int:
    return sum(int(np.count_nonzero(np.asarray(w))) for w in model.weights)
