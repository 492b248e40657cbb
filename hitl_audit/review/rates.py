"""Rates and their differences, as estimated from judged cases: the values themselves."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MIN_CASES",
    "Difference",
    "GroupRate",
    "GroupRates",
    "Rate",
    "difference_of_rates",
]

MIN_CASES = 10
"""Below this many judged cases nothing is estimated."""


@dataclass(frozen=True)
class Rate:
    """A rate in all cases, estimated from the judged ones.

    Attributes:
        count: judged cases that have the property (outcome 1), unweighted.
        n: judged cases.
        sampled: cases drawn, judged or not.
        effective_n: size of the simple random sample from an endless
            population that would be as precise; ``None`` when nothing is
            estimated, or when every case of the population was judged.
        value, low, high: the estimate and its interval; ``None`` when there
            are too few cases.
        confidence: of the interval.
        method: names of the estimate and its interval.
        status: ``"estimated"``, ``"insufficient data"`` or ``"not assessed"``.
    """

    count: int
    n: int
    sampled: int
    effective_n: float | None
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str
    status: str

    @property
    def words(self) -> str:
        """The rate in one sentence, and how many drawn cases nobody judged."""
        silent = self.sampled - self.n
        waiting = f"; {silent} of {self.sampled} drawn cases are not judged" if silent else ""
        if self.value is None or self.low is None or self.high is None:
            reason = "" if not self.n else f": {self.n} judged, {MIN_CASES} are needed"
            return f"{self.status}{reason}{waiting}"
        return (
            f"{self.count} of {self.n} judged cases, estimated {self.value:.1%} of all cases "
            f"({self.confidence:.0%} interval {self.low:.1%} to {self.high:.1%}){waiting}"
        )

    def frame(self) -> pd.DataFrame:
        """One row with every attribute."""
        import pandas as pd

        return pd.DataFrame([asdict(self)])


@dataclass(frozen=True)
class Difference:
    """A difference of two rates, a − b.

    Attributes:
        n: judged cases; of two groups together.
        value, low, high: the estimate and its interval; ``None`` when there
            are too few cases.
        confidence: of the interval.
        method: names of the estimate and its interval.
        status: ``"estimated"``, ``"insufficient data"`` or ``"not assessed"``.
        more, less: for a paired difference, judged cases in which a is above
            b, and below it, unweighted; ``None`` between groups.
    """

    n: int
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str
    status: str
    more: int | None = None
    less: int | None = None

    def frame(self) -> pd.DataFrame:
        """One row with every attribute."""
        import pandas as pd

        return pd.DataFrame([asdict(self)])


@dataclass(frozen=True)
class GroupRate:
    """The rate of one group."""

    group: str
    rate: Rate


@dataclass(frozen=True)
class GroupRates:
    """The rate of every group, sorted by name.

    Attributes:
        rows: one per group.
    """

    rows: tuple[GroupRate, ...]

    def __getitem__(self, group: str) -> Rate:
        """The rate of a group by its name."""
        for row in self.rows:
            if row.group == group:
                return row.rate
        raise KeyError(group)

    def frame(self) -> pd.DataFrame:
        """One row per group: group and the attributes of its :class:`Rate`."""
        import pandas as pd

        columns = ["group", *Rate.__dataclass_fields__]
        rows = [{"group": row.group, **asdict(row.rate)} for row in self.rows]
        return pd.DataFrame(rows, columns=columns)

    def chart(self, what: str) -> Chart:
        """The rates with their intervals, one row per group.

        Args:
            what: what the rates are of, for example ``"Overrides"``.

        Raises:
            InputError: there are no groups.
        """
        if not self.rows:
            raise InputError("rates: there are no groups to draw")
        estimated = [row for row in self.rows if row.rate.value is not None]
        said = ", ".join(
            f"{number(row.rate.value or 0.0, percent=True)} for {row.group}" for row in estimated
        )
        said = f"{what} by group: {said or 'every group has too few judged cases'}."
        sure = f"{self.rows[0].rate.confidence * 100:g}% interval"
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} " + " ".join(f"{row.group}: {row.rate.words}." for row in self.rows),
            value_label=f"{what}, with {sure}",
            series=(
                Series(
                    name=what,
                    x=tuple(row.group for row in self.rows),
                    y=tuple(row.rate.value for row in self.rows),
                    low=tuple(row.rate.low for row in self.rows),
                    high=tuple(row.rate.high for row in self.rows),
                    notes=tuple(f"n = {row.rate.n}, {row.rate.status}" for row in self.rows),
                ),
            ),
            value_range=(0.0, 1.0),
            percent=True,
        )

    def plot(self, what: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(what))

    def differences(self, reference: str) -> dict[str, Difference]:
        """Every other group's rate minus that of the reference, by group.

        Raises:
            InputError: no such group.
        """
        names = [row.group for row in self.rows]
        if reference not in names:
            raise InputError(
                f'rates: reference is "{reference}"; accepted: {", ".join(names)}'
                f"{did_you_mean(reference, names)}"
            )
        base = self[reference]
        return {
            row.group: difference_of_rates(row.rate, base)
            for row in self.rows
            if row.group != reference
        }


def difference_of_rates(rate: Rate, reference: Rate) -> Difference:
    """The difference of two groups' rates, which share no case: rate − reference.

    Newcombe's hybrid of the two intervals as they are (method 10 of Newcombe,
    Statistics in Medicine 17 (1998), 873-890; for any intervals Zou & Donner,
    27 (2008), 1693-1702).

    Raises:
        InputError: the two intervals have another confidence.
    """
    if rate.confidence != reference.confidence:
        raise InputError(
            f"rates: got confidence {rate.confidence} and {reference.confidence}; "
            "expected the same for both"
        )
    n, confidence = rate.n + reference.n, rate.confidence
    if (
        rate.value is None
        or rate.low is None
        or rate.high is None
        or reference.value is None
        or reference.low is None
        or reference.high is None
    ):
        status = "insufficient data" if rate.n and reference.n else "not assessed"
        return Difference(n, None, None, None, confidence, "", status)
    value = rate.value - reference.value
    low = value - math.hypot(rate.value - rate.low, reference.high - reference.value)
    high = value + math.hypot(rate.high - rate.value, reference.value - reference.low)
    return Difference(
        n, value, low, high, confidence, "Newcombe, hybrid of the two intervals", "estimated"
    )
