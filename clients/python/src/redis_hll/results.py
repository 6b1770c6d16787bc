"""What questions answer: frozen dataclasses whose fields are called as in the replies.

Estimates are numbers of distinct elements (users), rates are fractions (0.25, not 25), errors are one standard deviation
as a fraction, sizes are bytes, times are aware datetimes, and what is absent is None. A figure that comes with bounds is an
`Interval`: of many such intervals a fraction `confidence` (0.95 unless asked otherwise) holds the true number.

Rows come as `Rows`, a tuple that can also become plain dicts or a frame of pandas or polars.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, SupportsIndex, TypeVar, overload

from . import frames

T = TypeVar("T")
Backend = Literal["pandas", "polars"]
IF_KNOWN = {"if_known": True}  # of a field that is no column of a table where it is None


def _two_digits(value: float) -> int:
    """How many decimals a number keeps so that it has two digits; negative where it is rounded to tens, hundreds, ..."""
    return 1 - math.floor(math.log10(value)) if value > 0 else 0


class _Figure:
    """What can be done with an estimate that has bounds. There is no `<`, since two of them are rarely apart: sort by `key=float`."""

    __slots__ = ()
    estimate: float
    lower: float
    upper: float

    def __float__(self) -> float:
        return self.estimate

    def __int__(self) -> int:
        return round(self.estimate)

    def holds(self, number: float) -> bool:
        """Whether the interval holds this number. Of a count, which is whole, the bounds are rounded first."""
        if self.upper > 1 and float(number).is_integer():
            return _rounded(self.lower) <= number <= _rounded(self.upper)
        return self.lower <= number <= self.upper

    def above(self, number: float) -> bool:
        """Whether all of the interval is above this number."""
        return self.lower > number

    def below(self, number: float) -> bool:
        """Whether all of the interval is below this number."""
        return self.upper < number

    @property
    def is_exact(self) -> bool:
        """Whether the bounds leave no room."""
        return self.lower == self.upper

    def __format__(self, spec: str) -> str:
        return format(self.estimate, spec) if spec else str(self)

    def __str__(self) -> str:
        """`104,200 (± 1,100)`: half the width to two digits, the value to match; both bounds where they lie unevenly."""
        if self.is_exact:
            return f"{self.estimate:,.0f}" if float(self.estimate).is_integer() else f"{self.estimate:,.4g}"
        below, above = self.estimate - self.lower, self.upper - self.estimate
        if not math.isfinite(below + above):
            return f"{self.estimate:,.4g} ({self.lower:,.4g} .. {self.upper:,.4g})"
        half, uneven = (below + above) / 2, min(below, above) < 0.5 * max(below, above)
        digits = _two_digits((min(below, above) or half) if uneven else half)
        shown = max(digits, 0)
        if uneven:
            return (f"{round(self.estimate, digits):,.{shown}f} "
                    f"({round(self.lower, digits):,.{shown}f} .. {round(self.upper, digits):,.{shown}f})")
        return f"{round(self.estimate, digits):,.{shown}f} (± {round(half, digits):,.{shown}f})"


def _rounded(bound: float) -> float:
    return round(bound) if math.isfinite(bound) else bound


@dataclass(frozen=True, slots=True)
class Interval(_Figure):
    """An estimate and its bounds."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Estimate(_Figure):
    """How many distinct elements there are (HLL.ESTIMATE). `relative_error` is one standard deviation as a fraction;
    `method` is exact, hip or ml."""

    estimate: float
    lower: float
    upper: float
    confidence: float
    relative_error: float
    method: str

    def __str__(self) -> str:
        if self.method == "exact" and round(self.lower) == round(self.upper):
            return f"{self.estimate:,.0f} (exact)"
        return _Figure.__str__(self)


@dataclass(frozen=True, slots=True)
class Intersection(_Figure):
    """What sets have in common (HLL.INTERSECT), how many there are in any of them, and how alike they are."""

    estimate: float
    lower: float
    upper: float
    confidence: float
    union: Interval
    jaccard: Interval | None


@dataclass(frozen=True, slots=True)
class Segment(_Figure):
    """Who is in all of some sets, any of others, none of the rest (HLL.SEGMENT); `base` leaves the last condition out, and
    `share` is the fraction of it."""

    estimate: float
    lower: float
    upper: float
    confidence: float
    base: Interval
    share: Interval | None


