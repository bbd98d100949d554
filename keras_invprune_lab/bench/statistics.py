"""Methods against one another: ranks, wins and losses, significance over data sets.

The tests are SciPy's. Holm's correction and Nemenyi's critical difference, which SciPy
lacks, are eight lines and two; the libraries that have them bring statsmodels, a wheel
of 12 MB.
"""

from typing import NamedTuple

import numpy as np

from keras_invprune_lab.bench.results import main_rows

ENOUGH = 6  # data sets, below which no test of them can be significant
ENOUGH_SEEDS = 5  # of one data set, below which the table shows no test
ALIKE = 1e-9  # points, by which equal differences may differ


def _means(cells, figure) -> list[float]:
    """Return means over the seeds that all the cells have; [] if they share none.

    Rounded, so that equal counts of right answers are a tie.
    """
    seeds = set.intersection(*(set(cell.reports) for cell in cells))
    return [round(cell.mean(figure, seeds=seeds), 9) for cell in cells if seeds]


def row_means(table, figure, row) -> dict[str, float]:
    """Return ``{method: mean}`` of a row over the seeds that all methods have."""
    cells = {m: table.cells[row, m] for m in table.methods if (row, m) in table.cells}
    means = _means(cells.values(), figure)
    return dict(zip(cells, means, strict=True)) if means else {}


def row_ranks(table, figure, row) -> dict[str, float]:
    """Return ``{method: rank}`` by `row_means`; 1 is best, equals share a mean."""
    from scipy.stats import rankdata

    means = row_means(table, figure, row)
    ranks = rankdata([-mean for mean in means.values()])
    return dict(zip(means, map(float, ranks), strict=True))


class Ranks(NamedTuple):
    """Methods over data sets.

    Attributes:
        means: ``{method: mean rank}``; 1 is best.
        rows: Number of data sets.
        p: Friedman's test that all methods rank alike; None below 6 data sets or 3
            methods.
    """

    means: dict[str, float]
    rows: int
    p: float | None


def rank(table, figure, rows) -> Ranks:
    """Rank the methods over the rows that have all of them.

    Of a row the seeds count that all methods have.

    Args:
        table: `Table`.
        figure: Name of the figure.
        rows: Rows to look at: `main_rows`, since ranks are over data sets.

    Source:
        Demšar 2006, Statistical comparisons of classifiers over multiple data sets,
        JMLR 7, section 3.2.2.
    """
    from scipy.stats import friedmanchisquare

    means = {row: row_means(table, figure, row) for row in rows}
    whole = [row for row, found in means.items() if len(found) == len(table.methods)]
    if not whole:
        return Ranks({}, 0, None)
    ranks = [row_ranks(table, figure, row) for row in whole]
    columns = np.transpose([[*means[row].values()] for row in whole])
    enough = len(whole) >= ENOUGH and len(columns) > 2 and np.ptp(columns, axis=0).any()
    return Ranks(
        {m: float(np.mean([found[m] for found in ranks])) for m in table.methods},
        len(whole),
        float(friedmanchisquare(*columns).pvalue) if enough else None,
    )


def holm(values) -> list[float | None]:
    """Correct p values for their number; None stays.

    Source:
        Holm 1979, A simple sequentially rejective multiple test procedure,
        Scandinavian Journal of Statistics 6.
    """
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected, least = [None] * len(values), 0.0
    for place, (p, index) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - place)))
        corrected[index] = least
    return corrected


class Comparison(NamedTuple):
    """One method against another.

    Attributes:
        other: The method compared with.
        difference: Mean difference in points, over rows.
        wins: Rows where the first has the higher mean.
        ties: Rows where they are equal.
        losses: Rows where the other has.
        p: Wilcoxon's signed-rank test over the rows, two-sided; None below 6 rows.
        seeds: ``{seed: difference}`` where there is one row; else empty.
        seeds_p: Student's paired t-test over those seeds, two-sided; None below 5.
        together: `seeds_p` if the comparisons of `compare_all` are `by_seed`, else
            `p`, with Holm's correction for all of them.
    """

    other: str
    difference: float
    wins: int
    ties: int
    losses: int
    p: float | None
    seeds: dict[int, float]
    seeds_p: float | None = None
    together: float | None = None


def compare(table, first, other, figure, rows) -> Comparison | None:
    """Compare `first` with `other` over the rows, and their seeds, that have both.

    Args:
        table: `Table`.
        first: Name of a method.
        other: Name of another.
        figure: Name of the figure.
        rows: Rows to look at: `main_rows`, since the test is over data sets.
    """
    from scipy.stats import wilcoxon

    pairs = [
        (table.cells[row, first], table.cells[row, other])
        for row in rows
        if (row, first) in table.cells and (row, other) in table.cells
    ]
    means = [found for pair in pairs if (found := _means(pair, figure))]
    if not means:
        return None
    gaps = np.array([round(mine - theirs, 9) for mine, theirs in means])
    enough = len(gaps) >= ENOUGH and np.any(gaps)
    seeds = {}
    if len(means) == 1:
        for pair in pairs:
            mine, theirs = (cell.values(figure) for cell in pair)
            both = sorted(mine.keys() & theirs.keys())
            seeds |= {seed: mine[seed] - theirs[seed] for seed in both}
    return Comparison(
        other,
        float(gaps.mean()),
        int((gaps > 0).sum()),
        int((gaps == 0).sum()),
        int((gaps < 0).sum()),
        float(wilcoxon(gaps).pvalue) if enough else None,
        seeds,
        over_seeds([*seeds.values()]),
    )


def over_seeds(gaps) -> float | None:
    """Return the p of Student's paired t-test, two-sided.

    It is for seeds of one data set: it says whether another seed would order the two
    methods alike, not another data set. Wilcoxon's test cannot fall below 0.06 for 5.

    Args:
        gaps: Differences by seed.

    Returns:
        None below 5 seeds, or where all differences are equal.
    """
    from scipy.stats import ttest_1samp

    if len(gaps) < ENOUGH_SEEDS or np.ptp(gaps) < ALIKE:
        return None
    return float(ttest_1samp(gaps, 0.0).pvalue)


def compare_all(table, figure, compression) -> tuple[str, list[Comparison]]:
    """Compare IUNet, or else the first method, with each other one.

    Returns:
        The method's name, and its comparisons with those it shares a data set with.
    """
    first = "iunet" if "iunet" in table.methods else table.methods[0]
    rows = main_rows(table, compression)
    others = [other for other in table.methods if other != first]
    found = [compare(table, first, other, figure, rows) for other in others]
    found = [comparison for comparison in found if comparison]
    seeds = by_seed(found)
    corrected = holm([one.seeds_p if seeds else one.p for one in found])
    pairs = zip(found, corrected, strict=True)
    return first, [one._replace(together=p) for one, p in pairs]


def by_seed(found) -> bool:
    """Return whether all comparisons are over the seeds of one row, not over rows."""
    return all(one.seeds for one in found)
