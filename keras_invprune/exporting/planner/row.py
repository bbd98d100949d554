"""What was found out about one file."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

# Why a file was dropped, in the order in which this is found out.
NOT_TRIED = "not tried"
NOT_MADE = "not made"
SAME = "same file"
NOT_RUN = "does not run"
WRONG = "wrong"
INACCURATE = "less accurate"
OVER = "over budget"
LARGER = "larger"
SLOWER = "slower"
BEST = "best"


@dataclasses.dataclass(frozen=True)
class Run:
    """A file in one runtime.

    Attributes:
        runtime: Its name, with the number of threads.
        max_abs_error: Largest difference from Keras; None if it does not run or is
            wrong.
        milliseconds: Median time of one input; None if it was not timed.
        low: Lower quartile of the times.
        high: Upper quartile.
        fault: Why it does not run; "" if it does.
    """

    runtime: str
    max_abs_error: float | None = None
    milliseconds: float | None = None
    low: float | None = None
    high: float | None = None
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """What was found out about one file.

    Attributes:
        name: What the file is, such as "compact, int8 dynamic".
        file: Name of the file, or of the folder.
        uses_zeros: Whether zeros were left out, or units removed.
        bytes: Its size.
        gzip_bytes: Its size after gzip.
        zstd_bytes: Its size after zstd; None without the library.
        score: The metric on the given rows.
        loss: What the metric loses against Keras.
        runs: One for each runtime. The first one decides which file is faster.
        verdict: "best", or the kind of reason why it was dropped.
        reason: The reason, with figures.
    """

    name: str
    file: str
    uses_zeros: bool = False
    bytes: int | None = None
    gzip_bytes: int | None = None
    zstd_bytes: int | None = None
    score: float | None = None
    loss: float | None = None
    runs: tuple[Run, ...] = ()
    verdict: str = ""
    reason: str = ""

    @property
    def milliseconds(self) -> float:
        """The median time of one input in the first runtime; infinite if unknown."""
        return self._time("milliseconds")

    @property
    def low(self) -> float:
        """The lower quartile of these times."""
        return self._time("low")

    @property
    def high(self) -> float:
        """The upper quartile of these times."""
        return self._time("high")

    @property
    def size(self) -> float:
        """The size in bytes; infinite if unknown."""
        return math.inf if self.bytes is None else self.bytes

    @property
    def is_right(self) -> bool:
        """Whether it ran, was compared with Keras, and was timed."""
        return self.milliseconds != math.inf

    def _time(self, name: str) -> float:
        value = getattr(self.runs[0], name) if self.runs else None
        return math.inf if value is None else value

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        found = dataclasses.asdict(self)
        return found | {"runs": list(found["runs"])}

    def dropped(self, verdict: str, reason: str) -> "Row":
        """Return the row with the reason why it was dropped."""
        return dataclasses.replace(self, verdict=verdict, reason=reason)


def by_reason(rows: Iterable[Row]) -> list[str]:
    """Return a line for each reason, with the names of the files that it dropped."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(f"{row.verdict}, {row.reason}", []).append(repr(row.name))
    return [f"{', '.join(of)}: {why}" for why, of in names.items()]