class Rows(tuple[T, ...]):
    """Rows of an answer: a tuple, and a table."""

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Flat dicts, a row each: an interval is three columns, and rows within rows repeat what they stand in."""
        return [flat for row in self for flat in frames.flatten(row)]

    def to_dataframe(self, backend: Backend | None = None) -> Any:
        """A frame of pandas or polars, whichever is installed, pandas first. Raises ImportError where neither is."""
        return frames.frame(self.to_dicts(), backend)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two sets have in common (HLL.OVERLAP)."""

    first: str
    second: str
    both: Interval = field(metadata={"flat": "estimate"})
    jaccard: Interval | None
    first_in_second: Interval | None
    second_in_first: Interval | None


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """A step of a funnel: `uniques` did it, `users` did it and every one before it. `conversion` is of the step before,
    `overall` of the first, `drop_off` is 1 - conversion."""

    step: str
    uniques: Interval
    users: Interval
    conversion: Interval | None
    overall: Interval | None
    drop_off: Interval | None


@dataclass(frozen=True, slots=True)
class CohortPeriod:
    """Who of a cohort was there in a period, and the fraction of the cohort that is."""

    period: str
    users: Interval
    rate: Interval | None


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort and its periods (HLL.RETENTION)."""

    cohort: str
    size: Interval
    periods: Rows[CohortPeriod]


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Reach, rates and costs (HLL.CAMPAIGN). Costs per person are in the currency of the amounts; None where an amount was
    not given or there is nothing to divide by."""

    unique_impressions: Interval
    unique_clicks: Interval
    unique_conversions: Interval
    ctr: Interval | None
    conversion_rate: Interval | None
    cpc: Interval | None
    cpa: Interval | None
    roi: Interval | None


@dataclass(frozen=True, slots=True)
class SketchInfo:
    """What a sketch is and takes (HLL.INFO)."""

    type: str
    precision: int
    registers: int
    encoding: str
    hash: str
    history: bool
    estimator: str
    count: int
    standard_error: float
    memory_bytes: int
    serialized_bytes: int
    compression: str
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Advice:
    """The precision that would halve the error of a sketch."""

    precision: int
    standard_error: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Accuracy(_Figure):
    """How sure the count of a sketch is (HLL.ACCURACY). `advice` is None where no precision would halve the error."""

    precision: int
    encoding: str
    estimator: str
    estimate: float
    lower: float
    upper: float
    confidence: float
    standard_error: float
    bytes: int
    advice: Advice | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What `add_many` sent, and the seconds it took, the source included."""

    elements: int
    commands: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stats(Mapping[str, int]):
    """The module's counters (HLL.STATS), by the names that INFO gives them without `hll_`."""

    version: str
    counters: dict[str, int]
    timeouts_by_node: Mapping[str, int] = field(default_factory=dict)  # of other nodes of the cluster, by their ids

    def __getitem__(self, name: str) -> int:
        return self.counters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.counters)

    def __len__(self) -> int:
        return len(self.counters)


# ---- the accuracy monitor


@dataclass(frozen=True, slots=True)
class Tracked:
    """An estimate held against an exact count (HLL.ACCURACY.TRACK). `error_rate` is what it is off by and `relative_error`
    what the sketch promises, one standard error, both as fractions."""

    context: str
    estimate: Interval
    exact: float
    error_rate: float
    relative_error: float
    level: str
    within_bounds: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """The average error in the earlier and the later half of the time: rising, falling or steady."""

    direction: str
    earlier_error: float | None
    later_error: float | None


@dataclass(frozen=True, slots=True)
class ContextReport:
    """How far the estimates of one context were off."""

    context: str
    level: str
    samples: int
    average_error: float | None
    max_error: float | None
    relative_error: float | None
    within_bounds: float | None
    accuracy_score: float | None
    trend: Trend


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do about a context. `cause` is precision or data; of the second no precision mends it."""

    context: str
    priority: str
    observed: float
    cause: str
    precision: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class AccuracyReport:
    """How far estimates were off (HLL.ACCURACY.REPORT)."""

    samples: int
    average_error: float | None
    max_error: float | None
    relative_error: float | None
    within_bounds: float | None
    accuracy_score: float | None
    trend: Trend
    contexts: Rows[ContextReport]
    recommendations: Rows[Recommendation]


@dataclass(frozen=True, slots=True)
class Alert:
    """A context that rose to a level (HLL.ACCURACY.ALERTS)."""

    at: datetime
    context: str
    level: str
    estimate: float
    exact: float
    error_rate: float
    threshold: float


# ---- cubes


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of events: counted, known by their id already, or too late and dropped."""

    counted: int = 0
    duplicate: int = 0
    late: int = 0

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(self.counted + other.counted, self.duplicate + other.duplicate, self.late + other.late)


