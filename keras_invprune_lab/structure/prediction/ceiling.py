"""The noise ceiling: the R² that no predictor from structure can pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

REPLICATES = 1000


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """The noise ceiling of a table, with a 95 % interval.

    Attributes:
        r2: Highest expected R² for the means over the seeds that each graph has.
        low: Lower end of its interval.
        high: Upper end.
        single: Highest expected R² for single trainings.
        noise: Standard deviation over the seeds of one graph.
        between: Standard deviation between graphs, without that noise.
        repeated: Number of graphs with two trainings or more.
    """

    r2: float
    low: float
    high: float
    single: float
    noise: float
    between: float
    repeated: int


def noise_ceiling(
    runs: Sequence[np.ndarray], seed: int = 0, replicates: int = REPLICATES
) -> Ceiling | None:
    """Return the noise ceiling; None if it is unknown.

    It is known if two graphs or more have two trainings, and if their means differ.

    A training of graph g gives μ_g + ε, where ε has mean zero and variance σ² over the
    seeds. The best predictor from structure knows μ_g, and not ε. Let y_g be the mean
    over the n_g seeds of graph g. For these means, the best predictor's R² is
    1 - mean_g(σ² / n_g) / Var(y). σ² is the pooled variance within graphs,
    Σ (n_g - 1) s_g² / Σ (n_g - 1), and Var(y) is the variance of the means over graphs,
    divided by their number minus 1. With n seeds for each graph, this is 1 - MSW / MSB
    of the one-way analysis of variance, the reliability of a mean of n. For single
    trainings it is Var(μ) / (Var(μ) + σ²), the intraclass correlation, with
    Var(μ) = Var(y) - mean_g(σ² / n_g). Estimates below zero are set to zero.

    The interval is the percentile bootstrap over graphs, each with all its trainings.
    Graphs that were trained once count with the σ² of the others.

    Args:
        runs: For each graph, the figures of its trainings.
        seed: Of the bootstrap.
        replicates: Number of draws of the bootstrap.

    Source:
        Shrout and Fleiss 1979, Intraclass correlations, Psychological Bulletin 86, case
        1; formulas (1,1) and (1,k).
    """
    counts = np.array([len(values) for values in runs])
    means = np.array([np.mean(values) for values in runs])
    if (counts > 1).sum() < 2 or np.ptp(means) == 0:
        return None
    squares = np.array([np.sum((v - np.mean(v)) ** 2) for v in runs])
    draws = np.random.default_rng(seed).integers(
        len(runs), size=(replicates, len(runs))
    )
    drawn = [_shares(means[i], squares[i], counts[i])[0] for i in draws]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    mean, single, *variances = _shares(means, squares, counts)
    found = (mean, low, high, single, *np.sqrt(variances))
    return Ceiling(*map(float, found), repeated=int((counts > 1).sum()))


def _shares(means, squares, counts) -> tuple[float, ...]:
    """Return R² of means and of single trainings, σ², Var(μ); NaN if all are equal."""
    freedom, total = np.sum(counts - 1), np.var(means, ddof=1)
    if not (freedom and total):
        return (np.nan,) * 4
    variance = np.sum(squares) / freedom
    of_means = max(0.0, total - variance * np.mean(1 / counts))  # Var(μ)
    return of_means / total, of_means / (of_means + variance), variance, of_means