@dataclass(frozen=True, slots=True)
class CubeCount:
    """A stretch of time (HLL.CUBE.COUNT). `to` is not included. `measures` are sums; None where nothing is known."""

    unique: Interval | None
    events: int | None
    new: Interval | None
    measures: dict[str, float | None]
    confidence: float
    from_: datetime
    to: datetime
    zone: str
    method: str
    other_events: int
    precision: int


@dataclass(frozen=True, slots=True)
class Change:
    """A figure beside that of the other side of COMPARE. `change` is a fraction of what it was; `difference` and `p_value`
    come where two conditions are compared."""

    previous: float | None
    change: Interval | None
    difference: Interval | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of HLL.CUBE.QUERY: `bucket` where it begins, `by` the values of the dimensions it is of. What was not asked for
    or is not known is None. `measures` has sums and `avg:<measure>`; `per:<measure>`, an estimate, is in `per` by the name of
    the measure. `at_least` says that events of these values may be in the cell `(other)`."""

    bucket: datetime | None = field(metadata=IF_KNOWN)
    by: dict[str, str]
    unique: Interval | None = field(default=None, metadata=IF_KNOWN)
    events: int | None = field(default=None, metadata=IF_KNOWN)
    new: Interval | None = field(default=None, metadata=IF_KNOWN)
    returning: Interval | None = field(default=None, metadata=IF_KNOWN)
    measures: dict[str, float | None] = field(default_factory=dict)
    per: dict[str, Interval | None] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    at_least: bool = False


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """Rows of a cube and what they are of: `from_` and `to` are the borders of the slices that were read, `to` not included;
    `method` is cell or users; `other_events` lie in the cell `(other)`. Iterate over it as over its rows."""

    from_: datetime
    to: datetime
    zone: str
    method: str
    other_events: int
    rows: Rows[R]

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: SupportsIndex) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[R, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> R | tuple[R, ...]:
        return self.rows[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """As `Rows.to_dicts`."""
        return self.rows.to_dicts()

    def to_dataframe(self, backend: Backend | None = None) -> Any:
        """As `Rows.to_dataframe`."""
        return self.rows.to_dataframe(backend)


@dataclass(frozen=True, slots=True)
class QueryResult(Answer[Row]):
    """Rows of HLL.CUBE.QUERY, SERIES and TOP. With a comparison of times, `previous_from` and `previous_to`; `wide` says that
    the intervals of changes do not know what both sides have in common."""

    precision: int
    previous_from: datetime | None = None
    previous_to: datetime | None = None
    wide: bool = False


@dataclass(frozen=True, slots=True)
class CubeFunnel:
    """The funnel of one value of the BY dimension, or of all."""

    by: dict[str, str]
    steps: Rows[FunnelStep]
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class CubePeriod:
    """Who of a cohort was there in the period that begins at `bucket`, number `period` from the cohort's own, 0, on."""

    period: int
    bucket: datetime
    users: Interval | None
    rate: Interval | None


@dataclass(frozen=True, slots=True)
class CubeCohort:
    """Who came for the first time in the period that begins at `cohort`; first is measured from `earlier_from` on."""

    by: dict[str, str]
    cohort: datetime
    earlier_from: datetime | None
    size: Interval | None
    periods: Rows[CubePeriod]
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class LifecycleRow:
    """Who is new, stayed, came back and stayed away in the period that begins at `bucket`."""

    bucket: datetime
    first_in_kept: Interval | None
    retained: Interval | None
    resurrected: Interval | None
    dormant: Interval | None
    earlier_from: datetime | None


@dataclass(frozen=True, slots=True)
class CubeCampaign:
    """The campaign of one value of the BY dimension, or of all."""

    by: dict[str, str]
    report: CampaignReport
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class TierInfo:
    """A tier: how long its slices are and are kept (in the server's words), how many there are and what they take."""

    slice: str
    retention: str
    slices: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: the total, whose name is empty, a dimension, or a group (`a,b`)."""

    name: str
    values: int
    cap: int | None
    precision: int
    since: datetime | None
    other_events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CubeInfo:
    """What a cube is made for, holds and takes (HLL.CUBE.INFO)."""

    tiers: Rows[TierInfo]
    columns: Rows[ColumnInfo]
    measures: tuple[str, ...]
    measures_since: tuple[datetime | None, ...]
    new_precision: int | None
    zone: str
    hash: str
    newest: datetime | None
    late: int
    too_late: int
    duplicates: int
    waiting: int
    max_bytes: int | None
    memory_bytes: int

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the dimensions."""
        return tuple(column.name for column in self.columns if column.name and "," not in column.name)
